"""The bytes of encrypted files as rows: where several processes serve a node, and in backups.

A piece is as large as the portion that a client sends, so one portion is one row. Writing and reading need no
transaction: how much of a file is there stands in its own row, which changes after its bytes and not before.
"""

from collections.abc import Iterable
from typing import Final

from protocol.errors import MissingError

from .copying import Statements

PIECE_BYTES: Final = 2**20

# A portion that comes once more, late, must not take away what came after it; what both hold is the same.
_PUT: Final = (
    "INSERT INTO blob_piece (blob, piece, data) VALUES (?, ?, ?) "
    "ON CONFLICT (blob, piece) DO UPDATE SET data = excluded.data WHERE length(excluded.data) > length(blob_piece.data)"
)
_BEFORE: Final = "SELECT data FROM blob_piece WHERE blob = ? AND piece = ?"
_LENGTH: Final = "SELECT length(data) FROM blob_piece WHERE blob = ? AND piece = ?"
_PART: Final = "SELECT substr(data, ?, ?) FROM blob_piece WHERE blob = ? AND piece = ?"
_DELETE: Final = "DELETE FROM blob_piece WHERE blob = ?"
_NAMES: Final = "SELECT DISTINCT blob FROM blob_piece"


class FilePieces:
    """A `blobs.FileBytes` in the table of pieces."""

    def __init__(self, statements: Statements) -> None:
        self._statements: Final = statements

    def name(self, blob: str) -> str:
        """Return what `names` and `drop` call a blob."""
        return blob

    async def check_room(self, size: int) -> None:
        """Return: only the database knows its disk, and says when that is full."""

    async def write(self, blob: str, offset: int, data: bytes, *, last: bool) -> None:  # noqa: ARG002 -- each is durable
        """Store a portion. Raises: MissingError: what stood before `offset` is gone; MeshError: as the database."""
        piece, inside = divmod(offset, PIECE_BYTES)
        if inside:
            found = await self._statements.query(_BEFORE, (blob, piece))
            before = found[0][0] if found else b""
            assert isinstance(before, bytes)
            _check_beginning(len(before), inside)
            data = before[:inside] + data
        elif piece:
            found = await self._statements.query(_LENGTH, (blob, piece - 1))
            _check_beginning(found[0][0] if found else 0, PIECE_BYTES)
        for number, at in enumerate(range(0, len(data), PIECE_BYTES), piece):
            await self._statements.change(_PUT, (blob, number, data[at : at + PIECE_BYTES]))

    async def read(self, blob: str, offset: int, count: int) -> bytes:
        """Return at most `count` bytes from `offset` on. Raises: MissingError: the bytes are gone."""
        read = b""
        while len(read) < count:
            piece, inside = divmod(offset + len(read), PIECE_BYTES)
            found = await self._statements.query(_PART, (inside + 1, count - len(read), blob, piece))
            part = found[0][0] if found else b""
            assert isinstance(part, bytes)
            if not part:
                break
            read += part
        if not (read or await self._statements.query(_LENGTH, (blob, 0))):
            raise MissingError("this file is gone")
        return read

    async def remove(self, blob: str) -> None:
        """Remove the bytes of a blob, if there are any."""
        await self._statements.change(_DELETE, (blob,))

    async def names(self) -> tuple[str, ...]:
        """Return the names of all blobs that have bytes."""
        return tuple(str(name) for (name,) in await self._statements.query(_NAMES))

    async def drop(self, names: Iterable[str]) -> None:
        """Remove blobs by name."""
        for name in names:
            await self.remove(name)


def _check_beginning(found: object, wanted: int) -> None:
    assert isinstance(found, int)
    if found < wanted:
        raise MissingError("the beginning of this file is gone: send it anew")
