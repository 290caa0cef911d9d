"""Vectors of docs/protocol/47-vault.md: containers with a cost that suits a test."""

from typing import Final

from protocol.e2ee.vault import Cost, VaultKey
from protocol.encoding import b64, sha256

from .devices import Case, file

PASSPHRASE: Final = "correct horse"
NONCE: Final = sha256(b"nonce")[:24]
KEY: Final = sha256(b"raw key")


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "vault/containers.json": file(
            "47-vault §2–§3",
            "`input` is opened with `passphrase` or the raw `key`; all bytes are base64url. `code` tells a damaged "
            "container from a wrong secret.",
            _cases(),
        )
    }


def _cases() -> list[Case]:
    cost = Cost(passes=1, memory_kib=8)
    worded = VaultKey.from_passphrase(PASSPHRASE, salt=sha256(b"salt")[:16], cost=cost).seal(b"state", nonce=NONCE)
    keyed = VaultKey(KEY, name="key of the vectors").seal(b"state", nonce=NONCE)
    moved = keyed[:-33] + bytes([keyed[-33] ^ 1])

    def by_passphrase(name: str, container: bytes, passphrase: str = PASSPHRASE, **outcome: object) -> Case:
        return {"name": name, "input": b64(container), "passphrase": passphrase, **outcome}

    def by_key(name: str, container: bytes, key: bytes = KEY, **outcome: object) -> Case:
        return {"name": name, "input": b64(container), "key": b64(key), **outcome}

    def wrong() -> Case:
        return {"error": "unverified", "code": "wrong-key"}

    def damaged() -> Case:
        return {"error": "malformed", "code": "damaged-vault"}

    return [
        by_passphrase("a passphrase", worded, result=b64(b"state")),
        by_key("a raw key", keyed, result=b64(b"state")),
        by_passphrase("another passphrase", worded, "Correct horse", **wrong()),
        by_passphrase("a passphrase for a container of a raw key", keyed, **wrong()),
        by_key("another key", keyed, sha256(b"other"), **wrong()),
        by_key("a changed byte under a new checksum", moved + sha256(moved), **wrong()),
        by_key("a changed byte", moved + keyed[-32:], **damaged()),
        by_passphrase("a container cut short", worded[:-1], **damaged()),
        by_passphrase("an empty file", b"", **damaged()),
    ]
