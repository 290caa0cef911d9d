"""Repeats of envelopes: a session knows them by the digests of the last ones it took, without a row for each.

An organization sends the envelopes of one side of a session in order, and none of a transfer before the one before it
was answered. So what may come again is among the last that one can hold. Source: docs/protocol/41-envelopes.md §4.
"""

from typing import Final

from protocol.encoding import b64, encode, sha256
from protocol.envelope import Envelope
from protocol.messages import MAX_BATCH_ITEMS

#: Characters of one digest. Only an envelope that is not new by its number is looked for: nobody else can be mistaken.
_WIDTH: Final = 8
_KEPT: Final = MAX_BATCH_ITEMS * _WIDTH


def digest_of(envelope: Envelope) -> str:
    """Return 48 bits of SHA-256 over everything an envelope says, as base64url."""
    return b64(sha256(encode(envelope.header), envelope.ciphertext)[:6])


def remember(recent: str, envelope: Envelope) -> str:
    """Return the memory of a session with one more envelope, and without the one taken longest ago."""
    return (recent + digest_of(envelope))[-_KEPT:]


def is_known(recent: str, envelope: Envelope) -> bool:
    """Tell whether an envelope is among those that a session remembers."""
    digest = digest_of(envelope)
    return any(recent.startswith(digest, place) for place in range(0, len(recent), _WIDTH))
