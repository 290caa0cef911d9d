"""Changes of the node's key files: one role at a time, or all of them after a statement of the recovery key.

Every change takes effect with one rename, so that a stop at any moment leaves either the old keys or the new ones.
The document, the log and the peers follow afterwards (`services/keys.py`), at the latest at the next start.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from federation.ports import Entropy
from protocol.errors import MissingError, RefusedError
from protocol.rotation import Rotation, open_recovery, sign_rotation, with_statement
from protocol.signing import SEED_BYTES, SigningKey, VerifyKey

from .disk import sync
from .keyfiles import (
    ROLES,
    Earlier,
    KeyFile,
    Role,
    read_key_file,
    render_key_file,
    replace_private,
    short,
)
from .keys import (
    INSTALL_FOLDER,
    KEY_FOLDER,
    NEXT_FOLDER,
    RECOVERY_FILE,
    RECOVERY_PUBLIC_FILE,
    load_key_file,
    load_keys,
    render_recovery,
    write_new_key,
)

#: Earlier keys of one role that are kept, should somebody change it again and again.
MAX_EARLIER: Final = 8


def rotate_key(directory: Path, role: Role, entity: str, *, entropy: Entropy, now: int, until: int) -> None:
    """Give a role a new key; the one before still counts until `until` where something may be under way.

    Raises: RefusedError, MalformedError: the key files cannot be used; nothing has changed.
    """
    finish_install(directory)
    old = load_key_file(directory, role)
    new = _successor(old, entropy.take(SEED_BYTES), now=now, until=until)
    if role == "federation":
        keys = SigningKey(old.seed), SigningKey(new.seed)
        said = Rotation(entity=entity, number=now, old=keys[0].public.text, new=keys[1].public.text, issued_at=now)
        new = replace(new, rotations=with_statement(old.rotations, sign_rotation(said, keys[0])))
    replace_private(directory / KEY_FOLDER / f"{role}.key", render_key_file(new))


def renew_witness(directory: Path, entity: str, *, entropy: Entropy, now: int) -> None:
    """Give the witness a new key after a restore: the restored database does not say what the old one cosigned last.

    With the old key it could cosign another continuation of a log than the one that it forgot.

    Raises: RefusedError, MalformedError: the key files cannot be used; nothing has changed.
    """
    rotate_key(directory, "witness", entity, entropy=entropy, now=now, until=now)


def prepare_recovery(directory: Path, entropy: Entropy) -> VerifyKey:
    """Return the federation key that waits for a statement of the recovery key, made with all others if need be."""
    finish_install(directory)
    waiting = directory / KEY_FOLDER / NEXT_FOLDER
    if not waiting.exists():
        made = waiting.with_name(f"{NEXT_FOLDER}.new")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(mode=0o700)
        for role in ROLES:
            write_new_key(made, role, entropy.take(SEED_BYTES))
        made.rename(waiting)
        sync(waiting.parent)
    return SigningKey(read_key_file(waiting / "federation.key", "federation").seed).public


def waiting_key(directory: Path) -> VerifyKey | None:
    """Return the federation key that waits for a statement of the recovery key, None when none does."""
    file = directory / KEY_FOLDER / NEXT_FOLDER / "federation.key"
    return SigningKey(read_key_file(file, "federation").seed).public if file.exists() else None


def install_recovery(directory: Path, statement: str, entity: str, *, now: int, until: int) -> None:
    """Put the keys that wait in place of all others, because `statement` says so.

    Raises: MissingError: none wait. MalformedError, UnverifiedError: the recovery key did not sign the statement.
    RefusedError: it is for another key.
    """
    waiting = directory / KEY_FOLDER / NEXT_FOLDER
    if not waiting.exists():
        raise MissingError("no keys wait for a statement: begin with `mentormesh keys recover`", code="not-prepared")
    said = open_recovery(statement, entity=entity, recovery=load_keys(directory).recovery)
    new = {role: read_key_file(waiting / f"{role}.key", role) for role in ROLES}
    if said.new != SigningKey(new["federation"].seed).public.text:
        raise RefusedError("the statement is for another key than the one that waits", code="wrong-key")
    for role in ROLES:
        file = _successor(load_key_file(directory, role), new[role].seed, now=now, until=until)
        if role == "federation":
            file = replace(file, rotations=with_statement(file.rotations, statement))
        # What a thief may have signed does not count, whoever meant it; but the log has to be ended in good order.
        kept = tuple(replace(one, ended=True) for one in file.earlier)
        file = replace(file, earlier={"log": kept, "envelope-seal": file.earlier}.get(role, ()))
        replace_private(waiting / f"{role}.key", render_key_file(file))
    if said.recovery is not None:
        replace_private(waiting / RECOVERY_PUBLIC_FILE, render_recovery(VerifyKey.parse(said.recovery)))
    waiting.rename(waiting.with_name(INSTALL_FOLDER))
    sync(waiting.parent)
    finish_install(directory)


def finish_install(directory: Path) -> None:
    """Move the files of an installation to their places; they count already."""
    folder = directory / KEY_FOLDER
    installed = folder / INSTALL_FOLDER
    if not installed.exists():
        return
    for file in sorted(installed.iterdir()):
        file.replace(folder / file.name)
    sync(folder)
    installed.rmdir()


def forget_expired(directory: Path, *, now: int) -> bool:
    """Erase earlier keys whose time is over; tell whether there were any."""
    found = False
    for role in ROLES:
        file = load_key_file(directory, role)
        kept = tuple(one for one in file.earlier if one.until > now)
        if kept != file.earlier:
            replace_private(directory / KEY_FOLDER / f"{role}.key", render_key_file(replace(file, earlier=kept)))
            found = True
    return found


def _successor(old: KeyFile, seed: bytes, *, now: int, until: int) -> KeyFile:
    """Return the key file with a new key. Of a key that only signed, nobody needs more than the public half."""
    kept: Iterable[Earlier] = (one for one in old.earlier if one.until > now)
    ended: tuple[Earlier, ...] = ()
    match old.role:
        case "envelope-seal" | "log":
            ended = (Earlier(key=old.seed, until=until),)
        case "attest" | "envelope-sign":
            ended = (Earlier(key=SigningKey(old.seed).public.raw, until=until),)
    return KeyFile(role=old.role, seed=seed, earlier=(*ended, *kept)[:MAX_EARLIER], rotations=old.rotations)


def recovery_key(path: Path) -> SigningKey:
    """Return the private recovery key in a file. Raises: RefusedError, MalformedError."""
    return SigningKey(read_key_file(path, "recovery").seed)


def write_recovery_key(path: Path, seed: bytes) -> VerifyKey:
    """Write a new private recovery key and return its public half. Raises: RefusedError: the file exists."""
    folder, name = path.parent, path.name
    if path.exists() or not name.endswith(".key"):
        raise RefusedError(f"{short(path)} must be a new file whose name ends with .key, such as {RECOVERY_FILE}")
    replace_private(folder / name, render_key_file(KeyFile(role="recovery", seed=seed)))
    return SigningKey(seed).public
