"""C2SP texts written out by hand, with hashlib and PyNaCl alone, so that they judge the program."""

import base64
import hashlib
from typing import Final

import nacl.signing

from . import rfc6962

ORIGIN: Final = "aurora.example/log"
NOW: Final = 1_767_000_000
ENTRIES: Final = [b"entry %d" % number for number in range(300)]
LEAVES: Final = [rfc6962.leaf(entry) for entry in ENTRIES]


class Party:
    """Somebody with a key name and an Ed25519 key, as a log (type 1) or a witness (type 4)."""

    def __init__(self, name: str, kind: int, seed: str = "") -> None:
        self.name: Final = name
        self.kind: Final = kind
        self.key: Final = nacl.signing.SigningKey(hashlib.sha256((seed or name).encode()).digest())
        self.public: Final = bytes(self.key.verify_key)
        self.key_id: Final = key_id(name, kind, self.public)
        self.vkey: Final = vkey(name, kind, self.public)

    def signs(self, text: str) -> str:
        """Return the signature line of a log over `text`."""
        return line(self.name, self.key_id + self.key.sign(text.encode()).signature)

    def cosigns(self, text: str, at: int = NOW) -> str:
        """Return the signature line of a witness over the checkpoint `text`."""
        message = f"cosignature/v1\ntime {at}\n{text}"
        return line(self.name, self.key_id + at.to_bytes(8, "big") + self.key.sign(message.encode()).signature)


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """Return the id of a key."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def vkey(name: str, kind: int, public: bytes) -> str:
    """Return a verifier key."""
    return f"{name}+{key_id(name, kind, public).hex()}+{b64(bytes([kind]) + public)}"


def b64(data: bytes) -> str:
    """Return standard base64 with padding."""
    return base64.b64encode(data).decode()


def line(name: str, data: bytes) -> str:
    """Return a signature line over key id and signature."""
    return f"— {name} {b64(data)}\n"


def note(text: str, *lines: str) -> str:
    """Return a note."""
    return f"{text}\n{''.join(lines)}"


def checkpoint(size: int, root: bytes | None = None, origin: str = ORIGIN) -> str:
    """Return the text of a checkpoint over the first `size` entries."""
    return f"{origin}\n{size}\n{b64(rfc6962.mth(LEAVES[:size]) if root is None else root)}\n"


LOG: Final = Party(ORIGIN, 1)
#: The same log with the key it had before.
OLDER_LOG: Final = Party(ORIGIN, 1, "older key")
OTHER_LOG: Final = Party("birch.example/log", 1)
STRANGER: Final = Party(ORIGIN, 1, "stranger")
BIRCH: Final = Party("birch.example/witness", 4)
COBALT: Final = Party("cobalt.example/witness", 4)
DELTA: Final = Party("delta.example/witness", 4)
#: What an ML-DSA-44 cosignature looks like: a key id, a time, and 2,420 bytes.
ML_DSA_LINE: Final = line("birch.example/witness", b"\x06\x06\x06\x06" + NOW.to_bytes(8, "big") + bytes(2420))


def signed(size: int, *lines: str) -> str:
    """Return the checkpoint of the first `size` entries, signed by the log, with further lines."""
    text = checkpoint(size)
    return note(text, LOG.signs(text), *lines)
