"""A handshake between two organizations, from the sealed need to the agreement both signed."""

import pytest

from federation.ports import where
from federation.rows import MessageRow, PlaceRow, SessionRow, SlotRow, ThreadRow
from node.services.answering import Answering
from node.services.consumer import MAX_OPEN, MAX_WITHDRAWN, ConsumerNotes
from node.services.mentor_side import Counter, Decline, ProviderNotes
from protocol.addresses import audience_id
from protocol.agreement import open_agreement
from protocol.bodies import AgreedBody
from protocol.e2ee.agreed import check_agreed, open_agreed
from protocol.e2ee.sealing import open_quote
from protocol.encoding import decode
from protocol.errors import LimitError
from protocol.handshake import State
from protocol.messages import ITEM_BYTES
from protocol.threads import Book

from .conftest import Town
from .people import Mentee, agree, read_brief, waiting_request
from .world import Somebody, TestNode, mentor_profile, settle


async def book(node: TestNode, thread: str, side: str) -> Book:
    """Return one side's book of a thread."""
    async with node.store.read() as tx:
        row = await tx.get(ThreadRow, thread, side)
    assert row is not None
    return decode(row.book, Book)


async def states(town: Town, thread: str) -> tuple[str, str]:
    """Return the states of both sides."""
    ours, theirs = await book(town.aurora, thread, "consumer"), await book(town.cobalt, thread, "provider")
    assert ours.state is not None
    assert theirs.state is not None
    return ours.state.value, theirs.state.value


async def kinds(person: Somebody) -> list[str]:
    """Return the kinds of a person's mailbox entries."""
    return [entry.kind for entry in await person.entries()]


async def requested(town: Town) -> Mentee:
    """Return a request that waits for Ben's answer."""
    mentee = town.mentee()
    await mentee.accept(await mentee.quote())
    await settle(town.aurora, town.cobalt)
    return mentee


async def test_a_sealed_need_becomes_an_agreement_that_both_nodes_signed(town: Town) -> None:
    mentee = await requested(town)
    entry = await waiting_request(town.ben)
    await agree(town.ben, town.aurora, slot=entry.held[0])
    await settle(town.aurora, town.cobalt)

    assert await states(town, mentee.thread) == ("FINALIZED", "FINALIZED")
    async with town.aurora.store.read() as tx:
        ours = await tx.get(ThreadRow, mentee.thread, "consumer")
    async with town.cobalt.store.read() as tx:
        theirs = await tx.get(ThreadRow, mentee.thread, "provider")
    assert ours is not None
    assert theirs is not None
    document = decode(ours.notes, ConsumerNotes).agreement
    assert decode(theirs.notes, ProviderNotes).agreement == document
    agreement = open_agreement(document, town.cobalt.keys.envelope_sign.public, town.aurora.keys.envelope_sign.public)
    assert agreement.slot == entry.held[0]
    assert agreement.attested == "device"


async def test_the_mentees_device_can_check_who_agreed(town: Town) -> None:
    mentee = await requested(town)
    entry = await waiting_request(town.ben)
    await agree(town.ben, town.aurora, slot=entry.held[0])
    await settle(town.aurora, town.cobalt)
    item = next(one.data for one in await town.ana.entries() if mentee.read(one.data).head.type == "agree")
    body = mentee.read(item).as_(AgreedBody)
    assert body.private is not None
    assert mentee.sent is not None
    private = open_agreed(
        body.private, mentee.answer_key, mentee.context, ref=mentee.sent.ref, audience=mentee.audience
    )
    document = decode((await _notes(town, mentee)), ConsumerNotes).agreement
    keys = town.cobalt.keys.envelope_sign.public, town.aurora.keys.envelope_sign.public
    mentor = check_agreed(private.proof, open_agreement(document, *keys), mentee.sent, now=town.clock.now())
    assert mentor.master_key == town.ben.account.master().public
    assert private.welcome == b"welcome"


async def _notes(town: Town, mentee: Mentee) -> bytes:
    async with town.aurora.store.read() as tx:
        row = await tx.get(ThreadRow, mentee.thread, "consumer")
    assert row is not None
    return row.notes


async def test_every_handshake_message_is_equally_long(town: Town) -> None:
    mentee = await requested(town)
    await agree(town.ben, town.aurora, slot=(await waiting_request(town.ben)).held[0])
    await settle(town.aurora, town.cobalt)
    async with town.aurora.store.read() as tx:
        messages = await tx.find(MessageRow, where(thread=mentee.thread))
    assert len(messages) == 6
    assert {len(message.item) for message in messages} == {ITEM_BYTES}


