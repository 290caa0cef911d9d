"""A peer that is slow, or signs the largest sets there are, keeps nobody else waiting and costs a bounded amount."""

import asyncio
import gc
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from federation import mirror as mirroring
from federation import taking
from federation.mirror import MirrorService
from federation.sets import Fetched, Source
from federation.sourcewatch import MirrorPolicy
from node.services.key_pages import KeyContents
from protocol.addresses import audience_id
from protocol.commitments import Opening
from protocol.devices import DeviceCertificate, Vouch, sign_device
from protocol.encoding import b64, encode, sha256
from protocol.errors import LimitError, UnavailableError
from protocol.heads import HeadAnswer, Nudge, SetHead, SetKind, sign_head
from protocol.keyentries import KeyEntry, encode_entry
from protocol.pages import IncompleteError, snapshot
from protocol.signing import SigningKey
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.fakes.memory_store import MemoryStore

from .sets import AURORA, BIRCH, PAIR, Pair, offers

SLOW = "https://slow.example"
HUGE = audience_id(SLOW, BIRCH)
KEY = SigningKey(b"s" * 32)


class Huge:
    """One peer that signs whatever openings it is given."""

    def __init__(self, kind: SetKind, openings: list[Opening]) -> None:
        self.clock = SteppedClock()
        self.snapshot = snapshot(kind, openings)
        self.source = Source(peer=SLOW, audience=HUGE, key=KEY.public, kind=kind)
        self.asked: list[str] = []
        self.seq = 0
        self.store = MemoryStore()
        self.mirror = MirrorService(
            self.store,
            self.clock,
            SeededEntropy(),
            self,
            self.fetch,
            own=BIRCH,
            policy=MirrorPolicy(),
            paged={"keys": KeyContents(self.store, self.clock)},
        )

    async def sources(self) -> list[Source]:
        return [self.source]

    async def fetch(self, peer: str, path: str, etag: str, *, limit: int, signed: bool) -> Fetched:  # noqa: ARG002
        self.asked.append(path)
        if not path.endswith("/head"):
            return Fetched(status=200, body=self.snapshot.pages[int(path.rsplit("/", 1)[1])])
        self.seq += 2
        head = SetHead(
            origin=SLOW,
            audience=HUGE,
            kind=self.source.kind,
            seq=self.seq + 1,
            prev=b64(bytes(32)),
            shards=self.snapshot.shards,
            size_bucket=self.snapshot.size_bucket,
            issued_at=self.clock.now(),
            not_after=self.clock.now() + 900,
        )
        return Fetched(status=200, body=encode(HeadAnswer(head=sign_head(head, KEY))))


@asynccontextmanager
async def unblocked(most_s: float) -> AsyncIterator[None]:
    """Assert that the event loop got a turn at least every `most_s` seconds of this thread's own processor time."""
    longest, over = 0.0, False

    async def watch() -> None:
        nonlocal longest
        last = time.thread_time()
        while not over:
            await asyncio.sleep(0)
            longest, last = max(longest, time.thread_time() - last), time.thread_time()

    gc.collect()
    gc.disable()  # what other tests left behind is nobody's turn
    try:
        watching = asyncio.ensure_future(watch())
        await asyncio.sleep(0)
        yield
        over = True
        await watching
    finally:
        gc.enable()
    assert longest < most_s


def entry(number: int, devices: int) -> bytes:
    def drawn(what: str, at: int) -> bytes:
        return sha256(f"{what} {at} {number}".encode())

    identity = SigningKey(drawn("identity", 0))
    certificates = [
        DeviceCertificate(
            device_id=b64(drawn("id", at)[:16]),
            device_key=SigningKey(drawn("key", at)).public.text,
            audience=HUGE,
            created_at=SteppedClock().now() - 10,
            expires_at=SteppedClock().now() + 86_400,
        )
        for at in range(devices)
    ]
    return encode_entry(
        KeyEntry(
            label=b64(drawn("label", 0)[:16]),
            identity_key=identity.public.text,
            devices=tuple(sign_device(one, identity) for one in sorted(certificates, key=lambda one: one.device_id)),
            seq=1,
            vouch=Vouch(name=b64(bytes(32)), identity=b64(bytes(32))),
        )
    )


