"""Timestamped cosignatures (C2SP tlog-cosignature, Ed25519, `0x04`): a witness saw this checkpoint, at that time.

The ML-DSA-44 form (`0x06`) is reserved and not implemented. Source: docs/protocol/51-checkpoints.md §6.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from protocol.errors import MalformedError, UnverifiedError
from protocol.signing import SIGNATURE_BYTES, SigningKey

from .checkpoint import Checkpoint, SignedCheckpoint
from .note import BadSignatureError, SignatureLine, WitnessKey, lines_of

#: How far the clock of a witness may be ahead of ours.
SKEW_S: Final = 60
MAX_TIME: Final = 2**63 - 1

_TIME_BYTES: Final = 8


class CosignatureError(MalformedError):
    """A cosignature is not 8 bytes of time and 64 of signature, or its time is zero or over 2^63 - 1."""

    code = "cosignature"


class FutureError(UnverifiedError):
    """A cosignature is dated in the future."""

    code = "future"


class Cosigned(msgspec.Struct, frozen=True, kw_only=True):
    """A witness saw the checkpoint, and nothing larger, at `at` (Unix seconds)."""

    witness: WitnessKey
    at: int


def cosigned_message(checkpoint: Checkpoint, at: int) -> bytes:
    """Return what a witness signs: two lines of its own before the three of the checkpoint."""
    return f"cosignature/v1\ntime {at}\n{checkpoint.text}".encode()


def cosign(checkpoint: SignedCheckpoint, *, name: str, key: SigningKey, now: int) -> SignatureLine:
    """Return the signature line of the witness `name`, which has verified and stored `checkpoint`."""
    if not 0 < now <= MAX_TIME:
        raise ValueError("a cosignature needs a time")
    signature = key.sign(cosigned_message(checkpoint.checkpoint, now))
    witness = WitnessKey(name=name, key=key.public)
    return SignatureLine(name=name, key_id=witness.key_id, signature=now.to_bytes(_TIME_BYTES, "big") + signature)


def open_cosignature(line: SignatureLine, checkpoint: Checkpoint, witness: WitnessKey, *, now: int) -> Cosigned:
    """Return when `witness` cosigned `checkpoint`.

    Raises: CosignatureError; BadSignatureError: of another key, or does not verify; FutureError.
    """
    if (line.name, line.key_id) != (witness.name, witness.key_id):
        raise BadSignatureError("cosignature is of another witness")
    at = int.from_bytes(line.signature[:_TIME_BYTES], "big")
    if len(line.signature) != _TIME_BYTES + SIGNATURE_BYTES or not 0 < at <= MAX_TIME:
        raise CosignatureError("cosignature must be a time above zero and an Ed25519 signature")
    try:
        witness.key.verify(line.signature[_TIME_BYTES:], cosigned_message(checkpoint, at))
    except UnverifiedError:
        raise BadSignatureError("cosignature does not verify") from None
    if at > now + SKEW_S:
        raise FutureError("cosignature is dated in the future")
    return Cosigned(witness=witness, at=at)


def cosigners(signed: SignedCheckpoint, witnesses: Sequence[WitnessKey], *, now: int) -> tuple[Cosigned, ...]:
    """Return which of `witnesses` cosigned, and when. One whose clock is ahead is left out, and only it.

    Raises: RepeatedSignerError: a witness has two lines. CosignatureError, BadSignatureError: the note is spoilt.
    """
    found = []
    for witness, line in lines_of(signed.note, witnesses):
        try:
            found.append(open_cosignature(line, signed.checkpoint, witness, now=now))
        except FutureError:
            continue
    return tuple(found)
