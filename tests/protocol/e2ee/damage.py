"""Every way in which bytes can be a little wrong."""

from collections.abc import Iterator


def flipped(data: bytes, *, step: int = 1) -> Iterator[bytes]:
    """Yield `data` with one bit changed, in every `step`-th byte and in the last; the bit moves with the byte."""
    for at in (*range(0, len(data), step), len(data) - 1):
        yield data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]


def cut(data: bytes, *, step: int = 1) -> Iterator[bytes]:
    """Yield `data` cut short at every `step`-th length, from empty, and with one byte more."""
    for size in range(0, len(data), step):
        yield data[:size]
    yield data + b"\x00"
