"""A backup is whole while the node goes on; a restored database says that it is one."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from node.rows import MetaRow
from node.store.backup import Copy, backup, restore
from node.store.errors import DirectoryInUseError, DiskFullError, SchemaError
from node.store.file_copying import Files
from node.store.sqlite import SqliteStore
from protocol.errors import RefusedError, UnavailableError, UnverifiedError
from tests.contracts.sample_store import open_sample_store, sample_folder
from tests.contracts.store import PairRow, SampleRow, fill, stored


class Room(NamedTuple):
    free: int


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def restored(source: Path, directory: Path, *, now: int = 500) -> MetaRow:
    meta, _ = await restore(source, directory / "node.db", now=now, folder=sample_folder(directory.parent))
    return meta


def copied(source: Path, target: Path) -> Copy:
    return asyncio.run(backup(source, target, now=1))


async def test_a_backup_of_a_busy_node_is_one_moment_of_it(tmp_path: Path, store: SqliteStore) -> None:
    await fill(store, *(SampleRow(id=-number, name=str(number), code=bytes(2000)) for number in range(1, 2000)))
    copying = asyncio.create_task(asyncio.to_thread(copied, tmp_path / "node.db", tmp_path / "copy.db"))
    number = 0
    while not copying.done():
        number += 1
        await fill(store, SampleRow(id=number), PairRow(first="p", second=number))
    assert await copying == Copy(size_bytes=(tmp_path / "copy.db").stat().st_size, files=Files())

    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = [number for (number,) in copy.execute("SELECT id FROM sample WHERE id > 0 ORDER BY id")]
        assert rows == [number for (number,) in copy.execute("SELECT second FROM pair ORDER BY second")]
        assert rows == list(range(1, len(rows) + 1))
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600


async def test_a_node_that_does_not_run_can_be_backed_up(tmp_path: Path) -> None:
    await open_sample_store(tmp_path).close()
    assert (await backup(tmp_path / "node.db", tmp_path / "copy.db", now=1)).size_bytes > 0


async def test_a_backup_never_overwrites(tmp_path: Path, store: SqliteStore) -> None:
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(RefusedError, match=r"copy\.db exists already"):
        await backup(tmp_path / "node.db", tmp_path / "copy.db", now=1)
    assert (tmp_path / "copy.db").read_text() == "precious"
    assert store.generation == 1


async def test_a_backup_without_room_says_so_and_leaves_nothing(
    tmp_path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store, SampleRow(id=1))
    target = tmp_path / "elsewhere"
    target.mkdir()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Room(free=1000))
    with pytest.raises(DiskFullError, match="less room"):
        await backup(tmp_path / "node.db", target / "copy.db", now=1)
    assert names(target) == set()


@pytest.mark.parametrize("content", [b"", b"text, not a database " * 500], ids=["empty", "text"])
async def test_what_is_no_database_of_a_node_is_not_backed_up(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "node.db").write_bytes(content)
    with pytest.raises(UnverifiedError, match=r"node\.db is damaged or not a database"):
        await backup(tmp_path / "node.db", tmp_path / "copy.db", now=1)
    assert names(tmp_path) == {"node.db"}


async def test_a_missing_database_or_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"no database .*node\.db"):
        await backup(tmp_path / "node.db", tmp_path / "copy.db", now=1)
    with pytest.raises(UnavailableError, match=r"cannot write in .*nowhere: No such file"):
        await backup(tmp_path / "node.db", tmp_path / "nowhere" / "copy.db", now=1)


async def test_a_restored_node_has_the_rows_and_a_new_generation(tmp_path: Path, store: SqliteStore) -> None:
    await fill(store, SampleRow(id=1, name="kept"))
    await backup(tmp_path / "node.db", tmp_path / "copy.db", now=1)
    await fill(store, SampleRow(id=2, name="after the backup"))

    assert await restored(tmp_path / "copy.db", tmp_path / "new", now=500) == MetaRow(
        generation=2, created_at=1_800_000_000, restored_at=500
    )
    assert names(tmp_path / "new") == {"node.db", "store.lock"}
    assert (tmp_path / "new" / "node.db").stat().st_mode & 0o777 == 0o600
    folder = sample_folder(tmp_path)
    async with SqliteStore.open(tmp_path / "new" / "node.db", clock=store._clock, folder=folder) as again:
        assert again.generation == 2
        assert again.meta.restored_at == 500
        assert await stored(again) == [SampleRow(id=1, name="kept")]

    await backup(tmp_path / "new" / "node.db", tmp_path / "copy-2.db", now=1)
    assert (await restored(tmp_path / "copy-2.db", tmp_path / "newer")).generation == 3


async def test_a_running_node_is_not_restored_over(tmp_path: Path, store: SqliteStore) -> None:
    await backup(tmp_path / "node.db", tmp_path / "copy.db", now=1)
    with pytest.raises(DirectoryInUseError, match=str(tmp_path)):
        await restore(tmp_path / "copy.db", tmp_path / "node.db", now=500)
    assert store.generation == 1


@pytest.mark.parametrize("name", ["node.db", "node.db-wal"])
async def test_a_directory_with_a_database_is_not_restored_over(tmp_path: Path, store: SqliteStore, name: str) -> None:
    await backup(tmp_path / "node.db", tmp_path / "copy.db", now=1)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / name).write_text("precious")
    with pytest.raises(RefusedError, match=f"{name} exists already"):
        await restored(tmp_path / "copy.db", tmp_path / "new")
    assert names(tmp_path / "new") == {name, "store.lock"}
    assert store.generation == 1


async def test_a_damaged_backup_is_refused_and_leaves_nothing(tmp_path: Path, store: SqliteStore) -> None:
    await fill(store, *(SampleRow(id=number, name=f"{number} " * 50) for number in range(500)))
    await backup(tmp_path / "node.db", tmp_path / "copy.db", now=1)
    whole = (tmp_path / "copy.db").read_bytes()
    for at, damage in ((0, b"no header"), (3 * 4096, bytes(4096)), (len(whole) - 8192, b"")):
        end = at + len(damage) if damage else len(whole)
        (tmp_path / "copy.db").write_bytes(whole[:at] + damage + whole[end:])
        with pytest.raises(UnverifiedError, match="damaged"):
            await restored(tmp_path / "copy.db", tmp_path / "new")
        assert names(tmp_path / "new") == {"store.lock"}


async def test_a_backup_of_a_newer_program_is_refused(tmp_path: Path, store: SqliteStore) -> None:
    await backup(tmp_path / "node.db", tmp_path / "copy.db", now=1)
    folder = tmp_path / "older"
    folder.mkdir()
    own = sample_folder(tmp_path) / "0001_store.sql"
    (folder / "0001_store.sql").write_bytes(own.read_bytes())
    with pytest.raises(SchemaError, match="newer"):
        await restore(tmp_path / "copy.db", tmp_path / "new" / "node.db", now=500, folder=folder)
    assert names(tmp_path / "new") == {"store.lock"}
    assert store.generation == 1
