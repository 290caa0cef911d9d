"""Sessions that go into the archive, and come out of it: pure functions of the state.

Source: docs/protocol/49-recovery.md §9.
"""

from typing import Final

from msgspec.structs import replace

from node.services.safe import MAX_ITEM_BYTES, MAX_ITEMS, MAX_TOTAL_BYTES
from protocol.e2ee.archive import MAX_CHUNKS, MAX_DOCUMENT_BYTES, MAX_GONE, MAX_PARTS, cut, item_size
from protocol.e2ee.kept import KeptSaid, KeptSession
from protocol.encoding import decode, encode
from protocol.errors import MissingError

from .kept_records import ArchiveRecord
from .state import ClientState
from .views import SessionView

MAX_SAID: Final = 6_000
#: One part is for contacts and takeaways.
MAX_SESSIONS: Final = MAX_PARTS - 1


def is_kept(archive: ArchiveRecord, thread: str) -> bool:
    """Tell whether a session is kept when it ends."""
    return thread in archive.chosen or (archive.on and thread not in archive.spared)


def with_kept(state: ClientState, seen: SessionView, *, topic: str, now: int) -> ClientState:
    """Return the state with a session that ends put into the archive; when that is full, the oldest ones go."""
    said = (KeptSaid(at=one.at, mine=one.mine, kind=one.kind[:20], text=one.text[:12_000]) for one in seen.lines)
    document = KeptSession(
        thread=seen.thread,
        role=seen.role,
        entity=seen.entity,
        name=seen.name,
        topic=topic[:200],
        ended_at=now,
        said=tuple(said)[-MAX_SAID:],
    )
    return _added(state, seen.thread, _fitted(document))


def _fitted(session: KeptSession) -> bytes:
    """Return the document of a session; of one that is too long what was said last."""
    while len(document := encode(session)) > MAX_DOCUMENT_BYTES:
        session = replace(session, said=session.said[len(session.said) // 8 + 1 :])
    return document


def without_kept(state: ClientState, *threads: str) -> ClientState:
    """Return the state without these archived sessions. Raises: MissingError: one is not there."""
    archive = state.archive
    if missing := [thread for thread in threads if thread not in archive.sessions]:
        raise MissingError(f"the archive has no session {missing[0]}: `mentormesh person archive show` lists them")
    rest = {thread: data for thread, data in archive.sessions.items() if thread not in threads}
    gone = (*archive.gone, *threads)[-MAX_GONE:]
    return replace(state, archive=replace(archive, sessions=rest, gone=gone))


def sessions_of(state: ClientState) -> tuple[KeptSession, ...]:
    """Return the archived sessions, the newest first."""
    found = [decode(data, KeptSession, what="archived session") for data in state.archive.sessions.values()]
    return tuple(sorted(found, key=lambda one: -one.ended_at))


def with_session(state: ClientState, document: bytes) -> ClientState:
    """Return the state with an archived session, unless it is there or was deleted. Raises: MalformedError."""
    session = decode(document, KeptSession, what="archived session")
    archive = state.archive
    if session.thread in archive.sessions or session.thread in archive.gone:
        return state
    return _added(state, session.thread, document)


def fitting(state: ClientState, *, book: bytes) -> ClientState:
    """Return the state with those archived sessions that fit beside a book into the safe: the newest ones."""
    return _newest(state, book_items=len(list(cut(book))))


def _newest(state: ClientState, *, book_items: int) -> ClientState:
    """Return the state without the oldest sessions, where there are too many; every device lets the same ones go.

    The book stands in the safe twice while it is written, beside manifest and recovery copy, and a session that goes
    beside one that comes.
    """
    sessions = state.archive.sessions
    items = MAX_ITEMS - 2 - 2 * book_items - MAX_CHUNKS
    room = MAX_TOTAL_BYTES - (6 + 2 * book_items) * MAX_ITEM_BYTES
    kept: dict[str, bytes] = {}
    opened = {thread: decode(data, KeptSession, what="archived session") for thread, data in sessions.items()}
    for thread in sorted(opened, key=lambda one: (-opened[one].ended_at, one))[:MAX_SESSIONS]:
        document = sessions[thread] if len(sessions[thread]) <= MAX_DOCUMENT_BYTES else _fitted(opened[thread])
        chunks = list(cut(document))
        items, room = items - len(chunks), room - sum(map(item_size, chunks))
        if items < 0 or room < 0:
            break
        kept[thread] = document
    rest = {thread: kept[thread] for thread in sessions if thread in kept}
    if rest == sessions:
        return state
    return replace(state, archive=replace(state.archive, sessions=rest))


def _added(state: ClientState, thread: str, document: bytes) -> ClientState:
    sessions = {**state.archive.sessions, thread: document}
    state = replace(state, archive=replace(state.archive, sessions=sessions))
    return state if len(sessions) <= MAX_SESSIONS else _newest(state, book_items=1)
