"""Envelopes: ordered by the hub, delivered once, to the two people of the agreement and to nobody else."""

import asyncio

import pytest
from msgspec.structs import replace

from federation.ports import where
from federation.rows import InboxRow, MailboxRow, OutboxRow, SessionRow
from node.services import pace
from node.services.sessions import Sent
from protocol.encoding import decode
from protocol.envelope import Envelope, EnvelopeHeader, EnvelopeKind, parse_envelope, render_envelope
from protocol.errors import ConflictError, LimitError, MissingError, RefusedError
from protocol.handshake import Side
from protocol.ids import message_id
from protocol.messages import Outcomes, join_batch
from protocol.session import LIFE_S

from .conftest import Town
from .people import Mentee, agree, waiting_request
from .world import Site, Somebody, settle

DAY_S = 86_400


async def agreed(town: Town) -> Mentee:
    """Return a thread with an agreed session."""
    mentee = town.mentee()
    await mentee.accept(await mentee.quote())
    await settle(town.aurora, town.cobalt)
    await agree(town.ben, town.aurora, slot=(await waiting_request(town.ben)).held[0])
    await settle(town.aurora, town.cobalt)
    return mentee


def sent(node: Site, text: bytes, *, kind: EnvelopeKind = "message", epoch: int = 1) -> Sent:
    """Return one message of a device."""
    made = message_id(node.clock.now_ms(), node.entropy.take(10))
    return Sent(id=made, kind=kind, epoch=epoch, ciphertext=text)


async def shown(person: Somebody) -> list[tuple[int | None, str, bytes]]:
    """Return what a person's devices got: hub number, writer's side, ciphertext."""
    envelopes = [parse_envelope(entry.data) for entry in await person.entries() if entry.kind == "envelope"]
    return [(one.header.number, one.header.side, one.ciphertext) for one in envelopes]


async def submit(person: Somebody, thread: str, side: Side, message: Sent) -> None:
    """Hand an envelope to the person's own node."""
    await person.node.exchanging.sessions.submit(person.label, thread, side, message)


async def test_both_people_get_everything_in_the_hubs_order(town: Town) -> None:
    thread = (await agreed(town)).thread
    await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"from ana"))
    await submit(town.ben, thread, Side.PROVIDER, sent(town.cobalt, b"from ben"))
    await settle(town.aurora, town.cobalt)
    expected = [(1, "provider", b"from ben"), (2, "consumer", b"from ana")]
    assert await shown(town.ben) == expected
    assert await shown(town.ana) == expected


async def test_messages_of_one_moment_are_numbered_in_their_order_and_a_bad_one_takes_no_number(town: Town) -> None:
    thread = (await agreed(town)).thread
    texts = [b"%d" % number for number in range(10)]
    messages = [sent(town.cobalt, text) for text in texts]
    messages.insert(5, Sent(id=messages[0].id, kind="message", epoch=1, ciphertext=b"other"))
    ends = await asyncio.gather(
        *(submit(town.ben, thread, Side.PROVIDER, message) for message in messages), return_exceptions=True
    )
    assert [type(end) for end in ends] == [type(None)] * 5 + [ConflictError] + [type(None)] * 5
    await settle(town.aurora, town.cobalt)
    expected = [(number, "provider", text) for number, text in enumerate(texts, 1)]
    assert await shown(town.ben) == expected
    assert await shown(town.ana) == expected


async def test_a_device_that_sends_again_is_heard_once(town: Town) -> None:
    thread = (await agreed(town)).thread
    message = sent(town.aurora, b"once")
    await submit(town.ana, thread, Side.CONSUMER, message)
    await submit(town.ana, thread, Side.CONSUMER, message)
    await settle(town.aurora, town.cobalt)
    assert len(await shown(town.ben)) == 1
    with pytest.raises(ConflictError):
        await submit(town.ana, thread, Side.CONSUMER, Sent(id=message.id, kind="message", epoch=1, ciphertext=b"other"))


async def test_messages_wait_for_a_peer_that_is_away_and_arrive_in_order(town: Town) -> None:
    thread = (await agreed(town)).thread
    town.network.down.add(town.cobalt.entity)
    for number in range(70):
        await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"%d" % number))
    assert await town.aurora.exchanging.outbox.step(town.cobalt.entity) > 0  # type: ignore[operator]
    town.network.down.clear()
    await settle(town.aurora, town.cobalt)
    assert [text for _, _, text in await shown(town.ben)] == [b"%d" % number for number in range(70)]


