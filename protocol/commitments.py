"""Salted commitments: a hash that says nothing about a body until salt and body are shown.

`SHA-256(domain label ‖ salt ‖ body)` with a fresh 16-byte salt per (body, audience), stored beside the body and
destroyed with it. Source: docs/protocol/12-set-heads.md §2.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

import msgspec

from .encoding import label, sha256
from .errors import UnverifiedError

SALT_BYTES: Final = 16
COMMITMENT_BYTES: Final = 32


class Opening(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What opens a commitment: 16 bytes of salt and the exact body bytes."""

    salt: bytes
    body: bytes

    def __post_init__(self) -> None:
        if len(self.salt) != SALT_BYTES:
            raise ValueError("a salt is 16 bytes")


def commit(purpose: str, opening: Opening) -> bytes:
    """Return the 32-byte commitment to `opening` under the domain label of `purpose`, such as `offer`."""
    return sha256(label(purpose), opening.salt, opening.body)


def commit_all(purpose: str, openings: Iterable[Opening]) -> list[bytes]:
    """Return the commitments to many openings."""
    prefix = label(purpose)
    return [hashlib.sha256(prefix + opening.salt + opening.body).digest() for opening in openings]


def check_opening(commitment: bytes, purpose: str, opening: Opening) -> None:
    """Return when `opening` is what `commitment` was made of. Raises: UnverifiedError."""
    if not hmac.compare_digest(commit(purpose, opening), commitment):
        raise UnverifiedError(f"{purpose} does not match its commitment", code="opening-mismatch")
