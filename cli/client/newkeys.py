"""People met who show another master key: signed by the old one, waited for, or disputed; never taken silently.

Source: docs/protocol/49-recovery.md §10.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from protocol.devices import open_identity
from protocol.e2ee.frames import MasterChanged, Name
from protocol.e2ee.masterchange import (
    MAX_CHANGES,
    WAIT_S,
    Changes,
    OpenedChange,
    StatedChange,
    open_change,
    open_changes,
)
from protocol.e2ee.safety import safety_number
from protocol.encoding import decode
from protocol.errors import MalformedError, MissingError, RefusedError, UnverifiedError
from protocol.signing import VerifyKey

from .blocks import followed
from .records import Contact, SessionRecord, ThreadRecord
from .state import ClientState
from .views import Alarm, Event, KeyChanged, Moved

#: Keys of before that are remembered, so that a second successor of one of them is noticed.
MAX_FORMER: Final = 20
#: Of identities that claim to follow one: two are as many as any number.
MAX_SUCCESSORS: Final = 2
#: Digits of a safety number that name a key of the two or so that a contact has shown.
LEAST_DIGITS: Final = 10
#: Identities that followed one another within a session, as devices tell each other.
MAX_CHAIN: Final = 8


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A contact after a change was shown, and what to tell; `believed` says whether the key counts now."""

    contact: Contact
    believed: bool
    sentence: str


def own_changes(state: ClientState) -> Changes:
    """Return the changes of one's own master key that others are shown, the newest last."""
    return tuple(decode(one, StatedChange, what="own change") for one in state.changes)[-MAX_CHANGES:]


def judge(contact: Contact, opened: tuple[OpenedChange, ...], *, now: int) -> Judged | None:
    """Return what becomes of a contact by changes that were shown; None: they are not about this contact's keys."""
    known = {contact.master_key, *contact.former}
    at = max((place for place, one in enumerate(opened) if one.change.old_key in known), default=None)
    if at is None or opened[-1].change.new_key == contact.master_key:
        return None
    links, new = opened[at:], opened[-1].change.new_key
    rival = contact.next_key not in ("", new) or links[0].change.old_key != contact.master_key
    if rival or contact.disputed:
        told = replace(contact, disputed=True, next_key=new, next_since=now)
        return Judged(contact=told, believed=False, sentence=_disputed(contact))
    if all(one.by_old for one in links):
        return Judged(contact=_followed(contact, new), believed=True, sentence=_signed(contact))
    if contact.next_key == new and now >= contact.next_since + WAIT_S:
        return Judged(contact=_followed(contact, new), believed=True, sentence=_waited(contact))
    since = contact.next_since if contact.next_key == new else now
    waits = replace(contact, next_key=new, next_since=since)
    return Judged(contact=waits, believed=False, sentence=_unsigned(contact))


def with_changes(
    state: ClientState, thread: str, stated: Changes, *, leads_to: str, now: int
) -> tuple[ClientState, list[Event]]:
    """Return the state after changes of somebody's master key, and what to tell. Raises: UnverifiedError."""
    opened = open_changes(stated, leads_to=leads_to)
    state = followed(state, opened)
    judged = [judge(one, opened, now=now) for one in state.contacts] if opened else []
    events: dict[str, Event] = {
        one.sentence: KeyChanged(thread=thread, name=one.contact.name, believed=one.believed, sentence=one.sentence)
        for one in judged
        if one is not None
    }
    if not events:
        return state, []
    contacts = tuple(
        after.contact if after is not None else before for before, after in zip(state.contacts, judged, strict=True)
    )
    return replace(state, contacts=contacts), list(events.values())


