"""A mentee's node that accepts what was never offered, calls off without end, or cancels in the wrong moment."""

import pytest
from msgspec.structs import replace

from federation.ports import where
from federation.rows import (
    AnswerLinkRow,
    CandidateRow,
    MailboxRow,
    MessageRow,
    OutboxRow,
    PlaceRow,
    QuotaRow,
    SessionRow,
    SlotRow,
    ThreadRow,
)
from node.rows import MailRow
from node.services.mentor_side import Agree, Counter, Decline, ProviderNotes, RequestEntry
from node.services.notices import Cancelled, decode_notice
from protocol.addresses import audience_id
from protocol.bodies import AcceptedBody, CancelledBody, Choice
from protocol.devices import sealing_key_hash
from protocol.e2ee.sealing import open_quote, seal_choice
from protocol.encoding import decode, encode, unb64
from protocol.errors import ConflictError, MissingError, RefusedError
from protocol.handshake import Side
from protocol.ids import message_id
from protocol.messages import MessageHead, body_hash, sign_message
from protocol.threads import MAX_MESSAGES, Book

from .conftest import Town
from .people import Mentee, agree, waiting_request
from .test_agreement import kinds, requested, states
from .test_delivery import deliver
from .world import START, mentor_profile, settle

DAY_S = 86_400


def chosen(mentee: Mentee, body: AcceptedBody, choice: Choice) -> AcceptedBody:
    """Return an acceptance with another choice than the person's."""
    sealed = seal_choice(choice, mentee.provider.keys.envelope_seal.public, mentee.context)
    return replace(body, choice=sealed)


async def accept(town: Town, mentee: Mentee, body: AcceptedBody) -> None:
    """Send an acceptance as it is."""
    await town.aurora.exchanging.consumer.accept(town.ana.label, mentee.thread, body)
    await settle(town.aurora, town.cobalt)


async def refused_because(town: Town, mentee: Mentee) -> str:
    """Return why Cobalt refused the acceptance."""
    message = mentee.read([one.data for one in await town.ana.entries() if one.kind == "message"][-1])
    assert message.head.type == "refuse"
    assert await states(town, mentee.thread) == ("TERMINATED", "TERMINATED")
    async with town.cobalt.store.read() as tx:
        assert await tx.count(PlaceRow) == 0
        assert await tx.count(SlotRow) == 0
        assert await tx.count(CandidateRow, where(thread=mentee.thread)) == 0
    return message.body.reason  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change",
    [
        {"length": 60},
        {"format": "text", "slots": ()},
        {"format": "in-person"},
        {"slots": ()},
        {"slots": (START + 30 * DAY_S,)},
        {"ref": "A" * 22},
    ],
    ids=str,
)
async def test_an_acceptance_of_what_was_not_quoted_is_refused_neutrally(town: Town, change: dict[str, object]) -> None:
    mentee = town.mentee()
    quote = await mentee.quote()
    candidate = quote.candidates[0]
    asked = Choice(ref=candidate.ref, slots=candidate.slots[:1], format="call", length=30)
    await accept(town, mentee, chosen(mentee, mentee.accepted(quote), replace(asked, **change)))
    assert await refused_because(town, mentee) == "unavailable"
    assert await kinds(town.ben) == []


async def test_a_brief_for_a_key_of_another_quote_never_reaches_the_mentor(town: Town) -> None:
    """Its opening would show that one person stands behind both quotes, perhaps in two audiences."""
    mentee = town.mentee()
    body = mentee.accepted(await mentee.quote())
    other = replace(body.brief.wrapped[0], key=sealing_key_hash(mentee.reply_key.public))
    await accept(town, mentee, replace(body, brief=replace(body.brief, wrapped=(body.brief.wrapped[0], other))))
    assert await refused_because(town, mentee) == "unavailable"
    assert await kinds(town.ben) == []


async def test_a_time_named_twice_is_refused(town: Town) -> None:
    mentee = town.mentee()
    quote = await mentee.quote()
    slot = quote.candidates[0].slots[0]
    await accept(town, mentee, mentee.accepted(quote, slots=(slot, slot)))
    assert await refused_because(town, mentee) == "unavailable"


