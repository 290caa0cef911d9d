"""Requests that a mentee's node sends by itself while the person is away, and how long it waits for anybody."""

import asyncio
from contextlib import suppress

import pytest
from msgspec.structs import replace

from federation.ports import where
from federation.rows import MessageRow, OutboxRow, SessionRow, ThreadRow
from node.rows import MailRow
from node.services.consumer import MAX_KEPT, Ask, ConsumerNotes
from node.services.mentor_side import Counter, Decline
from node.services.notices import RequestEnded, decode_notice
from node.services.threads import LONGEST_ANSWER_S
from protocol.agreement import open_proposed, propose
from protocol.bodies import AgreedBody
from protocol.encoding import decode, encode
from protocol.errors import LimitError
from protocol.handshake import IllegalStepError
from protocol.ids import message_id, random_id
from protocol.messages import (
    ITEM_BYTES,
    Message,
    MessageHead,
    Outcome,
    Outcomes,
    body_hash,
    open_receipt,
    parse_item,
    sign_message,
    sign_receipt,
)
from tests.fakes.memory_store import MemoryStore

from .conftest import Town
from .people import Mentee, agree, waiting_request
from .test_agreement import kinds, requested, states
from .test_delivery import deliver
from .world import START, TestNode, mentor_profile, settle

DAY_S = 86_400


async def thread(node: TestNode, one: str, side: str = "consumer") -> ThreadRow | None:
    """Return one side of a thread."""
    async with node.store.read() as tx:
        return await tx.get(ThreadRow, one, side)


async def notes(town: Town, one: str) -> ConsumerNotes:
    """Return what Aurora keeps beside the book of a thread."""
    row = await thread(town.aurora, one)
    assert row is not None
    return decode(row.notes, ConsumerNotes)


async def declined(town: Town, *backups: Ask) -> Mentee:
    """Return a request that Ben declined, sent with backups; Ben has room again."""
    mentee = town.mentee()
    body = mentee.accepted(await mentee.quote())
    await town.aurora.exchanging.consumer.accept(town.ana.label, mentee.thread, body, backups)
    await settle(town.aurora, town.cobalt)
    await town.cobalt.exchanging.answering.answer(town.ben.label, mentee.thread, Decline(reason="no-time"))
    await settle(town.aurora, town.cobalt)
    return mentee


async def test_a_decline_sends_the_next_request_and_its_quote_waits(town: Town) -> None:
    first, second = town.mentee(), town.mentee()
    failed = await declined(town, first.ask(), second.ask())
    await town.aurora.exchanging.sweep()
    entry = (await town.ana.entries())[-1]
    assert (entry.kind, entry.thread) == ("quote", first.thread)
    assert first.read(entry.data).head.type == "offer"
    assert (await notes(town, failed.thread)).backups == ()
    assert len((await notes(town, first.thread)).backups) == 1
    assert await thread(town.aurora, second.thread) is None, "one quote at a time waits for the person"


async def test_the_mail_says_that_it_goes_on(town: Town) -> None:
    await declined(town, town.mentee().ask())
    async with town.aurora.store.read() as tx:
        (mail,) = [decode_notice(row.notice) for row in await tx.find(MailRow)]
    assert mail == RequestEnded(outcome="declined", goes_on=True)


async def test_a_restart_loses_no_backup(town: Town) -> None:
    backup = town.mentee()
    await declined(town, backup.ask())
    aurora = TestNode("aurora", town.network, town.vocabulary, town.clock, town.aurora.store, 1)
    aurora.meet(town.cobalt)
    await aurora.exchanging.sweep()
    assert (await kinds(town.ana))[-1] == "quote"


async def test_a_crash_before_the_answer_goes_on_with_the_next(town: Town) -> None:
    lost, backup = town.mentee(), town.mentee()
    await declined(town, lost.ask(), backup.ask())
    await town.aurora.exchanging.consumer.sweep()
    row = await thread(town.aurora, lost.thread)
    assert row is not None
    assert row.state == "REQUESTED"
    aurora = TestNode("aurora", town.network, town.vocabulary, town.clock, town.aurora.store, 1)
    aurora.meet(town.cobalt)
    town.clock.advance(901)
    await aurora.exchanging.sweep()
    assert await thread(town.aurora, lost.thread) is None
    entry = (await town.ana.entries())[-1]
    assert (entry.kind, entry.thread) == ("quote", backup.thread)


async def test_a_refused_backup_is_passed_over(town: Town) -> None:
    nobody = Mentee(town.ana, town.cobalt, town.offer, replace(town.mentee().need, length=60))
    backup = town.mentee()
    await declined(town, nobody.ask(), backup.ask())
    for _ in range(2):
        await town.aurora.exchanging.sweep()
    entries = [(entry.kind, entry.thread) for entry in await town.ana.entries()]
    assert entries[-1] == ("quote", backup.thread)
    assert ("quote", nobody.thread) not in entries


