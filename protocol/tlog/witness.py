"""The exchange between a log and its witnesses (C2SP tlog-witness, `add-checkpoint`), and what a witness decides.

A witness checks that each checkpoint of a log extends the one it saw before, and nothing else. `sign-subtree` is not
implemented: it needs ML-DSA-44. Source: docs/protocol/53-witnesses.md §1–§3.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from protocol.errors import ConflictError, LimitError, MalformedError, MeshError, MissingError, UnverifiedError

from .checkpoint import (
    Checkpoint,
    CheckpointNote,
    EmptyRootError,
    OtherOriginError,
    SignedCheckpoint,
    open_checkpoint,
    parse_checkpoint,
)
from .lines import base64_text, decimal, hash_bytes
from .merkle import EMPTY_ROOT, MAX_PROOF, ConsistencyError, verify_consistency
from .note import MAX_NOTE_BYTES, LogKey, NoteBytesError, SignatureLine, parse_signatures, render_note

SIZE_CONTENT_TYPE: Final = "text/x.tlog.size"
#: "old ", 16 digits, 63 hashes of 44 characters, a blank line, a checkpoint.
MAX_REQUEST_BYTES: Final = 4 + 16 + 1 + MAX_PROOF * 45 + 1 + MAX_NOTE_BYTES

_OLD: Final = "old "


class WitnessLinesError(MalformedError):
    """A request is not an old size, hashes, a blank line and a checkpoint; or an answer is not one line."""

    code = "witness-lines"


class WitnessLimitError(LimitError):
    """A request is too long, or has more than 63 hashes."""

    code = "witness-limit"


class OldSizeError(MalformedError):
    """The old size is larger than the checkpoint's."""

    code = "old-size"


class SizeConflictError(ConflictError):
    """The old size is not that of the newest checkpoint the witness knows, which is `size`."""

    code = "size-conflict"

    def __init__(self, size: int) -> None:
        super().__init__("old size is not the size of the newest known checkpoint")
        self.size = size


#: The status of an answer by what refused the request; the first class that fits holds.
STATUS: Final[tuple[tuple[type[MeshError], int], ...]] = (
    (MissingError, 404),
    (OtherOriginError, 404),
    (SizeConflictError, 409),
    (LimitError, 413),
    (ConsistencyError, 422),
    (EmptyRootError, 422),
    (MalformedError, 400),
    (UnverifiedError, 403),
)


class AddCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a log asks of a witness.

    old 200
    Qp//uPIVnDf9BWTYKXqPTBP5+s0qhtH4FIASDprhTMU=
    (blank line)
    aurora.example/log …
    """

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: CheckpointNote


def parse_request(body: bytes) -> AddCheckpoint:
    """Return the request of a body; nothing is verified yet.

    Raises: WitnessLimitError, WitnessLinesError, NoteBytesError, NumberError, Base64Error, HashLengthError, and
        whatever `parse_checkpoint` raises.
    """
    if len(body) > MAX_REQUEST_BYTES:
        raise WitnessLimitError(f"request is over {MAX_REQUEST_BYTES} bytes")
    head, blank, checkpoint = body.partition(b"\n\n")
    if not blank:
        raise WitnessLinesError("request must have a blank line before the checkpoint")
    try:
        old, *hashes = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise NoteBytesError("request must be ASCII before the checkpoint") from None
    if not old.startswith(_OLD):
        raise WitnessLinesError("request must start with an old size")
    if len(hashes) > MAX_PROOF:
        raise WitnessLimitError(f"request has over {MAX_PROOF} hashes")
    return AddCheckpoint(
        old_size=decimal(old.removeprefix(_OLD), what="old size"),
        proof=tuple(hash_bytes(line, what="proof") for line in hashes),
        checkpoint=parse_checkpoint(checkpoint),
    )


def render_request(request: AddCheckpoint) -> bytes:
    """Return the body of a request."""
    lines = [f"{_OLD}{request.old_size}", *(base64_text(each) for each in request.proof), "", ""]
    return "\n".join(lines).encode() + render_note(request.checkpoint.note)


def parse_size(body: bytes) -> int:
    """Return the size in an answer with status 409. Raises: WitnessLinesError; NumberError."""
    if not body.endswith(b"\n") or len(body) > 17 or not body.isascii():
        raise WitnessLinesError("answer must be a tree size and a line feed")
    return decimal(body[:-1].decode("ascii"), what="tree size")


def render_size(size: int) -> bytes:
    """Return the body of an answer with status 409."""
    return f"{size}\n".encode()


def parse_answer(body: bytes) -> tuple[SignatureLine, ...]:
    """Return the signature lines in an answer with status 200; `open_cosignature` verifies them.

    Raises: WitnessLimitError; NoteBytesError; whatever `parse_signatures` raises.
    """
    if len(body) > MAX_NOTE_BYTES:
        raise WitnessLimitError(f"answer is over {MAX_NOTE_BYTES} bytes")
    try:
        return parse_signatures(body.decode())
    except UnicodeDecodeError:
        raise NoteBytesError("answer must be UTF-8") from None


def advance(held: Checkpoint | None, request: AddCheckpoint, keys: Sequence[LogKey]) -> SignedCheckpoint:
    """Return the checkpoint that a witness now stores, then cosigns; on any error nothing may be stored or signed.

    Read `held`, call this and store the result in one transaction, or two requests together could roll the log back.

    Args:
        held: the newest checkpoint of this log that the witness cosigned, if any.
        keys: those that the witness trusts for the checkpoint's origin.

    Raises:
        UnverifiedError: the signature (every case of `open_checkpoint`), or ConsistencyError for the proof.
        OldSizeError; SizeConflictError: the log must prove from another size.
    """
    opened = open_checkpoint(request.checkpoint, keys)
    if request.old_size > opened.checkpoint.size:
        raise OldSizeError("old size is larger than the checkpoint's")
    if request.old_size != (held.size if held else 0):
        raise SizeConflictError(held.size if held else 0)
    verify_consistency(
        old_size=request.old_size,
        old_root=held.root if held else EMPTY_ROOT,
        new_size=opened.checkpoint.size,
        new_root=opened.checkpoint.root,
        proof=request.proof,
    )
    return opened


def status(error: MeshError) -> int:
    """Return the HTTP status that tells a log why its request was not answered; 500 when that is not its fault."""
    return next((number for kind, number in STATUS if isinstance(error, kind)), 500)
