"""People who leave or are erased in the middle of something: the others are told, nothing is left waiting."""

from msgspec.structs import replace

from federation.ports import where
from federation.rows import (
    CandidateRow,
    MailboxHeadRow,
    MailboxRow,
    MessageRow,
    OutboxRow,
    PlaceRow,
    SessionRow,
    SlotRow,
    ThreadRow,
)
from node.rows import MemberRow
from node.services.consumer import ConsumerNotes
from node.services.erasure import Erasure
from node.services.leaving import LeaveThreads
from node.services.members import Members
from protocol.encoding import decode, encode
from protocol.threads import MAX_MESSAGES, Book

from .conftest import Town
from .people import Mentee, agree, waiting_request
from .test_agreement import requested, states
from .world import Site, Somebody, settle

DAY_S = 86_400


def hook(site: Site) -> LeaveThreads:
    """Return the hook of one node."""
    return LeaveThreads(site.exchanging.answering, site.exchanging.consumer, site.exchanging.blobs)


async def leave(person: Somebody) -> None:
    """Let a person leave as the member file says it."""
    site = person.node
    members = Members(site.store, site.clock, site.entropy, on_leave=(hook(site).leave,))
    async with site.store.write() as tx:
        row = await tx.get(MemberRow, person.member)
        assert row is not None
        await members.leave(tx, row)


async def agreed(town: Town) -> Mentee:
    """Return a request that became an agreed session."""
    mentee = await requested(town)
    await agree(town.ben, town.aurora, slot=(await waiting_request(town.ben)).held[0])
    await settle(town.aurora, town.cobalt)
    return mentee


async def session(site: Site, thread: str, side: str) -> str:
    """Return the state of one side's session."""
    async with site.store.read() as tx:
        row = await tx.get(SessionRow, thread, side)
    assert row is not None
    return row.state


async def test_a_request_of_a_mentee_who_left_is_called_off_and_the_mentor_is_free(town: Town) -> None:
    mentee = await requested(town)
    await leave(town.ana)
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("CANCELLED", "CANCELLED")
    async with town.cobalt.store.read() as tx:
        assert await tx.count(PlaceRow) == 0
        assert await tx.count(SlotRow) == 0


async def test_a_session_of_a_mentee_who_left_is_called_off(town: Town) -> None:
    mentee = await agreed(town)
    await leave(town.ana)
    await settle(town.aurora, town.cobalt)
    assert await session(town.aurora, mentee.thread, "consumer") == "CANCELLED"
    assert await session(town.cobalt, mentee.thread, "provider") == "CANCELLED"


async def test_a_quote_of_a_mentee_who_left_is_forgotten(town: Town) -> None:
    await town.mentee().quote()
    await leave(town.ana)
    async with town.aurora.store.read() as tx:
        assert await tx.count(ThreadRow) == 0
        assert await tx.count(MessageRow) == 0


async def test_no_backup_is_sent_for_somebody_who_left(town: Town) -> None:
    mentee, backup = town.mentee(), town.mentee()
    body = mentee.accepted(await mentee.quote())
    await town.aurora.exchanging.consumer.accept(town.ana.label, mentee.thread, body, (backup.ask(),))
    await settle(town.aurora, town.cobalt)
    await leave(town.ana)
    await settle(town.aurora, town.cobalt)
    await town.aurora.exchanging.sweep()
    async with town.aurora.store.read() as tx:
        (row,) = await tx.find(ThreadRow)
    assert decode(row.notes, ConsumerNotes).backups == ()


async def test_a_request_to_a_mentor_who_left_is_refused_neutrally(town: Town) -> None:
    mentee = await requested(town)
    await leave(town.ben)
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("TERMINATED", "TERMINATED")
    message = mentee.read((await town.ana.entries())[-1].data)
    assert message.body.reason == "unavailable"  # type: ignore[union-attr]


async def test_a_session_that_took_place_is_not_called_off_afterwards(town: Town) -> None:
    mentee = await agreed(town)
    town.clock.advance(8 * DAY_S)
    await leave(town.ben)
    await leave(town.ana)
    for site in (town.aurora, town.cobalt):
        async with site.store.read() as tx:
            assert await tx.count(OutboxRow) == 0
    assert await session(town.cobalt, mentee.thread, "provider") == "OPEN"


async def test_leaving_twice_says_nothing_twice(town: Town) -> None:
    await agreed(town)
    await leave(town.ben)
    await leave(town.ben)
    async with town.cobalt.store.read() as tx:
        assert await tx.count(OutboxRow) == 1


async def test_a_broken_thread_does_not_keep_anybody_from_leaving(town: Town) -> None:
    """Its book is full, so that it can say nothing any more: a member file would be stuck with it."""
    mentee = await agreed(town)
    async with town.cobalt.store.write() as tx:
        row = await tx.get(ThreadRow, mentee.thread, "provider")
        assert row is not None
        full = replace(decode(row.book, Book), said=("A" * 43,) * MAX_MESSAGES)
        await tx.put(replace(row, book=encode(full)))
    await leave(town.ben)


async def test_what_comes_late_for_somebody_erased_leaves_no_trace(town: Town) -> None:
    mentee = await requested(town)
    town.network.down.add(town.cobalt.entity)
    await town.aurora.exchanging.consumer.cancel(town.ana.label, mentee.thread, "not-needed")

    async def scrub() -> None:
        """Memory keeps nothing that was erased."""

    erasure = Erasure(town.cobalt.store, town.clock, scrub=scrub, on_leave=(hook(town.cobalt).leave,))
    await erasure.erase(town.ben.member)
    town.network.down.clear()
    await settle(town.aurora, town.cobalt)
    async with town.cobalt.store.read() as tx:
        for kind in (MailboxRow, MailboxHeadRow, PlaceRow, SlotRow, CandidateRow):
            assert await tx.count(kind, where(label=town.ben.label)) == 0