async def test_a_backup_whose_peer_is_away_is_passed_over(town: Town) -> None:
    birch = TestNode("birch", town.network, town.vocabulary, town.clock, MemoryStore(), 3)
    town.aurora.meet(birch)
    town.network.down.add(birch.entity)
    away = Mentee(town.ana, birch, town.offer)
    backup = town.mentee()
    await declined(town, away.ask(), backup.ask())
    for _ in range(2):
        await town.aurora.exchanging.sweep()
    assert (await town.ana.entries())[-1].thread == backup.thread


@pytest.mark.parametrize("bad", ["used id", "unknown peer"])
async def test_a_backup_that_cannot_be_asked_stops_nothing(town: Town, bad: str) -> None:
    used = town.mentee()
    await used.quote()
    ask = used.ask() if bad == "used id" else replace(town.mentee().ask(), peer="https://dune.example")
    backup = town.mentee()
    await declined(town, ask, backup.ask())
    await town.aurora.exchanging.sweep()
    assert (await town.ana.entries())[-1].thread == backup.thread


async def test_a_device_that_is_there_chooses_by_itself(town: Town) -> None:
    watching = asyncio.create_task(town.aurora.exchanging.mailboxes.wait(town.ana.label, 1000, 60))
    await town.clock.until_sleeping()
    backup = town.mentee()
    await declined(town, backup.ask())
    await town.aurora.exchanging.sweep()
    assert await thread(town.aurora, backup.thread) is None
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


async def test_late_words_send_no_backup_twice(town: Town) -> None:
    first, second = town.mentee(), town.mentee()
    failed = await declined(town, first.ask(), second.ask())
    await town.aurora.exchanging.sweep()
    before, told = await kinds(town.ana), await mails(town)
    for _ in range(3):
        outcome = await provider_says(town, failed, "decline")
        assert outcome.status == "stored"
        await town.aurora.exchanging.sweep()
    assert (await kinds(town.ana), await mails(town)) == (before, told)
    assert await thread(town.aurora, second.thread) is None


async def mails(town: Town) -> int:
    """Return how many mails wait at Aurora."""
    async with town.aurora.store.read() as tx:
        return await tx.count(MailRow)


async def test_a_cancel_that_never_arrives_tells_the_person_nothing_new(town: Town) -> None:
    mentee, backup = town.mentee(), town.mentee()
    body = mentee.accepted(await mentee.quote())
    consumer = town.aurora.exchanging.consumer
    await consumer.accept(town.ana.label, mentee.thread, body, (backup.ask(),))
    await settle(town.aurora, town.cobalt)
    await consumer.cancel(town.ana.label, mentee.thread, "not-needed")
    town.network.down.add(town.cobalt.entity)
    town.clock.advance(15 * DAY_S)
    await settle(town.aurora)
    await town.aurora.exchanging.sweep()
    assert await kinds(town.ana) == []
    assert await thread(town.aurora, backup.thread) is None


async def provider_says(town: Town, mentee: Mentee, verb: str, **changes: object) -> Outcome:
    """Let Cobalt's node say something in its next place, whatever its own table says about it."""
    message = await forged(town, mentee, verb, **changes)
    (outcome,) = await deliver(town, message.item, sender=town.cobalt, to=town.aurora)
    return outcome


async def forged(town: Town, mentee: Mentee, verb: str, **changes: object) -> Message:
    """Return a provider's message with the body of the last one it sent, in its next place."""
    async with town.aurora.store.read() as tx:
        mine = where(thread=mentee.thread, side="consumer")
        said = await tx.find(MessageRow, mine, where(sender="provider"), order="seq")
        heard = await tx.find(MessageRow, mine, where(sender="consumer"), order="seq")
    last = mentee.read(said[-1].item)
    body = changes.pop("body", last.body)
    head = MessageHead(
        mid=message_id(town.clock.now_ms(), town.cobalt.entropy.take(10)),
        aud=town.aurora.entity,
        thread=mentee.thread,
        side="provider",
        seq=said[-1].seq + 1,
        prev=said[-1].hash,
        seen=heard[-1].hash,
        deadline=town.clock.now(),
        type=verb,  # type: ignore[arg-type]
        body_hash=body_hash(body),  # type: ignore[arg-type]
    )
    return sign_message(replace(head, **changes), body, town.cobalt.keys.envelope_sign)  # type: ignore[arg-type]


# How long anybody waits


@pytest.mark.parametrize("named", [None, 253_402_300_799], ids=["no deadline", "the year 9999"])
async def test_a_provider_cannot_make_a_mentee_wait_for_ever(town: Town, named: int | None) -> None:
    mentee = town.mentee()
    await mentee.accept(await mentee.quote())
    key = town.cobalt.keys.envelope_sign

    def tamper(answer: bytes) -> bytes:
        (outcome,) = decode(answer, Outcomes).outcomes
        receipt = replace(open_receipt(outcome.receipt, key.public), deadline=named)
        return encode(Outcomes(outcomes=(replace(outcome, receipt=sign_receipt(receipt, key)),)))

    town.network.tamper = tamper
    await settle(town.aurora)
    town.network.tamper = None
    town.network.down.add(town.cobalt.entity)
    town.clock.advance(LONGEST_ANSWER_S + 601)
    await town.aurora.exchanging.sweep()
    after = await thread(town.aurora, mentee.thread)
    assert after is not None
    assert after.state == "CANCELLED"
    assert (await kinds(town.ana))[-1] == "notice"


