"""People met whom one may ask again: the token that a mentor's device gives and takes back, and a mentee's uses.

Source: docs/protocol/31-handshake.md §11.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from protocol.contacttokens import LIFE_S
from protocol.e2ee.frames import ContactToken
from protocol.errors import MissingError, RefusedError

from .core import fresh_id
from .records import Contact, SessionRecord, ThreadRecord
from .state import ClientState

#: A beginning of a thread names a contact when it is so long.
SHORTEST: Final = 4


def token_taken(record: ThreadRecord, session: SessionRecord, given: ContactToken, *, mine: bool) -> SessionRecord:
    """Return the session with a token that the mentor gave, if this person would meet again, too; or as it was."""
    both = session.again_mine is True and session.again_theirs is True
    if mine or record.role != "mentee" or not both:
        return session
    return replace(session, token=given.token, token_until=given.until)


def to_give(state: ClientState) -> list[str]:
    """Return the sessions in which this mentor would meet again, as the mentee would, and has given no token yet."""
    return [
        thread
        for thread, session in state.sessions.items()
        if state.thread(thread).role == "mentor"
        and session.again_mine is True
        and session.again_theirs is True
        and not session.closed_mine
        and not any(b'"type":"contact-token"' in one.frame for one in session.frames)
    ]


def with_token(state: ClientState, thread: str, *, now: int) -> tuple[ClientState, ContactToken]:
    """Return the state with a token for the mentee of `thread`, made now unless it was before."""
    session = state.session(thread)
    # One that a clock which was ahead made too long is made anew: no node would take it.
    if not session.token or session.token_until > now + LIFE_S:
        session = replace(session, token=fresh_id(), token_until=now + LIFE_S)
        state = state.with_session(session)
    return state, ContactToken(token=session.token, until=session.token_until)


def contact_named(state: ClientState, name: str) -> Contact:
    """Return the newest contact of a name, or of the beginning of a thread. Raises: MissingError, RefusedError."""
    folded = name.casefold()
    found = [
        one
        for one in state.contacts
        if one.name.casefold() == folded or (len(name) >= SHORTEST and one.thread.startswith(name))
    ]
    if not found:
        raise MissingError("you have met nobody of this name: `mentormesh person contacts list` shows whom")
    if len({(one.master_key, one.entity) for one in found}) > 1:
        raise RefusedError(
            "several people have this name: name the beginning of a thread instead", code="which-contact"
        )
    return max(found, key=lambda one: (bool(one.token), one.met_at))


def askable(contact: Contact, *, now: int) -> str:
    """Return the token by which a contact can be asked. Raises: RefusedError: there is none, or its time is over."""
    if not contact.token:
        raise RefusedError("you can ask again whom both of you would meet again, and who has not taken it back")
    if contact.token_until <= now:
        raise RefusedError("more than two years have passed: find this person as you did at first", code="over")
    return contact.token


def of_token(contacts: Iterable[Contact], token: str) -> Contact | None:
    """Return whom a token asks."""
    return next((one for one in contacts if token and one.token == token), None)


def of_identity(contacts: Iterable[Contact], identity: str) -> Contact | None:
    """Return who has this identity key."""
    return next((one for one in contacts if identity and one.identity == identity), None)


def without_tokens(state: ClientState, contact: Contact) -> ClientState:
    """Return the state in which neither asks the other by a token any more."""
    rest = tuple(
        replace(one, token="", given="", token_until=0, revoked=True) if one.thread == contact.thread else one
        for one in state.contacts
    )
    return replace(state, contacts=rest)
