"""State, quotas and data of others (lines 57 to 66): out of order, too much, too often, twice at once."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio
from msgspec.structs import replace

from federation.ports import where
from federation.rows import EvidenceRow, MailboxRow, MessageRow, NonceRow, OutboxRow, PlaceRow
from node.api.table import ALL_ROUTES
from node.services import quotes
from node.services.exchange import BATCH_TYPE, MESSAGE_TYPE, MESSAGES_PATH, QUOTES_PATH
from node.store.sqlite import SqliteStore
from protocol import jws
from protocol.bodies import CancelledBody, RequestBody
from protocol.encoding import b64, decode
from protocol.envelope import Envelope, EnvelopeHeader, render_envelope
from protocol.ids import message_id
from protocol.messages import (
    RECEIPT_TYP,
    Body,
    MessageHead,
    Outcome,
    Receipt,
    body_hash,
    join_batch,
    open_message,
    parse_item,
    sign_message,
)
from protocol.tlog import note
from tests.node.exchange.people import Mentee
from tests.node.running import ENTITY

from .growth import FED, MOST, lines_run
from .test_signatures import cancel
from .world import HOST, Attacker, World, refusal
from .world import world as running_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def thread(world: World) -> Mentee:
    """A request that waits for Ben, who has one place."""
    mentee = await world.mentee(world.birch)
    await mentee.accept(await mentee.quote())
    await world.birch.exchanging.outbox.step(ENTITY)
    return mentee


async def last_words(peer: Attacker, thread: str) -> MessageRow:
    """Return the last message that a peer's own side said in a thread."""
    async with peer.store.read() as tx:
        return (await tx.find(MessageRow, where(thread=thread, sender="consumer"), order="seq"))[-1]


async def say(world: World, thread: str, body: Body, **changed: object) -> Outcome:
    """Send the next message of a thread, changed in one way and signed by the right key."""
    peer = world.birch
    row = await last_words(peer, thread)
    claimed: MessageHead = parse_item(row.item).claimed
    mid = message_id(peer.clock.now_ms(), peer.entropy.take(10))
    head = replace(claimed, mid=mid, seq=row.seq + 1, prev=row.hash, body_hash=body_hash(body))
    (outcome,) = await world.batch(peer, sign_message(replace(head, **changed), body, peer.keys.envelope_sign).item)
    return outcome


CANCEL: Final = CancelledBody(reason="not-needed")


async def test_an_acceptance_before_the_request_is_refused(world: World, thread: Mentee) -> None:
    row = await last_words(world.birch, thread.thread)
    said = parse_item(row.item)
    mid = message_id(world.clock.now_ms(), world.birch.entropy.take(10))
    head = replace(said.claimed, mid=mid, thread=b64(bytes(16)), seq=1, prev=None, seen=None)
    body = (await stored_body(world.birch, row)).body
    item = sign_message(head, body, world.birch.keys.envelope_sign).item
    (outcome,) = await world.batch(world.birch, item)
    assert (outcome.status, outcome.code) == ("refused", "missing")


async def stored_body(peer: Attacker, row: MessageRow) -> Any:  # noqa: ANN401 -- a message, whatever its body
    """Return a message of a peer's own, opened."""
    return open_message(parse_item(row.item), peer.keys.envelope_sign.public, audience=ENTITY)


async def test_a_second_acceptance_is_refused(world: World, thread: Mentee) -> None:
    row = await last_words(world.birch, thread.thread)
    body = (await stored_body(world.birch, row)).body
    outcome = await say(world, thread.thread, body, type="accept")
    assert (outcome.status, outcome.code) == ("refused", "illegal-step")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"seq": 9}, "out-of-order"),
        ({"seq": 1}, "fork"),
        ({"prev": "A" * 43}, "fork"),
        ({"seen": "A" * 43}, "wrong-seen"),
    ],
)
async def test_a_message_beside_the_chain_is_refused(
    world: World, thread: Mentee, changed: dict[str, object], code: str
) -> None:
    outcome = await say(world, thread.thread, CANCEL, type="cancel", **changed)
    assert (outcome.status, outcome.code) == ("refused", code)


@pytest.mark.parametrize(("seconds", "code"), [(-3600, "too-late"), (10 * 86_400, "deadline")])
async def test_a_request_from_another_time_is_refused(world: World, seconds: int, code: str) -> None:
    body = RequestBody(request="A" * 1516)
    head = MessageHead(
        mid=message_id(world.clock.now_ms(), world.birch.entropy.take(10)),
        aud=ENTITY,
        thread=b64(world.birch.entropy.take(16)),
        side="consumer",
        seq=1,
        deadline=world.clock.now() + seconds,
        type="request",
        body_hash=body_hash(body),
    )
    item = sign_message(head, body, world.birch.keys.envelope_sign).item
    async with world.unchanged():
        assert refusal(await world.ask(world.birch, "POST", QUOTES_PATH, item, MESSAGE_TYPE)) == (403, code)


