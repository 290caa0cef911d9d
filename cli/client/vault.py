"""The person's folder: one sealed file, replaced as a whole, that a crash leaves either as it was or as it will be.

Every change happens under a lock, on what is on the disk now, and has reached the disk when it returns; so a chat that
stays open and a second command do not undo each other.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from node.disk import sync
from protocol.e2ee.vault import NONCE_BYTES, VaultKey
from protocol.errors import ConflictError, MissingError, UnavailableError

from .state import ClientState, dump_state, load_state

FILE_NAME: Final = "state.vault"
LOCK_NAME: Final = "lock"
LOCK_TRIES: Final = 100
LOCK_PAUSE_S: Final = 0.1

R = TypeVar("R")


class ClientVault:
    """An unlocked folder: `read` the state, `change` it. The key stays in memory, the state does not."""

    __slots__ = ("_key", "folder")

    def __init__(self, folder: Path, key: VaultKey) -> None:
        self.folder: Final = folder
        self._key: Final = key

    @classmethod
    def create(cls, folder: Path, key: VaultKey, state: ClientState) -> "ClientVault":
        """Return the vault of a new folder, which holds `state`.

        Raises: ConflictError: the folder has one already; UnavailableError: it cannot be written.
        """
        with _spoken(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        vault = cls(folder, key)
        with _locked(folder):
            if (folder / FILE_NAME).exists():
                raise ConflictError(f"{folder} holds a vault already: choose another folder")
            vault._write(state)
        return vault

    def read(self) -> ClientState:
        """Return the state on the disk. Raises: MissingError, DamagedVaultError, WrongKeyError, UnavailableError."""
        return load_state(self._key.open(read_container(self.folder)))

    def change(self, change: Callable[[ClientState], tuple[ClientState, R]]) -> R:
        """Apply `change` to the state on the disk, store the state it returns, then return its second value.

        An exception in `change` stores nothing. Keep network calls out of it: others wait for the lock.
        """
        with _locked(self.folder):
            before = self.read()
            after, result = change(before)
            if after is not before:
                self._write(after)
        return result

    def update(self, change: Callable[[ClientState], ClientState]) -> ClientState:
        """Apply `change`, store and return the new state."""

        def both(state: ClientState) -> tuple[ClientState, ClientState]:
            new = change(state)
            return new, new

        return self.change(both)

    def discard(self) -> None:
        """Take the vault away; the folder stays. Raises: UnavailableError: it cannot be written."""
        with _locked(self.folder), _spoken(self.folder):
            (self.folder / FILE_NAME).unlink()

    def _write(self, state: ClientState) -> None:
        sealed = self._key.seal(dump_state(state), nonce=secrets.token_bytes(NONCE_BYTES))
        with _spoken(self.folder):
            replace_file(self.folder / FILE_NAME, sealed)

    def __repr__(self) -> str:
        return f"ClientVault({str(self.folder)!r})"


def read_container(folder: Path) -> bytes:
    """Return the sealed bytes of a folder. Raises: MissingError: there is no vault; UnavailableError."""
    with _spoken(folder):
        try:
            return (folder / FILE_NAME).read_bytes()
        except FileNotFoundError:
            raise MissingError(f"{folder} holds no vault: sign in first, or name your folder") from None


def replace_file(path: Path, data: bytes) -> None:
    """Make `path` hold `data`, readable by its owner only, in one step that survives a power failure.

    Raises: OSError: nothing has changed.
    """
    new = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises: UnavailableError: another program does not let go of it."""
    with _spoken(folder):
        handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _acquire(handle, folder)
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, folder: Path) -> None:
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
        else:
            return
    raise UnavailableError(f"another program keeps {folder} locked: end it and try again")


@contextmanager
def _spoken(folder: Path) -> Iterator[None]:
    """Turn an error of the disk into a sentence that says which folder and what is wrong."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"cannot use {folder}: {error.strerror or 'the disk failed'}") from error
