"""Ed25519 keys with roles, verified by libsodium only (RFC 8032; RFC 7638 thumbprints).

libsodium refuses small-order public keys and non-canonical signatures where OpenSSL accepts them, and two
verifiers that differ would split the network: so this is the only verifier in the product.
Source: docs/protocol/03-keys-and-signatures.md §1–§2.
"""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import nacl.bindings
import nacl.exceptions

from .encoding import b64, sha256, unb64
from .errors import MalformedError, UnverifiedError

SIGNATURE_BYTES: Final = 64
PUBLIC_BYTES: Final = 32
SEED_BYTES: Final = 32


class VerifyKey:
    """A public Ed25519 key of somebody: verifies, and cannot sign."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        """Take 32 raw bytes. Raises: MalformedError: wrong length, not on the curve, or of small order."""
        if len(raw) != PUBLIC_BYTES or not nacl.bindings.crypto_core_ed25519_is_valid_point(raw):
            raise MalformedError("public key is not a valid Ed25519 point of full order")
        self.raw: Final = raw

    @classmethod
    def parse(cls, text: str) -> "VerifyKey":
        """Return the key of its base64url text. Raises: MalformedError."""
        return cls(unb64(text, size=PUBLIC_BYTES, what="public key"))

    @property
    def every(self) -> "tuple[VerifyKey, ...]":
        """This key alone, for whoever asks for all keys of somebody."""
        return (self,)

    def named(self, keyid: str) -> "VerifyKey":
        """Return this key if it has that thumbprint. Raises: UnverifiedError."""
        if keyid != self.keyid:
            raise UnverifiedError("JWS names another key")
        return self

    def verify(self, signature: bytes, message: bytes, *, what: str = "signature") -> None:
        """Return when `signature` over exactly `message` holds. Raises: UnverifiedError."""
        if len(signature) != SIGNATURE_BYTES:
            raise UnverifiedError(f"{what} does not verify")
        try:
            nacl.bindings.crypto_sign_open(signature + message, self.raw)
        except nacl.exceptions.BadSignatureError:
            raise UnverifiedError(f"{what} does not verify") from None

    @property
    def text(self) -> str:
        """The key as 43 characters of base64url."""
        return b64(self.raw)

    @property
    def keyid(self) -> str:
        """The RFC 7638 thumbprint of the key as a JWK (RFC 8037), 43 characters."""
        return thumbprint(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifyKey) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"VerifyKey({self.keyid})"


class VerifyKeys:
    """The keys of somebody in one role: the present one, and earlier ones that still count for what is under way."""

    __slots__ = ("_by_keyid", "present")

    def __init__(self, present: VerifyKey, earlier: Iterable[VerifyKey] = ()) -> None:
        self.present: Final = present
        self._by_keyid: Final = {key.keyid: key for key in (*earlier, present)}

    @property
    def every(self) -> tuple[VerifyKey, ...]:
        """All of them."""
        return tuple(self._by_keyid.values())

    def named(self, keyid: str) -> VerifyKey:
        """Return the key with that thumbprint. Raises: UnverifiedError: none of them."""
        if keyid not in self._by_keyid:
            raise UnverifiedError("JWS names another key")
        return self._by_keyid[keyid]

    def __contains__(self, keyid: object) -> bool:
        return keyid in self._by_keyid

    def __repr__(self) -> str:
        return f"VerifyKeys({', '.join(self._by_keyid)})"


#: Whoever may have signed: one key, or several of one role.
Signer = VerifyKey | VerifyKeys


class SigningKey:
    """One's own Ed25519 key, built from a 32-byte seed; its repr shows no secret."""

    __slots__ = ("_secret", "_seed", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError("an Ed25519 seed is 32 bytes")
        self._seed: Final = seed
        public, self._secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        self.public: Final = VerifyKey(public)

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for the vault or key file only."""
        return self._seed

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`; the caller puts a domain label in front."""
        return nacl.bindings.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.keyid})"


def jwk(public: bytes) -> dict[str, str]:
    """Return the public key as the members of an RFC 8037 JWK."""
    return {"crv": "Ed25519", "kty": "OKP", "x": b64(public)}


@lru_cache(maxsize=4096)
def thumbprint(public: bytes) -> str:
    """Return the RFC 7638 SHA-256 thumbprint of a public Ed25519 key as base64url."""
    return b64(sha256(json.dumps(jwk(public), separators=(",", ":"), sort_keys=True).encode()))