async def test_a_candidate_of_another_thread_cannot_be_chosen(town: Town) -> None:
    first, second = town.mentee(), town.mentee()
    quotes = await first.quote(), await second.quote()
    candidate = quotes[0].candidates[0]
    choice = Choice(ref=candidate.ref, slots=candidate.slots[:1], format="call", length=30)
    await accept(town, second, chosen(second, second.accepted(quotes[1]), choice))
    assert await refused_because(town, second) == "unavailable"


async def test_times_that_have_passed_are_not_held(town: Town) -> None:
    mentee = town.mentee()
    quote = await mentee.quote()
    early, later = quote.candidates[0].slots[:2]
    town.clock.advance(early - town.clock.now() - 60)
    mentee = town.mentee()
    quote = await mentee.quote()
    assert quote.candidates[0].slots[0] == early
    town.clock.advance(60)
    await accept(town, mentee, mentee.accepted(quote, slots=(early, later)))
    assert (await waiting_request(town.ben)).held == (later,)


async def test_only_who_was_chosen_is_remembered_as_long_as_the_answer_may_take(town: Town) -> None:
    await town.cobalt.add_person("dora", audiences=(town.mentee().audience,), profile=mentor_profile())
    mentee = town.mentee()
    quote = await mentee.quote()
    assert len(quote.candidates) == 2
    await mentee.accept(quote, which=1)
    await settle(town.aurora, town.cobalt)
    async with town.cobalt.store.read() as tx:
        (kept,) = await tx.find(CandidateRow)
        row = await tx.get(ThreadRow, mentee.thread, "provider")
    assert row is not None
    assert row.deadline is not None
    assert (kept.ref, kept.purge_at) == (quote.candidates[1].ref, row.deadline + DAY_S)


async def test_a_mentor_may_propose_other_times_until_the_deadline(town: Town) -> None:
    mentee = await requested(town)
    entry = await waiting_request(town.ben)
    town.clock.advance(entry.deadline - town.clock.now() - 60)
    await town.cobalt.exchanging.sweep()
    other = (entry.held[0] + 7 * DAY_S,)
    await town.cobalt.exchanging.answering.answer(town.ben.label, mentee.thread, Counter(slots=other))
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("OFFERED", "OFFERED")


async def cancel_again(town: Town, mentee: Mentee) -> str:
    """Let Aurora's node say the same cancel once more, signed and in order; return the outcome's status."""
    async with town.aurora.store.read() as tx:
        said = await tx.find(MessageRow, where(thread=mentee.thread, side="consumer", sender="consumer"), order="seq")
        heard = await tx.find(MessageRow, where(thread=mentee.thread, side="consumer", sender="provider"), order="seq")
    body = CancelledBody(reason="not-needed")
    head = MessageHead(
        mid=message_id(town.clock.now_ms(), town.aurora.entropy.take(10)),
        aud=town.cobalt.entity,
        thread=mentee.thread,
        side="consumer",
        seq=said[-1].seq + 1,
        prev=said[-1].hash,
        seen=heard[-1].hash,
        deadline=town.clock.now(),
        type="cancel",
        body_hash=body_hash(body),
    )
    message = sign_message(head, body, town.aurora.keys.envelope_sign)
    async with town.aurora.store.write() as tx:
        await tx.insert(replace(said[-1], seq=head.seq, mid=head.mid, hash=message.hash, item=message.item))
    (outcome,) = await deliver(town, message.item)
    return outcome.status


async def test_a_session_called_off_again_and_again_is_told_once(town: Town) -> None:
    mentee = await requested(town)
    await agree(town.ben, town.aurora, slot=(await waiting_request(town.ben)).held[0])
    await settle(town.aurora, town.cobalt)
    statuses = [await cancel_again(town, mentee) for _ in range(MAX_MESSAGES)]
    assert "refused" in statuses, "a thread takes no messages without end"
    async with town.cobalt.store.read() as tx:
        mails = [decode_notice(row.notice) for row in await tx.find(MailRow, where(member=town.ben.member))]
    assert sum(isinstance(one, Cancelled) for one in mails) == 1
    assert (await kinds(town.ben)).count("message") == 2, "VERIFIED and one cancel"


