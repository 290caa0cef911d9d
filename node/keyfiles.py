"""Private files: written whole and durable, readable by the node's user alone; and the form of a key file.

DIR/keys/log.key   mentormesh-key/1 log <32-byte seed as base64url>
                   earlier <key as base64url> <Unix second until which it counts>, or: ended <…> <…>
                   rotation <statement>

After the first line stands what a change of the key left behind, if there was one. One file holds all of it, so that a
change is one rename: whatever fails, either the old file stands there or the new one.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import msgspec

from protocol.encoding import b64, unb64
from protocol.errors import MalformedError, RefusedError
from protocol.signing import SEED_BYTES

from .disk import sync

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
KEY_LABEL: Final = "mentormesh-key/1"


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was replaced, until when it is kept: a seed, or where that is enough the public key.

    `ended`: a statement of the recovery key ended it; it finishes the log it signed, and counts for nothing else.
    """

    key: bytes
    until: int
    ended: bool = False


class KeyFile(msgspec.Struct, frozen=True, kw_only=True):
    """What the key file of a role says; its repr would show secrets, so nobody prints it.

    `rotations` are the statements about the federation key, oldest first.
    """

    role: str
    seed: bytes
    earlier: tuple[Earlier, ...] = ()
    rotations: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"KeyFile({self.role})"


def render_key_file(file: KeyFile) -> str:
    """Return the text of a key file."""
    earlier = [f"{'ended' if one.ended else 'earlier'} {b64(one.key)} {one.until}" for one in file.earlier]
    rotations = [f"rotation {one}" for one in file.rotations]
    return "\n".join([f"{KEY_LABEL} {file.role} {b64(file.seed)}", *earlier, *rotations, ""])


def read_key_file(path: Path, role: str) -> KeyFile:
    """Return the key file of a role. Raises: RefusedError: missing or open to others. MalformedError: no such key."""
    first, *rest = read_private(path).splitlines() or [""]
    words = first.split()
    if len(words) != 3 or words[:2] != [KEY_LABEL, role]:
        raise MalformedError(f"{short(path)} does not hold a {role} key")
    earlier: list[Earlier] = []
    rotations: list[str] = []
    for line in rest:
        match line.split():
            case ["earlier" | "ended" as word, key, until] if until.isascii() and until.isdigit():
                raw = unb64(key, size=SEED_BYTES, what=f"earlier {role} key")
                earlier.append(Earlier(key=raw, until=int(until), ended=word == "ended"))
            case ["rotation", statement] if role == "federation":
                rotations.append(statement)
            case []:
                continue
            case _:
                raise MalformedError(f"{short(path)} has a line that means nothing")
    seed = unb64(words[2], size=SEED_BYTES, what=f"{role} key")
    return KeyFile(role=role, seed=seed, earlier=tuple(earlier), rotations=tuple(rotations))


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read, and have it on the disk. Raises: FileExistsError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def replace_private(path: Path, text: str) -> None:
    """Put a private file in place of the one there, in one step that is on the disk when this returns."""
    new = path.with_name(f"{path.name}.new")
    with suppress(FileNotFoundError):
        new.unlink()  # left behind by an attempt that never came to its end
    write_private(new, text)
    new.replace(path)
    sync(path.parent)


def check_private(path: Path) -> None:
    """Return when only the owner can use `path`. Raises: RefusedError: missing, or open to others."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise RefusedError(f"{short(path)} is missing: restore it from the backup of the keys") from None
    except PermissionError:
        raise RefusedError(f"{short(path)} cannot be read by this user: run as the node's user") from None
    if stat.S_IMODE(mode) & 0o077:
        wanted = "700" if stat.S_ISDIR(mode) else "600"
        raise RefusedError(f"{short(path)} is open to other users: run chmod {wanted} on it", code="permissions")


def short(path: Path) -> str:
    """Return the last parts of a path: whose node it is matters, where it lies does not."""
    return "/".join(path.parts[-2:])


def read_private(path: Path) -> str:
    """Return the text of a file that only its owner can read. Raises: RefusedError, MalformedError."""
    check_private(path)
    try:
        return path.read_text(encoding="ascii")
    except PermissionError:
        raise RefusedError(f"{short(path)} cannot be read by this user: run as the node's user") from None
    except UnicodeDecodeError:
        raise MalformedError(f"{short(path)} does not hold a key") from None
