"""The two cipher suites and everything that MLS derives, signs and seals with them (RFC 9420 §5, RFC 9180).

`X25519` (0x0001) is the RFC's own; `X_WING` (0xF00D, private use) is the default: a recorded session stays closed to a
later quantum computer. Ed25519 signatures are verified by libsodium only. Keys are bytes, so that states can be kept.
"""

import hashlib
import hmac
from functools import lru_cache
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM
from cryptography.hazmat.primitives.hpke import Suite as Hpke
from nacl.bindings import crypto_sign

from protocol.errors import MeshError
from protocol.sealing import PrivateSealingKey, SealingPublicKey
from protocol.signing import SIGNATURE_BYTES, VerifyKey

from .codec import FormError, u16, vector
from .errors import DecryptError, SignatureError

_PREFIX: Final = b"MLS 1.0 "
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_CURVE_BYTES: Final = 32
_CURVE_PRIME: Final = 2**255 - 19
#: The points of Curve25519 and its twist whose order is small: any exchange with one gives zero (RFC 7748 §6.1).
_LOW_ORDER: Final = frozenset(
    {
        0,
        1,
        _CURVE_PRIME - 1,
        0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
    }
)


class Kem(Protocol):
    """A key encapsulation mechanism under HPKE base mode with an empty AAD."""

    @property
    def encapsulated_bytes(self) -> int:
        """Length of an encapsulation."""
        ...

    def derive(self, ikm: bytes) -> tuple[bytes, bytes]:
        """Return private and public key of `ikm` (RFC 9180 §7.1.3)."""
        ...

    def check(self, public: bytes) -> None:
        """Return when `public` has the form of a key. Raises: FormError."""
        ...

    def public(self, private: bytes) -> bytes:
        """Return the public half."""
        ...

    def seal(self, public: bytes, info: bytes, plain: bytes) -> bytes:
        """Return encapsulation and ciphertext. Raises: FormError: the key is degenerate."""
        ...

    def open(self, private: bytes, info: bytes, sealed: bytes) -> bytes:
        """Return the plaintext. Raises: DecryptError."""
        ...


