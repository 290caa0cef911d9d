"""The book of the archive: what of this device goes into it, and what two devices of one person know put together.

Nothing that either has is lost but what either has ended on purpose: a block forgotten, a token taken back.
Source: docs/protocol/49-recovery.md §9.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import asdict, replace

from protocol.e2ee.archive import MAX_DOCUMENT_BYTES
from protocol.e2ee.kept import (
    MAX_CODES,
    MAX_CONTACTS,
    MAX_LINES,
    MAX_SHORTLISTS,
    Book,
    KeptBlock,
    KeptCode,
    KeptContact,
    KeptLine,
    KeptPerson,
    KeptShortlist,
)
from protocol.encoding import decode, encode

from .ask_records import AskRecord
from .asking import KEEP_S, choosable
from .blockrecord import BlockRecord
from .blocks import MAX_BLOCKS, joined, without_proposals
from .ownwords import MAX_PRIVATE_NOTES
from .places import places_of, with_places
from .records import Contact, PrivateNote, SessionRecord, TakeawayRecord
from .state import ClientState

EMPTY: Final = encode(Book())


def book_of(state: ClientState, *, now: int) -> bytes:
    """Return the book of this device: all that it keeps for its person; of too many lines the newest."""
    lines = _newest((*map(_line_of, state.takeaways), *_private(state)), MAX_LINES)
    while len(book := encode(_book_of(state, lines, now=now))) > MAX_DOCUMENT_BYTES and lines:
        lines = _newest(lines, len(lines) * 7 // 8)
    return book


def _newest(lines: tuple[KeptLine, ...], most: int) -> tuple[KeptLine, ...]:
    if len(lines) <= most:
        return lines
    newest = sorted(lines, key=lambda one: (-one.at, one.id, one.text))[:most]
    kept = {id(one) for one in newest}
    return tuple(one for one in lines if id(one) in kept)


def _book_of(state: ClientState, lines: tuple[KeptLine, ...], *, now: int) -> Book:
    return Book(
        contacts=tuple(KeptContact(**asdict(one)) for one in state.contacts[-MAX_CONTACTS:]),
        lines=lines,
        blocks=tuple(_block_of(one) for one in state.blocks),
        unblocked=state.unblocked,
        codes=tuple(KeptCode(key=key, at=at) for key, at in state.verified.items())[-MAX_CODES:],
        shortlists=shortlists_of(state, now=now),
        places=places_of(state),
    )


def shortlists_of(state: ClientState, *, now: int) -> tuple[KeptShortlist, ...]:
    """Return the shortlists of the last thirty days, the newest last: of this device and of others of its person."""
    own = {ask.id: _shortlist_of(ask) for ask in state.asks.values()}
    known = {one.id: one for one in state.archive.shortlists}
    found = [one for one in (known | own).values() if one.people and one.at + KEEP_S > now]
    return tuple(sorted(found, key=lambda one: (one.at, one.id)))[-MAX_SHORTLISTS:]


def with_book(state: ClientState, document: bytes) -> ClientState:
    """Return the state that also knows what a book says. Raises: MalformedError."""
    book = decode(document, Book, what="archived book")
    unblocked = tuple(dict.fromkeys((*state.unblocked, *book.unblocked)))[-MAX_BLOCKS:]
    blocks = joined(state.blocks, (BlockRecord(**asdict(one)) for one in book.blocks), gone=unblocked)
    told = {one.id: one for one in book.shortlists}
    state = replace(
        _with_lines(state, book.lines),
        contacts=_contacts(state.contacts, book.contacts),
        blocks=tuple(blocks),
        unblocked=unblocked,
        verified=_codes(state.verified, book.codes),
        archive=replace(state.archive, shortlists=tuple((told | _by_id(state.archive.shortlists)).values())),
    )
    return without_proposals(with_places(state, book.places))


def line_key(one: TakeawayRecord) -> tuple[object, ...]:
    """Return by what a line is known again: its id, or else what it says."""
    return (one.thread, one.kind, one.id) if one.id else (one.thread, one.kind, one.at, one.text)


# Contacts


def _contacts(mine: Iterable[Contact], told: Iterable[KeptContact]) -> tuple[Contact, ...]:
    known = {one.thread: one for one in mine}
    for each in told:
        theirs = Contact(**asdict(each))
        known[each.thread] = _both(known[each.thread], theirs) if each.thread in known else theirs
    return tuple(known.values())


def _both(mine: Contact, theirs: Contact) -> Contact:
    """Return what two devices know of a contact: of their keys, what stands with the one that believed a change.

    A change that waits is each device's own: the 72 hours count from when that device was shown it. What only one of
    them has seen to be disputed is disputed, unless the other one's owner compared safety numbers since.
    """
    newer, older = _in_order(mine, theirs)
    keys = replace(newer, compared_at=max(mine.compared_at, theirs.compared_at))
    disputed = _is_disputed(mine, theirs)
    if disputed is not newer.disputed:
        since = max(mine.next_since, theirs.next_since)
        keys = replace(
            keys,
            disputed=disputed,
            next_key=_rival(newer, older) if disputed else "",
            next_since=since if disputed else 0,
        )
    revoked = mine.revoked or theirs.revoked
    return replace(
        keys,
        again=mine.again or theirs.again,
        token="" if revoked else mine.token or theirs.token,
        given="" if revoked else mine.given or theirs.given,
        token_until=0 if revoked else max(mine.token_until, theirs.token_until),
        revoked=revoked,
    )


def _in_order(mine: Contact, theirs: Contact) -> tuple[Contact, Contact]:
    """Return the one whose keys stand first: it followed the other's, or its owner compared safety numbers later."""
    followed = mine.master_key in theirs.former
    later = theirs.compared_at > mine.compared_at and theirs.master_key not in mine.former
    return (theirs, mine) if followed or later else (mine, theirs)


