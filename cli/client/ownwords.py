"""What a person may do with their own words: keep a note to themselves, and take back what they said.

Source: docs/protocol/44-frames.md §6.
"""

from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from protocol.e2ee.frames import Close, Frame, Name, Retract
from protocol.encoding import decode
from protocol.errors import MalformedError, MissingError, RefusedError

from .core import fresh_id
from .records import PrivateNote, SessionRecord, ThreadRecord
from .state import ClientState

#: Letters of one private note, and private notes of one session.
MAX_PRIVATE: Final = 12_000
MAX_PRIVATE_NOTES: Final = 200
#: Stands in every taking back; most sessions have none.
_MARK: Final = b'"type":"retract"'


def hidden(record: ThreadRecord, session: SessionRecord, taken: Retract, *, mine: bool) -> SessionRecord:
    """Return the session with an own frame of that side hidden. Raises: RefusedError: somebody else said it.

    It stays in the vault until the session ends, so that nobody can unsay what the other wants to report.
    """
    frames = {decode(one.frame, Frame).id: one for one in session.frames}
    found = frames.get(taken.frame)
    if found is None:
        return session
    if (found.sender not in record.peer_devices) is not mine:
        raise RefusedError("only who said something can take it back", code="not-theirs")
    rest = (replace(one, hidden=True) if one is found else one for one in session.frames)
    return replace(session, frames=tuple(rest))


def taken_back(record: ThreadRecord, session: SessionRecord) -> SessionRecord:
    """Return a session that another device told of, with what was taken back before hidden here, too."""
    for one in session.frames:
        content = decode(one.frame, Frame).content if _MARK in one.frame else None
        if isinstance(content, Retract):
            with suppress(RefusedError):
                session = hidden(record, session, content, mine=one.sender not in record.peer_devices)
    return session


def standing(session: SessionRecord) -> list[Frame]:
    """Return the frames that nobody has taken back."""
    return [decode(one.frame, Frame) for one in session.frames if not one.hidden]


def with_private(state: ClientState, thread: str, text: str, *, now: int) -> ClientState:
    """Return the state with a note that only this person sees. Raises: MissingError; MalformedError: too long."""
    session = state.session(thread)
    if not 1 <= len(text) <= MAX_PRIVATE or len(session.private) >= MAX_PRIVATE_NOTES:
        raise MalformedError(
            f"a private note has 1 to {MAX_PRIVATE} letters, and a session at most {MAX_PRIVATE_NOTES} of them"
        )
    note = PrivateNote(id=fresh_id(), at=now, text=text)
    return state.with_session(replace(session, private=(*session.private, note)))


def said_last(state: ClientState, thread: str, number: int | None) -> str:
    """Return the id of an own frame: the last one, or that of a hub's number. Raises: MissingError."""
    record, session = state.thread(thread), state.session(thread)
    mine = [one for one in session.frames if one.sender not in record.peer_devices and not one.hidden]
    frames = [
        (one.number, frame)
        for one, frame in ((one, decode(one.frame, Frame)) for one in mine)
        if not isinstance(frame.content, Retract | Close | Name)
    ]
    found = [frame.id for at, frame in frames if number in (None, at)]
    if not found:
        raise MissingError("you have said nothing like that in this session: `session show --numbers` lists it")
    return found[-1]


def frames_of(state: ClientState, thread: str) -> list[Frame]:
    """Return what was said in a session and stands, in order. Raises: MissingError."""
    return standing(state.session(thread))
