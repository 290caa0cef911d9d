"""What of an open session a person's archive keeps, so that a new device can ask to be let in: who and what, no words.

Source: docs/protocol/45-sessions.md §10, docs/protocol/49-recovery.md §9.
"""

from typing import Annotated, Final, Literal

import msgspec

from protocol.encoding import Wire
from protocol.ids import Bytes32, Entity, MaybeBytes32, RandomId, Seconds

MAX_PLACES: Final = 100


class KeptPlace(Wire, frozen=True, kw_only=True):
    """One open session: what its group is bound to, who the other person is, and what was agreed.

    `rejoin` is the key of words of a device without a place. It opens no message of the group.
    """

    thread: RandomId
    role: Literal["mentee", "mentor"]
    consumer: Entity
    provider: Entity
    audience: Bytes32
    context: Bytes32
    rejoin: Bytes32
    peer_identity: Bytes32
    peer_next: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=2)] = ()
    peer_chain: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=8)] = ()
    agreement: Annotated[str, msgspec.Meta(max_length=8192)]
    attested: Annotated[str, msgspec.Meta(max_length=16)]
    format: Annotated[str, msgspec.Meta(max_length=16)]
    length: Annotated[int, msgspec.Meta(ge=0, le=480)] = 0
    topic: Annotated[str, msgspec.Meta(max_length=200)] = ""
    slot: Seconds | None = None
    ends_at: Seconds
    name: Annotated[str, msgspec.Meta(max_length=80)] = ""
    master_key: MaybeBytes32 = ""
    label: Annotated[str, msgspec.Meta(max_length=22)] = ""
    former: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=20)] = ()
    vouched: bool = True

    def __repr__(self) -> str:
        return "KeptPlace(…)"