async def test_somebody_else_cannot_speak_in_a_session(town: Town) -> None:
    thread = (await agreed(town)).thread
    stranger = await town.aurora.add_person("stranger", audiences=())
    with pytest.raises(MissingError):
        await submit(stranger, thread, Side.CONSUMER, sent(town.aurora, b"hello"))


async def test_an_oversized_message_is_refused_before_anything_is_stored(town: Town) -> None:
    thread = (await agreed(town)).thread
    with pytest.raises(LimitError):
        await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, bytes(80 * 1024 + 1)))
    async with town.aurora.store.read() as tx:
        assert await tx.count(OutboxRow) == 0


@pytest.mark.parametrize("change", ["thread", "side", "peer"])
async def test_a_forged_envelope_from_a_peer_changes_nothing(town: Town, change: str) -> None:
    thread = (await agreed(town)).thread
    header = EnvelopeHeader(
        mid=message_id(1, bytes(10)),
        id=message_id(1, bytes(10)),
        thread="A" * 22 if change == "thread" else thread,
        side="provider" if change == "side" else "consumer",
        kind="message",
        epoch=1,
        seq=1,
    )
    peer = "https://birch.example" if change == "peer" else town.aurora.entity
    item = render_envelope(Envelope(header=header, ciphertext=b"forged"))
    batch = len(item).to_bytes(4, "big") + item
    before = await town.ben.entries()

    async def unguarded(_tx: object) -> None:
        """The request's own signature is not the matter here."""

    answer = await town.cobalt.exchanging.inbox.receive(peer, batch, unguarded)
    assert b'"refused"' in answer
    assert await town.ben.entries() == before


async def test_a_session_that_both_closed_takes_nothing_more_and_is_erased(town: Town) -> None:
    thread = (await agreed(town)).thread
    await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"thank you"))
    await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"", kind="close"))
    await settle(town.aurora, town.cobalt)
    await submit(town.ben, thread, Side.PROVIDER, sent(town.cobalt, b"", kind="close"))
    await settle(town.aurora, town.cobalt)
    for person, side in ((town.ana, Side.CONSUMER), (town.ben, Side.PROVIDER)):
        with pytest.raises(RefusedError, match="over"):
            await submit(person, thread, side, sent(person.node, b"more"))
    town.clock.advance(3601)
    for node in (town.aurora, town.cobalt):
        await node.exchanging.sweep()
        async with node.store.read() as tx:
            assert await tx.count(SessionRow) == 0
            assert await tx.count(MailboxRow, where(thread=thread)) == 0


async def test_a_forgotten_session_ends_by_itself(town: Town) -> None:
    mentee = await agreed(town)
    await submit(town.ana, mentee.thread, Side.CONSUMER, sent(town.aurora, b"hello"))
    town.clock.advance(14 * 86_400 + LIFE_S)
    await town.aurora.exchanging.sweep()
    async with town.aurora.store.read() as tx:
        assert await tx.count(SessionRow) == 0
        assert await tx.count(OutboxRow) == 0


async def test_an_entry_goes_when_every_device_has_read_it(town: Town) -> None:
    thread = (await agreed(town)).thread
    await submit(town.ben, thread, Side.PROVIDER, sent(town.cobalt, b"hello"))
    await settle(town.aurora, town.cobalt)
    boxes = town.aurora.exchanging.mailboxes
    last = (await town.ana.entries())[-1].cursor
    await boxes.acknowledge(town.ana.label, "laptop", last, devices=("laptop", "phone"))
    assert await town.ana.entries()
    await boxes.acknowledge(town.ana.label, "phone", last + 5, devices=("laptop", "phone"))
    assert not await town.ana.entries()
    await submit(town.ben, thread, Side.PROVIDER, sent(town.cobalt, b"again"))
    await settle(town.aurora, town.cobalt)
    assert [entry.cursor for entry in await town.ana.entries()] == [last + 1]


def to_hub(thread: str, seq: int, text: bytes = b"", *, number: int = 0) -> bytes:
    """Return what Ana's node sends to the hub, with an id of its own for each `number`."""
    mid = message_id(number or seq, bytes(10))
    header = EnvelopeHeader(mid=mid, id=mid, thread=thread, side="consumer", kind="message", epoch=1, seq=seq)
    return render_envelope(Envelope(header=header, ciphertext=text))