@pytest.mark.slow
async def test_offers_that_are_too_long_end_with_the_first_page() -> None:
    huge = Huge("offers", [Opening(salt=at.to_bytes(16, "big"), body=b"a" * 8000) for at in range(2048)])
    tracemalloc.start()
    async with unblocked(0.05):
        with pytest.raises(IncompleteError):
            await huge.mirror.poll(huge.source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len([path for path in huge.asked if "snapshots" in path]) == 2  # one for each look at the head
    assert peak < 16 * 1024 * 1024


@pytest.mark.slow
async def test_a_directory_is_verified_while_everything_else_goes_on_and_what_is_known_is_not_verified_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    huge = Huge("keys", [Opening(salt=at.to_bytes(16, "big"), body=entry(at, 8)) for at in range(128)])
    async with unblocked(0.05):
        await huge.mirror.poll(huge.source)
    (status,) = await huge.mirror.status()
    assert (status.state, status.entries) == ("fresh", 128)
    verified = []
    monkeypatch.setattr("protocol.keyentries.open_device", lambda *_, **__: verified.append(1))
    huge.snapshot = snapshot("keys", [*[each.opening for each in huge.snapshot.entries]][1:])
    huge.clock.advance(10)
    await huge.mirror.poll(huge.source)
    (status,) = await huge.mirror.status()
    assert (status.entries, verified) == (127, [])


async def test_a_set_over_the_limit_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "MAX_SET_BYTES", 100_000)
    huge = Huge("needs", [Opening(salt=at.to_bytes(16, "big"), body=b"a" * 500) for at in range(1024)])
    with pytest.raises(LimitError):
        await huge.mirror.poll(huge.source)
    assert len([path for path in huge.asked if "snapshots" in path]) == 1


async def test_beyond_the_limit_no_more_than_a_portion_of_pages_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "MAX_SET_BYTES", 200_000)
    huge = Huge("needs", [Opening(salt=at.to_bytes(16, "big"), body=b"a" * 500) for at in range(4096)])
    with pytest.raises(LimitError):
        await huge.mirror.poll(huge.source)
    # A page says that it is 140 kB: the first comes alone, because it says how many there are, then a portion.
    assert len([path for path in huge.asked if "snapshots" in path]) == 1 + 8


class Two(Pair):
    """Birch mirrors Aurora, and a peer that answers when a test wants it to."""

    def __init__(self) -> None:
        super().__init__(MemoryStore(), MemoryStore())
        self.gate = asyncio.Event()
        self.begun: list[str] = []
        for audience in (PAIR, HUGE, b64(bytes(32))):
            self.birch_book.listed.append(Source(peer=SLOW, audience=audience, key=KEY.public))
        self.mirror = self.mirroring(MirrorPolicy(at_once=2))

    async def fetch(self, peer: str, path: str, etag: str, *, limit: int, signed: bool) -> Fetched:
        if peer == AURORA:
            return await super().fetch(peer, path, etag, limit=limit, signed=signed)
        self.begun.append(path)
        await self.gate.wait()
        raise UnavailableError("away")


@asynccontextmanager
async def running(pair: Two) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    job = asyncio.ensure_future(pair.mirror.run())

    async def turn() -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    await pair.clock.until_sleeping()
    await turn()
    yield turn
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job


