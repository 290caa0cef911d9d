"""The TLS presentation language as MLS uses it: fixed integers, optional values, vectors after a minimal length.

Writing is a handful of functions that return bytes; reading is one bounded cursor that refuses whatever has a second
spelling. Source: RFC 9420 §2.1.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from protocol.errors import MalformedError

T = TypeVar("T")


class FormError(MalformedError):
    """The bytes are no MLS structure in its only spelling."""

    code = "mls-form"


def u8(number: int) -> bytes:
    """Return one byte."""
    return number.to_bytes(1, "big")


def u16(number: int) -> bytes:
    """Return two bytes."""
    return number.to_bytes(2, "big")


def u32(number: int) -> bytes:
    """Return four bytes."""
    return number.to_bytes(4, "big")


def u64(number: int) -> bytes:
    """Return eight bytes."""
    return number.to_bytes(8, "big")


def vector(data: bytes) -> bytes:
    """Return `data` after its length as the shortest QUIC variable-length integer."""
    size = len(data)
    if size < 1 << 6:
        return bytes((size,)) + data
    if size < 1 << 14:
        return (size | 1 << 14).to_bytes(2, "big") + data
    if size < 1 << 30:
        return (size | 1 << 31).to_bytes(4, "big") + data
    raise ValueError("a vector holds less than 2^30 bytes")


def vector_of(items: Iterable[bytes]) -> bytes:
    """Return a vector of encoded items."""
    return vector(b"".join(items))


def optional(data: bytes | None) -> bytes:
    """Return the encoding of a value that may be absent."""
    return b"\x00" if data is None else b"\x01" + data


class Reader:
    """A cursor over bytes that others made. Every method raises FormError at the end of the bytes."""

    __slots__ = ("_at", "_data", "_end", "_what")

    def __init__(self, data: bytes, *, what: str) -> None:
        self._data: Final = data
        self._at = 0
        self._end: Final = len(data)
        self._what: Final = what

    @property
    def at(self) -> int:
        """How many bytes were read."""
        return self._at

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        start, end = self._at, self._at + size
        if end > self._end:
            raise FormError(f"{self._what} is cut short")
        self._at = end
        return self._data[start:end]

    def since(self, start: int) -> bytes:
        """Return the bytes read since the cursor stood at `start`."""
        return self._data[start : self._at]

    def u8(self) -> int:
        """Return a one-byte integer."""
        return self.take(1)[0]

    def u16(self) -> int:
        """Return a two-byte integer."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """Return a four-byte integer."""
        return int.from_bytes(self.take(4), "big")

    def u64(self) -> int:
        """Return an eight-byte integer."""
        return int.from_bytes(self.take(8), "big")

    def length(self) -> int:
        """Return a vector's length. Raises: FormError: not the shortest spelling, or of eight bytes."""
        first = self.take(1)[0]
        prefix = first >> 6
        if prefix == 0:
            return first
        if prefix == 3:
            raise FormError(f"{self._what} has a length of eight bytes")
        more = (1 << prefix) - 1
        value = (first & 0x3F) << 8 * more | int.from_bytes(self.take(more), "big")
        if value < 1 << (8 * (1 << prefix - 1) - 2):
            raise FormError(f"{self._what} has a length that is not in its shortest form")
        return value

    def vector(self) -> bytes:
        """Return the bytes of a vector."""
        start = self._at + 1
        if start <= self._end and (size := self._data[start - 1]) < 1 << 6:  # most are short: no more calls for those
            self._at = start
            return self.take(size)
        return self.take(self.length())

    def optional(self) -> bool:
        """Return whether an optional value follows."""
        present = self.u8()
        if present > 1:
            raise FormError(f"{self._what} has an optional value that is neither absent nor present")
        return bool(present)

    def each(self, read: Callable[["Reader"], T]) -> tuple[T, ...]:
        """Return the items of a vector, each read by `read`."""
        inner = Reader(self.vector(), what=self._what)
        items = []
        while not inner.done:
            items.append(read(inner))
        return tuple(items)

    @property
    def done(self) -> bool:
        """Whether everything was read."""
        return self._at == self._end

    def end(self) -> None:
        """Return when everything was read. Raises: FormError."""
        if not self.done:
            raise FormError(f"{self._what} has trailing bytes")


def whole(data: bytes, read: Callable[[Reader], T], *, what: str) -> T:
    """Return the one structure that `data` is. Raises: FormError: also for trailing bytes."""
    reader = Reader(data, what=what)
    value = read(reader)
    reader.end()
    return value