def told_in_session(
    state: ClientState, record: ThreadRecord, session: SessionRecord, told: MasterChanged, *, now: int
) -> tuple[ClientState, list[Event]]:
    """Return the state after somebody said in a session that their master key changes. Raises: UnverifiedError."""
    opened = open_change(told.change)
    old, new = opened.change.old_key, opened.change.new_key
    known = (*session.former, session.master_key)
    if old not in known or not session.master_key:  # also when none was told yet
        sentence = "A change of somebody else's keys was shown in this session and not believed"
        return state, [Alarm(thread=record.thread, sentence=sentence, code="wrong-change")]
    if new in known:
        return state, []  # said before
    state, events = with_changes(state, record.thread, (told.change,), leads_to=new, now=now)
    if old != session.master_key:
        state, rival = _with_rival(state, record, new)
        return state, [*events, *rival]
    believed = opened.by_old and all(one.believed for one in events if isinstance(one, KeyChanged))
    if believed:
        former = (*session.former, old)[-MAX_FORMER:]
        state = state.with_session(replace(session, master_key=new, former=former, code=None))
        state = _with_successor(state, record, told.identity, new)
    if events:
        return state, events
    sentence = f"{session.name or 'The other person'} changes their keys; the safety number will be another one."
    event = KeyChanged(thread=record.thread, name=session.name, believed=opened.by_old, sentence=sentence)
    return state, [event]


def _with_successor(state: ClientState, record: ThreadRecord, statement: str | None, master_key: str) -> ClientState:
    """Return the state in which devices certified by a new identity may be let into the session, too.

    Raises: UnverifiedError: the statement does not hold.
    """
    if not statement or len(record.peer_next) == MAX_SUCCESSORS:
        return state
    key = open_identity(statement, VerifyKey.parse(master_key), audience=record.audience).identity_key
    chain = (*record.peer_chain, *record.peer_next)[-MAX_CHAIN:]
    return state.with_thread(replace(record, peer_chain=chain, peer_next=(key,)))


def _with_rival(state: ClientState, record: ThreadRecord, master_key: str) -> tuple[ClientState, list[Event]]:
    """Return the state in which a second key claims to follow one that was followed before.

    Whoever stole a device signs a change, too: with two of them, neither counts, nor what followed either, whatever the
    second one says.
    """
    if len(record.peer_next) == MAX_SUCCESSORS:
        return state, []
    # In place of an identity that nobody stated stands a master key, which certifies no device.
    first = (*record.peer_chain, *record.peer_next, record.peer_identity)[0]
    state = state.with_thread(replace(record, peer_chain=(), peer_next=(first, master_key)))
    sentence = "Two different keys claim to follow those of the other person: no new device of theirs is let in"
    return state, [Alarm(thread=record.thread, sentence=sentence, code="two-successors")]


def known_as(state: ClientState, record: ThreadRecord, told: Name, *, now: int) -> tuple[ClientState, list[Event]]:
    """Return the state after a name was told with its master key, and what is strange about it."""
    assert told.master_key is not None
    state, events = with_changes(state, record.thread, told.changes, leads_to=told.master_key, now=now)
    state, still = _old_key_in_use(state, record.thread, told.master_key, now=now)
    events += still
    state, moved = _moved(state, record, told.master_key)
    events += moved
    met = [one for one in state.contacts if one.entity == record.peer]
    known = any(told.master_key in (one.master_key, one.next_key) for one in met)
    same_name = [one for one in met if one.name.casefold() == told.name.casefold()]
    if events or known or not same_name:
        return state, events
    sentence = (
        f"You have met {told.name} from there with other keys, and nothing connects the two: this may be somebody else "
        "of that name, or somebody who poses as them. Compare the safety number in a call before you trust this one."
    )
    return state, [Alarm(thread=record.thread, sentence=sentence, code="another-key")]


def _moved(state: ClientState, record: ThreadRecord, shown: str) -> tuple[ClientState, list[Event]]:
    """Return the state in which somebody met is at the organization where they are now; their keys are the same."""
    came = [one for one in state.contacts if one.master_key == shown and one.entity != record.peer]
    if not came:
        return state, []
    rest = tuple(replace(one, entity=record.peer) if one in came else one for one in state.contacts)
    event = Moved(thread=record.thread, name=came[0].name, entity=record.peer, before=came[0].entity)
    return replace(state, contacts=rest), [event]