# --- one place for each id -----------------------------------------------------------------------


async def test_no_body_repeats_what_the_path_says() -> None:
    for route in ALL_ROUTES:
        named = set(re.findall(r"\{([a-z_]+)", route.path))
        if isinstance(route.request, type) and issubclass(route.request, msgspec.Struct):
            assert not named & set(route.request.__struct_fields__), route.path
        if route.query is not None:
            assert not named & set(route.query.__struct_fields__), route.path


# --- poison and size -----------------------------------------------------------------------------


def envelope(peer: Attacker, thread: str, ciphertext: bytes = b"forged") -> bytes:
    """Return a session envelope of a peer."""
    mid = message_id(peer.clock.now_ms(), peer.entropy.take(10))
    header = EnvelopeHeader(mid=mid, id=mid, thread=thread, side="consumer", kind="message", epoch=1, seq=1)
    return render_envelope(Envelope(header=header, ciphertext=ciphertext))


async def test_a_poisoned_item_stops_neither_the_next_nor_other_peers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = world.node.node.handshakes.sessions
    poison = b64(world.birch.entropy.take(16))
    real = sessions.on_envelope

    async def poisoned(tx: Any, peer: str, item: Envelope) -> bool:  # noqa: ANN401 -- the service's own
        if item.header.thread == poison:
            raise KeyError("a mistake of ours")
        return await real(tx, peer, item)

    monkeypatch.setattr(sessions, "on_envelope", poisoned)
    first, second = await world.batch(world.birch, envelope(world.birch, poison), cancel(world.birch))
    assert (first.status, first.code) == ("later", "internal")
    assert (second.status, second.code) == ("refused", "missing")
    (other,) = await world.batch(world.cobalt, cancel(world.cobalt))
    assert (other.status, other.code) == ("refused", "missing")


BROKEN: Final = {
    "no item": b"",
    "an item without an end": b"\x00\x00\x40\x00" + b"\x01",
    "an item of nothing": bytes(4),
    "65 items": join_batch([b"x"] * 64) + b"\x00\x00\x00\x01x",
    "an unknown kind": join_batch([b"\x07" * 100]),
    "a message that is too long": join_batch([b"\x01" + bytes(32_768)]),
    "a message of nothing": join_batch([b"\x01" + bytes(16_383)]),
    "an envelope of nothing": join_batch([b"\x02" + bytes(100)]),
}


@pytest.mark.parametrize("batch", BROKEN)
async def test_a_batch_that_nobody_can_read_is_refused_whole(world: World, batch: str) -> None:
    body = BROKEN[batch]
    async with world.unchanged():
        answer = await world.send(
            "POST", MESSAGES_PATH, world.birch.signed("POST", MESSAGES_PATH, body, BATCH_TYPE if body else None), body
        )
        assert refusal(answer) in {(400, "malformed"), (415, "media-type")}


async def test_a_batch_with_an_item_over_its_limit_is_refused_whole_and_names_it(world: World) -> None:
    size = 96 * 1024 + 1
    body = size.to_bytes(4, "big") + bytes(size)
    async with world.unchanged():
        headers = world.birch.signed("POST", MESSAGES_PATH, body, BATCH_TYPE)
        answer = await world.send("POST", MESSAGES_PATH, headers, body)
        assert refusal(answer) == (413, "too-large")
        assert b"item 1 of the batch" in answer.body


async def test_a_refused_item_leaves_nothing_but_the_nonce_of_its_request(world: World) -> None:
    before = await world.counts()
    for _ in range(5):
        await world.batch(world.birch, *(cancel(world.birch) for _ in range(10)))
    after = await world.counts()
    assert after.pop(NonceRow.table) == before.pop(NonceRow.table) + 5
    assert after == before


@pytest.mark.slow
async def test_a_peer_that_contradicts_itself_fills_no_disk(world: World, thread: Mentee) -> None:
    for _ in range(40):
        outcome = await say(world, thread.thread, CANCEL, type="cancel", seq=2)
        assert outcome.status == "refused"
    assert (await world.counts())[EvidenceRow.table] <= 16


@pytest.mark.parametrize("fed", FED)
async def test_ten_times_the_input_is_not_much_more_than_ten_times_the_work(fed: str) -> None:
    made, size = FED[fed]
    small, large = made(size), made(10 * size)
    small(), large()  # what is worked out once and kept is no part of it
    assert lines_run(large) <= MOST * lines_run(small)
    assert lines_run(large) >= lines_run(small)


