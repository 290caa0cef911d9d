"""The inbox with a handler that misbehaves in every way: an item fails alone, a full disk loses none."""

from collections.abc import Awaitable, Callable, Collection
from typing import ClassVar, Final

import pytest
from msgspec.structs import replace

from federation.inbox import MAX_EVIDENCE, Inbox, outcomes_of
from federation.ports import Row, Writer
from federation.rows import EvidenceRow, InboxRow
from protocol.bodies import CancelledBody, CancelReason
from protocol.encoding import b64
from protocol.envelope import Envelope, EnvelopeHeader, render_envelope
from protocol.errors import LimitError, MalformedError, RefusedError, UnavailableError
from protocol.handshake import State
from protocol.ids import message_id, random_id
from protocol.messages import Message, MessageHead, Outcome, Receipt, body_hash, join_batch, parse_item, sign_message
from protocol.signing import SigningKey, VerifyKey, VerifyKeys
from protocol.threads import ForkError
from tests.fakes.clock import SteppedClock
from tests.fakes.memory_store import MemoryStore

PEER: Final = "https://aurora.example"
OWN: Final = "https://cobalt.example"
KEY: Final = SigningKey(bytes(range(32)))
OTHERS: Final = SigningKey(b"the key of another organization.")
THREAD: Final = random_id(bytes(16))
OTHER: Final = random_id(b"another thread!!")
NOW: Final = 1_800_000_000

Effect = Callable[[Writer], Awaitable[None]]


class MarkRow(Row, frozen=True, kw_only=True):
    """Written by the handler, to see which effects are kept."""

    table = "mark"
    key = ("mid",)
    purpose: ClassVar = {}

    mid: str


class Handler:
    """Writes first and fails then, as `fails` says for a message id: what no handler should do."""

    def __init__(self) -> None:
        self.fails: dict[str, Exception] = {}
        self.mistakes: list[Exception] = []
        self.looked_for: list[set[str]] = []
        self.earlier: list[VerifyKey] = []

    async def learn(self, _peer: str, keyids: Collection[str]) -> None:
        """Remember which keys were looked for."""
        self.looked_for.append(set(keyids))

    async def verify_key(self, _tx: Writer, _peer: str) -> VerifyKeys:
        """Return the only sender's keys."""
        return VerifyKeys(KEY.public, self.earlier)

    async def may_learn(self, _tx: Writer, _peer: str, keyid: str) -> bool:
        """Say that other keys may become known, but for those of other peers."""
        return keyid != OTHERS.public.keyid

    async def on_message(self, tx: Writer, _peer: str, message: Message) -> Receipt:
        """Write, then fail or give the receipt."""
        await self._do(tx, message.head.mid)
        return Receipt(mid=message.head.mid, hash=message.hash, received_at=NOW, state=State.CANCELLED)

    async def on_envelope(self, tx: Writer, _peer: str, envelope: Envelope) -> bool:
        """Write, then fail or not; know what was written before."""
        if await tx.get(MarkRow, envelope.header.mid) is not None:
            return False
        await self._do(tx, envelope.header.mid)
        return True

    async def _do(self, tx: Writer, mid: str) -> None:
        await tx.insert(MarkRow(mid=mid))
        if mid in self.fails:
            raise self.fails[mid]

    def on_mistake(self, error: Exception) -> None:
        """Remember what went wrong on our side."""
        self.mistakes.append(error)


