"""Identifiers: entity identifiers of nodes, 16-byte random ids, time-ordered message ids.

Source: docs/protocol/02-identifiers.md.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from .encoding import b64, unb64
from .errors import MalformedError

ID_BYTES: Final = 16

# `(?!\n)$` because Python's `$` alone would let one line feed through at the end.
#: 16 random bytes as 22 characters of base64url: offers, threads, refs, labels.
RandomId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{21}[AQgw](?!\n)$", min_length=22, max_length=22)]
#: 32 bytes (hash, public key) as 43 characters of base64url.
Bytes32 = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048](?!\n)$", min_length=43, max_length=43)
]
#: The same, or the empty text where there is none.
MaybeBytes32 = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])?(?!\n)$", max_length=43)]
#: RFC 9562 version 7 UUID in lower-case text form.
MessageId = Annotated[
    str,
    msgspec.Meta(max_length=36, pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(?!\n)$"),
]
#: Entity Identifier of a node; see `parse_entity`.
Entity = Annotated[str, msgspec.Meta(min_length=9, max_length=261)]
#: Unix seconds.
Seconds = Annotated[int, msgspec.Meta(ge=0, le=253402300799)]

_LABEL: Final = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_ENTITY: Final = re.compile(r"https://([^/:?#@\s]+)", re.ASCII)


def parse_entity(text: str, *, what: str = "entity identifier") -> str:
    """Return `text` if it is a node's Entity Identifier in its only spelling, such as `https://aurora.example`.

    Lower-case host with at least two labels, the last beginning with a letter; no port, path, dot at the end or `xn--`
    twin, so that two spellings never name one node.

    Raises: MalformedError: any other form.
    """
    match = _ENTITY.fullmatch(text)
    host = match[1] if match else ""
    if not match or len(host) > 253 or not _HOST.fullmatch(host):
        raise MalformedError(f"{what} must look like https://node.company.example, lower case, without port or path")
    labels = host.split(".")
    if len(labels) < 2 or not labels[-1][0].isalpha() or any(part.startswith("xn--") for part in labels):
        raise MalformedError(f"{what} must be a plain DNS name of at least two labels")
    return text


def entity_host(entity: str) -> str:
    """Return the host of an entity identifier, such as `aurora.example`."""
    return parse_entity(entity).removeprefix("https://")


def random_id(entropy: bytes) -> str:
    """Return 16 bytes of `entropy` as text; more or fewer bytes are a programming mistake."""
    if len(entropy) != ID_BYTES:
        raise ValueError("an id takes exactly 16 bytes of entropy")
    return b64(entropy)


def id_bytes(text: str, *, what: str = "id") -> bytes:
    """Return the 16 bytes of a random id. Raises: MalformedError."""
    return unb64(text, size=ID_BYTES, what=what)


def many_id_bytes(texts: Sequence[str], *, what: str = "id") -> list[bytes]:
    """Return what `id_bytes` returns for each of `texts`, in a tenth of the time. Raises: MalformedError."""
    if not {22}.issuperset(map(len, texts)):
        raise MalformedError(f"{what} must be {ID_BYTES} bytes, 22 characters")
    # Two zeros after each make it 24 characters and 18 bytes, of which the last two must be zero.
    data = unb64("AA".join((*texts, "")), what=what)
    if any(data[16::18]):
        raise MalformedError(f"{what} is not base64url in its only spelling")
    return [data[at : at + ID_BYTES] for at in range(0, len(data), 18)]


def message_id(now_ms: int, entropy: bytes) -> str:
    """Return a UUIDv7 (RFC 9562 §5.7) from Unix milliseconds and 10 bytes of entropy."""
    if len(entropy) != 10:
        raise ValueError("a message id takes exactly 10 bytes of entropy")
    raw = bytearray(now_ms.to_bytes(6, "big") + entropy)
    raw[6] = 0x70 | (raw[6] & 0x0F)
    raw[8] = 0x80 | (raw[8] & 0x3F)
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
