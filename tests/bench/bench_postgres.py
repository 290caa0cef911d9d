"""Durable transactions a second in PostgreSQL, against the embedded store in the same run; both wait for the disk."""

import asyncio
import itertools
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

from federation.ports import Store
from node.clock import SystemClock
from node.rows import SafeRow
from node.sections import StoreSection
from node.store.copying import tables
from node.store.moving import move
from node.store.opening import open_store
from node.store.places import place_of
from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from tests.postgres import Cluster, own_cluster

from .bench_store import SECONDS, ItemRow, item_folder, measure, work
from .figures import Figure, percentile

CROWD: Final = 64
#: Requests under way at once, on one process or shared by two.
IN_FLIGHT: Final = 32
#: Rows of 1 KiB that move house.
MOVED: Final = 20_000


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
        opened_s, carried, copied = await carry_over(cluster, Path(name))
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
        Figure(name="store move, tables of an empty database", value=opened_s, unit="s"),
        Figure(name="store move, copied and compared", value=carried, unit="rows/s"),
        Figure(name="store move, throughput", value=carried / copied, unit="×", ratio_to="bare COPY"),
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


async def carry_over(cluster: Cluster, directory: Path) -> tuple[float, float, float]:
    """Return how long the tables take, rows a second of a move from a file, and of a bare COPY of the same rows.

    Both are into tables that are there; the move also reads all rows on both sides to compare them.
    """
    places = StoreSection(), StoreSection(url=await cluster.fresh())
    rows = [SafeRow(member=f"{n:08}", name="archive", version=1, data=bytes(1024), stored_on=0) for n in range(MOVED)]
    async with open_store(directory, places[0], clock=SystemClock()) as store, store.write() as tx:
        await tx.insert(*rows)
    start = time.perf_counter()
    async with place_of(directory, places[0], now=0) as source, place_of(directory, places[1], now=0) as target:
        opened_s, start = time.perf_counter() - start, time.perf_counter()
        await move(source, target, progress=lambda *_: None)
        moved_s = time.perf_counter() - start
    table = next(table for table in tables() if table.name == "safe")
    async with place_of(directory, StoreSection(url=await cluster.fresh()), now=0) as target:
        start = time.perf_counter()
        await target.rows.append(table, [msgspec.structs.astuple(row) for row in rows])
        return opened_s, MOVED / moved_s, MOVED / (time.perf_counter() - start)
