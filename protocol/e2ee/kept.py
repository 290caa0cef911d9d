"""The documents of a person's archive: the book of what they keep, and sessions that they chose to keep.

Source: docs/protocol/49-recovery.md §9.
"""

from typing import Annotated, Final, Literal

import msgspec

from protocol.bodies import Slots
from protocol.encoding import Wire
from protocol.ids import Bytes32, Entity, MaybeBytes32, RandomId, Seconds
from protocol.needs import Approach, Experience, Fit, Gap, Need, Reason
from protocol.vocabulary import Band, Kind

from .places import MAX_PLACES, KeptPlace

MAX_CONTACTS: Final = 5_000
MAX_LINES: Final = 20_000
MAX_CODES: Final = 5_000
MAX_SHORTLISTS: Final = 50
_Text = Annotated[str, msgspec.Meta(max_length=12_000)]
_Keys = Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=64)]


class KeptContact(Wire, frozen=True, kw_only=True):
    """Somebody met. Until `token_until` this person may ask them again by `token`, and they this person by `given`."""

    thread: RandomId
    name: Annotated[str, msgspec.Meta(max_length=80)]
    entity: Entity
    master_key: MaybeBytes32
    label: Annotated[str, msgspec.Meta(max_length=22)] = ""
    met_at: Seconds
    again: bool = False
    token: Annotated[str, msgspec.Meta(max_length=22)] = ""
    token_until: Seconds = 0
    given: Annotated[str, msgspec.Meta(max_length=22)] = ""
    identity: MaybeBytes32 = ""
    next_key: MaybeBytes32 = ""
    next_since: Seconds = 0
    former: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=20)] = ()
    disputed: bool = False
    revoked: bool = False
    compared_at: Seconds = 0


class KeptLine(Wire, frozen=True, kw_only=True):
    """One takeaway, goal, action or private note."""

    thread: RandomId
    kind: Literal["takeaway", "goal", "action", "private"]
    text: _Text
    at: Seconds
    done: bool = False
    id: Annotated[str, msgspec.Meta(max_length=22)] = ""


class KeptBlock(Wire, frozen=True, kw_only=True):
    """Somebody whom this person wants to meet no more, and the keys that they are recognized by."""

    id: RandomId
    entity: Annotated[str, msgspec.Meta(max_length=261)] = ""
    at: Seconds
    name: Annotated[str, msgspec.Meta(max_length=80)] = ""
    master_key: MaybeBytes32 = ""
    former: _Keys = ()
    identities: _Keys = ()
    sealing: _Keys = ()


class KeptCode(Wire, frozen=True, kw_only=True):
    """When short codes matched with whoever holds a master key."""

    key: Bytes32
    at: Seconds


class KeptPerson(Wire, frozen=True, kw_only=True):
    """One person of a shortlist as they were proposed, without anything by which they could be asked."""

    entity: Entity
    org: Annotated[str, msgspec.Meta(max_length=80)]
    fit: Fit
    kind: Kind
    band: Band
    reasons: Annotated[tuple[Reason, ...], msgspec.Meta(max_length=2)] = ()
    gap: Gap
    experience: Annotated[tuple[Experience, ...], msgspec.Meta(max_length=4)] = ()
    approach: Annotated[tuple[Approach, ...], msgspec.Meta(max_length=4)] = ()
    line: Annotated[str, msgspec.Meta(max_length=140)] = ""
    known_as: Annotated[str, msgspec.Meta(max_length=60)] = ""
    slots: Slots = ()


class KeptShortlist(Wire, frozen=True, kw_only=True):
    """What was asked for and who was proposed."""

    id: RandomId
    at: Seconds
    need: Need
    people: Annotated[tuple[KeptPerson, ...], msgspec.Meta(max_length=5)] = ()


class Book(Wire, frozen=True, kw_only=True):
    """The document of kind `book`: contacts, what stays of sessions, blocks, codes that matched, and more.

    `places` are sessions that are open, `unblocked` are blocks that were forgotten on purpose.
    """

    contacts: Annotated[tuple[KeptContact, ...], msgspec.Meta(max_length=MAX_CONTACTS)] = ()
    lines: Annotated[tuple[KeptLine, ...], msgspec.Meta(max_length=MAX_LINES)] = ()
    blocks: Annotated[tuple[KeptBlock, ...], msgspec.Meta(max_length=500)] = ()
    unblocked: Annotated[tuple[RandomId, ...], msgspec.Meta(max_length=500)] = ()
    codes: Annotated[tuple[KeptCode, ...], msgspec.Meta(max_length=MAX_CODES)] = ()
    shortlists: Annotated[tuple[KeptShortlist, ...], msgspec.Meta(max_length=MAX_SHORTLISTS)] = ()
    places: Annotated[tuple[KeptPlace, ...], msgspec.Meta(max_length=MAX_PLACES)] = ()


class KeptSaid(Wire, frozen=True, kw_only=True):
    """One thing said or shared in a session, in words."""

    at: Seconds
    mine: bool = False
    kind: Annotated[str, msgspec.Meta(max_length=20)]
    text: _Text = ""


class KeptSession(Wire, frozen=True, kw_only=True):
    """The document of kind `session`: a session that its owner chose to keep."""

    thread: RandomId
    role: Literal["mentee", "mentor"]
    entity: Entity
    name: Annotated[str, msgspec.Meta(max_length=80)] = ""
    topic: Annotated[str, msgspec.Meta(max_length=200)] = ""
    ended_at: Seconds
    said: Annotated[tuple[KeptSaid, ...], msgspec.Meta(max_length=6_000)] = ()
