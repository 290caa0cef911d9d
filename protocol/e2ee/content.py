"""One content key for several readers: encrypt once, wrap the key for each (XChaCha20-Poly1305).

The 24-byte nonce is a hash of the one-use key, which commits to it: without that, a sender could find one ciphertext
that two keys open to two different texts, and show each reader another one. Source: docs/protocol/42-sealing.md §5.
"""

import hmac
from typing import Final

import nacl.bindings as sodium
import nacl.exceptions

from protocol.encoding import label, sha256
from protocol.errors import UnverifiedError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
#: Bytes a box is longer than its plaintext: the nonce and the tag.
OVERHEAD_BYTES: Final = NONCE_BYTES + 16


def seal_content(plaintext: bytes, key: bytes, aad: bytes) -> bytes:
    """Return nonce and ciphertext; `key` is 32 bytes of entropy that must never be used again."""
    if len(key) != KEY_BYTES:
        raise ValueError("a content key takes exactly 32 bytes of entropy")
    nonce = _nonce(key)
    return nonce + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, aad, nonce, key)


def open_content(box: bytes, key: bytes, aad: bytes, *, what: str) -> bytes:
    """Return the plaintext of `box`. Raises: UnverifiedError: other key, other `aad`, or changed bytes."""
    nonce = box[:NONCE_BYTES]
    try:
        if len(key) == KEY_BYTES and hmac.compare_digest(nonce, _nonce(key)):
            return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(box[NONCE_BYTES:], aad, nonce, key)
    except (nacl.exceptions.CryptoError, ValueError):
        pass
    raise UnverifiedError(f"{what} does not open with this key and context")


def _nonce(key: bytes) -> bytes:
    return sha256(label("content-nonce"), key)[:NONCE_BYTES]