async def told(town: Town, *items: bytes) -> list[tuple[str, str]]:
    """Return what Ben's node answers to items of Ana's."""

    async def unguarded(_tx: object) -> None:
        """The request's own signature is not the matter here."""

    answer = await town.cobalt.exchanging.inbox.receive(town.aurora.entity, join_batch(list(items)), unguarded)
    return [(one.status, one.code) for one in decode(answer, Outcomes).outcomes]


async def test_an_old_envelope_under_a_new_id_is_not_shown_again(town: Town) -> None:
    thread = (await agreed(town)).thread
    await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"first"))
    await settle(town.aurora, town.cobalt)
    assert await told(town, to_hub(thread, 1, b"first")) == [("refused", "stale")]
    assert len(await shown(town.ben)) == 1


async def test_a_repeat_is_told_from_another_envelope_with_an_old_number(town: Town) -> None:
    thread = (await agreed(town)).thread
    items = [to_hub(thread, seq) for seq in range(1, 65)]
    assert await told(town, *items) == [("stored", "")] * 64
    assert await told(town, *items) == [("duplicate", "")] * 64
    assert await told(town, to_hub(thread, 7, b"another")) == [("refused", "stale")]
    assert await told(town, to_hub(thread, 7, number=500)) == [("refused", "stale")]
    assert await told(town, items[0], to_hub(thread, 65), items[0], items[1]) == [
        ("duplicate", ""),
        ("stored", ""),
        ("refused", "stale"),
        ("duplicate", ""),
    ]
    assert [number for number, _, _ in await shown(town.ben)] == list(range(1, 66))


async def test_envelopes_leave_nothing_behind_that_grows_with_their_number(town: Town) -> None:
    thread = (await agreed(town)).thread
    async with town.cobalt.store.read() as tx:
        before = await tx.count(InboxRow)
    for seq in range(1, 201):
        await told(town, to_hub(thread, seq))
    await town.cobalt.exchanging.mailboxes.acknowledge(town.ben.label, "laptop", 1000, devices=("laptop",))
    await settle(town.cobalt, town.aurora)
    async with town.cobalt.store.read() as tx:
        session = await tx.get(SessionRow, thread, "provider")
        assert (await tx.count(InboxRow), await tx.count(MailboxRow), await tx.count(OutboxRow)) == (before, 0, 0)
    assert session is not None
    assert len(session.recent) == 64 * 8


async def test_a_peer_that_takes_nothing_back_cannot_fill_the_hubs_outbox(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "MAX_WAITING", 5)
    thread = (await agreed(town)).thread
    town.network.down.add(town.aurora.entity)
    items = [to_hub(thread, seq) for seq in range(1, 9)]
    assert await told(town, *items) == [("stored", "")] * 5 + [("later", "limit")] * 3
    async with town.cobalt.store.read() as tx:
        assert await tx.count(OutboxRow) == 5
    town.network.down.clear()
    await settle(town.cobalt, town.aurora)
    assert await told(town, *items) == [("duplicate", "")] * 5 + [("stored", "")] * 3
    assert [number for number, _, _ in await shown(town.ben)] == list(range(1, 9))


async def test_the_echo_of_the_last_close_reaches_every_device_once(town: Town) -> None:
    thread = (await agreed(town)).thread
    for person, side in ((town.ana, Side.CONSUMER), (town.ben, Side.PROVIDER)):
        await submit(person, thread, side, sent(person.node, b"", kind="close"))
    await settle(town.aurora, town.cobalt)
    before = await town.ana.entries()
    header = EnvelopeHeader(
        mid=message_id(3, bytes(10)),
        id=message_id(3, bytes(10)),
        thread=thread,
        side="consumer",
        kind="close",
        epoch=1,
        seq=9,
        number=9,
    )
    item = render_envelope(Envelope(header=header, ciphertext=b""))

    async def unguarded(_tx: object) -> None:
        """The request's own signature is not the matter here."""

    answer = await town.aurora.exchanging.inbox.receive(
        town.cobalt.entity, len(item).to_bytes(4, "big") + item, unguarded
    )
    assert b'"stored"' in answer
    # A second device of Ana's has not read it; what the hub says again under another id tells nothing new.
    assert [parse_envelope(row.data) for row in (await town.ana.entries())[len(before) :]] == [parse_envelope(item)]
    again = replace(header, mid=message_id(4, bytes(10)))
    repeated = render_envelope(Envelope(header=again, ciphertext=b""))
    answer = await town.aurora.exchanging.inbox.receive(
        town.cobalt.entity, len(repeated).to_bytes(4, "big") + repeated, unguarded
    )
    assert b'"duplicate"' in answer
    assert len(await town.ana.entries()) == len(before) + 1