async def test_a_signed_note_of_many_lines_is_refused_before_its_lines_are_read() -> None:
    data = b"text\n\n" + "— a AAAA\n".encode() * 200_000
    with pytest.raises(note.NoteLimitError):
        note.parse_note(data)
    assert lines_run(lambda: _refused(data)) < 100


def _refused(data: bytes) -> None:
    with pytest.raises(note.NoteLimitError):
        note.parse_note(data)


# --- how much one may take -----------------------------------------------------------------------


async def test_a_peer_over_its_share_is_told_to_wait_and_others_are_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotes, "MAX_UNTAKEN", 1)
    person = await world.mentee(world.birch)
    assert await person.refusal() == "no-capacity"
    more = await world.mentee(world.birch)
    result = await more.person.node.exchanging.consumer.ask(more.person.label, [more.ask()])
    assert (result[0].item, result[0].reason) == (b"", "limit")
    other = await world.mentee(world.cobalt)
    assert await other.refusal() == "no-capacity", "Cobalt is shown no offer, and is answered"


async def test_looking_for_a_member_takes_the_same_steps_as_for_nobody(world: World) -> None:
    steps = [await statements(world, mail) for mail in ("ana@aurora.example", "nobody@aurora.example")]
    assert steps[0] == steps[1]
    assert len(steps[0]) > 3


VALUES: Final = re.compile(r"x?'[^']*'|\b\d+\b", re.IGNORECASE)


async def statements(world: World, mail: str) -> list[str]:
    """Return what the database does while somebody asks for a link, without the values."""
    seen: list[str] = []
    assert isinstance(world.node.node.base.store, SqliteStore)
    writer = world.node.node.base.store._writer
    writer.set_trace_callback(lambda text: seen.append(VALUES.sub("?", text)))
    try:
        body = f'{{"mail":"{mail}"}}'.encode()
        headers = [HOST, ("Content-Type", "application/json")]
        assert (await world.send("POST", "/api/v1/sign-in/links", headers, body)).status == 202
    finally:
        writer.set_trace_callback(None)
    return seen


# --- at once -------------------------------------------------------------------------------------

CROWD: Final = 50


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A node of its own: what happens here stays."""
    directory: Path = tmp_path_factory.mktemp("crowded") / "aurora"
    async with running_world(directory) as made:
        yield made


async def test_nothing_follows_a_cancel(crowded: World) -> None:
    mentee = await crowded.mentee(crowded.birch)
    await mentee.accept(await mentee.quote())
    await crowded.birch.exchanging.outbox.step(ENTITY)
    accepted = (await stored_body(crowded.birch, await last_words(crowded.birch, mentee.thread))).body
    await crowded.birch.exchanging.consumer.cancel(mentee.person.label, mentee.thread, "not-needed")
    await crowded.birch.exchanging.outbox.step(ENTITY)
    heard = len(await requests(crowded))
    for verb, body in (("accept", accepted), ("cancel", CANCEL)):
        outcome = await say(crowded, mentee.thread, body, type=verb)
        # Kept for the order of the thread, and without an effect: it may have crossed the cancel on its way.
        assert outcome.status == "refused" or _state(outcome) == "CANCELLED", verb
    assert len(await requests(crowded)) == heard
    async with crowded.node.node.base.store.read() as tx:
        assert await tx.count(PlaceRow) == 0


async def requests(world: World) -> list[MailboxRow]:
    """Return the requests that Ben has heard of."""
    async with world.node.node.base.store.read() as tx:
        return await tx.find(MailboxRow, where(label=world.ben.label, kind="request"))


@pytest.mark.slow
async def test_fifty_acceptances_at_once_take_the_one_place_once(crowded: World) -> None:
    """One mentor, one place, and as many people who want it as a peer can send: the mentor hears of one."""
    heard = len(await requests(crowded))
    for _ in range(CROWD):
        mentee = await crowded.mentee(crowded.birch)
        await mentee.accept(await mentee.quote())
    async with crowded.birch.store.read() as tx:
        items = [row.item for row in await tx.find(OutboxRow)]
    assert len(items) == CROWD
    outcomes = await asyncio.gather(*(crowded.batch(crowded.birch, item) for item in items))
    assert {outcome.status for (outcome,) in outcomes} == {"stored"}
    async with crowded.node.node.base.store.read() as tx:
        assert await tx.count(PlaceRow) == 1
    assert len(await requests(crowded)) == heard + 1
    assert [_state(outcome) for (outcome,) in outcomes].count("ACCEPTED") == 1


def _state(outcome: Outcome) -> str:
    return decode(jws.parse(outcome.receipt, RECEIPT_TYP).payload, Receipt).state.value
