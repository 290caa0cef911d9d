"""Session envelopes: all that a relay sees of a session, a routing header and opaque ciphertext.

Wire item: kind byte `0x02`, 4-byte length and canonical JSON header, 4-byte length and ciphertext. The ciphertext is
padded by the people's devices. Source: docs/protocol/41-envelopes.md §2.
"""

from typing import Annotated, Final, Literal

import msgspec

from .encoding import Wire, decode, encode, split_prefixed
from .errors import MalformedError
from .ids import MessageId, RandomId

KIND_SESSION: Final = 0x02
MAX_CIPHERTEXT_BYTES: Final = 80 * 1024


#: `welcome` starts a group, `message` is content, `commit` begins an epoch, `close` says that a side has closed.
EnvelopeKind = Literal["welcome", "message", "commit", "close"]
MAX_EPOCH: Final = 2**31
#: Epochs count up from the 1 of a group that just began.
Epoch = Annotated[int, msgspec.Meta(ge=0, le=MAX_EPOCH)]
FIRST_EPOCH: Final = 1


class EnvelopeHeader(Wire, frozen=True, kw_only=True):
    """`{"epoch":1,"id":…,"kind":"message","mid":…,"number":7,"seq":3,"side":"consumer","thread":…}`.

    `id` is the sending device's own and stays; `mid` is new on each hop. `side` is the writer's. `seq` counts per
    thread and *sending node* from 1, so that gaps show; `number` is the hub's order, absent on the way to the hub.
    `epoch` is that of the ciphertext, as its sender says: the hub keeps what is long over away by it.
    """

    mid: MessageId
    id: MessageId
    thread: RandomId
    side: Literal["consumer", "provider"]
    kind: EnvelopeKind
    epoch: Epoch
    seq: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    number: Annotated[int, msgspec.Meta(ge=1, le=2**31)] | None = None


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A routing header and the ciphertext that only the people's devices read."""

    header: EnvelopeHeader
    ciphertext: bytes


def render_envelope(envelope: Envelope) -> bytes:
    """Return the wire item of `envelope`."""
    header = encode(envelope.header)
    size = len(header).to_bytes(4, "big"), len(envelope.ciphertext).to_bytes(4, "big")
    return b"".join((bytes([KIND_SESSION]), size[0], header, size[1], envelope.ciphertext))


def parse_envelope(item: bytes) -> Envelope:
    """Return the envelope of a wire item. Raises: MalformedError."""
    if item[:1] != bytes([KIND_SESSION]):
        raise MalformedError("item is not a session envelope")
    header, ciphertext = split_prefixed(item[1:], 2, what="session envelope")
    if len(ciphertext) > MAX_CIPHERTEXT_BYTES:
        raise MalformedError(f"session envelope holds more than {MAX_CIPHERTEXT_BYTES} bytes")
    return Envelope(header=decode(header, EnvelopeHeader, what="envelope header"), ciphertext=ciphertext)
