"""The bytes of encrypted files: the same answers from a folder and both databases, and carried whole between them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from node.rows import BlobRow
from node.sections import StoreSection
from node.store import file_copying, pieces
from node.store.backup import backup, restore
from node.store.blobs import BlobFiles, FileBytes
from node.store.database_backup import back_up, bring_back
from node.store.file_copying import Files, Place, carry_files
from node.store.moving import move
from node.store.opening import folder_of, open_files, open_store
from node.store.pieces import FilePieces
from node.store.places import file_rows, place_of
from node.store.postgres.connection import Server
from protocol.encoding import b64, sha256
from protocol.errors import MissingError, UnverifiedError
from tests.fakes.clock import SteppedClock
from tests.postgres import Cluster

NOW: Final = 1_900_000_000
HERE: Final = StoreSection()
PIECE: Final = 4
ONE, TWO, HALF, GONE = (b64(sha256(name)[:16]) for name in (b"one", b"two", b"half", b"gone"))
#: What is in them, and how large they become.
HELD: Final = {ONE: (b"0123456789", 10), TWO: (b"ab", 2), HALF: (b"xyz12", 9)}

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", PIECE)
    monkeypatch.setattr(file_copying, "PIECE_BYTES", PIECE)


def silent(done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture
async def there(postgres: Cluster) -> StoreSection:
    return StoreSection(url=await postgres.fresh())


@asynccontextmanager
async def opened(kind: str, folder: Path, there: StoreSection) -> AsyncIterator[FileBytes]:
    async with AsyncExitStack() as stack:
        if kind == "folder":
            yield BlobFiles(folder / "blobs", least_free_bytes=0, now=lambda: NOW)
        elif kind == "file":
            yield FilePieces(await stack.enter_async_context(file_rows(folder / "node.db", now=NOW)))
        else:
            await stack.enter_async_context(open_store(folder, there, clock=SteppedClock()))
            yield await stack.enter_async_context(open_files(folder, there, clock=SteppedClock()))


@pytest.mark.parametrize("kind", ["folder", "file", "database"])
async def test_bytes_are_kept_portion_by_portion_read_from_anywhere_and_removed(
    kind: str, tmp_path: Path, there: StoreSection
) -> None:
    async with opened(kind, tmp_path, there) as files:
        for gap in (1, PIECE, 7):
            with pytest.raises(MissingError, match="beginning"):
                await files.write(ONE, gap, b"late", last=False)
        for name in await files.names():  # an empty file may be left by a refusal
            await files.drop((name,))
        with pytest.raises(MissingError):
            await files.read(ONE, 0, 4)
        for at, data in ((0, b"012"), (3, b"34567"), (8, b"8"), (9, b"9ABCDEFGH"), (9, b"9ABCDEFGH")):
            await files.check_room(len(data))
            await files.write(ONE, at, data, last=at == 9)
        whole = b"0123456789ABCDEFGH"
        for at in range(len(whole) + 1):
            for count in (1, PIECE, 2 * PIECE + 1):
                assert await files.read(ONE, at, count) == whole[at : at + count]
        # What comes once more, late and by another way, takes nothing away that came after it.
        for at, data in ((0, b"012"), (3, b"34567"), (8, b"8"), (9, b"9A")):
            await files.write(ONE, at, data, last=False)
        assert await files.read(ONE, 0, 2 * len(whole)) == whole
        await files.write(TWO, 0, b"two", last=True)
        assert set(await files.names()) == {files.name(ONE), files.name(TWO)}
        await files.drop((files.name(ONE),))
        with pytest.raises(MissingError):
            await files.read(ONE, 0, 1)
        await files.remove(TWO)
        await files.remove(TWO)
        assert await files.names() == ()


async def fill(directory: Path, settings: StoreSection) -> None:
    """Let a node hold two whole files, one that is still coming, and a row whose bytes are gone."""
    clock = SteppedClock()
    async with (
        open_store(directory, settings, clock=clock) as store,
        open_files(directory, settings, clock=clock) as files,
        store.write() as tx,
    ):
        for blob, (data, size) in (HELD | {GONE: (b"lost", 4)}).items():
            await tx.insert(
                BlobRow(
                    blob=blob,
                    thread="t",
                    side="consumer",
                    label="l",
                    peer="p",
                    size=size,
                    stored=len(data),
                    expires_at=9,
                )
            )
            if blob != GONE:
                await files.write(blob, 0, data + b"not acknowledged"[: size - len(data)], last=False)


async def held(directory: Path, settings: StoreSection) -> dict[str, bytes]:
    async with open_files(directory, settings, clock=SteppedClock()) as files:
        return {blob: await files.read(blob, 0, len(data)) for blob, (data, _) in HELD.items()}


WHOLE: Final = {blob: data for blob, (data, _) in HELD.items()}
CARRIED: Final = Files(files=3, size_bytes=17, gone=1)


async def test_files_move_into_a_database_and_back(there: StoreSection, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    await fill(tmp_path, HERE)
    back = StoreSection(path="again/node.db")
    for source, target in ((HERE, there), (there, back)):
        async with place_of(tmp_path, source, now=NOW) as old, place_of(tmp_path, target, now=NOW) as new:
            assert (await move(old, new, progress=silent)).files == CARRIED
        assert await held(tmp_path, target) == WHOLE
    names = {path.name for path in (tmp_path / "again" / "blobs").iterdir()}
    assert names == {path.name for path in (tmp_path / "data" / "blobs").iterdir()}


async def test_a_file_that_arrived_changed_or_in_part_is_carried_again(there: StoreSection, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    await fill(tmp_path, HERE)
    async with place_of(tmp_path, HERE, now=NOW) as old, place_of(tmp_path, there, now=NOW) as new:
        await new.files.write(ONE, 0, b"0123", last=False)
        await new.files.write(TWO, 0, b"XX", last=True)
        assert await carry_files(old, new.files, progress=silent) == CARRIED
        assert (await new.files.read(ONE, 0, 10), await new.files.read(TWO, 0, 2)) == (b"0123456789", b"ab")


async def test_a_copy_that_differs_is_not_taken_for_one(tmp_path: Path) -> None:
    class Forgetful(BlobFiles):
        async def write(self, blob: str, offset: int, data: bytes, *, last: bool) -> None:
            await super().write(blob, offset, bytes(len(data)), last=last)

    (tmp_path / "data").mkdir()
    await fill(tmp_path, HERE)
    async with place_of(tmp_path, HERE, now=NOW) as old:
        with pytest.raises(UnverifiedError, match="copy of a file"):
            await carry_files(old, Forgetful(tmp_path / "f", least_free_bytes=0, now=lambda: NOW), progress=silent)


async def test_a_backup_brings_files_back_into_either_kind_of_node(postgres: Cluster, tmp_path: Path) -> None:
    for number, settings in enumerate((HERE, StoreSection(url=await postgres.fresh()))):
        directory, copy = tmp_path / str(number), tmp_path / f"{number}.db"
        (directory / "data").mkdir(parents=True)
        await fill(directory, settings)
        if settings.url:
            made = await back_up(Server(url=settings.url), copy, files=True, now=NOW, progress=silent)
        else:
            folder = folder_of(directory, settings, now=lambda: NOW)
            made = await backup(directory / settings.path, copy, now=NOW, files=folder)
        assert made.files == CARRIED
        fresh, new = tmp_path / f"new-{number}", StoreSection(url=await postgres.fresh())
        target = folder_of(fresh, HERE, now=lambda: NOW)
        _, found = await restore(copy, fresh / HERE.path, now=NOW, files=target)
        assert found == CARRIED
        _, found = await bring_back(copy, Server(url=new.url), tmp_path, now=NOW, progress=silent)
        assert found == CARRIED
        assert await held(fresh, HERE) == await held(fresh, new) == WHOLE
        async with file_rows(fresh / HERE.path, now=NOW) as rows:
            assert await FilePieces(rows).names() == ()
            assert b"6789" not in (fresh / HERE.path).read_bytes()


async def test_a_backup_without_files_says_what_is_gone_after_a_restore(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    await fill(tmp_path, HERE)
    assert (await backup(tmp_path / HERE.path, tmp_path / "copy.db", now=NOW)).files == Files()
    fresh = tmp_path / "fresh"
    files = folder_of(fresh, HERE, now=lambda: NOW)
    _, found = await restore(tmp_path / "copy.db", fresh / HERE.path, now=NOW, files=files)
    assert found == Files(gone=4)
    assert await files.names() == ()


async def test_what_a_database_never_said_is_kept_by_the_place_itself(tmp_path: Path) -> None:
    """A restore beside a folder that still has the files takes nothing from it."""
    (tmp_path / "data").mkdir()
    await fill(tmp_path, HERE)
    async with place_of(tmp_path, HERE, now=NOW) as place:
        empty = BlobFiles(tmp_path / "empty", least_free_bytes=0, now=lambda: NOW)
        assert (await carry_files(Place(place.rows, empty), place.files, progress=silent)).gone == 4
    assert await held(tmp_path, HERE) == WHOLE
