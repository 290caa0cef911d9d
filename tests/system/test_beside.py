"""Several processes serve one node from one database, and any of them may be killed."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

from node.store.postgres.connection import Server
from protocol.peers import DOCUMENT_PATH
from tests.patience import comes_true
from tests.postgres import Cluster, own_cluster
from tests.system.test_one_node import directory, get, run
from tests.system.test_standby import process, ready

pytestmark = [pytest.mark.system, pytest.mark.slow]

__all__ = ["directory"]

SEVERAL = {"MENTORMESH_STORE_SEVERAL": "true", "MENTORMESH_NODE_LISTEN": "127.0.0.1:0"}


def on_duty(url: str) -> bool:
    return bool(json.loads(get(url, "/ready")[1])["on_duty"])


async def test_processes_share_a_directory_and_the_next_one_is_on_duty_soon_after_one_hangs_or_is_killed(
    directory: Path, postgres: Cluster
) -> None:
    server = Server(url=await postgres.fresh())
    with process(directory, server, **SEVERAL) as first:
        one = ready(first)
        await comes_true(lambda: on_duty(one))
        with process(directory, server, **SEVERAL) as second:
            other = ready(second)
            assert [on_duty(url) for url in (one, other)] == [True, False]
            first.send_signal(signal.SIGSTOP)
            await comes_true(lambda: on_duty(other))
            first.send_signal(signal.SIGCONT)
            await comes_true(lambda: not on_duty(one))
            second.send_signal(signal.SIGKILL)
            await comes_true(lambda: on_duty(one))
            second.wait()
            shown = run("status", "--dir", str(directory), MENTORMESH_STORE_URL=server.url, **SEVERAL).stdout
            assert len([line for line in shown.splitlines() if line.startswith("process ")]) == 1
            assert "on duty, this one" in shown


async def test_processes_come_back_by_themselves_after_a_restart_of_the_database(directory: Path) -> None:
    with own_cluster() as cluster:
        server = Server(url=await cluster.fresh())
        with process(directory, server, **SEVERAL) as first, process(directory, server, **SEVERAL) as second:
            urls = [ready(first), ready(second)]
            await asyncio.to_thread(cluster.stop)
            for url in urls:
                assert get(url, "/ready")[0] == 503
                assert get(url, DOCUMENT_PATH)[0] == 200
            await asyncio.to_thread(cluster.start)
            await comes_true(lambda: all(get(url, "/ready")[0] == 200 for url in urls) and sum(map(on_duty, urls)) == 1)
            assert (first.poll(), second.poll()) == (None, None)
