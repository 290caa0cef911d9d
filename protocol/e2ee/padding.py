"""Fixed sizes for what is encrypted, so that its length says little: 4-byte length, content, zeros."""

from typing import Final

from protocol.errors import LimitError, MalformedError

LENGTH_BYTES: Final = 4


def pad(content: bytes, size: int, *, what: str) -> bytes:
    """Return `content` behind its length, filled with zeros to `size` bytes. Raises: LimitError: it does not fit."""
    used = LENGTH_BYTES + len(content)
    if used > size:
        raise LimitError(f"{what} is {used - size} bytes too long for its {size}")
    return len(content).to_bytes(LENGTH_BYTES, "big") + content + bytes(size - used)


def unpad(padded: bytes, size: int, *, what: str) -> bytes:
    """Return the content of exactly `size` padded bytes. Raises: MalformedError: size, length or a non-zero fill."""
    end = LENGTH_BYTES + int.from_bytes(padded[:LENGTH_BYTES], "big")
    if len(padded) != size or end > size:
        raise MalformedError(f"{what} must be padded to {size} bytes")
    if padded.count(0, end) != size - end:
        raise MalformedError(f"{what} must be padded with zeros")
    return padded[LENGTH_BYTES:end]
