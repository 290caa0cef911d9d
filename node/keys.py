"""The node's own keys, one file for each role, made by `mentormesh init` and readable by the node's user alone.

DIR/keys/federation.key   one line: mentormesh-key/1 federation <32-byte seed as base64url>
DIR/keys/recovery.pub     one line: mentormesh-recovery/1 <public key as base64url>
DIR/recovery.key          the private recovery key, which the operator moves off the machine
DIR/operator.token        the word that commands show to the running node
"""

import hmac
import os
import stat
from pathlib import Path
from typing import Final, Literal

import msgspec

from federation.ports import Entropy
from protocol.encoding import b64, unb64
from protocol.errors import MalformedError, RefusedError
from protocol.sealing import NodeSealingKey
from protocol.signing import SEED_BYTES, SigningKey, VerifyKey

Role = Literal["federation", "http", "log", "envelope-sign", "envelope-seal", "attest", "witness"]
ROLES: Final[tuple[Role, ...]] = (
    "federation",
    "http",
    "log",
    "envelope-sign",
    "envelope-seal",
    "attest",
    "witness",
)

KEY_FOLDER: Final = "keys"
RECOVERY_FILE: Final = "recovery.key"
TOKEN_FILE: Final = "operator.token"  # noqa: S105 -- the name of a file
_KEY_LABEL: Final = "mentormesh-key/1"
_RECOVERY_LABEL: Final = "mentormesh-recovery/1"


class KeyRing(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a node by role; of the recovery key only the public half, the other is offline."""

    federation: SigningKey
    http: SigningKey
    log: SigningKey
    envelope_sign: SigningKey
    envelope_seal: NodeSealingKey
    attest: SigningKey
    witness: SigningKey
    recovery: VerifyKey


def create_keys(directory: Path, entropy: Entropy) -> KeyRing:
    """Write all key files of a new node and return its keys. Raises: FileExistsError: there are some already."""
    folder = directory / KEY_FOLDER
    folder.mkdir(mode=0o700)
    for role in ROLES:
        write_private(folder / f"{role}.key", f"{_KEY_LABEL} {role} {b64(entropy.take(SEED_BYTES))}\n")
    recovery = entropy.take(SEED_BYTES)
    write_private(directory / RECOVERY_FILE, f"{_KEY_LABEL} recovery {b64(recovery)}\n")
    write_private(folder / "recovery.pub", f"{_RECOVERY_LABEL} {SigningKey(recovery).public.text}\n")
    write_private(directory / TOKEN_FILE, b64(entropy.take(32)) + "\n")
    return load_keys(directory)


def load_keys(directory: Path) -> KeyRing:
    """Return the keys of a node.

    Raises: RefusedError: a file is missing, or others may read it. MalformedError: it holds no key of its role.
    """
    folder = directory / KEY_FOLDER
    check_private(folder)
    seeds = {role: _seed(folder / f"{role}.key", role) for role in ROLES}
    return KeyRing(
        federation=SigningKey(seeds["federation"]),
        http=SigningKey(seeds["http"]),
        log=SigningKey(seeds["log"]),
        envelope_sign=SigningKey(seeds["envelope-sign"]),
        envelope_seal=NodeSealingKey(seeds["envelope-seal"]),
        attest=SigningKey(seeds["attest"]),
        witness=SigningKey(seeds["witness"]),
        recovery=_recovery(folder / "recovery.pub"),
    )


def operator_token(directory: Path) -> str:
    """Return the operator's token. Raises: RefusedError: missing, or others may read it."""
    return read_private(directory / TOKEN_FILE).strip()


def same_token(given: str, expected: str) -> bool:
    """Return whether two tokens are equal, in time that does not depend on where they differ."""
    # A header may hold bytes that are no UTF-8; they arrive as lone surrogates, which have no plain encoding.
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read, and have it on the disk. Raises: FileExistsError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def check_private(path: Path) -> None:
    """Return when only the owner can use `path`. Raises: RefusedError: missing, or open to others."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise RefusedError(f"{_short(path)} is missing: restore it from the backup of the keys") from None
    except PermissionError:
        raise RefusedError(f"{_short(path)} cannot be read by this user: run as the node's user") from None
    if stat.S_IMODE(mode) & 0o077:
        wanted = "700" if stat.S_ISDIR(mode) else "600"
        raise RefusedError(f"{_short(path)} is open to other users: run chmod {wanted} on it", code="permissions")


def _short(path: Path) -> str:
    """Return the last parts of a path: whose node it is matters, where it lies does not."""
    return "/".join(path.parts[-2:])


def read_private(path: Path) -> str:
    """Return the text of a file that only its owner can read. Raises: RefusedError, MalformedError."""
    check_private(path)
    try:
        return path.read_text(encoding="ascii")
    except PermissionError:
        raise RefusedError(f"{_short(path)} cannot be read by this user: run as the node's user") from None
    except UnicodeDecodeError:
        raise MalformedError(f"{_short(path)} does not hold a key") from None


def _seed(path: Path, role: Role) -> bytes:
    words = read_private(path).split()
    if len(words) != 3 or words[:2] != [_KEY_LABEL, role]:
        raise MalformedError(f"{_short(path)} does not hold a {role} key")
    return unb64(words[2], size=SEED_BYTES, what=f"{role} key")


def _recovery(path: Path) -> VerifyKey:
    words = read_private(path).split()
    if len(words) != 2 or words[0] != _RECOVERY_LABEL:
        raise MalformedError(f"{_short(path)} does not hold the public recovery key")
    return VerifyKey.parse(words[1])
