"""Encrypted files at a node: bounded, for the two of one session only, and gone with their time."""

import asyncio
import errno
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from federation.ports import Row
from federation.rows import SessionRow
from node.rows import BlobRow
from node.services import blobs as service
from node.services.blobs import MIB, BlobLimits, Blobs, Portion, StoredBlob
from node.store.blobs import BlobFiles, file_name
from node.store.errors import DiskFullError
from protocol.encoding import b64, sha256
from protocol.errors import ConflictError, LimitError, MalformedError, MissingError, RefusedError, UnavailableError
from protocol.handshake import Side
from tests.patience import PATIENCE_S

from .conftest import Town
from .test_leaving import leave
from .test_sessions import agreed, sent, submit
from .world import Somebody, settle

DAY_S = 86_400
BLOB = b64(sha256(b"blob")[:16])
OTHER = b64(sha256(b"other")[:16])


def of(person: Somebody) -> Blobs:
    return person.node.exchanging.blobs


async def put(
    person: Somebody, thread: str, data: bytes, *, offset: int = 0, size: int = 0, blob: str = BLOB
) -> StoredBlob:
    side = Side.CONSUMER if person.node.entity.startswith("https://aurora") else Side.PROVIDER
    portion = Portion(blob=blob, offset=offset, size=size or len(data), data=data)
    return await of(person).put(person.label, thread, side, portion)


async def rows(town: Town, kind: type[Row] = BlobRow) -> int:
    async with town.aurora.store.read() as tx:
        return await tx.count(kind)


def names(town: Town) -> list[str]:
    folder = town.network.folder / "aurora"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


async def limited(town: Town, **changed: int) -> None:
    """Let Aurora keep less."""
    limits = BlobLimits(largest=8, of_person=20, of_session=16, of_node=24, days=30)
    of(town.ana)._limits = replace(limits, **changed)  # type: ignore[misc] # a test may


async def test_the_other_person_gets_it_through_their_own_node_portion_by_portion(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PORTION_BYTES", 4)
    thread = (await agreed(town)).thread
    stored = await put(town.ana, thread, b"0123", size=6)
    assert (stored.stored, stored.size) == (4, 6)
    with pytest.raises(MissingError):  # nobody reads half a file
        await of(town.ben).get(town.ben.label, thread, Side.PROVIDER, BLOB, 0)
    await put(town.ana, thread, b"45", offset=4, size=6)
    for person, side in ((town.ben, Side.PROVIDER), (town.ana, Side.CONSUMER)):
        assert [await of(person).get(person.label, thread, side, BLOB, at) for at in (0, 4)] == [b"0123", b"45"]
    with pytest.raises(MalformedError):
        await of(town.ben).get(town.ben.label, thread, Side.PROVIDER, BLOB, 6)


async def test_an_upload_goes_on_where_it_was_and_a_repeated_portion_changes_nothing(town: Town) -> None:
    thread = (await agreed(town)).thread
    await put(town.ana, thread, b"0123", size=6)
    assert (await put(town.ana, thread, b"0123", size=6)).stored == 4
    for offset in (3, 5):
        with pytest.raises(ConflictError, match="begins at 4"):
            await put(town.ana, thread, b"x" * (6 - offset), offset=offset, size=6)
    assert [one.stored for one in await of(town.ana).of(town.ana.label)] == [4]
    assert (await put(town.ana, thread, b"45", offset=4, size=6)).stored == 6


@pytest.mark.parametrize(("offset", "size", "data"), [(0, 4, b""), (0, 2, b"012"), (2, 4, b"012")])
async def test_a_portion_outside_its_file_is_refused(town: Town, offset: int, size: int, data: bytes) -> None:
    thread = (await agreed(town)).thread
    with pytest.raises(MalformedError):
        await put(town.ana, thread, data, offset=offset, size=size)
    assert names(town) == []


async def test_strangers_get_nothing_and_change_nothing(town: Town) -> None:
    thread = (await agreed(town)).thread
    await put(town.ana, thread, b"secret")
    stranger = await town.aurora.add_person("stranger", audiences=())
    with pytest.raises(MissingError):
        await of(stranger).get(stranger.label, thread, Side.CONSUMER, BLOB, 0)
    with pytest.raises(MissingError):
        await put(stranger, thread, b"mine", blob=OTHER)
    with pytest.raises(MissingError):
        await of(stranger).delete(stranger.label, BLOB)
    for peer, name in (("https://elsewhere.example", thread), (town.cobalt.entity, OTHER)):
        with pytest.raises(MissingError):
            await of(town.ana).give(peer, name, BLOB, 0)
    with pytest.raises(ConflictError):  # another size of the same id
        await put(town.ana, thread, b"longer than that")
    assert await of(town.ana).give(town.cobalt.entity, thread, BLOB, 0) == b"secret"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"largest": 7}, "a file takes at most"),
        ({"of_person": 15}, "your waiting files"),
        ({"of_session": 15}, "files of one session"),
        ({"of_node": 15}, "keeps no more files"),
    ],
)
async def test_more_than_a_bound_is_refused_with_its_name(town: Town, changed: dict[str, int], sentence: str) -> None:
    thread = (await agreed(town)).thread
    await limited(town, **changed)
    if "largest" not in changed:
        await put(town.ana, thread, b"12345678")
    with pytest.raises(LimitError, match=sentence):
        await put(town.ana, thread, b"12345678", blob=OTHER)
    if "largest" not in changed:
        await of(town.ana).delete(town.ana.label, BLOB)
    assert (await put(town.ana, thread, b"1234567", blob=OTHER)).stored == 7


