"""Who the other person of a session is: their name, once the key directory stands for it and for them.

Source: docs/protocol/13-key-directory.md §2, docs/protocol/44-frames.md §2.
"""

from msgspec.structs import replace

from protocol.devices import open_identity
from protocol.e2ee.frames import Name
from protocol.e2ee.masterchange import open_changes
from protocol.errors import UnverifiedError
from protocol.ids import id_bytes
from protocol.keyentries import VouchOpening, check_vouched_identity, is_vouched_name
from protocol.signing import VerifyKey

from .blocks import called_off_blocked, find_block, followed, recognized
from .core import Core
from .keychecks import require_listed
from .newkeys import known_as
from .records import ThreadRecord
from .state import ClientState
from .verifying import another_key
from .views import Alarm, Event, Named, Role


def named(core: Core, state: ClientState, record: ThreadRecord, told: Name) -> tuple[ClientState, list[Event]]:
    """Take a name, once the person behind it is the one whose device signed brief or agreement, and vouched for today.

    Raises: UnprovenError: the directory is to be looked up first; UnverifiedError: somebody else tells it.
    """
    session, other = state.session(record.thread), role_of(record, mine=False)
    opening = opening_of(told)
    if opening is None:
        return state, [Alarm(thread=record.thread, sentence="The name came without a proof of who tells it")]
    proven = require_listed(
        state,
        origin=record.peer,
        audience=record.audience,
        identity_key=record.peer_identity,
        devices=record.peer_devices,
        now=core.now(),
    )
    identity = open_identity(opening.identity, VerifyKey.parse(opening.master_key), audience=record.audience)
    # What was said before a change of keys may be read behind it.
    known = {*session.former, session.master_key or opening.master_key}
    if identity.identity_key != record.peer_identity or opening.master_key not in known:
        raise UnverifiedError(
            "the name is told by somebody else than the person you agreed with", code="wrong-identity"
        )
    # A blocked person with other keys is told by the change that they show, before anything else comes of the name.
    state = followed(state, open_changes(told.changes, leads_to=opening.master_key))
    if find_block(state, entity=record.peer, master_key=opening.master_key) is not None:
        state = recognized(
            state, master_key=opening.master_key, identity=record.peer_identity, sealing=record.sealed_to
        )
        state, event = called_off_blocked(state, record)
        return state, [event]
    check_vouched_identity(proven.vouched_identity, opening, audience=record.audience)
    vouched = is_vouched_name(proven.vouched_name, opening)
    master_key = session.master_key or opening.master_key
    session = replace(session, name=told.name, master_key=master_key, label=identity.label, vouched=vouched)
    told_name = Named(thread=record.thread, from_role=other, name=told.name, vouched=vouched)
    state, strange = known_as(state.with_session(session), record, told, now=core.now())
    return state, [told_name, *(strange or another_key(state, session, record))]


def opening_of(told: Name) -> VouchOpening | None:
    """Return what opens the vouch in a name frame; None when something of it is missing."""
    if None in {told.identity, told.master_key, told.name_salt, told.identity_salt}:
        return None
    return VouchOpening(
        name=told.name,
        name_salt=id_bytes(told.name_salt or "", what="salt"),
        identity=told.identity or "",
        identity_salt=id_bytes(told.identity_salt or "", what="salt"),
        master_key=told.master_key or "",
    )


def role_of(record: ThreadRecord, *, mine: bool) -> Role:
    """Return whose word it is."""
    if mine:
        return record.role
    return "mentor" if record.role == "mentee" else "mentee"