async def test_a_receipt_that_does_not_verify_is_reported_and_changes_nothing(town: Town) -> None:
    mentee = town.mentee()
    await mentee.accept(await mentee.quote())
    before = await thread(town.aurora, mentee.thread)
    town.network.tamper = lambda answer: encode(
        Outcomes(outcomes=(replace(decode(answer, Outcomes).outcomes[0], receipt="x"),))
    )
    await settle(town.aurora)
    assert await thread(town.aurora, mentee.thread) == before
    async with town.aurora.store.read() as tx:
        assert await tx.count(OutboxRow) == 0
    assert town.aurora.metrics.registry.get_sample_value("mentormesh_events_total", {"event": "receipt-refused"}) == 1


async def test_a_counter_waits_for_the_mentee_no_longer_than_is_sane(town: Town) -> None:
    mentee = await requested(town)
    slot = (await waiting_request(town.ben)).held[0] + 7 * DAY_S
    town.network.down.add(town.aurora.entity)
    await town.cobalt.exchanging.answering.answer(town.ben.label, mentee.thread, Counter(slots=(slot,)))
    town.network.down.clear()
    async with town.cobalt.store.read() as tx:
        (row,) = await tx.find(OutboxRow)
    counter = mentee.read(row.item)
    outcome = await provider_says(town, mentee, "counter", body=counter.body, deadline=253_402_300_799)
    assert outcome.status == "stored"
    waiting = await thread(town.aurora, mentee.thread)
    assert waiting is not None
    assert waiting.deadline == town.clock.now() + LONGEST_ANSWER_S


@pytest.mark.parametrize("slot", [253_402_300_799, START + 61 * DAY_S, START - 15 * DAY_S])
async def test_an_agreement_on_an_impossible_time_is_refused(town: Town, slot: int) -> None:
    mentee = await requested(town)
    town.network.down.add(town.aurora.entity)
    await agree(town.ben, town.aurora, slot=(await waiting_request(town.ben)).held[0])
    town.network.down.clear()
    async with town.cobalt.store.read() as tx:
        (row,) = await tx.find(OutboxRow)
    body = mentee.read(row.item).as_(AgreedBody)
    key = town.cobalt.keys.envelope_sign
    changed = replace(open_proposed(body.agreement, key.public), slot=slot)
    outcome = await provider_says(town, mentee, "agree", body=replace(body, agreement=propose(changed, key)))
    assert (outcome.status, outcome.code) == ("refused", "wrong-agreement")
    async with town.aurora.store.read() as tx:
        assert await tx.count(SessionRow) == 0
    assert (await states(town, mentee.thread))[0] == "ACCEPTED"


# What a device may do twice, and how often


async def test_a_device_that_missed_the_answer_may_accept_again(town: Town) -> None:
    mentee = town.mentee()
    quote = await mentee.quote()
    body = mentee.accepted(quote)
    accept = town.aurora.exchanging.consumer.accept
    first = await accept(town.ana.label, mentee.thread, body)
    assert await accept(town.ana.label, mentee.thread, body) == first
    with pytest.raises(IllegalStepError):
        await accept(town.ana.label, mentee.thread, mentee.accepted(quote))
    async with town.aurora.store.read() as tx:
        assert await tx.count(OutboxRow) == 1


async def test_one_person_cannot_fill_the_disk_with_requests(town: Town) -> None:
    mentee = await requested(town)
    async with town.aurora.store.write() as tx:
        row = await tx.get(ThreadRow, mentee.thread, "consumer")
        assert row is not None
        ended = replace(row, state="CANCELLED", notes=encode(ConsumerNotes()))
        await tx.put(*(replace(ended, thread=random_id(number.to_bytes(16))) for number in range(MAX_KEPT - 1)))
    with pytest.raises(LimitError, match="requests in 30 days"):
        await town.mentee().quote()


async def test_a_quote_that_comes_when_nobody_waits_any_more_fails_alone(town: Town) -> None:
    """The request lapses while the answer is on its way."""
    await town.cobalt.add_person("dora", audiences=(town.mentee().audience,), profile=mentor_profile())
    slow, quick = town.mentee(), town.mentee()

    async def lapse(body: bytes) -> None:
        if len(body) == ITEM_BYTES and parse_item(body).claimed.thread == slow.thread:
            async with town.aurora.store.write() as tx:
                row = await tx.get(ThreadRow, slow.thread, "consumer")
                assert row is not None
                await town.aurora.exchanging.desk.forget(tx, row)

    town.network.before = lapse
    results = await town.aurora.exchanging.consumer.ask(town.ana.label, [slow.ask(), quick.ask()])
    assert [(one.reason, bool(one.item)) for one in results] == [("missing", False), ("", True)]