async def test_a_peer_that_never_answers_keeps_no_other_waiting_and_takes_one_place() -> None:
    pair = Two()
    await pair.publish(offers(1))
    async with running(pair) as turn:
        assert pair.shown() == [1]
        assert len(pair.begun) == 1
        published = await pair.publish_next(offers(2))
        await pair.aurora.nudge(pair.post, PAIR, "offers", published.seq)
        await turn()
        assert pair.shown() == [2]
        assert len(pair.begun) == 1
        await pair.publish_next(offers(3))
        await pair.clock.elapse(361, turns=50)
        assert pair.shown() == [3]
        pair.gate.set()
        await turn()
        assert len(pair.begun) == 3


async def test_a_poll_has_an_end_and_a_peer_that_took_long_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirroring, "POLL_S", 0.05)
    pair = Two()
    slow = pair.birch_book.listed[1]
    with pytest.raises(UnavailableError) as refusal:
        await pair.mirror.poll(slow)
    assert refusal.value.code == "peer-slow"
    pair.begun.clear()
    pair.gate.set()
    pair.mirror._watch(slow).asked_at = pair.clock.now() - 100
    pair.mirror._watch(slow).ended(None)
    pair.clock.advance(399)
    await pair.mirror.look(slow)
    assert pair.begun == []
    pair.clock.advance(1)
    with pytest.raises(UnavailableError):
        await pair.mirror.look(slow)
    assert len(pair.begun) == 1


async def test_a_nudge_during_a_poll_has_the_peer_asked_once_more_afterwards() -> None:
    pair = Two()
    slow = pair.birch_book.listed[1]
    poll = asyncio.ensure_future(pair.mirror.poll(slow))
    await asyncio.sleep(0)
    await pair.mirror.nudged(SLOW, encode(Nudge(audience=PAIR, kind="offers", seq=9)))
    pair.gate.set()
    with pytest.raises(UnavailableError):
        await poll
    pair.begun.clear()
    pair.clock.advance(1)
    await pair.mirror.poll_due()
    assert [path for path in pair.begun if PAIR in path] != []


async def test_a_nudge_ends_no_rest() -> None:
    pair = Two()
    slow = pair.birch_book.listed[1]
    pair.gate.set()
    pair.mirror._watch(slow).asked_at = pair.clock.now() - 20
    pair.mirror._watch(slow).ended(None)
    for seconds, asked in ((79, False), (1, True)):
        pair.begun.clear()
        pair.clock.advance(seconds)
        await pair.mirror.nudged(SLOW, encode(Nudge(audience=PAIR, kind="offers", seq=9)))
        await pair.mirror.poll_due()
        assert any(PAIR in path for path in pair.begun) is asked


async def test_nothing_a_peer_does_ends_its_rest() -> None:
    pair = Two()
    slow = pair.birch_book.listed[1]
    pair.gate.set()
    watch = pair.mirror._watch(slow)
    for error, whole in ((None, True), (None, False), (UnavailableError("away"), True)):
        watch.asked_at = pair.clock.now() - 290
        watch.whole = whole
        watch.ended(error)
        pair.begun.clear()
        pair.clock.advance(1159)
        pair.mirror.back(SLOW)
        pair.mirror.proven(slow.place, whole=False)
        await pair.mirror.poll_due()
        assert [path for path in pair.begun if PAIR in path] == []
        pair.clock.advance(1)
        pair.mirror.back(SLOW)
        await pair.mirror.poll_due()
        assert [path for path in pair.begun if PAIR in path] != []
        pair.clock.advance(3600)


async def test_a_clock_that_is_set_keeps_no_peer_from_being_asked() -> None:
    pair = Two()
    slow = pair.birch_book.listed[1]
    pair.gate.set()
    watch = pair.mirror._watch(slow)
    watch.asked_at = pair.clock.now()
    pair.clock.advance(30 * 86_400)  # forward, during a poll
    watch.ended(None)
    pair.clock.advance(1500)
    await pair.mirror.poll_due()
    assert [path for path in pair.begun if PAIR in path] != []
    pair.begun.clear()
    pair.clock.advance(-30 * 86_400)
    await pair.mirror.poll_due()
    assert [path for path in pair.begun if PAIR in path] != []
