"""Where a node's API is reached: an HTTPS origin with a DNS name, in exactly one spelling.

Source: docs/protocol/20-identity.md §1.
"""

import re
from functools import lru_cache
from typing import Annotated, Final

import msgspec

from .encoding import b64, label, sha256
from .errors import MalformedError
from .ids import parse_entity

#: `https://mesh.company.example` with an optional port; see `parse_api`.
ApiBase = Annotated[str, msgspec.Meta(min_length=9, max_length=267)]

_PORT: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_LOOPBACK: Final = re.compile(r"(?:127\.0\.0\.1|\[::1\]):([1-9][0-9]{0,4})", re.ASCII)


def parse_api(text: str) -> str:
    """Return `text` if it is an API base in its only spelling: `https://`, plain DNS name, port unless 443, no path.

    Raises: MalformedError: anything else, such as an IP literal, user information, a path or upper case.
    """
    base, colon, port = text.removeprefix("https://").partition(":")
    parse_entity(f"https://{base}" if text.startswith("https://") else text, what="API base")
    if colon and (not _PORT.fullmatch(port) or int(port) > 65535 or int(port) == 443):
        raise MalformedError("API base must name a port between 1 and 65535 and leave 443 out")
    return text


def authority_of(api: str) -> str:
    """Return the `@authority` of an API base, such as `mesh.company.example:8443`. Raises: MalformedError."""
    return parse_api(api).removeprefix("https://")


def host_of(api: str) -> str:
    """Return the host of an API base or entity identifier, without a port. Raises: MalformedError."""
    return authority_of(api).partition(":")[0]


def parse_loopback(text: str) -> tuple[str, int]:
    """Return host and port of a development address such as `127.0.0.1:8441`. Raises: MalformedError."""
    match = _LOOPBACK.fullmatch(text)
    if match is None or int(match[1]) > 65535:
        raise MalformedError("a development address must be 127.0.0.1:PORT or [::1]:PORT")
    return text.rpartition(":")[0].strip("[]"), int(match[1])


@lru_cache(maxsize=4096)
def audience_id(*entities: str) -> str:
    """Return the id of whom a set or key is for, as 43 characters.

    One entity is an organization alone or the registry of a consortium, two are a pair in either order; an
    organization and itself are that organization alone, as in a match between colleagues.
    """
    names = sorted({parse_entity(entity) for entity in entities})
    if not 1 <= len(names) <= 2:
        raise ValueError("an audience is one entity or two")
    return b64(sha256(label("audience"), "\n".join(names).encode("ascii")))
