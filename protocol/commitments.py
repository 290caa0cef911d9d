"""Salted commitments: a hash that says nothing about a body until salt and body are shown.

`SHA-256(domain label ‖ salt ‖ body)` with a fresh 16-byte salt per (body, audience), stored beside the body and
destroyed with it. Source: docs/protocol/12-set-heads.md §2.
"""

import hmac
from typing import Final

import msgspec

from .encoding import label, sha256
from .errors import UnverifiedError

SALT_BYTES: Final = 16
COMMITMENT_BYTES: Final = 32


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What opens a commitment: 16 bytes of salt and the exact body bytes."""

    salt: bytes
    body: bytes

    def __post_init__(self) -> None:
        if len(self.salt) != SALT_BYTES:
            raise ValueError("a salt is 16 bytes")


def commit(purpose: str, opening: Opening) -> bytes:
    """Return the 32-byte commitment to `opening` under the domain label of `purpose`, such as `offer`."""
    return sha256(label(purpose), opening.salt, opening.body)


def check_opening(commitment: bytes, purpose: str, opening: Opening) -> None:
    """Return when `opening` is what `commitment` was made of. Raises: UnverifiedError."""
    if not hmac.compare_digest(commit(purpose, opening), commitment):
        raise UnverifiedError(f"{purpose} does not match its commitment", code="opening-mismatch")
