"""Proofs that an entry stands in a log (C2SP tlog-proof): a text that verifies offline against a policy.

Source: docs/protocol/54-log-proofs.md.
"""

from collections.abc import Collection
from typing import Final

import msgspec

from protocol.errors import LimitError, MalformedError
from protocol.signing import VerifyKey

from .checkpoint import CheckpointNote, parse_checkpoint
from .lines import base64_bytes, base64_text, decimal, hash_bytes
from .merkle import MAX_PROOF, verify_inclusion
from .note import MAX_NOTE_BYTES, NoteBytesError, render_note
from .policy import Policy, Witnessed, open_witnessed

MAX_EXTRA_BYTES: Final = 16 * 1024
MAX_PROOF_BYTES: Final = 32 * 1024 + MAX_NOTE_BYTES

_FIRST: Final = "c2sp.org/tlog-proof@v1"
_EXTRA: Final = "extra "
_INDEX: Final = "index "


class ProofLinesError(MalformedError):
    """A proof is not its first line, perhaps an extra, an index, hashes, a blank line and a checkpoint."""

    code = "proof-lines"


class ProofLimitError(LimitError):
    """A proof, or its extra data, is too long, or it has more than 63 hashes."""

    code = "proof-limit"


class LogProof(msgspec.Struct, frozen=True, kw_only=True):
    """A proof as it was sent: read, and not yet verified. `extra` is signed by nobody.

    c2sp.org/tlog-proof@v1
    index 73
    YiTRtRSlucvp70B5swm43gXwaxS8efSY+9r3T5I/9eo=
    (blank line)
    aurora.example/log …
    """

    extra: bytes = b""
    index: int
    hashes: tuple[bytes, ...]
    checkpoint: CheckpointNote


def parse_log_proof(data: bytes) -> LogProof:
    """Return the parts of a proof.

    Raises: ProofLimitError, ProofLinesError, NoteBytesError, NumberError, Base64Error, HashLengthError, and whatever
        `parse_checkpoint` raises.
    """
    if len(data) > MAX_PROOF_BYTES:
        raise ProofLimitError(f"proof is over {MAX_PROOF_BYTES} bytes")
    head, blank, checkpoint = data.partition(b"\n\n")
    if not blank:
        raise ProofLinesError("proof must have a blank line before the checkpoint")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise NoteBytesError("proof must be ASCII before the checkpoint") from None
    extra = _extra(lines.pop(0)) if lines and lines[0].startswith(_EXTRA) else b""
    if first != _FIRST or not lines or not lines[0].startswith(_INDEX):
        raise ProofLinesError("proof must be its version, perhaps an extra, an index and hashes before the checkpoint")
    index, *hashes = lines
    if len(hashes) > MAX_PROOF:
        raise ProofLimitError(f"proof has over {MAX_PROOF} hashes")
    return LogProof(
        extra=extra,
        index=decimal(index.removeprefix(_INDEX), what="index"),
        hashes=tuple(hash_bytes(line, what="inclusion proof") for line in hashes),
        checkpoint=parse_checkpoint(checkpoint),
    )


def _extra(line: str) -> bytes:
    data = base64_bytes(line.removeprefix(_EXTRA), what="extra data")
    if not data:
        raise ProofLinesError("proof must leave the extra line out when there is no extra data")
    if len(data) > MAX_EXTRA_BYTES:
        raise ProofLimitError(f"extra data is over {MAX_EXTRA_BYTES} bytes")
    return data


def render_log_proof(proof: LogProof) -> bytes:
    """Return the bytes of a proof."""
    extra = [f"{_EXTRA}{base64_text(proof.extra)}"] if proof.extra else []
    hashes = (base64_text(each) for each in proof.hashes)
    lines = [_FIRST, *extra, f"{_INDEX}{proof.index}", *hashes, "", ""]
    return "\n".join(lines).encode() + render_note(proof.checkpoint.note)


def verify_log_proof(
    proof: LogProof, leaf: bytes, policy: Policy, *, now: int, own: Collection[VerifyKey] = ()
) -> Witnessed:
    """Return the checkpoint under which the entry with leaf hash `leaf` stands in a log of `policy`.

    Raises: every case of `open_witnessed`; InclusionError.
    """
    witnessed = open_witnessed(proof.checkpoint, policy, now=now, own=own)
    checkpoint = witnessed.signed.checkpoint
    verify_inclusion(checkpoint.root, leaf=leaf, index=proof.index, size=checkpoint.size, proof=proof.hashes)
    return witnessed
