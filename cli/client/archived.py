"""Sessions that go into the archive, and come out of it: pure functions of the state.

Source: docs/protocol/49-recovery.md §9.
"""

from typing import Final

from msgspec.structs import replace

from protocol.e2ee.archive import MAX_GONE, MAX_PARTS
from protocol.e2ee.kept import KeptSaid, KeptSession
from protocol.encoding import decode, encode
from protocol.errors import LimitError, MissingError

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
    """Return the state with a session that ends put into the archive; when that is full, the oldest one goes."""
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
    sessions = {**state.archive.sessions, seen.thread: encode(document)}
    for oldest in list(sessions)[: max(0, len(sessions) - MAX_SESSIONS)]:
        del sessions[oldest]
    return replace(state, archive=replace(state.archive, sessions=sessions))


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
    if len(archive.sessions) >= MAX_SESSIONS:
        raise LimitError(f"the archive takes {MAX_SESSIONS} sessions")
    return replace(state, archive=replace(archive, sessions={**archive.sessions, session.thread: document}))
