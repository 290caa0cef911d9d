"""Canonical bytes: strict base64url, restricted RFC 8785 JSON and domain-separated hashes.

Everything that is signed or hashed passes through here. RFC 8785 is implemented for the subset that
the protocol uses: objects, arrays, strings, booleans and integers |n| < 2^53 with keys `[a-z0-9_]`. The bounds of a
field stand in its type. Source: docs/protocol/01-bytes.md.
"""

import binascii
import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from .errors import MalformedError

T = TypeVar("T")

MAX_SAFE_INTEGER: Final = 2**53 - 1

_encoder: Final = msgspec.json.Encoder(order="sorted")
_PLACE: Final = re.compile(r" - at (?:`key` in )?`\$[A-Za-z0-9_.\[\]]*`$")


class Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every signed or hashed body: frozen, closed, defaults absent on the wire."""


def encode(value: object) -> bytes:
    """Return the canonical JSON bytes of `value` (a `Wire` struct or plain containers of the subset).

    Byte strings appear as unpadded base64url text because JSON has no bytes: declare such fields `str`.
    """
    return _encoder.encode(value)


def decode(data: bytes, kind: type[T], *, what: str = "body") -> T:
    """Return `data` as `kind`; the bytes must equal the canonical encoding of what they say.

    Re-encoding refuses doubled keys, spaces, unknown escapes, defaults written out and number spellings at once.

    Raises: MalformedError: not UTF-8, not JSON, wrong shape, a bound exceeded, or not canonical.
    """
    try:
        value = msgspec.json.decode(data, type=kind)
        again = _encoder.encode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, TypeError) as error:
        raise MalformedError(f"{what} is not valid: {_reason(error)}") from None
    if again != data:
        raise MalformedError(f"{what} is not canonical: keys sorted, no spaces, no repeated keys, defaults left out")
    return value


def decode_lines(bodies: Sequence[bytes], kind: type[T]) -> list[T]:
    """Return what `decode` returns for each of `bodies`; for many of them in half the time.

    They are read and written again as lines. What is written has no line feed inside a line, so as many values that
    give the same text again are the bodies, each by itself.

    Raises: ValueError: `decode` refuses one of them, and says which rule it breaks.
    """
    lines = b"\n".join((*bodies, b""))
    try:
        values = msgspec.json.Decoder(kind).decode_lines(lines)
        again = _encoder.encode_lines(values)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, TypeError):
        raise ValueError("a body is not valid") from None
    if again != lines or len(values) != len(bodies):
        raise ValueError("a body is not canonical")
    return values


def decode_loose(data: bytes, kind: type[T], *, what: str = "body") -> T:
    """Return `data` as `kind` without the canonical rule, for unsigned input such as a browser's request.

    Raises: MalformedError: not UTF-8, not JSON, or wrong shape.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, TypeError) as error:
        raise MalformedError(f"{what} is not valid: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Say which rule failed and where, without any of the input."""
    if isinstance(error, msgspec.ValidationError):
        return broken_rule(error)
    if isinstance(error, RecursionError):
        return "nested too deep"
    return "not JSON in UTF-8"


def broken_rule(error: msgspec.ValidationError) -> str:
    """Return msgspec's rule and place, without the word or unknown name that it repeats for some rules."""
    text = str(error)
    found = _PLACE.search(text)
    place = found[0] if found else ""
    if text.startswith("Invalid "):
        return f"Not one of the allowed values{place}"
    if text.startswith("Object contains unknown field"):
        return f"Object contains an unknown field{place}"
    return text


#: Between the two alphabets; what base64url lacks, padding too, becomes a sign that neither has.
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_+/=", b"+/!!!")


def b64(data: bytes) -> str:
    """Return `data` as unpadded base64url text (RFC 7515 §2)."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")


def unb64(text: str, *, size: int | None = None, what: str = "value") -> bytes:
    """Return the bytes of unpadded base64url `text`; exactly one spelling is accepted.

    Args:
        size: exact number of bytes wanted, or None.
    Raises: MalformedError: other alphabet, padding, non-zero trailing bits, wrong size.
    """
    try:
        standard = text.encode("ascii").translate(_FROM_URL)
        data = binascii.a2b_base64(standard + b"=" * (-len(standard) % 4), strict_mode=True)
    except ValueError:
        raise MalformedError(f"{what} is not base64url without padding") from None
    # Only the last characters can have more than one spelling: whole groups of four have no bits left over.
    rest = data[len(data) // 3 * 3 :]
    if rest and binascii.b2a_base64(rest, newline=False).rstrip(b"=") != standard[len(standard) // 4 * 4 :]:
        raise MalformedError(f"{what} is not base64url in its only spelling")
    if size is not None and len(data) != size:
        raise MalformedError(f"{what} must be {size} bytes")
    return data


def sha256(*parts: bytes) -> bytes:
    """Return the 32-byte SHA-256 of the concatenated `parts`."""
    return hashlib.sha256(b"".join(parts)).digest()


@lru_cache(256)
def label(purpose: str, version: int = 1) -> bytes:
    """Return the domain label of one purpose: `mentormesh/offer/v1` and a line feed."""
    return f"mentormesh/{purpose}/v{version}\n".encode("ascii")


def length_prefixed(*parts: bytes) -> bytes:
    """Return `parts` each after its 4-byte big-endian length, so that no two lists give the same bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def split_prefixed(data: bytes, count: int, *, what: str = "value") -> tuple[bytes, ...]:
    """Return exactly `count` parts of `length_prefixed` bytes.

    Raises: MalformedError: a length runs past the end, or bytes are left over.
    """
    parts: list[bytes] = []
    at = 0
    for _ in range(count):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        if len(data) < end:
            raise MalformedError(f"{what} is cut short")
        parts.append(data[at + 4 : end])
        at = end
    if at != len(data):
        raise MalformedError(f"{what} has trailing bytes")
    return tuple(parts)
