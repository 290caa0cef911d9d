"""Slots of a recovery bundle: each wraps the bundle's key once, under a secret that is used for this slot alone.

Recovery words and a passphrase; the PRF of a passkey is reserved. Another device needs no slot: it has the secret.
Source: docs/protocol/49-recovery.md §4.
"""

import unicodedata
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import nacl.pwhash.argon2id as argon2
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec.structs import replace

from protocol.encoding import Wire, b64, encode, label, length_prefixed, unb64
from protocol.errors import MalformedError, RefusedError, UnverifiedError
from protocol.ids import Bytes32, RandomId, Seconds, id_bytes
from protocol.recoverylocator import locator_commitment

from .content import open_content, seal_content
from .vault import DEFAULT_COST, Cost, WrongKeyError

KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
#: Whoever keeps the bundle can guess at a passphrase without any limit: see `check_strength`.
LEAST_WORDS: Final = 6
LEAST_LETTERS: Final = 3
LEAST_CHARACTERS: Final = 20
LEAST_DIFFERENT: Final = 10

Box = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+(?!\n)$", min_length=1, max_length=2_000)]


class WeakPassphraseError(MalformedError):
    """The passphrase could be guessed by whoever keeps the bundle."""

    code = "weak-passphrase"


class WordsSlot(Wire, frozen=True, kw_only=True, tag="words"):
    """`{"added_at":…,"id":…,"locator":…,"sealed":…,"type":"words"}`: the key under 32 bytes that were shown as words.

    `locator` is the hash of a value from which whoever has the words is known without a sign-in.
    """

    id: RandomId
    added_at: Seconds
    locator: Bytes32
    sealed: Box = ""


class PassphraseSlot(Wire, frozen=True, kw_only=True, tag="passphrase"):
    """The same under a passphrase by Argon2id, with salt and cost."""

    id: RandomId
    added_at: Seconds
    salt: str
    cost: Cost
    sealed: Box = ""

    def __post_init__(self) -> None:
        """Refuse a salt of another size."""
        unb64(self.salt, size=SALT_BYTES, what="salt")


class PasskeySlot(Wire, frozen=True, kw_only=True, tag="passkey"):
    """Reserved for the PRF of a passkey: kept when a bundle is written again, and opened by no program yet."""

    id: RandomId
    added_at: Seconds
    credential: Box
    salt: Bytes32
    sealed: Box = ""


Slot = WordsSlot | PassphraseSlot | PasskeySlot


def words_slot(entropy: bytes, key: bytes, *, slot: str, now: int) -> WordsSlot:
    """Return a slot for `entropy` that was shown as words; `slot` is a fresh id."""
    bare = WordsSlot(id=slot, added_at=now, locator=locator_commitment(locator_of(entropy)))
    return replace(bare, sealed=_wrapped(bare, key, _words_key(entropy, slot)))


def passphrase_slot(
    passphrase: str, key: bytes, *, slot: str, salt: bytes, now: int, cost: Cost = DEFAULT_COST
) -> PassphraseSlot:
    """Return a slot for a passphrase, with 16 fresh bytes of salt. Raises: WeakPassphraseError."""
    check_strength(passphrase)
    bare = PassphraseSlot(id=slot, added_at=now, salt=b64(salt), cost=cost)
    return replace(bare, sealed=_wrapped(bare, key, _passphrase_key(passphrase, bare)))


def key_by_words(slots: Sequence[Slot], entropy: bytes) -> bytes:
    """Return the bundle's key. Raises: WrongKeyError: words of another bundle; RefusedError: it has none."""
    found = [(slot, _words_key(entropy, slot.id)) for slot in slots if isinstance(slot, WordsSlot)]
    return _first_open(found, "these words do")


def key_by_passphrase(slots: Sequence[Slot], passphrase: str) -> bytes:
    """Return the bundle's key. Raises: WrongKeyError: another passphrase; RefusedError: it has none."""
    found = [(slot, _passphrase_key(passphrase, slot)) for slot in slots if isinstance(slot, PassphraseSlot)]
    return _first_open(found, "this passphrase does")


def key_by_passkey(_slots: Sequence[Slot]) -> bytes:
    """Raise RefusedError: the kind is reserved, and no program of this version opens it."""
    raise RefusedError(
        "a passkey opens nothing in this version: use the words or the passphrase, or link with a device"
    )


def locator_of(entropy: bytes) -> Bytes32:
    """Return by which value the person of these words is known to their node, as 43 characters; it opens nothing."""
    return b64(derived("recovery-locator", entropy))


def check_strength(passphrase: str) -> None:
    """Return when a passphrase may protect a bundle that somebody else keeps and guesses at as long as they like.

    Six different words of at least three letters, or 20 characters of which ten differ. Raises: WeakPassphraseError.
    """
    text = unicodedata.normalize("NFC", passphrase)
    words = {word.casefold() for word in text.split() if len(word) >= LEAST_LETTERS}
    long_enough = len(text.strip()) >= LEAST_CHARACTERS and len(set(text)) >= LEAST_DIFFERENT
    if len(words) < LEAST_WORDS and not long_enough:
        raise WeakPassphraseError(
            f"your node keeps what this passphrase opens and could guess at it: take {LEAST_WORDS} different words, "
            f"or {LEAST_CHARACTERS} characters"
        )


_Openable = WordsSlot | PassphraseSlot


def _first_open(found: Sequence[tuple[_Openable, bytes]], what: str) -> bytes:
    _require(found)
    for slot, secret in found:
        try:
            return open_content(_bytes(slot.sealed), secret, _aad(slot), what="recovery slot")
        except UnverifiedError:
            continue
    raise WrongKeyError(f"{what} not open this recovery copy; it may also be of another time, or changed")


def _require(found: Sequence[object]) -> None:
    if not found:
        raise RefusedError("this recovery copy opens in another way: it has no slot of this kind", code="no-slot")


def _wrapped(bare: _Openable, key: bytes, secret: bytes) -> str:
    return b64(seal_content(key, secret, _aad(bare)))


def _aad(slot: _Openable) -> bytes:
    return label("recovery-slot") + encode(replace(slot, sealed=""))


def _words_key(entropy: bytes, slot: str) -> bytes:
    return derived("recovery-slot", entropy, id_bytes(slot, what="slot"))


def _passphrase_key(passphrase: str, slot: PassphraseSlot) -> bytes:
    secret = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogateescape")
    salt = unb64(slot.salt, size=SALT_BYTES, what="salt")
    return argon2.kdf(KEY_BYTES, secret, salt, opslimit=slot.cost.passes, memlimit=slot.cost.memory_kib * 1024)


def derived(purpose: str, secret: bytes, *context: bytes) -> bytes:
    """Return HKDF-SHA256 of 32 secret bytes, as docs/protocol/43-devices.md §2 derives."""
    bound = label(f"derive/{purpose}") + length_prefixed(*context)
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=bound).derive(secret)


def _bytes(text: str) -> bytes:
    return unb64(text, what="slot")
