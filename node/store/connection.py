"""Connections to one SQLite file with the settings that our promises rest on, and the lock on its directory."""

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final, Self

from protocol.errors import UnavailableError

from .errors import DirectoryInUseError

BUSY_TIMEOUT_S: Final = 5.0

_EVERY: Final = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",  # sorting never leaves personal data in a temporary file
)
_WRITER: Final = (
    "PRAGMA page_size = 8192",  # of a new file: three session messages fit one page, of 4096 only one
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # NORMAL loses acknowledged rows at power loss
    "PRAGMA secure_delete = ON",  # what is erased is overwritten
    "PRAGMA journal_size_limit = 16777216",
    "PRAGMA cache_size = -2048",
)
_READER: Final = ("PRAGMA cache_size = -1024",)  # each of several; the system keeps the file's pages as well


def open_writer(path: Path) -> sqlite3.Connection:
    """Return the connection that writes; a new file is readable by its owner only. Raises: sqlite3.Error, OSError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return _connect(path.as_uri() + "?mode=rw", *_WRITER)


def open_reader(path: Path) -> sqlite3.Connection:
    """Return a connection that can only read; it may be open beside a running node. Raises: sqlite3.Error."""
    return _connect(path.as_uri() + "?mode=ro", *_READER)


def _connect(uri: str, *settings: str) -> sqlite3.Connection:
    # Transactions are opened and ended by hand, and the commit runs in another thread than the statements.
    connection = sqlite3.connect(
        uri,
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        for setting in (*_EVERY, *settings):
            connection.execute(setting).close()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


class DirectoryLock:
    """The right of one process to a data directory; the system takes it back when the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, directory: Path) -> Self:
        """Return the lock of `directory`.

        Raises:
            DirectoryInUseError: another process (or another store of this one) has it.
            UnavailableError: the directory is missing or cannot be written.
        """
        try:
            descriptor = os.open(directory / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UnavailableError(f"cannot write in {directory}: {error.strerror}") from error
        try:
            # flock, not lockf: it also keeps out a second store of the same process.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DirectoryInUseError(f"{directory} is in use by another mentormesh process; stop it first") from None
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)
