"""The log grows, and neither a crash, a restored database nor a flipped bit makes it sign what it did not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from federation.logbook import Logbook, newest_ref
from federation.ports import Store, Writer, where
from federation.rows import LogCheckpointRow, LogEntryRow, LogTileRow
from federation.sequencer import DamagedLogError, RestoredLogError, RolledBackError, Sequencer
from node.store.sqlite import SqliteStore
from protocol.encoding import b64
from protocol.errors import ConflictError, MalformedError, MeshError, MissingError, RefusedError, UnavailableError
from protocol.logleaves import (
    NodeKeyLeaf,
    SetHeadLeaf,
    SuccessorLeaf,
    log_origin,
    parse_leaf,
    render_leaf,
    verify_successor,
)
from protocol.signing import SigningKey
from protocol.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from protocol.tlog.merkle import Tree, leaf_hash, verify_inclusion
from protocol.tlog.note import LogKey
from protocol.tlog.proof import parse_log_proof
from protocol.tlog.tiles import Bundle, decode_bundle
from tests.fakes.clock import SteppedClock
from tests.fakes.memory_store import MemoryStore
from tests.kept import opened
from tests.patience import PATIENCE_S

OWN = "https://aurora.example"
KEY = SigningKey(b"l" * 32)
LOG_KEY = LogKey(name=log_origin(OWN, 1), key=KEY.public)


def sequencer(store: Store, *, generation: int = 1, key: SigningKey = KEY) -> Sequencer:
    return Sequencer(store, SteppedClock(), own=OWN, key=key, generation=generation)


@pytest.fixture(params=["memory", "kept"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    async with opened(tmp_path, clock=SteppedClock()) as store:
        yield store


def leaf(number: int) -> SetHeadLeaf:
    return SetHeadLeaf(chain=b64(bytes(32)), seq=number + 1, commitment=b64(number.to_bytes(32, "big")))


def tree(size: int) -> Tree:
    return Tree([leaf_hash(render_leaf(leaf(number))) for number in range(size)])


async def append(log: Sequencer, store: Store, start: int, end: int) -> int:
    async with store.write() as tx:
        return await log.append(tx, *(leaf(number) for number in range(start, end)))


async def grown(store: Store, *sizes: int) -> Sequencer:
    """Return a sequencer whose log has a checkpoint of each size."""
    log, before = sequencer(store), 0
    for size in sizes:
        assert await append(log, store, before, size) == before
        found = await log.sequence()
        assert found is not None
        assert found.size == size
        before = size
    return log


async def signed(store: Store, number: int = 1) -> Checkpoint:
    key = LogKey(name=log_origin(OWN, number), key=KEY.public)
    return open_checkpoint(parse_checkpoint(await Logbook(store).checkpoint(number)), [key]).checkpoint


async def change_row(store: Store, row: LogTileRow | LogEntryRow | LogCheckpointRow) -> None:
    async with store.write() as tx:
        await tx.put(row)


async def test_a_log_signs_the_tree_over_its_leaves(store: Store) -> None:
    await grown(store, 1, 2, 255, 256, 257, 600)
    assert await signed(store) == Checkpoint(origin="aurora.example/log", size=600, root=tree(600).root)


async def test_a_log_without_leaves_signs_nothing(store: Store) -> None:
    assert await sequencer(store).sequence() is None
    with pytest.raises(MissingError):
        await Logbook(store).checkpoint(1)


async def test_without_new_leaves_the_checkpoint_stays_as_it_is(store: Store) -> None:
    log = await grown(store, 3)
    before = await Logbook(store).checkpoint(1)
    assert (await log.sequence()) == await signed(store)
    assert await Logbook(store).checkpoint(1) == before


async def test_old_partial_tiles_stay_served_while_the_log_grows(store: Store) -> None:
    book = Logbook(store)
    await grown(store, 5)
    paths = ["tile/0/000.p/5", "tile/entries/000.p/5"]
    before = [await book.resource(1, path) for path in paths]
    log = sequencer(store)
    await append(log, store, 5, 300)
    await log.sequence()
    assert [await book.resource(1, path) for path in paths] == before
    whole = await book.resource(1, "tile/0/000")
    assert whole[: 5 * 32] == before[0]
    assert whole == b"".join(leaf_hash(render_leaf(leaf(number))) for number in range(256))
    entries = decode_bundle(await book.resource(1, "tile/entries/001.p/44"), Bundle(1, 44))
    assert [parse_leaf(each) for each in entries] == [leaf(number) for number in range(256, 300)]


@pytest.mark.parametrize(
    "path", ["tile/0/000.p/4", "tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1", "tile/entries/000.p/4"]
)
async def test_nothing_beyond_the_newest_checkpoint_is_served(store: Store, path: str) -> None:
    log = await grown(store, 3)
    await append(log, store, 3, 4)
    with pytest.raises(MissingError):
        await Logbook(store).resource(1, path)


async def test_a_path_that_names_nothing_is_refused(store: Store) -> None:
    with pytest.raises(MalformedError):
        await Logbook(store).resource(1, "tile/0/0")


async def test_a_leaf_comes_with_the_transaction_that_explains_it_or_not_at_all(store: Store) -> None:
    log = await grown(store, 2)
    with suppress(LookupError):
        async with store.write() as tx:
            await log.append(tx, leaf(2))
            raise LookupError
    found = await log.sequence()
    assert found is not None
    assert found.size == 2
    assert await append(log, store, 2, 3) == 2


async def test_a_crash_before_the_commit_leaves_the_older_checkpoint_served(tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path / "node.db", clock=SteppedClock()) as opened:
        await grown(opened, 3)
        log = sequencer(opened)
        await append(log, opened, 3, 7)
        before = await signed(opened)
        signing = asyncio.ensure_future(log.sequence())
        await asyncio.sleep(0)
        signing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await signing
        assert await signed(opened) in {before, Checkpoint(origin=before.origin, size=7, root=tree(7).root)}
    async with SqliteStore.open(tmp_path / "node.db", clock=SteppedClock()) as again:
        found = await sequencer(again).sequence()
        assert found == Checkpoint(origin="aurora.example/log", size=7, root=tree(7).root)


class FailingStore(MemoryStore):
    """A store whose commits can fail, after everything was written."""

    broken = False

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        async with super().write() as tx:
            yield tx
            if self.broken:
                raise UnavailableError("the disk is full")


async def test_a_checkpoint_that_could_not_be_stored_is_never_served() -> None:
    store = FailingStore()
    log = await grown(store, 3)
    await append(log, store, 3, 5)
    store.broken = True
    with pytest.raises(UnavailableError):
        await log.sequence()
    assert (await signed(store)).size == 3
    with pytest.raises(MissingError):
        await Logbook(store).resource(1, "tile/0/000.p/5")
    store.broken = False
    found = await log.sequence()
    assert found is not None
    assert found.size == 5


async def test_a_database_that_came_back_from_a_backup_is_not_signed_over(store: Store) -> None:
    await grown(store, 3)
    log = sequencer(store, generation=2)
    await append(log, store, 3, 4)
    with pytest.raises(RestoredLogError):
        await log.sequence()
    assert log.problem == "log-restored"
    assert (await signed(store)).size == 3


async def test_a_backup_from_before_the_first_checkpoint_is_one_too(store: Store) -> None:
    log = sequencer(store, generation=2)
    await append(log, store, 0, 1)
    with pytest.raises(RestoredLogError):
        await log.sequence()


async def test_a_store_that_shows_an_older_log_than_was_signed_is_refused(store: Store) -> None:
    await grown(store, 3)
    async with store.read() as rows:
        (older,) = await rows.find(LogCheckpointRow)
    log = sequencer(store)
    await append(log, store, 3, 4)
    await log.sequence()
    async with store.write() as tx:
        await tx.delete(LogCheckpointRow)
        await tx.insert(older)
    with pytest.raises(RolledBackError):
        await log.sequence()
    async with store.write() as tx:
        await tx.delete(LogCheckpointRow)
    with pytest.raises(RolledBackError):
        await log.sequence()


async def test_two_checkpoints_from_one_size_cannot_be_stored(store: Store) -> None:
    await grown(store, 3, 5)
    async with store.read() as rows:
        newest = (await rows.find(LogCheckpointRow, order="-size"))[0]
    with pytest.raises(ConflictError):
        async with store.write() as tx:
            await tx.insert(replace(newest, size=6))


@pytest.mark.parametrize("at", [0, 31, 32 * 43])
async def test_a_flipped_bit_in_a_tile_of_the_right_edge_stops_the_signing(store: Store, at: int) -> None:
    log = await grown(store, 300)
    await append(log, store, 300, 301)
    async with store.read() as rows:
        row = await rows.get(LogTileRow, 1, 0, 1)
    assert row is not None
    await change_row(store, replace(row, data=row.data[:at] + bytes([row.data[at] ^ 1]) + row.data[at + 1 :]))
    with pytest.raises(DamagedLogError):
        await log.sequence()
    assert (await signed(store)).size == 300
    await change_row(store, row)
    found = await log.sequence()
    assert found is not None
    assert (found.size, log.problem) == (301, "")


async def test_a_flipped_bit_in_an_entry_of_the_right_edge_stops_the_signing(store: Store) -> None:
    log = await grown(store, 300)
    async with store.read() as rows:
        row = await rows.get(LogEntryRow, 1, 299)
    assert row is not None
    await change_row(store, replace(row, entry=row.entry.replace(b"300", b"301")))
    with pytest.raises(DamagedLogError):
        await log.sequence()


async def test_a_missing_tile_and_a_checkpoint_of_another_key_stop_the_signing(store: Store) -> None:
    await grown(store, 300)
    with pytest.raises(DamagedLogError):
        await sequencer(store, key=SigningKey(b"o" * 32)).sequence()
    async with store.write() as tx:
        await tx.delete(LogTileRow, where(level=1))
    with pytest.raises(DamagedLogError):
        await sequencer(store).sequence()


async def test_a_missing_new_entry_stops_the_signing(store: Store) -> None:
    log = await grown(store, 3)
    await append(log, store, 3, 6)
    async with store.write() as tx:
        await tx.delete(LogEntryRow, where(number=4))
    with pytest.raises(DamagedLogError):
        await log.sequence()


async def test_an_entry_is_proved_to_stand_in_the_log(store: Store) -> None:
    await grown(store, 3, 300)
    for number in (0, 255, 256, 299):
        proof = parse_log_proof((await Logbook(store).prove(render_leaf(leaf(number)))).encode())
        found = open_checkpoint(proof.checkpoint, [LOG_KEY]).checkpoint
        assert (found.size, proof.index) == (300, number)
        hashed = leaf_hash(render_leaf(leaf(number)))
        verify_inclusion(found.root, leaf=hashed, index=number, size=300, proof=proof.hashes)


async def test_what_no_checkpoint_covers_is_not_proved_yet(store: Store) -> None:
    log = await grown(store, 3)
    await append(log, store, 3, 4)
    for number in (3, 4):
        with pytest.raises(MissingError):
            await Logbook(store).prove(render_leaf(leaf(number)))


async def test_peers_are_told_the_newest_checkpoint(store: Store) -> None:
    async with store.read() as rows:
        assert await newest_ref(rows) is None
    await grown(store, 3, 4)
    async with store.read() as rows:
        ref = await newest_ref(rows)
    assert ref is not None
    assert (ref.origin, ref.size, ref.root) == ("aurora.example/log", 4, b64(tree(4).root))


async def test_a_statement_is_logged_when_it_changes(store: Store) -> None:
    log = sequencer(store)
    first, second = (NodeKeyLeaf(role="http", key=b64(bytes([number]) * 32)) for number in (1, 2))
    said = []
    for each in (first, first, second, first):
        async with store.write() as tx:
            said.append(await log.state(tx, "http", each))
    assert said == [True, False, True, True]
    found = await log.sequence()
    assert found is not None
    assert found.size == 3


async def test_a_whole_log_needs_no_successor(store: Store) -> None:
    log = await grown(store, 3)
    with pytest.raises(RefusedError, match="whole"):
        await log.succeed()


async def test_a_restored_log_goes_on_as_a_successor(store: Store) -> None:
    await grown(store, 3)
    log = sequencer(store, generation=2)
    await append(log, store, 3, 5)
    with pytest.raises(RestoredLogError):
        await log.sequence()
    found = await log.succeed()
    assert (found.origin, found.size, log.problem) == ("aurora.example/log/30000000", 3, "")
    assert await signed(store, 30_000_000) == found
    entries = decode_bundle(await Logbook(store).resource(30_000_000, "tile/entries/000.p/3"), Bundle(0, 3))
    first, *moved = [parse_leaf(each) for each in entries]
    assert isinstance(first, SuccessorLeaf)
    assert verify_successor(first, found.origin, KEY.public) == await signed(store)
    assert moved == [leaf(3), leaf(4)]
    assert (await signed(store)).size == 3
    assert await append(log, store, 5, 6) == 3
    grew = await sequencer(store, generation=2).sequence()
    assert grew is not None
    assert (grew.origin, grew.size) == ("aurora.example/log/30000000", 4)


async def test_a_backup_restored_twice_begins_two_logs_under_two_names(store: Store) -> None:
    await grown(store, 3)
    first = await sequencer(store, generation=2).succeed()
    async with store.write() as tx:
        await tx.delete(LogCheckpointRow, where(log=30_000_000))
    again = Sequencer(store, SteppedClock(1_800_003_600), own=OWN, key=KEY, generation=2)
    assert first.origin == "aurora.example/log/30000000"
    assert (await again.succeed()).origin == "aurora.example/log/30000060"


async def test_a_successor_of_a_log_whose_key_is_lost_says_so(store: Store) -> None:
    await grown(store, 3)
    log = sequencer(store, generation=2, key=SigningKey(b"o" * 32))
    await log.succeed()
    entries = decode_bundle(await Logbook(store).resource(30_000_000, "tile/entries/000.p/1"), Bundle(0, 1))
    first = parse_leaf(entries[0])
    assert isinstance(first, SuccessorLeaf)
    assert (first.size, first.signature) == (0, None)


async def test_the_loop_signs_what_is_appended_and_reports_what_it_cannot(store: Store) -> None:
    log, reported = await grown(store, 3), asyncio.Event()
    codes: list[str] = []

    def report(error: MeshError) -> None:
        codes.append(error.code)
        reported.set()

    job = asyncio.ensure_future(log.run(report))
    try:
        await append(log, store, 3, 9)
        async with asyncio.timeout(PATIENCE_S):
            while (await signed(store)).size != 9:  # noqa: ASYNC110 -- it is what a reader sees
                await asyncio.sleep(0)
            async with store.write() as tx:
                await tx.delete(LogTileRow)
            await append(log, store, 9, 10)
            await reported.wait()
        assert codes == ["log-damaged"]
        assert not job.done()
    finally:
        job.cancel()
