"""What must hold once everything rests: both sides of every thread, places, deliveries and mailboxes."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from federation.ports import Row
from federation.rows import (
    EvidenceRow,
    InboxRow,
    MessageRow,
    OutboxRow,
    PlaceRow,
    SessionRow,
    SlotRow,
    ThreadRow,
)
from node.services.consumer import ConsumerNotes
from node.services.mentor_side import ProviderNotes
from node.services.places import cells
from protocol.agreement import open_agreement
from protocol.bodies import Agreement
from protocol.encoding import decode
from protocol.errors import MeshError
from protocol.handshake import TERMINAL, Side, State, Verb
from protocol.messages import Outcome, open_receipt, parse_item
from protocol.threads import Book

from .company import Company
from .devices import Device
from .town import Town

R = TypeVar("R", bound=Row)

ENDED: Final = frozenset(state.value for state in TERMINAL)
FINALIZED: Final = State.FINALIZED.value
#: Where a quote that nobody took up may stay at the mentor's node, when the mentee's node has forgotten it; without
#: an answer when the mentor's node crashed before it had one.
DROPPED: Final = frozenset({State.REQUESTED.value, State.OFFERED.value, State.TERMINATED.value})
#: What a node never counts when all nodes are honest.
MISHAPS: Final = ("item-failed", "dead-letter", "receipt-refused")


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that does not hold, and the threads that show it."""

    rule: str
    threads: tuple[str, ...] = ()


def check_exchange(town: Town) -> list[Violation]:
    """Return everything that does not hold."""
    found = [*_mistakes(town), *_deliveries(town), *_mailboxes(town)]
    for thread, consumer, provider in pairs(town):
        found += _thread(town, thread, consumer, provider)
    for company in town.companies:
        found += _places(town, company)
    return found


def rows(company: Company, kind: type[R]) -> list[R]:
    """Return the rows of a table."""
    return [row for row in company.rows(kind) if isinstance(row, kind)]


def pairs(town: Town) -> Iterator[tuple[str, Company | None, Company | None]]:
    """Yield every thread with the companies that hold its two sides."""
    sides: dict[str, dict[str, Company]] = defaultdict(dict)
    for company in town.companies:
        for row in rows(company, ThreadRow):
            sides[row.thread][row.side] = company
    for thread, held in sides.items():
        yield thread, held.get("consumer"), held.get("provider")


def _mistakes(town: Town) -> Iterator[Violation]:
    for company in town.companies:
        for mistake in company.mistakes:
            yield Violation(rule=f"a node made a mistake: {mistake}")
        for mishap in MISHAPS:
            if company.count(mishap):
                yield Violation(rule=f"{company.name} counted {company.count(mishap)} × {mishap}")
        for row in rows(company, EvidenceRow):
            yield Violation(rule=f"{company.name} holds evidence against {row.peer}", threads=(row.thread,))


def _thread(town: Town, thread: str, consumer: Company | None, provider: Company | None) -> Iterator[Violation]:
    """Check that both sides ended in the same way, with the same messages."""
    ours = town.thread_row(consumer, thread, "consumer") if consumer else None
    theirs = town.thread_row(provider, thread, "provider") if provider else None
    if ours is None or consumer is None:
        if theirs is not None and (theirs.state not in DROPPED or len(decode(theirs.book, Book).heard) > 1):
            yield Violation(rule=f"nobody but the mentor's node knows of a thread in {theirs.state}", threads=(thread,))
        return
    if theirs is None or provider is None:
        yield Violation(rule=f"nobody but the mentee's node knows of a thread in {ours.state}", threads=(thread,))
        return
    if ours.state != theirs.state or ours.state not in ENDED:
        yield Violation(rule=f"the sides rest in {ours.state} and {theirs.state}", threads=(thread,))
        return
    yield from _books(thread, consumer, provider, decode(ours.book, Book), decode(theirs.book, Book))
    if ours.state == FINALIZED:
        yield from _agreement(consumer, provider, ours, theirs)


def _books(thread: str, consumer: Company, provider: Company, ours: Book, theirs: Book) -> Iterator[Violation]:
    if (ours.said, ours.heard) != (theirs.heard, theirs.said):
        yield Violation(rule="the two books differ", threads=(thread,))
    if ours.session_cancelled != theirs.session_cancelled:
        yield Violation(rule="one side called the session off, the other did not hear of it", threads=(thread,))
    kept = [_messages(consumer, thread, "consumer"), _messages(provider, thread, "provider")]
    if kept[0] != kept[1]:
        yield Violation(rule="the two sides keep different messages", threads=(thread,))
    said = {(sender, seq): hash_ for sender, seq, hash_, _ in kept[0]}
    told = {("consumer", seq): hash_ for seq, hash_ in enumerate(ours.said, 1)}
    told |= {("provider", seq): hash_ for seq, hash_ in enumerate(ours.heard, 1)}
    if said != told or len(kept[0]) != len(told):
        yield Violation(rule="a message is lost or doubled", threads=(thread,))


def _messages(company: Company, thread: str, side: str) -> list[tuple[str, int, str, bytes]]:
    found = [row for row in rows(company, MessageRow) if (row.thread, row.side) == (thread, side)]
    return sorted((row.sender, row.seq, row.hash, row.item) for row in found)