async def test_two_hundred_files_of_one_person_are_the_most(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_FILES", 1)
    thread = (await agreed(town)).thread
    await put(town.ana, thread, b"1")
    with pytest.raises(LimitError, match="files waiting"):
        await put(town.ana, thread, b"1", blob=OTHER)


async def test_a_file_is_gone_when_its_time_is_over_and_never_outlives_its_session(town: Town) -> None:
    thread = (await agreed(town)).thread
    of(town.ana)._limits = BlobLimits(  # type: ignore[misc] # a test may
        largest=MIB, of_person=MIB, of_session=MIB, of_node=MIB, days=1
    )
    stored = await put(town.ana, thread, b"secret")
    assert stored.expires_at == town.clock.now() + DAY_S
    town.clock.advance(DAY_S)
    with pytest.raises(MissingError):
        await of(town.ben).get(town.ben.label, thread, Side.PROVIDER, BLOB, 0)
    assert await of(town.ana).sweep() == 1
    assert (await rows(town), names(town)) == (0, [])


async def test_a_closed_session_takes_its_files_with_it(town: Town) -> None:
    thread = (await agreed(town)).thread
    await put(town.ana, thread, b"secret")
    await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"bye", kind="close"))
    await settle(town.aurora, town.cobalt)
    await submit(town.ben, thread, Side.PROVIDER, sent(town.cobalt, b"bye", kind="close"))
    await settle(town.aurora, town.cobalt)
    with pytest.raises(RefusedError):
        await put(town.ana, thread, b"late", blob=OTHER)
    town.clock.advance(3_601)
    await town.aurora.exchanging.sweep()
    assert (await rows(town, SessionRow), await rows(town), names(town)) == (0, 0, [])


async def test_who_leaves_leaves_no_file(town: Town) -> None:
    thread = (await agreed(town)).thread
    await put(town.ana, thread, b"secret")
    await leave(town.ana)
    assert await rows(town) == 0
    await of(town.ana).sweep()
    assert names(town) == []


async def test_bytes_without_a_row_go_and_a_row_without_bytes_is_a_file_that_is_gone(town: Town) -> None:
    thread = (await agreed(town)).thread
    await put(town.ana, thread, b"secret")
    folder = town.network.folder / "aurora"
    (folder / file_name(OTHER)).write_bytes(b"left behind")
    assert await of(town.ana).sweep() == 1
    (folder / file_name(BLOB)).unlink()
    with pytest.raises(MissingError, match="gone"):
        await of(town.ben).get(town.ben.label, thread, Side.PROVIDER, BLOB, 0)


async def test_a_peer_that_is_away_is_said_to_be_away(town: Town) -> None:
    thread = (await agreed(town)).thread
    await put(town.ana, thread, b"secret")
    town.network.down.add(town.aurora.entity)
    with pytest.raises(UnavailableError):
        await of(town.ben).get(town.ben.label, thread, Side.PROVIDER, BLOB, 0)