def _old_key_in_use(state: ClientState, thread: str, shown: str, *, now: int) -> tuple[ClientState, list[Event]]:
    """Return the state in which a change is disputed whose old key goes on being shown by itself."""
    waiting = [one for one in state.contacts if one.master_key == shown and one.next_key and not one.disputed]
    if not waiting:
        return state, []
    rest = tuple(replace(one, disputed=True, next_since=now) if one in waiting else one for one in state.contacts)
    event = KeyChanged(thread=thread, name=waiting[0].name, believed=False, sentence=_disputed(waiting[0]))
    return replace(state, contacts=rest), [event]


def trusted(state: ClientState, contact: Contact, number: str, *, now: int) -> ClientState:
    """Return the state that believes the key of a contact whose safety number its owner read with them.

    Of the keys that claim to be theirs only the number says which one was compared: another session, or somebody
    else's claim, may have shown one since.

    Args:
        number: the safety number, or its first ten digits at least.
    Raises: MissingError: this contact shows no other key; MalformedError; UnverifiedError: the number of no key.
    """
    if not contact.next_key and not contact.disputed:
        raise MissingError("this contact shows no other key")
    read = "".join(one for one in number if one.isdecimal())
    if len(read) < LEAST_DIGITS:
        raise MalformedError(f"type at least the first {LEAST_DIGITS} digits of the safety number")
    own = state.account_secret.master().public
    keys = [one for one in dict.fromkeys((contact.master_key, contact.next_key)) if one]
    found = [one for one in keys if _digits(safety_number(own, VerifyKey.parse(one))).startswith(read)]
    if not found:
        raise UnverifiedError(
            f"no key that {contact.name} has shown gives this safety number: if you typed it rightly, somebody shows "
            "you other keys than theirs",
            code="wrong-number",
        )
    if len(found) > 1:
        raise MalformedError("two keys begin with these digits: type more of them")
    rest = (
        _compared(one, found[0], now=now) if one.master_key == contact.master_key else one for one in state.contacts
    )
    return replace(state, contacts=tuple(rest))


def _compared(contact: Contact, key: str, *, now: int) -> Contact:
    believed = contact if key == contact.master_key else _followed(contact, key)
    return replace(believed, next_key="", next_since=0, disputed=False, compared_at=now)


def _digits(number: str) -> str:
    return number.replace(" ", "")


def require_undisputed(contact: Contact, shown: str) -> None:
    """Return when the key shown is that of the contact. Raises: RefusedError: why it is not."""
    if contact.master_key == shown:
        return
    if contact.next_key == shown:
        why = _disputed(contact) if contact.disputed else _unsigned(contact)
        raise RefusedError(why, code="key-changed")
    raise RefusedError(
        f"somebody else than {contact.name} said yes: another master key than when you met", code="other-person"
    )


def _followed(contact: Contact, new: str) -> Contact:
    former = (*contact.former, contact.master_key)[-MAX_FORMER:]
    return replace(contact, master_key=new, former=former, next_key="", next_since=0)


def _signed(contact: Contact) -> str:
    return f"{contact.name} has new keys, and the old ones signed them. Your safety number is another one now."


def _waited(contact: Contact) -> str:
    hours = WAIT_S // 3600
    return f"The new keys of {contact.name}, shown {hours} hours ago and more, count now. Compare the safety number."


def _unsigned(contact: Contact) -> str:
    return (
        f"{contact.name} shows new keys that the old ones did not sign. They count in {WAIT_S // 3600} hours from when "
        f"you first saw them: ask {contact.name} by another way whether this is true, and tell nothing until then."
    )


def _disputed(contact: Contact) -> str:
    return (
        f"Two different keys claim to be those of {contact.name}: one of them is somebody else's. None is believed "
        "until you have compared the safety number with them."
    )
