"""What a person takes along when they leave an employer: one sealed file, which another node's account begins with.

The file is a vault container (docs/protocol/47-vault.md) of canonical JSON. Source: docs/protocol/49-recovery.md §11.
"""

from typing import Annotated, Final, Literal

import msgspec

from protocol.encoding import Wire, decode, encode
from protocol.errors import LimitError
from protocol.ids import Bytes32

from .kept import Book, KeptSession
from .masterchange import Changes
from .vault import VaultKey, unlock

MAX_LUGGAGE_BYTES: Final = 64 * 1024 * 1024


class Luggage(Wire, frozen=True, kw_only=True):
    """Account secret, name, contacts and what stays of sessions, archived sessions, and the mentor profile as JSON."""

    v: Literal["mentormesh/luggage/v1"] = "mentormesh/luggage/v1"
    account_secret: Bytes32
    name: Annotated[str, msgspec.Meta(max_length=80)] = ""
    book: Book
    sessions: Annotated[tuple[KeptSession, ...], msgspec.Meta(max_length=1_000)] = ()
    changes: Changes = ()
    profile: Annotated[str, msgspec.Meta(max_length=100_000)] = ""

    def __repr__(self) -> str:
        return "Luggage(…)"


def pack(luggage: Luggage, key: VaultKey, *, nonce: bytes) -> bytes:
    """Return the sealed file; `nonce` is 24 bytes of entropy."""
    return key.seal(encode(luggage), nonce=nonce)


def unpack(file: bytes, passphrase: str) -> Luggage:
    """Return what is in a file. Raises: DamagedVaultError, WrongKeyError, MalformedError, LimitError."""
    if len(file) > MAX_LUGGAGE_BYTES:
        raise LimitError("the file is larger than anything that can be taken along")
    _, plain = unlock(file, passphrase)
    return decode(plain, Luggage, what="file")