class _X25519:
    """DHKEM(X25519, HKDF-SHA256)."""

    encapsulated_bytes: Final = 32
    _hpke: Final = Hpke(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
    _suite_id: Final = b"KEM" + u16(0x0020)

    def derive(self, ikm: bytes) -> tuple[bytes, bytes]:
        prk = hmac.digest(b"", b"HPKE-v1" + self._suite_id + b"dkp_prk" + ikm, "sha256")
        private = hmac.digest(prk, u16(32) + b"HPKE-v1" + self._suite_id + b"sk" + b"\x01", "sha256")
        return private, self.public(private)

    def check(self, public: bytes) -> None:
        if len(public) != _CURVE_BYTES:
            raise FormError("encryption key must be 32 bytes")
        _check_order(public)

    def public(self, private: bytes) -> bytes:
        return x25519.X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()

    def seal(self, public: bytes, info: bytes, plain: bytes) -> bytes:
        self.check(public)
        try:
            return self._hpke.encrypt(plain, x25519.X25519PublicKey.from_public_bytes(public), info=info)
        except ValueError:
            raise FormError("encryption key is degenerate") from None

    def open(self, private: bytes, info: bytes, sealed: bytes) -> bytes:
        try:
            return self._hpke.decrypt(sealed, x25519.X25519PrivateKey.from_private_bytes(private), info=info)
        except (InvalidTag, ValueError):
            raise DecryptError("a sealed secret does not open") from None


class _XWing:
    """X-Wing: ML-KEM-768 with X25519; a private key is its 32-byte seed."""

    encapsulated_bytes: Final = 1120

    def derive(self, ikm: bytes) -> tuple[bytes, bytes]:
        private = hashlib.shake_256(ikm).digest(32)
        return private, self.public(private)

    def check(self, public: bytes) -> None:
        try:
            SealingPublicKey(public)
        except MeshError as error:
            raise FormError(str(error)) from None
        _check_order(public[-_CURVE_BYTES:])

    def public(self, private: bytes) -> bytes:
        return PrivateSealingKey(private).public.raw

    def seal(self, public: bytes, info: bytes, plain: bytes) -> bytes:
        try:
            return SealingPublicKey(public).seal(plain, info)
        except MeshError as error:
            raise FormError(str(error)) from None

    def open(self, private: bytes, info: bytes, sealed: bytes) -> bytes:
        try:
            return PrivateSealingKey(private).open(sealed, info)
        except MeshError:
            raise DecryptError("a sealed secret does not open") from None


def _check_order(point: bytes) -> None:
    """Refuse a point to which nothing can be sealed, before it stands in a tree and keeps others from committing."""
    if (int.from_bytes(point, "little") & (2**255 - 1)) % _CURVE_PRIME in _LOW_ORDER:
        raise FormError("encryption key is degenerate")


#: What ExpandWithLabel is asked for: the beginning of what is hashed, with size and label, and the size.
Wanted = tuple[tuple[bytes, int], ...]


class Suite:
    """One cipher suite: KEM, hash, AEAD key size; signatures are Ed25519 in both."""

    def __init__(self, number: int, kem: Kem, hash_name: str, *, key_bytes: int) -> None:
        self.number: Final = number
        self.kem: Final = kem
        self.hash_name: Final = hash_name
        self._hash: Final = getattr(hashlib, hash_name)
        self._block_bytes: Final = self._hash().block_size
        self.hash_bytes: Final = self._hash().digest_size
        self.key_bytes: Final = key_bytes
        self.zero: Final = bytes(self.hash_bytes)
        self.for_data: Final = _wanted((b"key", key_bytes), (b"nonce", NONCE_BYTES))
        self.for_message: Final = (*self.for_data, *_wanted((b"secret", self.hash_bytes)))

    def __repr__(self) -> str:
        return f"Suite(0x{self.number:04X})"

    def hash(self, data: bytes) -> bytes:
        """Return the hash of `data`."""
        digest: bytes = self._hash(data).digest()
        return digest

    def mac(self, key: bytes, data: bytes) -> bytes:
        """Return HMAC under `key`, written out (RFC 2104): `hmac.digest` looks its algorithm up at every call."""
        key = (key if len(key) <= self._block_bytes else self.hash(key)).ljust(self._block_bytes, b"\x00")
        return self.hash(key.translate(_OUTER_PAD) + self.hash(key.translate(_INNER_PAD) + data))

    def extract(self, salt: bytes, ikm: bytes) -> bytes:
        """Return KDF.Extract."""
        return self.mac(salt, ikm)

    def expand(self, secret: bytes, label: bytes, context: bytes, size: int) -> bytes:
        """Return ExpandWithLabel; `label` is without its prefix."""
        info = _expand_head(size, label) + vector(context)
        block = self.mac(secret, info + b"\x01")
        if size <= self.hash_bytes:
            return block[:size]
        found, count = block, 1
        while len(found) < size:
            count += 1
            block = self.mac(secret, block + info + bytes((count,)))
            found += block
        return found[:size]

    def expand_each(self, secret: bytes, wanted: Wanted, context: bytes) -> list[bytes]:
        """Return ExpandWithLabel of one secret in one context, each of at most the size of a hash.

        Ten of them stand in the way of each message: HMAC takes the secret in once, and is copied.
        """
        key = secret.ljust(self._block_bytes, b"\x00")
        inner, outer = self._hash(key.translate(_INNER_PAD)), self._hash(key.translate(_OUTER_PAD))
        tail = vector(context) + b"\x01"
        found = []
        for head, size in wanted:
            first, second = inner.copy(), outer.copy()
            first.update(head + tail)
            second.update(first.digest())
            found.append(second.digest()[:size])
        return found

    def derive(self, secret: bytes, label: bytes) -> bytes:
        """Return DeriveSecret."""
        return self.expand(secret, label, b"", self.hash_bytes)

    def reference(self, label: bytes, value: bytes) -> bytes:
        """Return RefHash; `label` is the whole label."""
        return self.hash(vector(label) + vector(value))

    def sign(self, seed: bytes, public: bytes, label: bytes, content: bytes) -> bytes:
        """Return SignWithLabel by the Ed25519 key of `seed`, whose public half is `public`."""
        return crypto_sign(_labelled(label, content), seed + public)[:SIGNATURE_BYTES]

    def verify(self, public: bytes, label: bytes, content: bytes, signature: bytes, *, what: str) -> None:
        """Return when VerifyWithLabel holds. Raises: SignatureError."""
        try:
            _verifier(public).verify(signature, _labelled(label, content))
        except MeshError:
            raise SignatureError(f"{what} is not signed by its sender") from None

    def seal_to(self, public: bytes, label: bytes, context: bytes, plain: bytes) -> tuple[bytes, bytes]:
        """Return EncryptWithLabel: encapsulation and ciphertext. Raises: FormError: the key is degenerate."""
        sealed = self.kem.seal(public, _labelled(label, context), plain)
        return sealed[: self.kem.encapsulated_bytes], sealed[self.kem.encapsulated_bytes :]

    def open_with(self, private: bytes, label: bytes, context: bytes, sealed: tuple[bytes, bytes]) -> bytes:
        """Return DecryptWithLabel. Raises: DecryptError."""
        if len(sealed[0]) != self.kem.encapsulated_bytes:
            raise DecryptError("a sealed secret does not open")
        return self.kem.open(private, _labelled(label, context), sealed[0] + sealed[1])

    def encrypt(self, key: bytes, nonce: bytes, plain: bytes, aad: bytes) -> bytes:
        """Return AES-GCM ciphertext and tag."""
        return AESGCM(key).encrypt(nonce, plain, aad)

    def decrypt(self, key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
        """Return the plaintext. Raises: DecryptError: also for a cut tag."""
        if len(ciphertext) < TAG_BYTES:
            raise DecryptError("a ciphertext has no tag")
        try:
            return AESGCM(key).decrypt(nonce, ciphertext, aad)
        except InvalidTag:
            raise DecryptError("a ciphertext was changed, or is of another group") from None


@lru_cache(maxsize=1024)
def _verifier(public: bytes) -> VerifyKey:
    """Return the key, its point checked once and not at every message."""
    return VerifyKey(public)


@lru_cache(maxsize=64)
def _expand_head(size: int, label: bytes) -> bytes:
    return u16(size) + vector(_PREFIX + label)


@lru_cache(maxsize=64)
def _label_head(label: bytes) -> bytes:
    return vector(_PREFIX + label)


def _labelled(label: bytes, content: bytes) -> bytes:
    return _label_head(label) + vector(content)


def _wanted(*each: tuple[bytes, int]) -> Wanted:
    return tuple((_expand_head(size, label), size) for label, size in each)


X25519: Final = Suite(0x0001, _X25519(), "sha256", key_bytes=16)
X_WING: Final = Suite(0xF00D, _XWing(), "sha512", key_bytes=32)
SUITES: Final = {suite.number: suite for suite in (X25519, X_WING)}