class Desk:
    """An inbox, its handler and its store."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.handler = Handler()
        self.inbox = Inbox(self.store, self.handler, SteppedClock(NOW), own=OWN, key=SigningKey(bytes(32)))

    async def receive(self, *items: bytes, spend: Effect | None = None) -> tuple[Outcome, ...]:
        """Return the outcomes of a batch."""

        async def guard(tx: Writer) -> None:
            if spend:
                await spend(tx)

        answer = await self.inbox.receive(PEER, join_batch(list(items)), guard)
        return outcomes_of(answer, [_mid(item) for item in items])

    async def marks(self) -> set[str]:
        """Return the ids whose effect was kept."""
        async with self.store.read() as tx:
            return {row.mid for row in await tx.find(MarkRow)}


@pytest.fixture
def desk() -> Desk:
    """Return a fresh inbox."""
    return Desk()


def _mid(item: bytes) -> str:
    found = parse_item(item).claimed.mid if item[0] == 1 else None
    return found or item[5:].split(b'"mid":"')[1][:36].decode()


def message(
    number: int, *, thread: str = THREAD, reason: CancelReason = "not-needed", seq: int = 1, key: SigningKey = KEY
) -> bytes:
    """Return a signed message with the id of `number`."""
    body = CancelledBody(reason=reason)
    head = MessageHead(
        mid=message_id(number, bytes(10)),
        aud=OWN,
        thread=thread,
        side="consumer",
        seq=seq,
        deadline=NOW,
        type="cancel",
        body_hash=body_hash(body),
    )
    return sign_message(head, body, key).item


def envelope(number: int, *, thread: str = THREAD) -> bytes:
    """Return a session envelope with the id of `number`."""
    mid = message_id(number, bytes(10))
    header = EnvelopeHeader(mid=mid, id=mid, thread=thread, side="consumer", kind="message", epoch=1, seq=number)
    return render_envelope(Envelope(header=header, ciphertext=b"opaque"))


async def test_a_message_by_a_key_that_is_not_known_yet_comes_again(desk: Desk) -> None:
    other = SigningKey(b"another key of the same node !!!")
    outcomes = await desk.receive(message(1), message(2, key=other), message(3, seq=2), envelope(4, thread=OTHER))
    assert [(one.status, one.code) for one in outcomes] == [
        ("stored", ""),
        ("later", "unknown-key"),
        ("later", "unknown-key"),  # which must not overtake it
        ("stored", ""),
    ]
    assert desk.handler.looked_for == [{KEY.public.keyid, other.public.keyid}]
    desk.handler.earlier.append(other.public)
    (outcome,) = await desk.receive(message(2, key=other))
    assert outcome.status == "stored"
    assert await desk.marks() == {_mid(message(number)) for number in (1, 2, 4)}


async def test_a_message_by_a_key_that_can_never_be_the_peers_is_refused(desk: Desk) -> None:
    (outcome,) = await desk.receive(message(1, key=OTHERS))
    assert (outcome.status, outcome.code) == ("refused", "unverified")
    assert await desk.marks() == set()


async def test_for_envelopes_alone_nobody_is_looked_up(desk: Desk) -> None:
    await desk.receive(envelope(1))
    assert desk.handler.looked_for == []


@pytest.mark.parametrize("make", [message, envelope])
async def test_a_handler_that_writes_and_then_refuses_leaves_nothing(desk: Desk, make: Callable[[int], bytes]) -> None:
    desk.handler.fails[_mid(make(2))] = RefusedError("no", code="no-way")
    first, second, third = await desk.receive(make(1), make(2), make(3))
    assert (second.status, second.code) == ("refused", "no-way")
    assert (first.status, third.status) == ("stored", "stored")
    assert await desk.marks() == {_mid(make(1)), _mid(make(3))}
    async with desk.store.read() as tx:
        assert await tx.get(InboxRow, PEER, _mid(make(2))) is None


async def test_a_failing_disk_fails_the_batch_and_refuses_no_item_for_good(desk: Desk) -> None:
    spent: list[str] = []

    async def spend(_tx: Writer) -> None:
        spent.append("nonce")

    desk.handler.fails[_mid(message(2))] = UnavailableError("the disk is full", code="disk-full")
    with pytest.raises(UnavailableError):
        await desk.receive(message(1), message(2), spend=spend)
    assert spent == ["nonce"]
    assert await desk.marks() == set()
    desk.handler.fails.clear()
    assert [one.status for one in await desk.receive(message(1), message(2))] == ["stored", "stored"]


async def test_what_finds_no_room_now_is_asked_for_again_and_nothing_overtakes_it(desk: Desk) -> None:
    desk.handler.fails[_mid(envelope(2))] = LimitError("mailbox is full")
    items = envelope(1), envelope(2), envelope(3), envelope(4, thread=OTHER)
    outcomes = await desk.receive(*items)
    assert [(one.status, one.code) for one in outcomes] == [
        ("stored", ""),
        ("later", "limit"),
        ("later", "limit"),
        ("stored", ""),
    ]
    desk.handler.fails.clear()
    assert [one.status for one in await desk.receive(*items)] == ["duplicate", "stored", "stored", "duplicate"]


async def test_a_mistake_of_ours_stops_one_item_and_is_reported(desk: Desk) -> None:
    mistake = TypeError("ours")
    desk.handler.fails[_mid(message(2))] = mistake
    outcomes = await desk.receive(message(1), message(2), message(3, thread=OTHER))
    assert [one.status for one in outcomes] == ["stored", "later", "stored"]
    assert desk.handler.mistakes == [mistake]
    assert await desk.marks() == {_mid(message(1)), _mid(message(3))}


async def test_a_fork_is_kept_as_evidence_though_its_effect_is_undone(desk: Desk) -> None:
    desk.handler.fails[_mid(message(1))] = ForkError("two of them")
    (outcome,) = await desk.receive(message(1))
    assert (outcome.status, outcome.code) == ("refused", "fork")
    async with desk.store.read() as tx:
        assert [row.item for row in await tx.find(EvidenceRow)] == [message(1)]
    assert await desk.marks() == set()


async def test_a_peer_cannot_fill_the_disk_with_contradictions(desk: Desk) -> None:
    await desk.receive(message(1))
    for seq in range(2, MAX_EVIDENCE + 6):
        (outcome,) = await desk.receive(message(1, seq=seq))
        assert (outcome.status, outcome.code) == ("refused", "conflict")
    async with desk.store.read() as tx:
        assert await tx.count(EvidenceRow) == MAX_EVIDENCE


async def test_envelopes_leave_no_row_each(desk: Desk) -> None:
    await desk.receive(*[envelope(number) for number in range(1, 40)], message(40))
    async with desk.store.read() as tx:
        assert [row.mid for row in await tx.find(InboxRow)] == [_mid(message(40))]


async def test_one_batch_may_hold_an_item_twice_and_it_has_one_effect(desk: Desk) -> None:
    outcomes = await desk.receive(message(1), message(1))
    assert [one.status for one in outcomes] == ["stored", "duplicate"]
    assert outcomes[0].receipt == outcomes[1].receipt


async def test_an_item_without_a_readable_head_refuses_the_batch_before_the_guard(desk: Desk) -> None:
    async def spend(_tx: Writer) -> None:
        raise AssertionError("the guard ran")

    damaged = message(1)[:-1] + b"\x01"
    with pytest.raises(MalformedError):
        await desk.inbox.receive(PEER, join_batch([message(2), damaged]), spend)


async def test_an_item_for_another_node_has_no_effect(desk: Desk) -> None:
    claimed = parse_item(message(1)).claimed
    item = sign_message(replace(claimed, aud=PEER), CancelledBody(reason="not-needed"), KEY).item
    (outcome,) = await desk.receive(item)
    assert (outcome.status, outcome.code) == ("refused", "wrong-audience")
    assert await desk.marks() == set()


def test_the_outcome_of_an_item_is_found_by_its_id() -> None:
    with pytest.raises(MalformedError):
        outcomes_of(b"{}", [b64(bytes(16))])
