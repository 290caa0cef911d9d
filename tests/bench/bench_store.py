"""Durable transactions a second, against a bare sqlite3 loop with the same settings in the same run."""

import asyncio
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import ClassVar, Final

from federation.ports import Row, Store
from node.clock import SystemClock
from node.store.connection import open_writer
from node.store.migrations import FOLDER
from node.store.sqlite import SqliteStore

from .figures import Figure, percentile

SECONDS: Final = 1.5
CROWD: Final = 64
BODY: Final = bytes(1024)
TABLE: Final = "CREATE TABLE item (id INTEGER NOT NULL PRIMARY KEY, body BLOB NOT NULL) STRICT;\n"
INSERT: Final = "INSERT INTO item (id, body) VALUES (?, ?)"


class ItemRow(Row, frozen=True, kw_only=True):
    table = "item"
    key = ("id",)
    purpose: ClassVar = {}

    id: int
    body: bytes


async def run() -> list[Figure]:
    """Return the figures: 1 KiB rows, one row a transaction, on the disk of the temporary directory.

    One at a time, the store pays the way to the commit's thread and back, about 0.1 ms; that counts only where a
    disk is faster than that.
    """
    single_floor, single_floor_ms = floor(1)
    single, single_ms = await measure(1)
    crowd_floor, _ = floor(CROWD)
    crowd, crowd_ms = await measure(CROWD)
    bare = "bare sqlite3 loop"
    return [
        Figure(name="bare sqlite3 loop, a commit each", value=single_floor, unit="transactions/s"),
        Figure(name="store, one at a time", value=single, unit="transactions/s"),
        Figure(name="store, one at a time, throughput", value=single / single_floor, unit="×", ratio_to=bare),
        Figure(
            name="store, one at a time, p50",
            value=percentile(single_ms, 50) / percentile(single_floor_ms, 50),
            unit="×",
            ratio_to=bare,
        ),
        Figure(name=f"bare sqlite3 loop, a commit for {CROWD}", value=crowd_floor, unit="transactions/s"),
        Figure(name=f"store, {CROWD} at a time", value=crowd, unit="transactions/s"),
        Figure(name=f"store, {CROWD} at a time, throughput", value=crowd / crowd_floor, unit="×", ratio_to=bare),
        Figure(name=f"store, {CROWD} at a time, against one", value=crowd / single, unit="×", aim="≥ 8"),
        Figure(name=f"store, {CROWD} at a time, p99", value=percentile(crowd_ms, 99), unit="ms"),
    ]


def floor(batch: int) -> tuple[float, list[float]]:
    """Return rows a second and the milliseconds of each commit of `batch` rows, without our code."""
    with tempfile.TemporaryDirectory() as name, closing(open_writer(Path(name) / "floor.db")) as connection:
        connection.execute(TABLE)
        took: list[float] = []
        number = 0
        start = time.perf_counter()
        while (began := time.perf_counter()) < start + SECONDS:
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(batch):
                connection.execute(INSERT, (number, BODY))
                number += 1
            connection.commit()
            took.append((time.perf_counter() - began) * 1000)
        return number / (time.perf_counter() - start), took


async def measure(crowd: int) -> tuple[float, list[float]]:
    """Return transactions a second and the milliseconds of each, for `crowd` tasks that write without a pause."""
    with tempfile.TemporaryDirectory() as name:
        async with SqliteStore.open(
            Path(name) / "node.db", clock=SystemClock(), folder=item_folder(Path(name))
        ) as store:
            return await work(store, crowd)


def item_folder(directory: Path) -> Path:
    """Return a new folder with the migrations that make the table of `ItemRow`."""
    folder = directory / "migrations"
    folder.mkdir()
    (folder / "0001_store.sql").write_bytes((FOLDER / "0001_store.sql").read_bytes())
    (folder / "0002_item.sql").write_text((FOLDER / "0260_last_commit.sql").read_text() + TABLE)
    return folder


async def work(store: Store, crowd: int) -> tuple[float, list[float]]:
    """Return transactions a second and the milliseconds of each in an open store."""
    took: list[float] = []
    start = time.perf_counter()
    await asyncio.gather(*(write(store, first, crowd, start + SECONDS, took) for first in range(crowd)))
    return len(took) / (time.perf_counter() - start), took


async def write(store: Store, first: int, step: int, end: float, took: list[float]) -> None:
    """Insert rows until `end`, each in its own transaction."""
    number = first
    while (began := time.perf_counter()) < end:
        async with store.write() as change:
            await change.insert(ItemRow(id=number, body=BODY))
        number += step
        took.append((time.perf_counter() - began) * 1000)
