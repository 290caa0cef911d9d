"""A device that lost its place in a session asks to be let in again, and is answered; no group carries these words.

`Ask` → `Answer`: sealed with a key that all devices of the session have, because who is lost cannot read its group.
The key hides from the nodes whose device it is, and proves nothing. Source: docs/protocol/45-sessions.md §8.
"""

from typing import Annotated, Final

import msgspec

from protocol.encoding import Wire, b64, decode, encode, label, length_prefixed, sha256, unb64
from protocol.errors import MalformedError, UnverifiedError
from protocol.ids import Bytes32, Seconds, id_bytes

from .content import OVERHEAD_BYTES, open_content, seal_content
from .siblings import PackageText, WelcomeText

#: The first byte, which no message of MLS has.
FIRST: Final = b"\xff"
SALT_BYTES: Final = 32
#: What of a group's first epoch the key is exported for.
PURPOSE: Final = "mentormesh/rejoin/v1"
KEY_BYTES: Final = 32


class Ask(Wire, frozen=True, kw_only=True, tag="ask"):
    """`{"package":…,"type":"ask"}`: a fresh key package of the sender, for this session only."""

    package: PackageText


class Answer(Wire, frozen=True, kw_only=True, tag="answer"):
    """How `device` joins; what the hub numbered above `number` is of the group that it joins."""

    device: Bytes32
    number: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    welcome: WelcomeText


class Rejoin(Wire, frozen=True, kw_only=True):
    """`{"at":…,"content":…}`; of two asks of one device the later `at` counts."""

    at: Seconds
    content: Ask | Answer


def is_rejoin(data: bytes) -> bool:
    """Return whether an envelope's ciphertext is no message of the group but one of these words."""
    return data.startswith(FIRST)


def seal_rejoin(word: Rejoin, key: bytes, *, thread: str, salt: bytes) -> bytes:
    """Return `word` for all devices of a session; `salt` is 32 random bytes."""
    if len(salt) != SALT_BYTES or len(key) != KEY_BYTES:
        raise ValueError(f"a word takes a salt of {SALT_BYTES} bytes of entropy, and a key of {KEY_BYTES} bytes")
    return FIRST + salt + seal_content(encode(word), _once(key, salt), _context(thread))


def open_rejoin(data: bytes, key: bytes, *, thread: str) -> Rejoin:
    """Return the word of an item.

    Raises: UnverifiedError: of another session or key, or changed, or this device has no key; MalformedError.
    """
    if len(key) != KEY_BYTES:  # a key that is empty is anybody's
        raise UnverifiedError("this device has no key for words of a device without a place")
    start = len(FIRST) + SALT_BYTES
    if not is_rejoin(data) or len(data) <= start + OVERHEAD_BYTES:
        raise MalformedError("not what a device without a place says")
    salt, box = data[len(FIRST) : start], data[start:]
    plain = open_content(box, _once(key, salt), _context(thread), what="word of a device without a place")
    return decode(plain, Rejoin, what="word of a device without a place")


def package_of(ask: Ask) -> bytes:
    """Return the key package of an ask. Raises: MalformedError."""
    return unb64(ask.package, what="key package")


def ask_with(package: bytes, *, at: int) -> Rejoin:
    """Return the ask with this key package."""
    return Rejoin(at=at, content=Ask(package=b64(package)))


def _once(key: bytes, salt: bytes) -> bytes:
    return sha256(label("rejoin-key"), length_prefixed(key, salt))


def _context(thread: str) -> bytes:
    return label("rejoin") + length_prefixed(id_bytes(thread, what="thread"))
