"""Carries the bytes of encrypted files from one place to another, as `copying` does the rows, and proves the same."""

import hashlib
from typing import Final

import msgspec

from protocol.errors import MissingError, UnverifiedError

from .blobs import FileBytes
from .copying import Progress, Rows
from .pieces import PIECE_BYTES

_FILES: Final = "SELECT blob, stored FROM blob WHERE stored > 0 ORDER BY blob"


class Place(msgspec.Struct, frozen=True):
    """Where a node's rows and the bytes of its files are."""

    rows: Rows
    files: FileBytes


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """How many files and bytes are at the new place, and how many the old one did not have any more."""

    files: int = 0
    size_bytes: int = 0
    gone: int = 0


async def carry_files(source: Place, target: FileBytes, *, progress: Progress) -> Files:
    """Copy of every file in the rows what has arrived of it, where `target` lacks it; return what is there now.

    A file that `source` lacks, because it was deleted or not backed up, is left as `target` has it.

    Raises:
        UnverifiedError: a copy differs.
        DiskFullError, UnavailableError: the target is full, or either side away.
    """
    found = [(str(blob), stored) for blob, stored in await source.rows.query(_FILES)]
    total, done = sum(_size(stored) for _, stored in found), 0
    files = size_bytes = 0
    for blob, stored in found:
        size = _size(stored)
        try:
            await _carry(blob, size, source.files, target)
        except MissingError:
            pass
        else:
            files, size_bytes = files + 1, size_bytes + size
        done += size
        progress(done, total)
    return Files(files=files, size_bytes=size_bytes, gone=len(found) - files)


async def _carry(blob: str, size: int, source: FileBytes, target: FileBytes) -> None:
    """Copy a file unless it is there. Raises: MissingError: `source` lacks it."""
    wanted = await _digest(source, blob, size)
    try:
        if await _digest(target, blob, size) == wanted:
            return
    except MissingError:
        pass
    await target.remove(blob)  # what arrived changed or in part
    for at in range(0, size, PIECE_BYTES):
        data = await source.read(blob, at, min(PIECE_BYTES, size - at))
        await target.write(blob, at, data, last=at + PIECE_BYTES >= size)
    if await _digest(target, blob, size) != wanted:
        raise UnverifiedError("the copy of a file is not what was copied: try again", code="copy")


async def _digest(place: FileBytes, blob: str, size: int) -> bytes:
    """Return the SHA-256 of the first `size` bytes. Raises: MissingError: there are less."""
    digest = hashlib.sha256()
    for at in range(0, size, PIECE_BYTES):
        data = await place.read(blob, at, min(PIECE_BYTES, size - at))
        if len(data) < min(PIECE_BYTES, size - at):
            raise MissingError("this file is gone")
        digest.update(data)
    return digest.digest()


def _size(stored: object) -> int:
    assert isinstance(stored, int)
    return stored
