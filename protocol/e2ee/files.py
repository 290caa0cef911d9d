"""A file encrypted in portions, so that neither side holds it in memory and nobody cuts, repeats or reorders it.

XChaCha20-Poly1305 secretstream (libsodium) over 64 KiB portions, the last one with the final tag; the content is padded
to a size that says little, and the ciphertext is hashed. Source: docs/protocol/40-files.md §2.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from typing import Final

import nacl.bindings as sodium
import nacl.exceptions

from protocol.encoding import b64, label, unb64
from protocol.errors import LimitError, MalformedError, UnverifiedError

from .frames import MAX_FILE_BYTES, File

KEY_BYTES: Final = 32
HEADER_BYTES: Final = sodium.crypto_secretstream_xchacha20poly1305_HEADERBYTES
CHUNK_BYTES: Final = 64 * 1024
#: By so much a portion grows when it is encrypted: a tag byte and the authenticator.
OVERHEAD_BYTES: Final = sodium.crypto_secretstream_xchacha20poly1305_ABYTES
#: Smaller files look like one of this size.
LEAST_BYTES: Final = 4_096
HASH_BYTES: Final = 32
_MESSAGE: Final = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL: Final = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL

#: Returns exactly the next so many bytes, fewer only when there are no more.
Read = Callable[[int], bytes]


class FileChangedError(MalformedError):
    """A file that is to be sent has become shorter or longer while it was read."""

    code = "file-changed"


class FileDamagedError(UnverifiedError):
    """The ciphertext is not what its sender made."""

    code = "file-damaged"


def padded_size(size: int) -> int:
    """Return the bytes that a file of `size` is padded to (Padmé): at most 12 % more. Raises: LimitError."""
    if not 0 <= size <= MAX_FILE_BYTES:
        raise LimitError(f"a file has at most {MAX_FILE_BYTES} bytes", code="too-large")
    size = max(size, LEAST_BYTES)
    exponent = size.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (size + mask) & ~mask


def sealed_size(size: int) -> int:
    """Return the bytes of the ciphertext of a file of `size`. Raises: LimitError."""
    padded = padded_size(size)
    return padded + OVERHEAD_BYTES * -(-padded // CHUNK_BYTES)


def _stream(key: bytes, header: bytes) -> sodium.crypto_secretstream_xchacha20poly1305_state:
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    return state


class FileSealer:
    """Encrypts one file once: iterate `pieces`, then ask for `hash`."""

    def __init__(self, size: int, *, key: bytes, header: bytes) -> None:
        """Take 32 and 24 bytes of entropy that were never used before."""
        if (len(key), len(header)) != (KEY_BYTES, HEADER_BYTES):
            raise ValueError(f"a file takes exactly {KEY_BYTES} and {HEADER_BYTES} bytes of entropy")
        self._size: Final = size
        self._padded: Final = padded_size(size)
        # Both directions of a stream start alike; `init_push` differs only in drawing the header by itself.
        self._state: Final = _stream(key, header)
        self._digest: Final = hashlib.sha256()

    def pieces(self, read: Read) -> Iterator[bytes]:
        """Yield the ciphertext in order. Raises: FileChangedError: `read` gives fewer or more bytes than announced."""
        push, aad = sodium.crypto_secretstream_xchacha20poly1305_push, label("file")
        for start in range(0, self._padded, CHUNK_BYTES):
            whole = min(CHUNK_BYTES, self._padded - start)
            wanted = max(0, min(whole, self._size - start))
            plain = read(wanted) if wanted else b""
            if len(plain) != wanted:
                raise FileChangedError("the file became shorter while it was read")
            last = start + whole == self._padded
            if last and read(1):
                raise FileChangedError("the file became longer while it was read")
            piece = push(self._state, plain + bytes(whole - wanted), aad, _FINAL if last else _MESSAGE)
            self._digest.update(piece)
            yield piece

    @property
    def hash(self) -> str:
        """The hash of all pieces that were taken so far."""
        return b64(self._digest.digest())


class FileOpener:
    """Decrypts one file: what `pieces` yields is authentic, and whole only once it has ended without an error."""

    def __init__(self, file: File) -> None:
        """Take the frame that came with the file."""
        self._size: Final = file.size
        self._padded: Final = padded_size(file.size)
        self._expected: Final = unb64(file.hash, size=HASH_BYTES, what="hash")
        self._digest: Final = hashlib.sha256()
        key = unb64(file.key, size=KEY_BYTES, what="key")
        self._state: Final = _stream(key, unb64(file.header, size=HEADER_BYTES, what="header"))

    def pieces(self, read: Read) -> Iterator[bytes]:
        """Yield the file in order, without its padding; `read` gives the ciphertext.

        Raises: FileDamagedError: changed, cut, longer, out of order, without its end, padded with anything but zeros.
        """
        for start in range(0, self._padded, CHUNK_BYTES):
            whole = min(CHUNK_BYTES, self._padded - start)
            piece = read(whole + OVERHEAD_BYTES)
            plain = self._open(piece, whole, last=start + whole == self._padded)
            wanted = max(0, min(whole, self._size - start))
            if plain.count(0, wanted) != whole - wanted:
                raise FileDamagedError("the file is padded with something else than zeros")
            if wanted:
                yield plain[:wanted]
        if read(1):
            raise FileDamagedError("the file goes on behind its end")
        if not hmac.compare_digest(self._digest.digest(), self._expected):
            raise FileDamagedError("the file has another hash than its sender said")

    def _open(self, piece: bytes, whole: int, *, last: bool) -> bytes:
        self._digest.update(piece)
        try:
            plain, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(self._state, piece, label("file"))
        except (nacl.exceptions.CryptoError, nacl.exceptions.ValueError, ValueError):
            raise FileDamagedError("a portion of the file is missing, changed or out of order") from None
        if len(plain) != whole or tag != (_FINAL if last else _MESSAGE):
            raise FileDamagedError("the file ends elsewhere than its sender said")
        return plain