async def test_a_full_disk_keeps_nothing_of_the_portion_and_reading_goes_on(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = (await agreed(town)).thread
    await put(town.ana, thread, b"secret")
    await put(town.ana, thread, b"0123", size=8, blob=OTHER)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(DiskFullError, match="disk is full"):
            await put(town.ana, thread, b"4567", offset=4, size=8, blob=OTHER)
    assert await of(town.ben).get(town.ben.label, thread, Side.PROVIDER, BLOB, 0) == b"secret"
    assert (await put(town.ana, thread, b"4567", offset=4, size=8, blob=OTHER)).stored == 8


async def test_a_file_of_which_nothing_could_be_kept_takes_no_room(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    thread = (await agreed(town)).thread
    with monkeypatch.context() as patched:
        patched.setattr(of(town.ana)._files, "_least_free", 2**62)
        with pytest.raises(DiskFullError, match="no room for files"):
            await put(town.ana, thread, b"0123", size=8)
    assert await of(town.ana).of(town.ana.label) == ()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(DiskFullError, match="disk is full"):
            await put(town.ana, thread, b"0123", size=8)
    assert await of(town.ana).of(town.ana.label) == ()
    assert (await put(town.ana, thread, b"0123", size=8)).stored == 4


async def test_portions_of_one_person_are_bounded(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    thread = (await agreed(town)).thread
    monkeypatch.setattr(of(town.ana)._uses, "_most", 1)
    await put(town.ana, thread, b"0123", size=8)
    with pytest.raises(LimitError, match="portions of files"):
        await put(town.ana, thread, b"4567", offset=4, size=8)
    with pytest.raises(LimitError, match="portions of files"):
        await of(town.ana).get(town.ana.label, thread, Side.CONSUMER, BLOB, 0)


async def test_every_portion_leaves_the_room_that_everything_else_needs(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = (await agreed(town)).thread
    await put(town.ana, thread, b"0123", size=8)  # there was room for all of it
    monkeypatch.setattr(of(town.ana)._files, "_least_free", 2**62)
    with pytest.raises(DiskFullError, match="no room for files"):
        await put(town.ana, thread, b"4567", offset=4, size=8)
    assert (await put(town.ana, thread, b"0123", size=8)).stored == 4


async def test_a_file_whose_beginning_was_lost_in_a_crash_is_not_completed_with_zeros(town: Town) -> None:
    thread = (await agreed(town)).thread
    await put(town.ana, thread, b"0123", size=8)
    (town.network.folder / "aurora" / file_name(BLOB)).unlink()
    with pytest.raises(MissingError, match="send it anew"):
        await put(town.ana, thread, b"4567", offset=4, size=8)
    assert (await put(town.ana, thread, b"01234567")).stored == 8
    assert await of(town.ben).get(town.ben.label, thread, Side.PROVIDER, BLOB, 0) == b"01234567"


async def test_a_slow_peer_holds_up_files_of_no_other(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    thread = (await agreed(town)).thread
    await put(town.ana, thread, b"secret")
    async with town.cobalt.store.write() as tx:
        session = await tx.get(SessionRow, thread, Side.PROVIDER.value)
        assert session is not None
        await tx.insert(replace(session, thread=OTHER, peer="https://slow.example"))
    peers, begun, ever = of(town.ben)._peers, asyncio.Semaphore(0), asyncio.Event()
    ask = peers.get

    async def get(peer: str, path: str, *, limit: int) -> bytes:
        if peer == town.aurora.entity:
            return await ask(peer, path, limit=limit)
        begun.release()
        await ever.wait()
        return b""

    monkeypatch.setattr(peers, "get", get)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        for _ in range(service.FETCHES):
            group.create_task(of(town.ben).get(town.ben.label, OTHER, Side.PROVIDER, BLOB, 0))
            await begun.acquire()
        assert await of(town.ben).get(town.ben.label, thread, Side.PROVIDER, BLOB, 0) == b"secret"
        ever.set()


async def test_files_leave_the_room_that_everything_else_needs(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path / "blobs", least_free_bytes=2**62, now=lambda: 0)
    with pytest.raises(DiskFullError, match="no room for files"):
        await files.check_room(1)