def _agreement(consumer: Company, provider: Company, ours: ThreadRow, theirs: ThreadRow) -> Iterator[Violation]:
    document = decode(ours.notes, ConsumerNotes).agreement
    if document != decode(theirs.notes, ProviderNotes).agreement:
        yield Violation(rule="the two agreements differ", threads=(ours.thread,))
    try:
        open_agreement(document, provider.keys.envelope_sign.public, consumer.keys.envelope_sign.public)
    except MeshError as error:
        yield Violation(rule=f"the agreement does not hold: {error}", threads=(ours.thread,))
    sessions = [_session(consumer, ours.thread, "consumer"), _session(provider, ours.thread, "provider")]
    states = [session.state if session else None for session in sessions]
    if states[0] is None or states[0] != states[1]:
        yield Violation(rule=f"the session is {states[0]} and {states[1]}", threads=(ours.thread,))


def _session(company: Company, thread: str, side: str) -> SessionRow | None:
    row = company.row(SessionRow, thread, side)
    assert row is None or isinstance(row, SessionRow)
    return row


def live_agreements(company: Company) -> Iterator[tuple[ThreadRow, Agreement]]:
    """Yield the threads of a mentor's node whose session is to come."""
    for row in rows(company, ThreadRow):
        session = _session(company, row.thread, "provider")
        if row.side == "provider" and row.state == FINALIZED and session is not None and session.state != "CANCELLED":
            document = decode(row.notes, ProviderNotes).agreement
            keys = company.keys.envelope_sign.public, company.peer_key(row.peer)
            yield row, open_agreement(document, *keys)


def _places(town: Town, company: Company) -> Iterator[Violation]:
    """Check that a place and half hours are held exactly by what is agreed, and nothing is held twice."""
    live = {row.thread: (row, agreement) for row, agreement in live_agreements(company)}
    held = {row.thread for row in rows(company, PlaceRow)}
    for thread in held ^ set(live):
        rule = "a place is held by a thread that ended" if thread in held else "an agreement has no place"
        yield Violation(rule=rule, threads=(thread,))
    wanted = Counter(
        (row.label, cell)
        for row, agreement in live.values()
        if agreement.slot is not None
        for cell in cells(agreement.slot, agreement.length)
    )
    for (label, cell), times in wanted.items():
        if times > 1:
            both = tuple(
                row.thread for row, agreement in live.values() if row.label == label and agreement.slot == cell
            )
            yield Violation(rule="two agreements for one half hour", threads=both)
    if {(row.label, row.start) for row in rows(company, SlotRow)} != set(wanted):
        yield Violation(rule=f"{company.name} holds other half hours than are agreed", threads=tuple(live))
    for device in town.mentors:
        threads = tuple(row.thread for row, _ in live.values() if row.label == device.person.label)
        if device.company is company and len(threads) > town.capacities[device.person.label]:
            yield Violation(rule="more agreements than places", threads=threads)


def _deliveries(town: Town) -> Iterator[Violation]:
    """Check that nothing waits to be sent, and that what was received was taken once, with the right receipt."""
    for company in town.companies:
        for out in rows(company, OutboxRow):
            yield Violation(rule=f"{company.name} still has something to send", threads=(out.thread,))
        taken = {(row.peer, row.mid): row for row in rows(company, InboxRow)}
        for row in rows(company, MessageRow):
            if row.sender == row.side or row.seq == 1:
                continue
            sender = _other_side(town, row)
            stored = taken.get((sender.entity, row.mid)) if sender else None
            if stored is None:
                yield Violation(rule="a message was taken without a trace in the inbox", threads=(row.thread,))
                continue
            receipt = open_receipt(decode(stored.outcome, Outcome).receipt, company.keys.envelope_sign.public)
            if (receipt.mid, receipt.hash) != (row.mid, row.hash):
                yield Violation(rule="a receipt is for another message", threads=(row.thread,))


def _other_side(town: Town, row: MessageRow) -> Company | None:
    for company in town.companies:
        if town.thread_row(company, row.thread, row.sender) is not None:
            return company
    return None


def _mailboxes(town: Town) -> Iterator[Violation]:
    """Check that each device read every entry once, and that every message to a person is among them."""
    for device in (*town.mentors, *town.mentees):
        yield from _read_once(device)
    for device in town.mentees:
        for row in rows(device.company, ThreadRow):
            if row.side == "consumer" and row.label == device.person.label:
                got = [
                    one for one in device.read if (one.thread, one.side, one.kind) == (row.thread, row.side, "message")
                ]
                yield from _told(device.company, row, [one.data for one in got])


def _read_once(device: Device) -> Iterator[Violation]:
    cursors = [row.cursor for row in device.read]
    if cursors != list(range(1, device.company.head(device.person.label) + 1)):
        yield Violation(rule=f"{device.name} read the entries {cursors}")
    entries = Counter((row.thread, row.data) for row in device.read if row.kind != "notice")
    entries += Counter((row.thread, b"quote") for row in device.read if row.kind == "quote")
    for (thread, _), times in entries.items():
        if times > 1:
            yield Violation(rule=f"{device.name} got an entry twice", threads=(thread,))


def _told(company: Company, row: ThreadRow, got: list[bytes]) -> Iterator[Violation]:
    """Check that a mentee's device got what moved the thread, in order."""
    heard = [one for one in _messages(company, row.thread, "consumer") if one[0] == Side.PROVIDER.value and one[1] > 1]
    items = [item for _, _, _, item in heard]
    if [item for item in items if item in got] != got:
        yield Violation(rule="a mentee got other messages than were sent, or in another order", threads=(row.thread,))
    if row.state in (FINALIZED, State.DECLINED.value, State.EXPIRED.value):
        verbs = [parse_item(item).claimed.type for item in got]
        last: Verb = "agree" if row.state == FINALIZED else "decline" if row.state == State.DECLINED.value else "expire"
        if verbs.count(last) != 1:
            yield Violation(rule=f"a mentee was told {verbs} of a thread in {row.state}", threads=(row.thread,))
