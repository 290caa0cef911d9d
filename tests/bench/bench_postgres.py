"""Durable transactions a second in PostgreSQL, against the embedded store in the same run; both wait for the disk."""

import asyncio
import itertools
import tempfile
import time
from pathlib import Path
from typing import Final

from federation.ports import Store
from node.clock import SystemClock
from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from tests.postgres import own_cluster

from .bench_store import SECONDS, ItemRow, item_folder, measure, work
from .figures import Figure, percentile

CROWD: Final = 64
#: Requests under way at once, on one process or shared by two.
IN_FLIGHT: Final = 32


async def run() -> list[Figure]:
    """Return the figures: 1 KiB rows, one row a transaction, over a Unix socket."""
    single, single_ms = await measure(1)
    crowd, crowd_ms = await measure(CROWD)
    with own_cluster(durable=True) as cluster, tempfile.TemporaryDirectory() as name:
        folder = item_folder(Path(name))

        async def opened(server: Server) -> PostgresStore:
            return await PostgresStore.open(server, clock=SystemClock(), folder=folder, alone=False)

        async def wrote(tasks: int) -> tuple[float, list[float]]:
            async with await opened(Server(url=await cluster.fresh())) as store:
                return await work(store, tasks)

        alone, alone_ms = await wrote(1)
        many, many_ms = await wrote(CROWD)
        one, _ = await wrote(IN_FLIGHT)
        server = Server(url=await cluster.fresh())
        async with await opened(server) as left, await opened(server) as right:
            shared = await share(left, right)
            reads = await read(left)
    embedded = "embedded store"
    return [
        Figure(name="PostgreSQL, one at a time", value=alone, unit="transactions/s"),
        Figure(name="PostgreSQL, one at a time, throughput", value=alone / single, unit="×", ratio_to=embedded),
        Figure(
            name="PostgreSQL, one at a time, p50",
            value=percentile(alone_ms, 50) / percentile(single_ms, 50),
            unit="×",
            ratio_to=embedded,
        ),
        Figure(name=f"PostgreSQL, {CROWD} at a time", value=many, unit="transactions/s"),
        Figure(name=f"PostgreSQL, {CROWD} at a time, throughput", value=many / crowd, unit="×", ratio_to=embedded),
        Figure(
            name=f"PostgreSQL, {CROWD} at a time, p99",
            value=percentile(many_ms, 99) / percentile(crowd_ms, 99),
            unit="×",
            ratio_to=embedded,
        ),
        Figure(
            name=f"PostgreSQL, two stores at {IN_FLIGHT} in flight", value=shared / one, unit="×", ratio_to="one store"
        ),
        Figure(name="PostgreSQL, snapshots with one row, one at a time", value=reads, unit="snapshots/s"),
    ]


async def share(left: PostgresStore, right: PostgresStore) -> float:
    """Return transactions a second of two stores on one database that share the requests."""
    numbers = itertools.count()
    end = time.perf_counter() + SECONDS

    async def write(store: Store) -> int:
        done = 0
        while time.perf_counter() < end:
            async with store.write() as change:
                await change.insert(ItemRow(id=next(numbers), body=bytes(1024)))
            done += 1
        return done

    done = await asyncio.gather(*(write(store) for store in (left, right) for _ in range(IN_FLIGHT // 2)))
    return sum(done) / SECONDS


async def read(store: PostgresStore) -> float:
    """Return how many snapshots a second one reader takes."""
    done, start = 0, time.perf_counter()
    while time.perf_counter() < start + SECONDS:
        async with store.read() as view:
            await view.get(ItemRow, 1)
        done += 1
    return done / SECONDS
