"""Transactions share commits, and none is told more than what is durable."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pytest

from federation.ports import Writer
from node.store.groupcommit import FEW, QUICK_S
from node.store.migrations import FOLDER
from node.store.sqlite import SqliteStore
from protocol.errors import ConflictError, UnavailableError
from tests.contracts.sample_store import open_sample_store
from tests.contracts.store import PairRow, SampleRow, fill, stored
from tests.fakes.clock import SteppedClock

T = TypeVar("T")


class Gate:
    """A disk whose commits wait until it is open, or fail."""

    def __init__(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = asyncio.Event()
        self.reached = asyncio.Event()
        self.failure: sqlite3.OperationalError | None = None
        self._in_thread = store._commits._in_thread
        monkeypatch.setattr(store._commits, "_in_thread", self._through)

    def fail(self, code: int) -> None:
        self.failure = sqlite3.OperationalError("the disk says no")
        self.failure.sqlite_errorcode = code

    async def _through(self, work: Callable[[], T]) -> T:
        self.reached.set()
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        return await self._in_thread(work)


@pytest.fixture
def gate(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(store, monkeypatch)


def later(store: SqliteStore, *ids: int) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(fill(store, SampleRow(id=number))) for number in ids]


async def test_a_lone_writer_has_one_commit_for_each_transaction(store: SqliteStore) -> None:
    for number in range(5):
        await fill(store, SampleRow(id=number))
    assert store.commits == 5


@pytest.mark.parametrize("window_s", [0, 0.005])
async def test_a_crowd_shares_commits(tmp_path: Path, window_s: float) -> None:
    async with open_sample_store(tmp_path, window_s=window_s) as store:
        await asyncio.gather(*later(store, *range(100)))
        assert store.commits == 1
        assert len(await stored(store)) == 100


async def test_who_comes_during_a_commit_joins_the_next(store: SqliteStore, gate: Gate) -> None:
    tasks = later(store, 1)
    await gate.reached.wait()
    tasks += later(store, *range(2, 50))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    gate.open.set()
    await asyncio.gather(*tasks)
    assert store.commits == 2


async def test_a_lone_writer_on_a_quick_disk_waits_for_no_thread(store: SqliteStore, gate: Gate) -> None:
    store._commits._took_s = QUICK_S
    await fill(store, SampleRow(id=1))
    assert not gate.reached.is_set()
    assert await stored(store) == [SampleRow(id=1)]


@pytest.mark.parametrize(
    ("took_s", "ids"),
    [(QUICK_S * 1.1, (1,)), (0.0, range(1, FEW + 2))],
    ids=["after a slow commit", "with many rows"],
)
async def test_a_commit_that_may_take_long_is_left_to_the_thread(
    store: SqliteStore, gate: Gate, took_s: float, ids: Iterable[int]
) -> None:
    store._commits._took_s = took_s
    gate.open.set()
    await fill(store, *(SampleRow(id=number) for number in ids))
    assert gate.reached.is_set()


async def test_a_crowd_is_left_to_the_thread_and_others_go_on(store: SqliteStore, gate: Gate) -> None:
    store._commits._took_s = 0.0
    tasks = later(store, 1, 2)
    await gate.reached.wait()
    assert not any(task.done() for task in tasks)
    gate.open.set()
    await asyncio.gather(*tasks)


async def test_nobody_is_told_before_the_commit(store: SqliteStore, gate: Gate) -> None:
    (task,) = later(store, 1)
    await gate.reached.wait()
    assert await stored(store) == []
    assert not task.done()
    gate.open.set()
    await task


async def test_a_writer_that_escapes_its_block_is_of_no_use_in_the_rest_of_its_group(store: SqliteStore) -> None:
    escaped: list[Writer] = []

    async def escape() -> None:
        async with store.write() as change:
            escaped.append(change)

    async def use() -> None:
        async with store.write():
            with pytest.raises(RuntimeError, match="block has ended"):
                await escaped[0].insert(SampleRow(id=1))

    await asyncio.gather(escape(), use())
    assert store.commits == 1
    assert await stored(store) == []


async def test_a_refusal_leaves_only_when_what_it_rests_on_is_durable(store: SqliteStore, gate: Gate) -> None:
    first, second = later(store, 1, 1)
    await gate.reached.wait()
    assert not second.done()
    gate.open.set()
    await first
    with pytest.raises(ConflictError):
        await second


async def test_a_refusal_that_rests_on_nobody_leaves_at_once(store: SqliteStore, gate: Gate) -> None:
    with pytest.raises(ConflictError):
        await fill(store, SampleRow(id=1), SampleRow(id=1))
    gate.open.set()


async def test_a_failed_commit_fails_its_whole_group_and_the_next_one_works(store: SqliteStore, gate: Gate) -> None:
    gate.fail(sqlite3.SQLITE_IOERR_FSYNC)
    tasks = later(store, 1, 2, 2)
    gate.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [UnavailableError] * 3
    assert len({id(result) for result in results}) == 3
    assert isinstance(results[0], UnavailableError)
    assert results[0].retry_at == 1_800_000_030
    assert await stored(store) == []

    gate.failure = None
    await fill(store, SampleRow(id=3))
    assert await stored(store) == [SampleRow(id=3)]


async def test_cancelling_one_who_waits_for_the_commit_takes_nothing_from_the_others(
    store: SqliteStore, gate: Gate
) -> None:
    first, second = later(store, 1, 2)
    await gate.reached.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.open.set()
    await second
    assert [row.id for row in await stored(store)] == [1, 2]


async def test_a_failed_commit_that_nobody_waits_for_is_no_stray_error(store: SqliteStore, gate: Gate) -> None:
    gate.fail(sqlite3.SQLITE_IOERR_FSYNC)
    (task,) = later(store, 1)
    await gate.reached.wait()
    task.cancel()
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.failure = None
    await fill(store, SampleRow(id=2))
    assert [row.id for row in await stored(store)] == [2]


async def write_and_stop(store: SqliteStore) -> None:
    async with store.write() as change:
        await change.insert(SampleRow(id=1))
        assert store._commits._committer is not None
        store._commits._committer.cancel()
        await asyncio.wait({store._commits._committer})
        with pytest.raises(UnavailableError, match="stopped"):
            await change.count(SampleRow)


async def test_stopping_the_program_before_a_commit_undoes_the_group(store: SqliteStore) -> None:
    with pytest.raises(UnavailableError, match="stopped"):
        await write_and_stop(store)
    assert await stored(store) == []
    await fill(store, SampleRow(id=2))
    assert await stored(store) == [SampleRow(id=2)]


async def test_stopping_the_program_during_a_commit_lets_it_finish(store: SqliteStore, gate: Gate) -> None:
    gate.open.set()
    (task,) = later(store, 1)
    await gate.reached.wait()
    assert store._commits._committer is not None
    store._commits._committer.cancel()
    await task
    assert await stored(store) == [SampleRow(id=1)]


async def test_a_statement_that_ends_the_whole_transaction_fails_the_group_and_commits_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_store.sql").write_bytes((FOLDER / "0001_store.sql").read_bytes())
    (folder / "0002_pair.sql").write_text(
        "CREATE TABLE pair (first TEXT NOT NULL, second INTEGER NOT NULL, PRIMARY KEY (first, second)) STRICT;\n"
        "CREATE TRIGGER last BEFORE INSERT ON pair WHEN NEW.first = 'last' BEGIN SELECT RAISE(ROLLBACK, 'x'); END;\n"
    )

    async def good(number: int) -> None:
        await fill(store, PairRow(first="good", second=number))

    async def bad() -> None:
        async with store.write() as change:
            with pytest.raises(sqlite3.IntegrityError):
                await change.insert(PairRow(first="before", second=1), PairRow(first="last", second=1))
            with pytest.raises(sqlite3.IntegrityError):
                await change.insert(PairRow(first="after", second=1))

    async with SqliteStore.open(tmp_path / "node.db", clock=SteppedClock(), folder=folder) as store:
        results = await asyncio.gather(good(1), bad(), good(2), return_exceptions=True)
        assert [type(result) for result in results] == [sqlite3.IntegrityError, sqlite3.IntegrityError, type(None)]
        async with store.read() as view:
            assert await view.find(PairRow) == [PairRow(first="good", second=2)]