async def test_the_mentor_reads_the_brief_and_neither_node_holds_it(town: Town) -> None:
    await requested(town)
    _, opened = await read_brief(town.ben, town.aurora)
    assert opened.brief.words.prompts[0].startswith("I present to the directors")
    for node in (town.aurora, town.cobalt):
        async with node.store.read() as tx:
            for row in [*await tx.find(MessageRow), *await tx.find(ThreadRow)]:
                assert b"directors" not in repr(row).encode()


async def test_the_agreed_half_hours_stay_taken_and_the_others_are_given_back(town: Town) -> None:
    mentee = await requested(town)
    entry = await waiting_request(town.ben)
    assert len(entry.held) == 2
    await agree(town.ben, town.aurora, slot=entry.held[1])
    await settle(town.aurora, town.cobalt)
    async with town.cobalt.store.read() as tx:
        assert [row.start for row in await tx.find(SlotRow)] == [entry.held[1]]
        assert await tx.count(PlaceRow, where(thread=mentee.thread)) == 1
        assert await tx.count(SessionRow, where(thread=mentee.thread)) == 1


async def test_a_second_acceptance_of_the_only_place_is_refused_at_once(town: Town) -> None:
    first, second = town.mentee(), town.mentee()
    quotes = await first.quote(), await second.quote()
    await first.accept(quotes[0])
    await settle(town.aurora, town.cobalt)
    await second.accept(quotes[1])
    await settle(town.aurora, town.cobalt)
    assert await states(town, first.thread) == ("ACCEPTED", "ACCEPTED")
    assert await states(town, second.thread) == ("TERMINATED", "TERMINATED")
    assert await kinds(town.ben) == ["request"]


async def test_a_quote_names_nobody_when_the_only_mentor_is_busy(town: Town) -> None:
    await requested(town)
    assert await town.mentee().refusal() == "no-capacity"


async def test_a_decline_gives_the_place_back(town: Town) -> None:
    mentee = await requested(town)
    answering: Answering = town.cobalt.exchanging.answering
    await answering.answer(town.ben.label, mentee.thread, Decline(reason="no-time"))
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("DECLINED", "DECLINED")
    async with town.cobalt.store.read() as tx:
        assert await tx.count(PlaceRow) == 0
        assert await tx.count(SlotRow) == 0
    assert await kinds(town.ana) == ["message"]
    assert (await town.mentee().quote()).candidates


async def test_a_counter_offers_other_times_and_the_brief_stays(town: Town) -> None:
    mentee = town.mentee()
    quote = await mentee.quote()
    body = mentee.accepted(quote)
    await town.aurora.exchanging.consumer.accept(town.ana.label, mentee.thread, body)
    await settle(town.aurora, town.cobalt)
    other = quote.candidates[0].slots[3:5]
    await town.cobalt.exchanging.answering.answer(town.ben.label, mentee.thread, Counter(slots=other))
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("OFFERED", "OFFERED")
    message = mentee.read((await town.ana.entries())[-1].data)
    again = open_quote(message.body.quote, mentee.reply_key, mentee.context)  # type: ignore[union-attr]
    assert again.candidates[0].slots == other
    await mentee.accept(again)
    await settle(town.aurora, town.cobalt)
    assert (await waiting_request(town.ben)).held == other
    assert await states(town, mentee.thread) == ("ACCEPTED", "ACCEPTED")


async def test_a_cancel_that_crosses_an_agreement_wins(town: Town) -> None:
    mentee = await requested(town)
    town.network.down.add(town.aurora.entity)
    await agree(town.ben, town.aurora, slot=(await waiting_request(town.ben)).held[0])
    await town.aurora.exchanging.consumer.cancel(town.ana.label, mentee.thread, "not-needed")
    town.network.down.clear()
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("CANCELLED", "CANCELLED")
    async with town.cobalt.store.read() as tx:
        assert await tx.count(PlaceRow) == 0


async def test_a_cancel_after_the_agreement_calls_off_the_session_on_both_sides(town: Town) -> None:
    mentee = await requested(town)
    await agree(town.ben, town.aurora, slot=(await waiting_request(town.ben)).held[0])
    await settle(town.aurora, town.cobalt)
    await town.aurora.exchanging.consumer.cancel(town.ana.label, mentee.thread, "cannot-make-it")
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("FINALIZED", "FINALIZED")
    for node, side in ((town.aurora, "consumer"), (town.cobalt, "provider")):
        async with node.store.read() as tx:
            session = await tx.get(SessionRow, mentee.thread, side)
        assert session is not None
        assert session.state == "CANCELLED"
    assert (await town.mentee().quote()).candidates


