"""A person tells their contacts that another master key is theirs from now on; shown end to end, never to a node.

The new key always signs; with the old one's signature the change holds at once, without it a contact's device waits.
Source: docs/protocol/49-recovery.md §10.
"""

from itertools import pairwise
from typing import Annotated, Final

import msgspec

from protocol import jws
from protocol.devices import StatementText
from protocol.encoding import Wire, decode, encode
from protocol.errors import MalformedError, UnverifiedError
from protocol.ids import Bytes32, Seconds
from protocol.signing import SigningKey, VerifyKey

MASTER_CHANGE_TYP: Final = "mentormesh-master-change+jws"
#: What the old key did not sign counts so long after a device first saw it.
WAIT_S: Final = 72 * 3_600
#: Changes shown one after the other, the newest last.
MAX_CHANGES: Final = 3


class MasterChange(Wire, frozen=True, kw_only=True):
    """`{"created_at":…,"new_key":…,"old_key":…}`."""

    created_at: Seconds
    new_key: Bytes32
    old_key: Bytes32


class StatedChange(Wire, frozen=True, kw_only=True):
    """`{"by_new":"<JWS>","by_old":"<JWS>"}`, both of one `MasterChange`; `by_old` is absent when that key is lost."""

    by_new: StatementText
    by_old: StatementText | None = None


#: Several changes, the oldest first; each begins where the one before ended.
Changes = Annotated[tuple[StatedChange, ...], msgspec.Meta(max_length=MAX_CHANGES)]


class OpenedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change whose signatures hold; `by_old` says whether the old key signed it."""

    change: MasterChange
    by_old: bool


def state_change(change: MasterChange, new: SigningKey, old: SigningKey | None) -> StatedChange:
    """Return the change signed by the new key, and by the old one where there is one."""
    payload = encode(change)
    return StatedChange(
        by_new=jws.sign(payload, new, MASTER_CHANGE_TYP),
        by_old=None if old is None else jws.sign(payload, old, MASTER_CHANGE_TYP),
    )


def open_change(stated: StatedChange) -> OpenedChange:
    """Return the change once its own keys signed it. Raises: MalformedError, UnverifiedError."""
    parsed = jws.parse(stated.by_new, MASTER_CHANGE_TYP)
    change = decode(parsed.payload, MasterChange, what="change of master key")
    if change.new_key == change.old_key:
        raise MalformedError("change of master key must name two keys")
    payload = parsed.verify(VerifyKey.parse(change.new_key))
    if stated.by_old is None:
        return OpenedChange(change=change, by_old=False)
    if jws.parse(stated.by_old, MASTER_CHANGE_TYP).verify(VerifyKey.parse(change.old_key)) != payload:
        raise UnverifiedError("the old master key signed another change", code="wrong-change")
    return OpenedChange(change=change, by_old=True)


def open_changes(stated: Changes, *, leads_to: Bytes32) -> tuple[OpenedChange, ...]:
    """Return changes that lead one after the other to `leads_to`. Raises: MalformedError, UnverifiedError."""
    opened = tuple(open_change(one) for one in stated)
    for one, after in pairwise(opened):
        if one.change.new_key != after.change.old_key:
            raise UnverifiedError("changes of master key do not follow each other", code="wrong-change")
    if opened and opened[-1].change.new_key != leads_to:
        raise UnverifiedError("changes of master key lead to another key", code="wrong-change")
    return opened
