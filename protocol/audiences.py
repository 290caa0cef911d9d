"""Audience ids: for whom a catalog, an identity key or a device certificate is meant.

An audience is a set of organizations, named by 32 bytes so that its members do not show.
Source: docs/protocol/offers.md, docs/protocol/43-devices.md.
"""

from .encoding import b64, label, sha256
from .ids import parse_entity


def audience_of(*entities: str) -> str:
    """Return the id of the audience of these organizations: a bilateral pair, or one alone, in any order.

    The id is the SHA-256 over the domain label and the distinct entity identifiers, sorted and each ended by a line
    feed, as 43 characters of base64url. Raises: MalformedError: an entity identifier is not in its only spelling.
    """
    names = sorted({parse_entity(entity) for entity in entities})
    return b64(sha256(label("audience"), *(f"{name}\n".encode("ascii") for name in names)))
