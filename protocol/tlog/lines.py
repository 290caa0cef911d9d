"""Numbers, base64 and hashes as the C2SP text formats write them: one spelling each, every other one refused.

Source: docs/protocol/50-log.md §3, §7.
"""

import base64
import binascii
import re
from typing import Final

from protocol.encoding import MAX_SAFE_INTEGER
from protocol.errors import MalformedError

from .merkle import HASH_BYTES

#: No tree is larger: canonical JSON and browsers hold every size exactly, and nobody can build more leaves.
MAX_SIZE: Final = MAX_SAFE_INTEGER

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)


class NumberError(MalformedError):
    """A number is not plain ASCII decimal without sign, space or leading zero, or is over its limit."""

    code = "number"


class Base64Error(MalformedError):
    """A value is not RFC 4648 §4 base64 in its only spelling: alphabet, padding, zero trailing bits."""

    code = "base64"


class HashLengthError(MalformedError):
    """A hash is not 32 bytes long."""

    code = "hash-length"


def decimal(text: str, *, what: str, most: int = MAX_SIZE) -> int:
    """Return the number that `text` spells. Raises: NumberError: another spelling, or more than `most`."""
    if not _DECIMAL.fullmatch(text) or int(text) > most:
        raise NumberError(f"{what} must be a decimal number of at most {most}, without sign or leading zero")
    return int(text)


def base64_text(data: bytes) -> str:
    """Return `data` as padded standard base64."""
    return base64.b64encode(data).decode("ascii")


def base64_bytes(text: str, *, what: str) -> bytes:
    """Return the bytes that `text` spells. Raises: Base64Error: any spelling but the one `base64_text` writes."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Base64Error(f"{what} is not base64") from None
    if base64_text(data) != text:
        raise Base64Error(f"{what} is not base64 in its only spelling")
    return data


def hash_bytes(text: str, *, what: str) -> bytes:
    """Return the 32 bytes of a hash line such as `yjk9Apa+xeC43KuYO9H7fRRh9RLnJny4ljGtJv1m2Eg=`.

    Raises: Base64Error; HashLengthError.
    """
    data = base64_bytes(text, what=what)
    if len(data) != HASH_BYTES:
        raise HashLengthError(f"{what} must be {HASH_BYTES} bytes")
    return data
