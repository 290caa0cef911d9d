"""The primary is killed and its replica promoted: with a synchronous one nothing is lost, doubled or signed twice."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from federation.logbook import newest_row
from node.store.postgres.store import PostgresStore
from protocol.errors import MeshError
from tests.lines import Line
from tests.node.pairing import befriend, grow, organization
from tests.node.running import Running, free_port, make_directory
from tests.patience import PATIENCE_S, comes_true
from tests.postgres import OwnCluster, own_cluster
from tests.replica import Replica, replica_of

from .steps import Asked, Steps, check, signs_more, working

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unwatched")]


class Servers:
    """A primary, its replica, and the line between them."""

    def __init__(self, primary: OwnCluster, replica: Replica, line: Line) -> None:
        self.primary = primary
        self.replica = replica
        self.line = line

    async def fresh(self) -> str:
        """Return the URL of an empty schema that names both."""
        url = await self.primary.fresh()
        places = [one.url.partition("@")[2].partition("/")[0] for one in (self.primary, self.replica)]
        return url.replace(places[0], ",".join(places))

    async def wait_for_replica(self) -> None:
        """Let a commit wait for the replica from now on."""
        await self.primary.configure("synchronous_standby_names = 'replica'")
        connection = await asyncpg.connect(self.primary.url)
        try:
            while await connection.fetchval("SELECT sync_state FROM pg_stat_replication") != "sync":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        finally:
            await connection.close()

    async def fail_over(self) -> None:
        """Kill the primary as a power button would, and promote the replica."""
        os.kill(self.primary.pid, signal.SIGKILL)
        await asyncio.to_thread(self.primary.stop)
        await asyncio.to_thread(self.replica.promote)


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    port, other = free_port(), free_port()
    with own_cluster(port=port) as primary:
        async with Line(port) as line, AsyncExitStack() as stack:
            made = replica_of(primary, through=line.port, port=other)
            replica = await asyncio.to_thread(made.__enter__)
            stack.push_async_callback(asyncio.to_thread, made.__exit__, None, None, None)
            yield Servers(primary, replica, line)


@asynccontextmanager
async def two(folder: Path, url: str) -> AsyncIterator[tuple[Running, Running]]:
    """Yield two processes of a node, the first on duty."""
    directory = make_directory(folder / "one", organization("aurora", store={"url": url, "several": True}))
    async with working(directory, 1) as one:
        await comes_true(lambda: one.node.base.beside.on_duty)
        shutil.copytree(directory, folder / "other")
        async with working(folder / "other", 2) as other:
            yield one, other


async def test_after_a_synchronous_replica_was_promoted_nothing_is_lost_doubled_or_signed_anew(tmp_path: Path) -> None:
    async with servers() as pair:
        await pair.wait_for_replica()
        async with two(tmp_path, await pair.fresh()) as processes:
            steps = [Steps(each, name) for each, name in zip(processes, ("one", "other"), strict=True)]
            asked = [Asked(each) for each in processes]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each.take()) for each in steps]
                tasks += [group.create_task(each.ask()) for each in asked]
                await comes_true(signs_more(processes[0], asked[1]))
                await comes_true(lambda: all(each.acknowledged for each in steps))
                await pair.fail_over()
                taken = [len(each.acknowledged) for each in steps]
                known = max(max(each.checkpoints) for each in asked)
                await comes_true(
                    lambda: all(len(each.acknowledged) > before for each, before in zip(steps, taken, strict=True))
                )
                await comes_true(lambda: all(max(each.checkpoints) > known for each in asked))
                for task in tasks:
                    task.cancel()
            await check(processes[0], steps, asked)


async def change_duty(process: Running, other: Running) -> None:
    """Let a process go on duty in place of another one."""
    store = other.node.base.store
    assert isinstance(store, PostgresStore)
    async with asyncio.timeout(PATIENCE_S):
        while not process.node.base.beside.on_duty:
            store._commits.session.drop()
            await process.node.base.beside.seek_duty()


async def cosigned(process: Running) -> int:
    """Return the size of the newest checkpoint of a node, once those who witness it know it."""
    await grow(process.node)
    await process.node.witnessing.cosigner.collect()
    async with process.node.base.store.read() as rows:
        row = await newest_row(rows, 1)
    assert row is not None
    return row.size


async def test_a_process_that_signed_before_signs_no_other_log_over_what_a_replica_lost(tmp_path: Path) -> None:
    async with (
        servers() as pair,
        working(make_directory(tmp_path / "birch", organization("birch"), seed=3), 3) as birch,
        two(tmp_path, await pair.fresh()) as (one, other),
    ):
        await befriend(one.node, birch.node)
        before = await cosigned(one)
        await change_duty(other, one)
        pair.line.cut()
        lost = await cosigned(other)
        assert lost > before
        for job in ("duty", "beside", "outbox"):  # its machine goes with that of the primary
            await other.node.base.jobs.end({job})
        await pair.fail_over()
        await comes_true(lambda: one.node.base.beside.on_duty)

        async def refused() -> bool:
            with pytest.raises(MeshError) as caught:
                await grow(one.node)
            return caught.value.code in {"log-rolled-back", "log-ahead-claimed"}

        await comes_true(refused)  # the database may be found away first
        assert (await one.node.log.status()).size <= before
