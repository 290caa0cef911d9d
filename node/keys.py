"""The node's own keys, one file for each role, made by `mentormesh init` and readable by the node's user alone.

DIR/keys/federation.key   the private key of a role, and what its last change left behind (`keyfiles.py`)
DIR/keys/recovery.pub     one line: mentormesh-recovery/1 <public key as base64url>
DIR/keys/next/            new keys that wait for a statement of the recovery key (`rekeying.py`)
DIR/keys/install/         the same once the statement is there; its files count before those of the same name above
DIR/recovery.key          the private recovery key, which the operator moves off the machine
DIR/operator.token        the word that commands show to the running node
"""

import hmac
from pathlib import Path
from typing import Final

import msgspec

from federation.ports import Entropy
from protocol.encoding import b64
from protocol.errors import MalformedError
from protocol.sealing import NodeSealingKey
from protocol.signing import SEED_BYTES, SigningKey, VerifyKey, VerifyKeys

from .keyfiles import ROLES, KeyFile, Role, check_private, read_key_file, read_private, render_key_file, write_private

KEY_FOLDER: Final = "keys"
NEXT_FOLDER: Final = "next"
INSTALL_FOLDER: Final = "install"
RECOVERY_FILE: Final = "recovery.key"
RECOVERY_PUBLIC_FILE: Final = "recovery.pub"
TOKEN_FILE: Final = "operator.token"  # noqa: S105 -- the name of a file
_RECOVERY_LABEL: Final = "mentormesh-recovery/1"


class KeyRing(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a node by role; of the recovery key only the public half, the other is offline.

    Earlier keys still open what was sealed to them, verify what this node signed itself, and end the log they signed.
    Those of `ended` are good for that end alone: nobody believes them any more.
    `rotations` are the statements by which the federation key came from earlier ones.
    """

    federation: SigningKey
    http: SigningKey
    log: SigningKey
    envelope_sign: SigningKey
    envelope_seal: NodeSealingKey
    attest: SigningKey
    witness: SigningKey
    recovery: VerifyKey
    earlier_log: tuple[SigningKey, ...] = ()
    ended: frozenset[VerifyKey] = frozenset()
    earlier_attest: tuple[VerifyKey, ...] = ()
    earlier_sign: tuple[VerifyKey, ...] = ()
    earlier_seal: tuple[NodeSealingKey, ...] = ()
    rotations: tuple[str, ...] = ()

    @property
    def own_messages(self) -> VerifyKeys:
        """The keys by which this node signs and signed its handshake messages."""
        return VerifyKeys(self.envelope_sign.public, self.earlier_sign)


def create_keys(directory: Path, entropy: Entropy) -> KeyRing:
    """Write all key files of a new node and return its keys. Raises: FileExistsError: there are some already."""
    folder = directory / KEY_FOLDER
    folder.mkdir(mode=0o700)
    for role in ROLES:
        write_new_key(folder, role, entropy.take(SEED_BYTES))
    recovery = entropy.take(SEED_BYTES)
    write_new_key(directory, "recovery", recovery)
    write_private(folder / RECOVERY_PUBLIC_FILE, render_recovery(SigningKey(recovery).public))
    write_private(directory / TOKEN_FILE, b64(entropy.take(32)) + "\n")
    return load_keys(directory)


def write_new_key(folder: Path, role: str, seed: bytes) -> None:
    """Write the key file of a role where there is none. Raises: FileExistsError."""
    write_private(folder / f"{role}.key", render_key_file(KeyFile(role=role, seed=seed)))


def load_keys(directory: Path) -> KeyRing:
    """Return the keys of a node.

    Raises: RefusedError: a file is missing, or others may read it. MalformedError: it holds no key of its role.
    """
    check_private(directory / KEY_FOLDER)
    files = {role: load_key_file(directory, role) for role in ROLES}
    seeds = {role: file.seed for role, file in files.items()}
    return KeyRing(
        federation=SigningKey(seeds["federation"]),
        http=SigningKey(seeds["http"]),
        log=SigningKey(seeds["log"]),
        envelope_sign=SigningKey(seeds["envelope-sign"]),
        envelope_seal=NodeSealingKey(seeds["envelope-seal"]),
        attest=SigningKey(seeds["attest"]),
        witness=SigningKey(seeds["witness"]),
        recovery=_recovery(_place(directory, RECOVERY_PUBLIC_FILE)),
        earlier_log=tuple(SigningKey(one.key) for one in files["log"].earlier),
        ended=frozenset(SigningKey(one.key).public for one in files["log"].earlier if one.ended),
        earlier_attest=tuple(VerifyKey(one.key) for one in files["attest"].earlier),
        earlier_sign=tuple(VerifyKey(one.key) for one in files["envelope-sign"].earlier),
        earlier_seal=tuple(NodeSealingKey(one.key) for one in files["envelope-seal"].earlier),
        rotations=files["federation"].rotations,
    )


def load_key_file(directory: Path, role: Role) -> KeyFile:
    """Return what is kept of a role. Raises: as `load_keys`."""
    return read_key_file(_place(directory, f"{role}.key"), role)


def _place(directory: Path, name: str) -> Path:
    """Return where a key file counts: an installation that was broken off counts as done."""
    installed = directory / KEY_FOLDER / INSTALL_FOLDER / name
    return installed if installed.exists() else directory / KEY_FOLDER / name


def operator_token(directory: Path) -> str:
    """Return the operator's token. Raises: RefusedError: missing, or others may read it."""
    return read_private(directory / TOKEN_FILE).strip()


def same_token(given: str, expected: str) -> bool:
    """Return whether two tokens are equal, in time that does not depend on where they differ."""
    # A header may hold bytes that are no UTF-8; they arrive as lone surrogates, which have no plain encoding.
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


def render_recovery(key: VerifyKey) -> str:
    """Return the text of the file with the public recovery key."""
    return f"{_RECOVERY_LABEL} {key.text}\n"


def _recovery(path: Path) -> VerifyKey:
    words = read_private(path).split()
    if len(words) != 2 or words[0] != _RECOVERY_LABEL:
        raise MalformedError(f"{path.parent.name}/{path.name} does not hold the public recovery key")
    return VerifyKey.parse(words[1])