def _is_disputed(mine: Contact, theirs: Contact) -> bool:
    """Return whether either knows that two keys claim to follow one, or the two of them believe two such keys."""
    compared = max(mine.compared_at, theirs.compared_at)
    if any(one.disputed and compared < one.next_since for one in (mine, theirs)):
        return True
    both = {mine.master_key, *mine.former}, {theirs.master_key, *theirs.former}
    apart = mine.master_key not in both[1] and theirs.master_key not in both[0] and not both[0].isdisjoint(both[1])
    return apart and mine.compared_at == theirs.compared_at


def _rival(one: Contact, other: Contact) -> str:
    keys = (other.next_key, other.master_key, one.next_key)
    return next((each for each in keys if each and each not in (one.master_key, *one.former)), "")


def _codes(mine: dict[str, int], told: Iterable[KeptCode]) -> dict[str, int]:
    found = dict(mine)
    for one in told:
        found[one.key] = max(one.at, found.get(one.key, 0))
    return found


# Lines


def _line_of(one: TakeawayRecord) -> KeptLine:
    return KeptLine(thread=one.thread, kind=one.kind, text=one.text, at=one.at, done=one.done, id=one.id)


def _private(state: ClientState) -> Iterable[KeptLine]:
    """Return the private notes of sessions that go on."""
    for session in state.sessions.values():
        for one in session.private:
            yield KeptLine(thread=session.thread, kind="private", text=one.text, at=one.at, id=one.id)


def _with_lines(state: ClientState, lines: Iterable[KeptLine]) -> ClientState:
    known = {line_key(one) for one in state.takeaways} | {
        (session.thread, "private", one.id) for session in state.sessions.values() for one in session.private
    }
    for each in lines:
        one = TakeawayRecord(**asdict(each))
        if line_key(one) in known:
            continue
        known.add(line_key(one))
        session = state.sessions.get(one.thread)
        if one.kind == "private" and session is not None and len(session.private) < MAX_PRIVATE_NOTES:
            state = state.with_session(_noted(session, one))
        else:
            state = replace(state, takeaways=(*state.takeaways, one))
    return state


def _noted(session: SessionRecord, one: TakeawayRecord) -> SessionRecord:
    notes = (*session.private, PrivateNote(id=one.id, at=one.at, text=one.text))
    return replace(session, private=tuple(sorted(notes, key=lambda note: note.at)))


# Blocks and shortlists


def _block_of(one: BlockRecord) -> KeptBlock:
    return KeptBlock(**{**asdict(one), "id": one.key})


def _by_id(shortlists: Iterable[KeptShortlist]) -> dict[str, KeptShortlist]:
    return {one.id: one for one in shortlists}


def _shortlist_of(ask: AskRecord) -> KeptShortlist:
    people = tuple(
        KeptPerson(
            entity=one.entity,
            org=one.org.display_name,
            fit=one.candidate.fit,
            kind=one.candidate.kind,
            band=one.candidate.band,
            reasons=one.candidate.reasons,
            gap=one.candidate.gap,
            experience=one.candidate.experience,
            approach=one.candidate.approach,
            line=one.candidate.line,
            known_as=one.candidate.known_as,
            slots=one.candidate.slots,
        )
        for one in choosable(ask)
    )
    return KeptShortlist(id=ask.id, at=ask.created_at, need=ask.need, people=people)