async def test_calling_off_twice_is_once(town: Town) -> None:
    mentee = await requested(town)
    await agree(town.ben, town.aurora, slot=(await waiting_request(town.ben)).held[0])
    await settle(town.aurora, town.cobalt)
    for _ in range(40):
        await town.aurora.exchanging.consumer.cancel(town.ana.label, mentee.thread, "not-needed")
        await town.cobalt.exchanging.answering.cancel(town.ben.label, mentee.thread, "conflict")
    await settle(town.aurora, town.cobalt)
    async with town.cobalt.store.read() as tx:
        row = await tx.get(ThreadRow, mentee.thread, "provider")
    assert row is not None
    assert (len(decode(row.book, Book).said), len(decode(row.book, Book).heard)) == (4, 4)


async def test_a_cancel_that_crosses_the_agreement_leaves_no_session(town: Town) -> None:
    mentee = await requested(town)
    town.network.down.add(town.aurora.entity)
    await agree(town.ben, town.aurora, slot=(await waiting_request(town.ben)).held[0])
    await town.aurora.exchanging.consumer.cancel(town.ana.label, mentee.thread, "not-needed")
    town.network.down.clear()
    await settle(town.aurora, town.cobalt)
    async with town.cobalt.store.read() as tx:
        session = await tx.get(SessionRow, mentee.thread, "provider")
    assert session is not None
    assert session.state == "CANCELLED"
    assert await town.cobalt.exchanging.views.one(town.ben.label, mentee.thread, "provider") is not None


async def test_an_accepted_counter_counts_as_one_request(town: Town) -> None:
    mentee = town.mentee()
    quote = await mentee.quote()
    await mentee.accept(quote)
    await settle(town.aurora, town.cobalt)
    other = quote.candidates[0].slots[3:5]
    await town.cobalt.exchanging.answering.answer(town.ben.label, mentee.thread, Counter(slots=other))
    await settle(town.aurora, town.cobalt)
    body = mentee.read((await town.ana.entries())[-1].data).body

    await mentee.accept(open_quote(body.quote, mentee.reply_key, mentee.context))  # type: ignore[union-attr]
    await settle(town.aurora, town.cobalt)
    async with town.cobalt.store.read() as tx:
        (quota,) = await tx.find(QuotaRow)
    assert (quota.quoted, quota.accepted) == (1, 1)


# What the mentor may say


@pytest.mark.parametrize(
    ("shift", "message"),
    [(900, "half hours"), (-30 * DAY_S, "half hours"), (61 * DAY_S, "half hours")],
    ids=["off the grid", "past", "far"],
)
async def test_other_times_that_nobody_can_keep_are_refused(town: Town, shift: int, message: str) -> None:
    mentee = await requested(town)
    slot = (await waiting_request(town.ben)).held[0] + shift
    with pytest.raises(RefusedError, match=message):
        await town.cobalt.exchanging.answering.answer(town.ben.label, mentee.thread, Counter(slots=(slot,)))
    assert await states(town, mentee.thread) == ("ACCEPTED", "ACCEPTED")


@pytest.mark.parametrize("slots", [(), (START + DAY_S, START + DAY_S), (START + 2 * DAY_S, START + DAY_S)])
async def test_other_times_are_each_once_and_in_order(town: Town, slots: tuple[int, ...]) -> None:
    mentee = await requested(town)
    with pytest.raises(RefusedError, match="earliest first"):
        await town.cobalt.exchanging.answering.answer(town.ben.label, mentee.thread, Counter(slots=slots))


@pytest.mark.parametrize("slot", [0, START + 40 * DAY_S, None])
async def test_a_time_that_was_not_asked_for_is_not_agreed(town: Town, slot: int | None) -> None:
    mentee = await requested(town)
    with pytest.raises(RefusedError, match="never asked"):
        await town.cobalt.exchanging.answering.answer(town.ben.label, mentee.thread, Agree(slot=slot))