async def test_last_words_to_a_peer_that_is_away_outlive_the_closing(town: Town) -> None:
    thread = (await agreed(town)).thread
    await submit(town.ben, thread, Side.PROVIDER, sent(town.cobalt, b"", kind="close"))
    await settle(town.aurora, town.cobalt)
    town.network.down.add(town.cobalt.entity)
    await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"thank you"))
    await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"", kind="close"))
    for _ in range(5):
        town.clock.advance(3600)
        await town.aurora.exchanging.sweep()
    town.network.down.clear()
    await settle(town.aurora, town.cobalt)
    assert [text for _, _, text in await shown(town.ben)] == [b"", b"thank you", b""]
    town.clock.advance(3601)
    await town.aurora.exchanging.sweep()
    async with town.aurora.store.read() as tx:
        assert await tx.count(SessionRow) == 0


async def test_last_words_that_nobody_takes_end_with_the_session(town: Town) -> None:
    thread = (await agreed(town)).thread
    await submit(town.ben, thread, Side.PROVIDER, sent(town.cobalt, b"", kind="close"))
    await settle(town.aurora, town.cobalt)
    town.network.down.add(town.cobalt.entity)
    await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"", kind="close"))
    for _ in range(20):
        town.clock.advance(DAY_S)
        await town.aurora.exchanging.sweep()
    async with town.aurora.store.read() as tx:
        assert (await tx.count(SessionRow), await tx.count(OutboxRow)) == (0, 0)


# Epochs


async def test_the_hub_takes_the_epoch_before_and_sends_what_is_older_back(town: Town) -> None:
    thread = (await agreed(town)).thread
    for epoch in (1, 2):
        await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"commit", kind="commit", epoch=epoch))
    await settle(town.aurora, town.cobalt)
    await submit(town.ben, thread, Side.PROVIDER, sent(town.cobalt, b"under way", epoch=2))
    stale = sent(town.cobalt, b"too old", epoch=1)
    with pytest.raises(RefusedError) as caught:
        await submit(town.ben, thread, Side.PROVIDER, stale)
    assert caught.value.code == "stale-epoch"
    again = Sent(id=stale.id, kind="message", epoch=3, ciphertext=b"anew")
    await submit(town.ben, thread, Side.PROVIDER, again)
    await settle(town.aurora, town.cobalt)
    assert [text for _, _, text in await shown(town.ana)] == [b"commit", b"commit", b"under way", b"anew"]


async def test_the_other_sides_person_learns_which_message_came_too_late(town: Town) -> None:
    thread = (await agreed(town)).thread
    for epoch in (1, 2):
        await submit(town.ben, thread, Side.PROVIDER, sent(town.cobalt, b"commit", kind="commit", epoch=epoch))
    late = sent(town.aurora, b"too old", epoch=1)
    await submit(town.ana, thread, Side.CONSUMER, late)
    await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"in time", epoch=2))
    await settle(town.aurora, town.cobalt)
    assert [text for _, _, text in await shown(town.ben)] == [b"commit", b"commit", b"in time"]
    notices = [entry.data for entry in await town.ana.entries() if entry.kind == "notice"]
    assert notices == [f"stale-epoch {late.id}".encode()]
    await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"anew", epoch=3))
    await settle(town.aurora, town.cobalt)
    assert (await shown(town.ben))[-1][2] == b"anew"


@pytest.mark.parametrize("epoch", [0, 2, 7, 2**31])
async def test_a_commit_of_another_epoch_than_the_hubs_moves_no_count(town: Town, epoch: int) -> None:
    thread = (await agreed(town)).thread
    await submit(town.ben, thread, Side.PROVIDER, sent(town.cobalt, b"junk", kind="commit", epoch=epoch))
    async with town.cobalt.store.read() as tx:
        session = await tx.get(SessionRow, thread, "provider")
    assert session is not None
    assert session.epoch == 1


async def test_a_welcome_is_never_too_old(town: Town) -> None:
    thread = (await agreed(town)).thread
    for epoch in (1, 2, 3):
        await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"junk", kind="commit", epoch=epoch))
    await settle(town.aurora, town.cobalt)
    await submit(town.ben, thread, Side.PROVIDER, sent(town.cobalt, b"welcome", kind="welcome", epoch=0))
    await settle(town.aurora, town.cobalt)
    assert (await shown(town.ana))[-1][2] == b"welcome"
