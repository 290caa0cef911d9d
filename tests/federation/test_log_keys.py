"""A log whose key has changed ends, and a successor goes on that the replaced key names."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from federation.logbook import Logbook, current_log
from federation.ports import Reader, Store, where
from federation.rows import LogCheckpointRow, LogEntryRow, LogTileRow
from federation.sequencer import DamagedLogError, OtherKeyError, RestoredLogError, Sequencer
from protocol.encoding import b64
from protocol.errors import RefusedError, UnverifiedError
from protocol.logleaves import NodeKeyLeaf, SetHeadLeaf, SuccessorLeaf, log_origin, parse_leaf, verify_successor
from protocol.signing import SigningKey
from protocol.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from protocol.tlog.note import LogKey
from tests.fakes.clock import SteppedClock
from tests.fakes.memory_store import MemoryStore
from tests.kept import opened

pytestmark = pytest.mark.system

OWN = "https://aurora.example"
OLD, NEW, NEWEST = SigningKey(b"o" * 32), SigningKey(b"n" * 32), SigningKey(b"N" * 32)
SIZE = 300


@pytest.fixture(params=["memory", "kept"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    async with opened(tmp_path, clock=SteppedClock()) as store:
        yield store


def sequencer(store: Store, key: SigningKey, *earlier: SigningKey, generation: int = 1) -> Sequencer:
    return Sequencer(store, SteppedClock(), own=OWN, key=key, generation=generation, earlier=earlier)


def leaf(number: int) -> SetHeadLeaf:
    return SetHeadLeaf(chain=b64(bytes(32)), seq=number + 1, commitment=b64(number.to_bytes(32, "big")))


async def append(log: Sequencer, store: Store, start: int, end: int) -> None:
    async with store.write() as tx:
        await log.append(tx, *(leaf(number) for number in range(start, end)))


async def grown(store: Store, size: int = SIZE) -> Sequencer:
    log = sequencer(store, OLD)
    await append(log, store, 0, size)
    await log.sequence()
    return log


async def signed(store: Store, number: int, key: SigningKey) -> Checkpoint:
    """Return the served checkpoint of a log once this key signed it."""
    note = await Logbook(store).checkpoint(number)
    return open_checkpoint(parse_checkpoint(note), [LogKey(name=log_origin(OWN, number), key=key.public)]).checkpoint


async def entries(store: Store, number: int) -> list[bytes]:
    async with store.read() as rows:
        return [row.entry for row in await rows.find(LogEntryRow, where(log=number), order="number")]


async def test_a_changed_key_ends_the_log_and_begins_a_successor(store: Store) -> None:
    log = await grown(store)
    await append(log, store, SIZE, SIZE + 2)  # which no checkpoint covers yet
    log.rekey(NEW, (OLD,))
    with pytest.raises(OtherKeyError):
        await log.sequence()
    assert log.problem == OtherKeyError.code
    assert await log.follow_key()
    before, after = await signed(store, 1, OLD), await signed(store, 2, NEW)
    assert (before.size, after.size, log.problem) == (SIZE, 3, "")
    first, *moved = [parse_leaf(entry) for entry in await entries(store, 2)]
    assert isinstance(first, SuccessorLeaf)
    assert verify_successor(first, log_origin(OWN, 2), OLD.public) == before
    with pytest.raises(UnverifiedError):
        verify_successor(first, log_origin(OWN, 2), NEW.public)
    assert moved == [leaf(SIZE), leaf(SIZE + 1)]
    await append(log, store, 0, 1)
    found = await log.sequence()
    assert found is not None
    assert found.size == 4


async def test_following_twice_begins_one_successor(store: Store) -> None:
    log = await grown(store)
    assert not await log.follow_key()
    log.rekey(NEW, (OLD,))
    assert await log.follow_key()
    assert not await log.follow_key()
    async with store.read() as rows:
        assert await current_log(rows) == 2


async def test_each_further_change_ends_the_log_before(store: Store) -> None:
    log = await grown(store)
    log.rekey(NEW, (OLD,))
    await log.follow_key()
    log.rekey(NEWEST, (NEW, OLD))
    assert await log.follow_key()
    first = parse_leaf((await entries(store, 3))[0])
    assert isinstance(first, SuccessorLeaf)
    assert verify_successor(first, log_origin(OWN, 3), NEW.public) == await signed(store, 2, NEW)


async def test_a_change_of_which_only_the_files_know_is_followed_at_the_next_start(store: Store) -> None:
    await grown(store)
    log = sequencer(store, NEW, OLD)
    with pytest.raises(OtherKeyError):
        await log.sequence()
    assert await log.follow_key()
    assert (await signed(store, 2, NEW)).size == 1


async def test_a_log_that_never_signed_goes_on_with_another_key(store: Store) -> None:
    log = sequencer(store, NEW, OLD)
    await append(log, store, 0, 1)
    assert not await log.follow_key()
    await log.sequence()
    assert (await signed(store, 1, NEW)).size == 1


async def test_a_log_by_a_key_that_is_forgotten_is_not_followed(store: Store) -> None:
    await grown(store)
    log = sequencer(store, NEW)
    assert not await log.follow_key()
    with pytest.raises(DamagedLogError):
        await log.sequence()


async def test_a_log_that_is_not_whole_does_not_change_its_key(store: Store) -> None:
    log = await grown(store)
    await log.check_whole()
    restored = sequencer(store, NEW, OLD, generation=2)
    with pytest.raises(RestoredLogError):
        await restored.check_whole()
    with pytest.raises(RestoredLogError):
        await restored.follow_key()
    async with store.write() as tx:
        (row, *_) = await tx.find(LogTileRow, where(log=1, level=0, number=1))
        await tx.put(replace(row, data=bytes([row.data[0] ^ 1]) + row.data[1:]))
    log.rekey(NEW, (OLD,))
    for refused in (log.check_whole(), log.follow_key()):
        with pytest.raises(DamagedLogError):
            await refused
    async with store.read() as rows:
        assert await rows.count(LogCheckpointRow, where(log=2)) == 0
    begun = await log.succeed()  # an operator's word begins one nevertheless, and its older log's key is known
    first = parse_leaf((await entries(store, 30_000_000))[0])
    assert isinstance(first, SuccessorLeaf)
    assert verify_successor(first, begun.origin, OLD.public).size == SIZE


async def test_a_gate_holds_back_a_successor_too(store: Store) -> None:
    class Shut:
        claimed = cleared = False

        async def waits(self, rows: Reader) -> bool:  # noqa: ARG002 -- as the gate's
            return True

        def open(self) -> None:
            raise AssertionError("nobody opens it")

        async def passed(self) -> None:
            raise RefusedError("not asked yet", code="log-unchecked")

    await grown(store)
    log = sequencer(store, NEW, OLD)
    log.guard(Shut())
    with pytest.raises(RefusedError, match="not asked"):
        await log.follow_key()
    async with store.read() as rows:
        assert await current_log(rows) == 1


async def test_statements_are_made_anew_in_the_successor(store: Store) -> None:
    log = await grown(store)
    said = NodeKeyLeaf(role="log", key=NEW.public.text)
    async with store.write() as tx:
        assert await log.state(tx, "log", said)
    await log.sequence()
    log.rekey(NEW, (OLD,))
    await log.follow_key()
    async with store.write() as tx:
        assert await log.state(tx, "log", said)
        assert not await log.state(tx, "log", said)
