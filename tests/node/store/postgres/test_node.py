"""A node that keeps its rows in PostgreSQL answers as every node does."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cli import doctor
from node.app import open_node
from node.sections import StoreSection
from node.store.errors import DatabaseInUseError
from node.store.opening import open_store
from node.store.postgres.connection import Server
from protocol.errors import RefusedError
from tests.cli.test_operator_commands import INIT, run, said
from tests.fakes.clock import SteppedClock
from tests.node.pairing import befriend, grow, organization
from tests.node.running import Running, running, settings
from tests.postgres import Cluster, OwnCluster

pytestmark = pytest.mark.slow


def on(server: Server, **store: object) -> Mapping[str, Mapping[str, Any]]:
    return settings(store={"url": server.url, **store})


async def ready(node: Running) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(node.url + "/ready") as answer:
        return answer.status, (await answer.json())["store"]


async def test_a_node_goes_on_where_the_last_process_stopped_and_keeps_out_a_second_one(
    server: Server, tmp_path: Path
) -> None:
    async with running(tmp_path / "aurora", on(server)) as node:
        assert await ready(node) == (200, "ok")
        config = node.node.base.config
        with pytest.raises(DatabaseInUseError):
            async with open_store(tmp_path / "aurora", config.store, clock=SteppedClock()):
                pass
        document = node.node.peering.identity.text
        assert await node.node.base.store.size_bytes() > 0
        await node.node.base.store.scrub()
    assert list((tmp_path / "aurora" / "data").iterdir()) == []
    async with open_node(tmp_path / "aurora", config, clock=SteppedClock()) as again:
        assert again.peering.identity.text == document


async def test_a_node_is_not_ready_while_its_database_is_away_and_ready_again_after(
    server: Server, postgres: Cluster, tmp_path: Path
) -> None:
    if not isinstance(postgres, OwnCluster):
        pytest.skip("the server is not ours to stop")
    async with running(tmp_path / "aurora", on(server)) as node:
        try:
            await asyncio.to_thread(postgres.stop)
            assert await ready(node) == (503, "unavailable")
        finally:
            await asyncio.to_thread(postgres.start)
        assert await ready(node) == (200, "ok")


def test_an_operator_sees_how_the_database_is(server: Server, tmp_path: Path) -> None:
    directory = str(tmp_path / "aurora")
    assert run(*INIT, "--dir", directory, "--development").exit_code == 0
    here = {"MENTORMESH_STORE_URL": server.url}
    status = said(run("status", "--dir", directory, "--json", **here))["status"]
    assert status["generation"] == 1
    assert status["database_bytes"] > 0
    found = said(run("doctor", "--dir", directory, "--json", **here))["checks"]
    lines = {check["detail"] for check in found if check["check"] == "database"}
    assert any(line.startswith("PostgreSQL ") for line in lines)


async def test_the_self_check_says_what_is_wrong_with_the_database(server: Server, tmp_path: Path) -> None:
    directory = str(tmp_path / "aurora")
    run(*INIT, "--dir", directory, "--development")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MENTORMESH_STORE_URL", "postgresql://127.0.0.1:1/aurora")
        checks = await doctor.diagnose(Path(directory), peers=False)
    (check,) = [check for check in checks if check.check == "database"]
    assert check.level == "red"
    assert "cannot be reached" in check.detail
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MENTORMESH_STORE_URL", server.url)
        patch.setenv("MENTORMESH_STORE_SESSIONS", "100")
        checks = await doctor.diagnose(Path(directory), peers=False)
    details = [check.detail for check in checks if check.check == "database"]
    assert "the server does not wait for its disk: a crash loses what peers rely on" in details
    assert any("open up to" in detail for detail in details)


async def test_a_program_without_the_driver_says_what_to_install(tmp_path: Path) -> None:
    store = StoreSection(url="postgresql:///aurora")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "node.store.postgres.connection", None)
        with pytest.raises(RefusedError, match=r"install mentormesh\[postgres\]"):
            async with open_store(tmp_path, store, clock=SteppedClock()):
                pass


def test_only_a_node_with_a_database_has_a_standby(tmp_path: Path) -> None:
    directory = str(tmp_path / "aurora")
    run(*INIT, "--dir", directory, "--development")
    refused = run("serve", "--standby", "--dir", directory)
    assert refused.exit_code == 1
    assert "keeps its rows in PostgreSQL" in refused.stderr
    url = "postgresql://127.0.0.1:port/aurora"
    assert "not understood" in run("serve", "--standby", "--dir", directory, MENTORMESH_STORE_URL=url).stderr


async def test_two_nodes_with_databases_become_peers_and_keep_logs(
    server: Server, postgres: Cluster, tmp_path: Path
) -> None:
    clock, second = SteppedClock(), Server(url=await postgres.fresh())
    aurora = organization("aurora", store={"url": server.url})
    birch = organization("birch", store={"url": second.url})
    async with (
        running(tmp_path / "aurora", aurora, clock=clock) as one,
        running(tmp_path / "birch", birch, clock=clock, seed=2) as other,
    ):
        await befriend(one.node, other.node)
        assert [peer.entity for peer in one.node.peering.directory.all()] == ["https://birch.example"]
        assert [peer.entity for peer in other.node.peering.directory.all()] == ["https://aurora.example"]
        for each in (one, other):
            await each.node.log.announce()
            await grow(each.node, 3)
            await each.node.log.sequencer.check_whole()