async def test_nobody_answering_expires_the_request_and_frees_the_mentor(town: Town) -> None:
    mentee = await requested(town)
    town.clock.advance(3 * 86_400)
    await town.cobalt.exchanging.sweep()
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("EXPIRED", "EXPIRED")
    assert (await town.mentee().quote()).candidates


async def test_a_provider_that_went_silent_is_left_after_the_deadline(town: Town) -> None:
    mentee = await requested(town)
    town.network.down.add(town.cobalt.entity)
    town.clock.advance(4 * 86_400)
    await town.aurora.exchanging.sweep()
    assert (await book(town.aurora, mentee.thread, "consumer")).state is not None
    assert (await kinds(town.ana))[-1] == "notice"
    town.network.down.clear()
    await town.cobalt.exchanging.sweep()
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("CANCELLED", "CANCELLED")


async def test_an_unanswered_quote_is_forgotten(town: Town) -> None:
    mentee = town.mentee()
    await mentee.quote()
    town.clock.advance(901)
    await town.aurora.exchanging.sweep()
    async with town.aurora.store.read() as tx:
        assert await tx.get(ThreadRow, mentee.thread, "consumer") is None


async def test_a_peer_that_is_down_gives_no_quote_and_leaves_nothing_behind(town: Town) -> None:
    town.network.down.add(town.cobalt.entity)
    mentee = town.mentee()
    assert await mentee.refusal() == "peer-down"
    async with town.aurora.store.read() as tx:
        assert await tx.count(ThreadRow) == 0
        assert await tx.count(MessageRow) == 0


async def test_the_same_company_matches_by_the_same_messages(town: Town) -> None:
    alone = audience_id(town.cobalt.entity)
    cleo = await town.cobalt.add_person("cleo", audiences=(alone,))
    dora = await town.cobalt.add_person("dora", audiences=(alone,), profile=mentor_profile())
    mentee = Mentee(cleo, town.cobalt, town.offer)
    mentee.audience = alone
    quote = await mentee.quote()
    await mentee.accept(quote)
    await settle(town.cobalt)
    await agree(dora, town.cobalt, slot=(await waiting_request(dora)).held[0])
    await settle(town.cobalt)
    ours = await book(town.cobalt, mentee.thread, "consumer")
    theirs = await book(town.cobalt, mentee.thread, "provider")
    assert ours.state is State.FINALIZED
    assert theirs.state is State.FINALIZED
    assert not town.network.delivered


@pytest.mark.slow
async def test_what_has_ended_does_not_count_as_open(town: Town) -> None:
    for _ in range(MAX_OPEN):
        mentee = town.mentee()
        await mentee.accept(await mentee.quote())
        await town.aurora.exchanging.consumer.cancel(town.ana.label, mentee.thread, "not-needed")
        await settle(town.aurora, town.cobalt)
    for _ in range(MAX_OPEN):
        assert (await town.mentee().quote()).candidates
    with pytest.raises(LimitError, match="open requests"):
        await town.mentee().quote()


@pytest.mark.slow
async def test_nobody_disturbs_mentors_by_withdrawing_without_end(town: Town) -> None:
    """Inside one company no quota stands between people."""
    consumer = town.aurora.exchanging.consumer
    for _ in range(MAX_WITHDRAWN):
        mentee = town.mentee()
        await mentee.accept(await mentee.quote())
        await consumer.cancel(town.ana.label, mentee.thread, "not-needed")
        await settle(town.aurora, town.cobalt)
    mentee = town.mentee()
    quote = await mentee.quote()
    with pytest.raises(LimitError, match="withdrawn"):
        await mentee.accept(quote)


async def test_a_peer_that_was_blocked_is_sent_nothing_until_it_is_not(town: Town) -> None:
    mentee = town.mentee()
    await mentee.accept(await mentee.quote())
    town.aurora.meet(town.cobalt, mode="blocked")
    before = len(town.network.delivered)
    await settle(town.aurora, town.cobalt)
    assert len(town.network.delivered) == before
    town.aurora.meet(town.cobalt)
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("ACCEPTED", "ACCEPTED")
