"""Checkpoints (C2SP tlog-checkpoint): origin, tree size and root hash of a log, as a signed note without extensions.

Profile: the text has exactly three lines, and the log's key has the origin for its name.
Source: docs/protocol/51-checkpoints.md §4–§5.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from protocol.errors import MalformedError, UnverifiedError
from protocol.signing import SigningKey

from .lines import base64_text, decimal, hash_bytes
from .merkle import EMPTY_ROOT
from .note import (
    BadSignatureError,
    LogKey,
    Note,
    SignatureLine,
    UnsignedError,
    check_name,
    lines_of,
    parse_note,
)

CONTENT_TYPE: Final = "text/plain; charset=utf-8"


class CheckpointLinesError(MalformedError):
    """A checkpoint has not exactly three lines: one is missing, empty, not ended, or an extension."""

    code = "checkpoint-lines"


class OtherOriginError(UnverifiedError):
    """A checkpoint is of another log than its key is for."""

    code = "other-origin"


class EmptyRootError(UnverifiedError):
    """A checkpoint of size 0 has another root than the empty tree."""

    code = "empty-root"


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a log.

    aurora.example/log
    300
    yjk9Apa+xeC43KuYO9H7fRRh9RLnJny4ljGtJv1m2Eg=
    """

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64_text(self.root)}\n"


class CheckpointNote(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint that somebody sent: read, and not yet verified."""

    checkpoint: Checkpoint
    note: Note


class SignedCheckpoint(CheckpointNote, frozen=True, kw_only=True):
    """A checkpoint that a key of its log signed. Only `open_checkpoint` and `sign_checkpoint` make one."""


def parse_text(text: str) -> Checkpoint:
    """Return the checkpoint of a note text, whose `text` is then the same again.

    Raises: CheckpointLinesError, KeyNameError (origin), NumberError (size), Base64Error, HashLengthError (root).
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines.pop():
        raise CheckpointLinesError("checkpoint must be origin, tree size and root hash, each on a line of its own")
    if not all(lines):
        raise CheckpointLinesError("checkpoint must not have empty lines")
    origin, size, root = lines
    check_name(origin)
    return Checkpoint(origin=origin, size=decimal(size, what="tree size"), root=hash_bytes(root, what="root hash"))


def parse_checkpoint(data: bytes) -> CheckpointNote:
    """Return what the signed note `data` says; nothing is verified yet.

    Raises: MalformedError or LimitError in any case that `parse_note` and `parse_text` name.
    """
    note = parse_note(data)
    return CheckpointNote(checkpoint=parse_text(note.text), note=note)


def open_checkpoint(found: CheckpointNote, keys: Sequence[LogKey]) -> SignedCheckpoint:
    """Return the checkpoint once one of `keys` signed it, and none of them signed something else.

    Args:
        keys: those of one log, more than one while it changes its key.
    Raises: OtherOriginError, RepeatedSignerError, BadSignatureError, UnsignedError, EmptyRootError.
    """
    if any(key.name != found.checkpoint.origin for key in keys):
        raise OtherOriginError("checkpoint is of another log")
    lines = lines_of(found.note, keys)
    for key, line in lines:
        _verify(key, line, found.note.text)
    if not lines:
        raise UnsignedError("checkpoint is not signed by a known key of its log")
    if found.checkpoint.size == 0 and found.checkpoint.root != EMPTY_ROOT:
        raise EmptyRootError("checkpoint of an empty log has a root")
    return SignedCheckpoint(checkpoint=found.checkpoint, note=found.note)


def _verify(key: LogKey, line: SignatureLine, text: str) -> None:
    try:
        key.key.verify(line.signature, text.encode())
    except UnverifiedError:
        raise BadSignatureError("checkpoint: a signature of the log does not verify") from None


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> SignedCheckpoint:
    """Return `checkpoint` signed by its log. Raises: every case of `parse_text`: nobody could read it."""
    parse_text(checkpoint.text)
    name = LogKey(name=checkpoint.origin, key=key.public)
    line = SignatureLine(name=name.name, key_id=name.key_id, signature=key.sign(checkpoint.text.encode()))
    return SignedCheckpoint(checkpoint=checkpoint, note=Note(text=checkpoint.text, signatures=(line,)))
