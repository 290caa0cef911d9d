"""A sealed container for a person's local state: passphrase (Argon2id) or a raw 32-byte key, XChaCha20-Poly1305.

Bytes: the line `mentormesh-vault/1`, 4-byte length and canonical JSON header, ciphertext, SHA-256 of all before. The
header is authenticated; the checksum only tells a damaged file from a wrong passphrase.
Source: docs/protocol/47-vault.md.
"""

import unicodedata
from typing import Annotated, Final

import msgspec
import nacl.bindings as sodium
import nacl.exceptions
import nacl.pwhash.argon2id as argon2

from protocol.encoding import Wire, b64, decode, encode, label, sha256, unb64
from protocol.errors import MalformedError, UnverifiedError

MAGIC: Final = b"mentormesh-vault/1\n"
KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 24
_CHECKSUM_BYTES: Final = 32
_MAX_HEADER_BYTES: Final = 1_024


class DamagedVaultError(MalformedError):
    """The container is cut short, changed, or not one at all: restore it from a copy."""

    code = "damaged-vault"


class WrongKeyError(UnverifiedError):
    """The passphrase or key does not open the container."""

    code = "wrong-key"


class Cost(Wire, frozen=True, kw_only=True):
    """How hard guessing is: `{"memory_kib":65536,"passes":3}`; bounded: a planted file must not stop a machine."""

    passes: Annotated[int, msgspec.Meta(ge=1, le=16)]
    memory_kib: Annotated[int, msgspec.Meta(ge=8, le=1_048_576)]


#: 170 ms on a laptop of 2025.
DEFAULT_COST: Final = Cost(passes=3, memory_kib=65_536)


class Header(Wire, frozen=True, kw_only=True):
    """`{"cost":{"memory_kib":65536,"passes":3},"nonce":…,"salt":…}`, or `{"key_name":…,"nonce":…}`.

    Salt and cost belong to a passphrase; `key_name` says where a machine keeps the raw key.
    """

    nonce: str
    salt: str | None = None
    cost: Cost | None = None
    key_name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None

    def __post_init__(self) -> None:
        """Refuse a nonce or salt of another size, and anything but one of the two kinds."""
        unb64(self.nonce, size=NONCE_BYTES, what="nonce")
        if self.salt is not None:
            unb64(self.salt, size=SALT_BYTES, what="salt")
        if not (self.salt is None) == (self.cost is None) != (self.key_name is None):
            raise MalformedError("vault header takes salt and cost, or a key name")


class VaultKey:
    """What opens and seals one container: the derived key is kept, so that saving again costs no Argon2id."""

    __slots__ = ("_cost", "_key", "_name", "_salt")

    def __init__(
        self, key: bytes, *, name: str | None = None, salt: bytes | None = None, cost: Cost | None = None
    ) -> None:
        """Take 32 secret bytes, and how they are found again: a name, or the salt and cost of a passphrase."""
        if len(key) != KEY_BYTES:
            raise ValueError("a vault key is 32 bytes")
        self._key: Final = key
        self._name: Final = name
        self._salt: Final = None if salt is None else b64(salt)
        self._cost: Final = cost

    @classmethod
    def from_passphrase(cls, passphrase: str, *, salt: bytes, cost: Cost = DEFAULT_COST) -> "VaultKey":
        """Return the key that Argon2id makes of `passphrase` (in Unicode form NFC) and 16 bytes of salt."""
        secret = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogateescape")
        key = argon2.kdf(KEY_BYTES, secret, salt, opslimit=cost.passes, memlimit=cost.memory_kib * 1024)
        return cls(key, salt=salt, cost=cost)

    def seal(self, plaintext: bytes, *, nonce: bytes) -> bytes:
        """Return the container of `plaintext`; `nonce` is 24 bytes of entropy, fresh each time."""
        head = _head(Header(nonce=b64(nonce), salt=self._salt, cost=self._cost, key_name=self._name))
        sealed = head + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, _aad(head), nonce, self._key)
        return sealed + sha256(sealed)

    def open(self, container: bytes) -> bytes:
        """Return the plaintext. Raises: DamagedVaultError, WrongKeyError."""
        head, header, ciphertext = _split(container)
        nonce = unb64(header.nonce, size=NONCE_BYTES, what="nonce")
        try:
            return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, _aad(head), nonce, self._key)
        except (nacl.exceptions.CryptoError, ValueError):
            raise WrongKeyError("the vault does not open with this passphrase or key") from None

    def __repr__(self) -> str:
        return "VaultKey(…)"


def read_header(container: bytes) -> Header:
    """Return how a container is sealed, so that the right secret is asked for. Raises: DamagedVaultError."""
    return _split(container)[1]


def unlock(container: bytes, passphrase: str) -> tuple[VaultKey, bytes]:
    """Return the key of a passphrase container, and its plaintext.

    Raises: DamagedVaultError; WrongKeyError: another passphrase, or a container that a raw key seals.
    """
    header = read_header(container)
    if header.salt is None or header.cost is None:
        raise WrongKeyError("the vault is sealed by a key of this machine, not by a passphrase")
    salt = unb64(header.salt, size=SALT_BYTES, what="salt")
    key = VaultKey.from_passphrase(passphrase, salt=salt, cost=header.cost)
    return key, key.open(container)


def _head(header: Header) -> bytes:
    data = encode(header)
    return MAGIC + len(data).to_bytes(4, "big") + data


def _aad(head: bytes) -> bytes:
    return label("vault") + head


def _split(container: bytes) -> tuple[bytes, Header, bytes]:
    """Return head bytes, header and ciphertext of a container whose checksum holds. Raises: DamagedVaultError."""
    body, checksum = container[:-_CHECKSUM_BYTES], container[-_CHECKSUM_BYTES:]
    start = len(MAGIC) + 4
    end = start + int.from_bytes(body[len(MAGIC) : start], "big")
    if not body.startswith(MAGIC):
        raise DamagedVaultError("the file is not a vault of this program")
    if sha256(body) != checksum or not start < end <= min(len(body), start + _MAX_HEADER_BYTES):
        raise DamagedVaultError("the vault is damaged: restore the file from a backup")
    try:
        return body[:end], decode(body[start:end], Header, what="vault header"), body[end:]
    except MalformedError as error:
        raise DamagedVaultError(str(error)) from None
