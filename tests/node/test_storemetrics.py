"""What `/metrics` says of the store: sums that grow, and nothing that is not so."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from node.keys import operator_token
from node.store.figures import StoreFigures
from node.storemetrics import StoreMetrics
from tests.node.running import Running, running, settings
from tests.postgres import Cluster, OwnCluster

pytestmark = pytest.mark.slow


async def figures(node: Running) -> dict[str, float]:
    """Return what the node says of its store, by name and labels."""
    headers = {**node.api, "Authorization": f"Bearer {operator_token(node.node.base.directory)}"}
    async with aiohttp.ClientSession() as http, http.get(node.url + "/metrics", headers=headers) as answer:
        assert answer.status == 200
        lines = (await answer.text()).splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("mentormesh_store_"))
    return {name.removeprefix("mentormesh_store_"): float(value) for name, value in found.items()}


async def test_a_file_has_commits_and_turns_and_no_sessions(tmp_path: Path) -> None:
    async with running(tmp_path / "aurora") as node:
        before = await figures(node)
        async with node.node.base.store.write():
            pass
        after = await figures(node)
    assert set(after) == {"commits_total", "commit_seconds_total", "turns_total", "turn_seconds_total"}
    assert after["commits_total"] == before["commits_total"] + 1
    assert after["turns_total"] == before["turns_total"] + 1
    assert after["commit_seconds_total"] > before["commit_seconds_total"]


async def test_a_database_shows_sessions_and_its_absence_shows_nothing(postgres: Cluster, tmp_path: Path) -> None:
    url = await postgres.fresh()
    async with running(tmp_path / "aurora", settings(store={"url": url, "sessions": 3})) as node:
        async with node.node.base.store.read():
            found = await figures(node)
        assert found['sessions{state="busy"}'] >= 1
        assert found['sessions{state="most"}'] == 3
        assert found["session_wait_seconds_total"] >= 0
        assert "replicas" not in found, "there are none"
        if isinstance(postgres, OwnCluster):
            try:
                await asyncio.to_thread(postgres.stop)
                assert await figures(node) == {}
            finally:
                await asyncio.to_thread(postgres.start)


def test_replicas_show_with_the_slowest_one_s_lag() -> None:
    shown = StoreMetrics()
    assert list(shown.collect()) == []
    shown.last = StoreFigures(commits=1, commit_s=0.5, turns=2, turn_s=0.1, replicas=2, replica_lag_s=1.5)
    values = {sample.name: sample.value for family in shown.collect() for sample in family.samples}
    assert values["mentormesh_store_replicas"] == 2
    assert values["mentormesh_store_replica_lag_seconds"] == 1.5
