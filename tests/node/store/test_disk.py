"""A full, failing or forbidden disk: one clear error, nothing half-written, and back to work without a restart."""

import asyncio
import os
import resource
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.store.errors import DiskFullError, explain
from node.store.sqlite import SqliteStore
from protocol.errors import UnavailableError
from tests.contracts.sample_store import open_sample_store
from tests.contracts.store import SampleRow, fill, stored
from tests.fakes.clock import SteppedClock

PAGE = b"x" * 4096


@contextmanager
def quota(store: SqliteStore, *, more_pages: int) -> Iterator[None]:
    """Let the database grow by so many pages only."""
    (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
    store._writer.execute(f"PRAGMA max_page_count = {pages + more_pages}")
    yield
    store._writer.execute("PRAGMA max_page_count = 1000000")


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let writes beyond `size` bytes fail for the whole process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def another_user() -> Iterator[None]:
    """Drop the rights of the superuser, whom no permission stops."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(mine)


async def test_a_full_disk_fails_the_group_it_meets_and_reading_goes_on(store: SqliteStore) -> None:
    await fill(store, SampleRow(id=1))
    with quota(store, more_pages=4):
        results = await asyncio.gather(
            fill(store, SampleRow(id=2)),
            fill(store, SampleRow(id=3), SampleRow(id=4, code=PAGE * 10)),
            fill(store, SampleRow(id=5)),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [DiskFullError, DiskFullError, type(None)]
        assert isinstance(results[0], DiskFullError)
        assert results[0].retry_at == 1_800_000_030
        assert [row.id for row in await stored(store)] == [1, 5]
    await fill(store, SampleRow(id=4, code=PAGE * 10))
    assert [row.id for row in await stored(store)] == [1, 4, 5]


async def swallow_a_full_disk(store: SqliteStore) -> None:
    async with store.write() as change:
        await change.insert(SampleRow(id=1))
        for number in (2, 3):
            with pytest.raises(DiskFullError):
                await change.insert(SampleRow(id=number, code=PAGE * 10))


async def test_a_transaction_that_overlooks_a_full_disk_still_fails_as_a_whole(store: SqliteStore) -> None:
    with quota(store, more_pages=4), pytest.raises(DiskFullError):
        await swallow_a_full_disk(store)
    assert await stored(store) == []


async def test_a_commit_that_cannot_be_written_acknowledges_nothing_and_later_ones_work(
    tmp_path: Path, store: SqliteStore
) -> None:
    await fill(store, SampleRow(id=1))
    with largest_file((tmp_path / "node.db-wal").stat().st_size):
        results = await asyncio.gather(
            *(fill(store, SampleRow(id=number)) for number in (2, 3)), return_exceptions=True
        )
        assert [type(result) for result in results] == [UnavailableError] * 2
        assert [row.id for row in await stored(store)] == [1]
    await fill(store, SampleRow(id=4))
    await store.close()
    async with open_sample_store(tmp_path) as again:
        assert [row.id for row in await stored(again)] == [1, 4]


async def test_a_transaction_larger_than_the_cache_that_cannot_be_written_is_undone(
    tmp_path: Path, store: SqliteStore
) -> None:
    await fill(store, SampleRow(id=1))
    with largest_file((tmp_path / "node.db-wal").stat().st_size):
        rows = [SampleRow(id=number, code=PAGE * 16) for number in range(10, 400)]
        results = await asyncio.gather(fill(store, SampleRow(id=2)), fill(store, *rows), return_exceptions=True)
        assert all(isinstance(result, UnavailableError) for result in results)
        assert [row.id for row in await stored(store)] == [1]
    await fill(store, SampleRow(id=3))
    assert [row.id for row in await stored(store)] == [1, 3]


def test_a_read_only_directory_is_named() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o555)
        with another_user(), pytest.raises(UnavailableError, match=f"cannot write in {name}: Permission denied"):
            SqliteStore.open(directory / "node.db", clock=SteppedClock())


async def test_a_database_that_may_only_be_read_is_named(tmp_path: Path) -> None:
    await open_sample_store(tmp_path).close()
    (tmp_path / "node.db").unlink()
    (tmp_path / "node.db").mkdir()
    with pytest.raises(UnavailableError, match="Is a directory"):
        open_sample_store(tmp_path)


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="nowhere: No such file"):
        SqliteStore.open(tmp_path / "nowhere" / "node.db", clock=SteppedClock())


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CORRUPT])
def test_failures_of_the_machine_say_when_to_come_back(code: int) -> None:
    error = sqlite3.OperationalError("reason")
    error.sqlite_errorcode = code
    meaning = explain(error, now=100)
    assert isinstance(meaning, UnavailableError)
    assert meaning.retry_at == 130
    assert "reason" not in str(meaning)


def test_mistakes_in_our_own_statements_stay_what_they_are() -> None:
    error = sqlite3.OperationalError("no such table")
    error.sqlite_errorcode = sqlite3.SQLITE_ERROR
    assert explain(error, now=100) is None
    assert explain(ValueError(), now=100) is None