async def test_a_time_that_has_passed_is_not_agreed(town: Town) -> None:
    mentee = await requested(town)
    slot = (await waiting_request(town.ben)).held[0]
    town.clock.advance(slot - town.clock.now())
    with pytest.raises(RefusedError, match="passed"):
        await town.cobalt.exchanging.answering.answer(town.ben.label, mentee.thread, Agree(slot=slot))
    assert await states(town, mentee.thread) == ("ACCEPTED", "ACCEPTED")


async def test_a_time_that_another_thread_holds_is_not_agreed(town: Town) -> None:
    mentee = town.mentee()
    quote = await mentee.quote()
    first, second = quote.candidates[0].slots[:2]
    async with town.cobalt.store.write() as tx:
        await tx.insert(SlotRow(label=town.ben.label, start=second, thread="other"))
    await mentee.accept(quote, slots=(first, second))
    await settle(town.aurora, town.cobalt)
    assert (await waiting_request(town.ben)).held == (first,)
    with pytest.raises(ConflictError, match="this time is taken"):
        await town.cobalt.exchanging.answering.answer(town.ben.label, mentee.thread, Agree(slot=second))


async def test_an_answer_from_a_device_uses_up_the_mailed_links(town: Town) -> None:

    mentee = await requested(town)
    await town.cobalt.exchanging.answering.answer(town.ben.label, mentee.thread, Decline(reason="no-time"))
    async with town.cobalt.store.read() as tx:
        assert await tx.count(AnswerLinkRow) == 0


async def test_the_place_of_an_agreed_session_is_kept_until_its_end(town: Town) -> None:
    mentee = await requested(town)
    slot = (await waiting_request(town.ben)).held[0]
    await agree(town.ben, town.aurora, slot=slot)
    async with town.cobalt.store.read() as tx:
        place = await tx.get(PlaceRow, mentee.thread)
        row = await tx.get(ThreadRow, mentee.thread, "provider")
        outbox = await tx.count(OutboxRow)
    assert place is not None
    assert place.free_at == slot + 1800
    assert row is not None
    assert decode(row.notes, ProviderNotes).agreement
    assert outbox == 1


async def test_one_thread_that_cannot_move_on_does_not_stop_the_clock_of_the_others(town: Town) -> None:
    """The first to expire is broken: its book is full, so that it can say nothing any more."""
    await requested(town)
    async with town.cobalt.store.write() as tx:
        (row,) = await tx.find(ThreadRow)
        full = replace(decode(row.book, Book), thread="B" * 21 + "A", said=("A" * 43,) * MAX_MESSAGES)

        await tx.insert(
            replace(row, thread="B" * 21 + "A", book=encode(full), deadline=(row.deadline or 0) - 1, label="")
        )
    town.clock.advance(5 * DAY_S)
    await town.cobalt.exchanging.sweep()
    async with town.cobalt.store.read() as tx:
        assert sorted(one.state for one in await tx.find(ThreadRow)) == ["EXPIRED", "TERMINATED"]


async def test_sides_of_an_internal_match_are_not_mixed_up(town: Town) -> None:

    alone = audience_id(town.cobalt.entity)
    cleo = await town.cobalt.add_person("cleo", audiences=(alone,))
    await town.cobalt.add_person("dora", audiences=(alone,), profile=mentor_profile())
    mentee = Mentee(cleo, town.cobalt, town.offer)
    mentee.audience = alone
    await mentee.accept(await mentee.quote())
    await settle(town.cobalt)
    answering, consumer = town.cobalt.exchanging.answering, town.cobalt.exchanging.consumer

    with pytest.raises(MissingError):
        await answering.answer(cleo.label, mentee.thread, Agree(slot=None))
    with pytest.raises(MissingError):
        await answering.cancel(cleo.label, mentee.thread, "conflict")
    async with town.cobalt.store.read() as tx:
        row = await tx.get(ThreadRow, mentee.thread, Side.PROVIDER.value)
    assert row is not None
    with pytest.raises(MissingError):
        await consumer.cancel(row.label, mentee.thread, "conflict")
    assert unb64((await mentor_request(town, row.label)).item)


async def mentor_request(town: Town, label: str) -> RequestEntry:
    """Return the request in a mailbox."""
    async with town.cobalt.store.read() as tx:
        (entry,) = await tx.find(MailboxRow, where(label=label))
    return decode(entry.data, RequestEntry)
