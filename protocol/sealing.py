"""Sealing for one recipient with HPKE base mode: X-Wing, HKDF-SHA512, AES-256-GCM (RFC 9180, draft-ietf-hpke-pq).

Anyone may `seal`; `NodeSealingKey` opens what is addressed to a *node*. What is addressed to a person opens in the
clients' own package only. The library offers no AAD and draws its own encapsulation randomness, so context is bound
through `info`, and sealed vectors are checked by opening only. Source: docs/protocol/04-sealing.md.
"""

import hashlib
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite

from .encoding import b64, label, length_prefixed, unb64
from .errors import MalformedError, UnverifiedError

SEED_BYTES: Final = 32
PUBLIC_BYTES: Final = 1216
#: Bytes a sealed message is longer than its plaintext: X-Wing encapsulation and the AES-GCM tag.
OVERHEAD_BYTES: Final = 1120 + 16

#: The base64url text of a sealing public key.
SealingText = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+(?!\n)$", min_length=1622, max_length=1622)]

_MLKEM_PUBLIC_BYTES: Final = 1184
_suite: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA512, AEAD.AES_256_GCM)


class SealingPublicKey:
    """Somebody's X-Wing public key, 1216 bytes: ML-KEM-768 then X25519."""

    __slots__ = ("_key", "raw")

    def __init__(self, raw: bytes) -> None:
        """Take the raw bytes. Raises: MalformedError: wrong length or an invalid ML-KEM key."""
        if len(raw) != PUBLIC_BYTES:
            raise MalformedError(f"sealing key must be {PUBLIC_BYTES} bytes")
        try:
            kem = mlkem.MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_PUBLIC_BYTES])
        except ValueError:
            raise MalformedError("sealing key is not a valid ML-KEM-768 key") from None
        self._key: Final = MLKEM768X25519PublicKey(
            kem, x25519.X25519PublicKey.from_public_bytes(raw[_MLKEM_PUBLIC_BYTES:])
        )
        self.raw: Final = raw

    @classmethod
    def parse(cls, text: str) -> "SealingPublicKey":
        """Return the key of its base64url text. Raises: MalformedError."""
        return cls(unb64(text, size=PUBLIC_BYTES, what="sealing key"))

    @property
    def text(self) -> str:
        """The key as 1622 characters of base64url."""
        return b64(self.raw)

    def seal(self, plaintext: bytes, info: bytes) -> bytes:
        """Return `plaintext` sealed to this key and bound to `info`, `OVERHEAD_BYTES` longer.

        Raises: MalformedError: the key is degenerate (an all-zero X25519 share).
        """
        try:
            return _suite.encrypt(plaintext, self._key, info=info)
        except ValueError:
            raise MalformedError("sealing key is degenerate") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SealingPublicKey) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"SealingPublicKey({b64(hashlib.sha256(self.raw).digest()[:6])})"


class PrivateSealingKey:
    """The private half, built from a 32-byte seed (X-Wing draft §5.2); its repr shows no secret.

    Base of the key types that say *whose* messages they open; use those, not this.
    """

    __slots__ = ("_key", "_seed", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError("an X-Wing seed is 32 bytes")
        self._seed: Final = seed
        expanded = hashlib.shake_256(seed).digest(96)
        kem = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        curve = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
        self._key: Final = MLKEM768X25519PrivateKey(kem, curve)
        self.public: Final = SealingPublicKey(
            kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        )

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for the vault or key file only."""
        return self._seed

    def open(self, sealed: bytes, info: bytes, *, what: str = "sealed message") -> bytes:
        """Return the plaintext of `sealed`. Raises: UnverifiedError: other key, other `info`, or changed bytes."""
        try:
            return _suite.decrypt(sealed, self._key, info=info)
        except (InvalidTag, ValueError):
            raise UnverifiedError(f"{what} does not open with this key and context") from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.public!r})"


class NodeSealingKey(PrivateSealingKey):
    """A node's envelope key: opens structured needs and choices addressed to the node."""

    __slots__ = ()


def info(purpose: str, *context: bytes) -> bytes:
    """Return the HPKE `info` that binds a sealed message to its purpose and its context parts."""
    return label(f"seal/{purpose}") + length_prefixed(*context)
