"""Who may be in the group of a session: devices of its two people, each traced to an identity key that was checked.

Source: docs/protocol/45-sessions.md §3.
"""

from collections.abc import Collection

from msgspec.structs import replace

from protocol.devices import open_device
from protocol.e2ee.crypto import CheckMember, Member
from protocol.errors import MeshError, UnverifiedError
from protocol.signing import VerifyKey

from .keychecks import require_listed
from .records import ProvenRecord, ThreadRecord
from .state import ClientState


def checked(
    state: ClientState, record: ThreadRecord, *, peer: str, known: Collection[str], now: int, later: bool = False
) -> CheckMember:
    """Return what raises unless a device may be a member.

    Args:
        peer: the other person's identity key in the thread's audience.
        known: devices that were checked before, or that are members already.
        later: the session is open: further devices may come once a proven directory lists them.
    Raises (the result): UnverifiedError, code `unknown-member`; UnprovenError: look the device up first.
    """
    own, mine = state.account_secret.identity(record.audience).public, state.device_secret.key(record.audience).public
    record = replace(record, peer_identity=peer)

    def check(member: Member) -> None:
        signed_by_me = _is_of(member, own, record.audience, now)
        if not signed_by_me and not peer_of(record, member, now=now):
            raise UnverifiedError("a device in the group belongs to nobody in this session", code="unknown-member")
        if member.device in known or (signed_by_me and member.device == mine.text):
            return
        if not later:
            raise UnverifiedError("a device in the group was not checked", code="unknown-member")
        proven_of(state, record, member, now=now)

    return check


def proven_of(state: ClientState, record: ThreadRecord, member: Member, *, now: int) -> ProvenRecord:
    """Return what is proven of the person whose device asks to be, or is, in a session, this device included.

    Raises: UnverifiedError, code `unknown-member`: of neither person; UnprovenError: look the device up first.
    """
    own = is_own(state, record, member, now=now)
    peer = "" if own else peer_of(record, member, now=now)
    if not own and not peer:
        raise UnverifiedError("a device belongs to nobody in this session", code="unknown-member")
    identity = state.account_secret.identity(record.audience).public.text
    return require_listed(
        state,
        origin=state.signed_in.entity if own else record.peer,
        audience=record.audience,
        identity_key=identity if own else peer,
        devices=(member.device,),
        now=now,
    )


def is_own(state: ClientState, record: ThreadRecord, member: Member, *, now: int) -> bool:
    """Return whether a member is a device of this person."""
    return _is_of(member, state.account_secret.identity(record.audience).public, record.audience, now)


def peer_of(record: ThreadRecord, member: Member, *, now: int) -> str:
    """Return the identity key of the other person that certifies a device; empty: none does."""
    keys = (one for one in record.peer_identities if _is_of(member, VerifyKey.parse(one), record.audience, now))
    return next(keys, "")


def _is_of(member: Member, identity: VerifyKey, audience: str, now: int) -> bool:
    """Return whether this identity key certifies the device, in this audience and now."""
    try:
        return open_device(member.certificate, identity, audience=audience, now=now).device_key == member.device
    except MeshError:
        return False
