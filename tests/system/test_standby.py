"""Two processes on two machines, one database: one serves, the other stands by and takes over."""

import asyncio
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from node.store.postgres.commits import LOCK_CLASS
from node.store.postgres.connection import Server
from tests.postgres import Cluster, script
from tests.system.test_one_node import PROGRAM, directory, environment, get

pytestmark = [pytest.mark.system, pytest.mark.slow]

__all__ = ["directory"]


@contextmanager
def process(directory: Path, server: Server, *words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*PROGRAM, "serve", "--json", "--dir", str(directory), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(MENTORMESH_STORE_URL=server.url, **variables),
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def ready(started: subprocess.Popen[str]) -> str:
    """Return where a process answers, once it does."""
    assert started.stdout is not None
    line = started.stdout.readline()
    assert line, started.communicate()[1]
    return str(json.loads(line)["url"])


#: The session that keeps others out, and the one that waits for it.
HOLDER: Final = f"""
SELECT l.granted, pg_terminate_backend(l.pid) FROM pg_locks l
WHERE l.locktype = 'advisory' AND l.classid = {LOCK_CLASS + 1} AND l.granted
"""
WAITING: Final = f"SELECT count(*) FROM pg_locks WHERE classid = {LOCK_CLASS + 1} AND NOT granted"


async def waiting(server: Server) -> None:
    """Return once a process stands by."""
    connection = await asyncpg.connect(server.url)
    try:
        while not await connection.fetchval(WAITING):  # noqa: ASYNC110 -- another process does it
            await asyncio.sleep(0.05)
    finally:
        await connection.close()


async def test_a_standby_takes_over_from_a_process_that_is_killed_or_cut_off(
    directory: Path, postgres: Cluster, tmp_path: Path
) -> None:
    server, second = Server(url=await postgres.fresh()), tmp_path / "second"
    shutil.copytree(directory, second)
    with process(directory, server) as first:
        assert get(ready(first), "/ready")[0] == 200
        with process(second, server, "--standby") as other:
            await waiting(server)
            first.send_signal(signal.SIGKILL)
            assert get(ready(other), "/ready")[0] == 200
            first.wait()
            with process(directory, server, "--standby") as again:
                await cut_off(other, server)
                assert other.returncode == 3
                assert get(ready(again), "/ready")[0] == 200


async def cut_off(other: subprocess.Popen[str], server: Server) -> None:
    """End the session of a process until the one that waits for it has been quicker than itself."""
    while other.poll() is None:
        await waiting(server)
        await script(server.url, HOLDER)
        with suppress(subprocess.TimeoutExpired):
            # Where it was quicker itself, it stays; so long may it take to see that it was not.
            await asyncio.to_thread(other.wait, 20)
