"""Moving house, backup and restore: all rows arrive, provably, and a node can go on with one copy only."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from federation.ports import Row
from node.rows import BlobPieceRow, BlobRow, MetaRow, SafeRow
from node.sections import StoreSection
from node.store import copying
from node.store.copying import Content, tables
from node.store.database_backup import back_up, bring_back
from node.store.errors import DatabaseInUseError, MovedError
from node.store.moving import move
from node.store.opening import NodeStore, open_store
from node.store.places import place_of
from node.store.postgres.connection import Server
from protocol.encoding import b64
from protocol.errors import RefusedError, UnverifiedError
from tests.cli.test_operator_commands import INIT, run, said
from tests.contracts.test_every_table import KINDS, Player
from tests.fakes.clock import SteppedClock
from tests.postgres import Cluster, script

pytestmark = pytest.mark.slow

NOW: Final = 1_900_000_000
FILE: Final = StoreSection()
#: Text that sorts differently by language and by code point, in a table whose key it is.
NAMES: Final = ("", "A", "Z", "a", "b", "ä", "é", "中", "🌱")


@pytest.fixture
def there(server: Server) -> StoreSection:
    return StoreSection(url=server.url)


def silent(done: int, total: int) -> None:
    """Nobody watches."""


def sample_rows() -> list[Row]:
    rows: list[Row] = [Player(kind).row() for kind in KINDS if kind not in {BlobRow, BlobPieceRow}]
    rows.append(BlobRow(blob=b64(bytes(16)), thread="", side="", label="", peer="", size=1, expires_at=0))
    rows += [SafeRow(member=name, name="archive", version=1, data=b"\0" * 999, stored_on=0) for name in NAMES]
    return rows


async def fill(store: NodeStore) -> None:
    async with store.write() as tx:
        for row in sample_rows():
            await tx.put(row)


async def held(store: NodeStore) -> list[list[Row]]:
    async with store.read() as view:
        return [[*await view.find(kind)] for kind in KINDS]


@pytest.fixture
async def rows(tmp_path: Path) -> list[list[Row]]:
    """Fill the file of the node in `tmp_path` and return what is in it."""
    async with open_store(tmp_path, FILE, clock=SteppedClock()) as store:
        await fill(store)
        return await held(store)


async def moved(directory: Path, here: StoreSection, there: StoreSection, *, stop_at: int = -1) -> tuple[Content, ...]:
    """Move; with `stop_at`, break off when so many rows are done."""

    def watch(done: int, total: int) -> None:
        assert 0 < done <= total
        if done >= stop_at >= 0:
            raise ConnectionResetError

    async with place_of(directory, here, now=NOW) as source, place_of(directory, there, now=NOW) as target:
        return (await move(source, target, progress=watch)).contents


async def test_all_rows_move_into_a_database_and_back(
    rows: list[list[Row]], there: StoreSection, tmp_path: Path
) -> None:
    contents = await moved(tmp_path, FILE, there)
    assert [one.table for one in contents] == [table.name for table in tables()]
    assert sum(one.rows for one in contents) == sum(map(len, rows))
    async with open_store(tmp_path, there, clock=SteppedClock()) as store:
        assert await held(store) == rows
        async with store.read() as view:
            assert await view.find(MetaRow) == [MetaRow(generation=1, created_at=1_800_000_000)]
    again = StoreSection(path="data/again.db")
    assert await moved(tmp_path, there, again) == contents
    async with open_store(tmp_path, again, clock=SteppedClock()) as store:
        assert await held(store) == rows


@pytest.mark.usefixtures("rows")
async def test_what_was_left_is_closed_to_every_node(there: StoreSection, tmp_path: Path) -> None:
    await moved(tmp_path, FILE, there)
    with pytest.raises(MovedError):
        async with open_store(tmp_path, FILE, clock=SteppedClock()):
            pass
    await moved(tmp_path, there, StoreSection(path="data/again.db"))
    with pytest.raises(MovedError):
        async with open_store(tmp_path, there, clock=SteppedClock()):
            pass
    with pytest.raises(MovedError):
        await moved(tmp_path, FILE, StoreSection(path="other/third.db"))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
async def test_a_move_that_broke_off_leaves_one_usable_side_and_goes_on(
    rows: list[list[Row]], there: StoreSection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr(copying, "PORTION", 3)
    with pytest.raises(ConnectionResetError):
        await moved(tmp_path, FILE, there, stop_at=int(share * 3 * sum(map(len, rows))))
    with pytest.raises(MovedError):
        async with open_store(tmp_path, there, clock=SteppedClock()):
            pass
    async with open_store(tmp_path, FILE, clock=SteppedClock()) as store:
        assert await held(store) == rows
    await moved(tmp_path, FILE, there)
    async with open_store(tmp_path, there, clock=SteppedClock()) as store:
        assert await held(store) == rows


async def test_a_move_that_broke_off_between_the_two_last_marks_is_finished(
    rows: list[list[Row]], there: StoreSection, tmp_path: Path
) -> None:
    with pytest.raises(ConnectionResetError):
        await moved(tmp_path, FILE, there, stop_at=1)
    async with place_of(tmp_path, FILE, now=NOW) as source:
        await source.rows.change("UPDATE meta SET generation = ?", (-1,))
    await moved(tmp_path, FILE, there)
    async with open_store(tmp_path, there, clock=SteppedClock()) as store:
        assert await held(store) == rows


async def test_a_copy_that_was_touched_meanwhile_is_not_taken_for_one(
    rows: list[list[Row]], there: StoreSection, tmp_path: Path
) -> None:
    with pytest.raises(ConnectionResetError):  # all is copied, and what was read on the way need not be read again
        await moved(tmp_path, FILE, there, stop_at=2 * sum(map(len, rows)))
    await script(there.url, "UPDATE safe SET version = 2 WHERE member = 'ä'")
    with pytest.raises(UnverifiedError, match="table safe"):
        await moved(tmp_path, FILE, there)
    async with open_store(tmp_path, FILE, clock=SteppedClock()):
        pass


@pytest.mark.usefixtures("rows")
async def test_a_database_with_another_node_is_left_alone(there: StoreSection, tmp_path: Path) -> None:
    async with open_store(tmp_path, there, clock=SteppedClock(1_700_000_000)) as other:
        await fill(other)
    with pytest.raises(RefusedError, match="an empty one"):
        await moved(tmp_path, FILE, there)


async def test_there_is_nothing_to_move_before_the_first_start(there: StoreSection, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="never been started"):
        await moved(tmp_path, FILE, there)


@pytest.mark.usefixtures("rows")
async def test_a_database_that_a_node_runs_on_takes_and_gives_no_rows(there: StoreSection, tmp_path: Path) -> None:
    async with open_store(tmp_path, there, clock=SteppedClock()):
        with pytest.raises(DatabaseInUseError):
            await moved(tmp_path, FILE, there)


async def test_large_rows_make_small_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PORTION_BYTES", 4000)
    async with open_store(tmp_path, FILE, clock=SteppedClock()) as store:
        await fill(store)
    safe = next(table for table in tables() if table.name == "safe")
    async with place_of(tmp_path, FILE, now=NOW) as place:
        portions = [portion async for portion in copying._portions(place.rows, safe, after=None)]
    assert sum(map(len, portions)) == len(NAMES) + 1
    assert {len(portion) for portion in portions[:-1]} == {3}


def left_over(directory: Path) -> list[Path]:
    return [*directory.glob(".copy*")]


@pytest.fixture
async def database(there: StoreSection, tmp_path: Path) -> AsyncIterator[NodeStore]:
    async with open_store(tmp_path, there, clock=SteppedClock()) as store:
        await fill(store)
        yield store


async def test_a_backup_is_taken_while_the_node_writes_and_comes_back_anywhere(
    database: NodeStore, server: Server, postgres: Cluster, tmp_path: Path
) -> None:
    before, writing = await held(database), True

    async def write() -> None:
        number = 0
        while writing:
            number += 1
            async with database.write() as tx:
                await tx.put(SafeRow(member=f"new {number}", name="archive", version=1, data=b"x", stored_on=0))

    writer = asyncio.create_task(write())
    copy = tmp_path / "copy.db"
    assert (await back_up(server, copy, files=True, now=NOW, progress=silent)).size_bytes == copy.stat().st_size
    writing = False
    await writer
    with pytest.raises(RefusedError, match="exists already"):
        await back_up(server, copy, files=True, now=NOW, progress=silent)
    elsewhere = StoreSection(url=await postgres.fresh())
    await bring_back(copy, Server(url=elsewhere.url), tmp_path, now=NOW, progress=silent)
    async with open_store(tmp_path, elsewhere, clock=SteppedClock()) as store:
        assert store.generation == 2
        assert len(await held(store)) == len(before)
        async with store.read() as view:
            assert (await view.find(MetaRow))[0].restored_at == NOW
            known = await view.find(SafeRow)
    assert [row for row in known if not row.member.startswith("new")] == next(
        [*found] for found in before if any(isinstance(row, SafeRow) for row in found)
    )
    assert left_over(tmp_path) == []


def test_an_operator_moves_a_node_and_is_told_what_to_set(server: Server, tmp_path: Path) -> None:
    directory = str(tmp_path / "aurora")
    assert run(*INIT, "--dir", directory, "--development").exit_code == 0
    assert said(run("status", "--dir", directory, "--json"))["status"]["generation"] == 1
    told = run("store", "move", "--to", server.url, "--dir", directory)
    assert told.exit_code == 0, told.output
    assert f'url = "{server.url}"' in told.stdout
    assert "delete it once" in told.stdout
    refused = run("status", "--dir", directory)
    assert refused.exit_code == 1
    assert "moved to another place" in refused.stderr
    here = {"MENTORMESH_STORE_URL": server.url}
    assert said(run("status", "--dir", directory, "--json", **here))["status"]["generation"] == 1
    assert run("backup", str(tmp_path / "copy.db"), "--dir", directory, **here).exit_code == 0
    assert (tmp_path / "copy.db").stat().st_mode & 0o077 == 0
    assert "url" not in run("store", "move", "--to", server.url, "--dir", directory, **here).stdout
    (tmp_path / "aurora" / "data" / "node.db").unlink()
    back = said(run("store", "move", "--to", "file", "--dir", directory, "--json", **here))
    assert back["settings"] == {"url": ""}
    digests = {one["table"]: one["sha256"] for one in back["tables"]}
    assert digests["safe"] == hashlib.sha256().hexdigest()
    assert said(run("status", "--dir", directory, "--json"))["status"]["generation"] == 1


def test_an_operator_restores_into_an_empty_schema_only(server: Server, tmp_path: Path) -> None:
    directory, copy = str(tmp_path / "aurora"), str(tmp_path / "copy.db")
    assert run(*INIT, "--dir", directory, "--development").exit_code == 0
    assert run("status", "--dir", directory).exit_code == 0
    assert run("backup", copy, "--dir", directory).exit_code == 0
    here = {"MENTORMESH_STORE_URL": server.url}
    assert said(run("restore", copy, "--dir", directory, "--json", **here))["generation"] == 2
    again = run("restore", copy, "--dir", directory, **here)
    assert again.exit_code == 1
    assert "an empty one" in again.stderr
    assert "is not replaced" in run("restore", copy, "--replace", "--dir", directory, **here).stderr
    assert said(run("status", "--dir", directory, "--json", **here))["status"]["generation"] == 2
