"""What can go wrong with a database, as the kinds of errors that callers know."""

import sqlite3
from typing import Final, NoReturn

from protocol.errors import MeshError, RefusedError, UnavailableError


class DiskFullError(UnavailableError):
    """There is no room left to write; reading goes on, and writing too once there is room."""

    code = "disk-full"


class DirectoryInUseError(RefusedError):
    """Another process has this data directory open."""

    code = "directory-in-use"


class DatabaseInUseError(RefusedError):
    """Another process of a node has this PostgreSQL schema open."""

    code = "database-in-use"


class TakenOverError(UnavailableError):
    """Another process serves this node by now: ask that one."""

    code = "taken-over"


class SchemaError(RefusedError):
    """The database and this program do not belong together: newer, changed or foreign."""

    code = "schema"


class MovedError(RefusedError):
    """The rows of this database were moved elsewhere, or have not all arrived here."""

    code = "moved"

    def __init__(self) -> None:
        super().__init__(
            "this database was moved to another place, or a move into it is not finished: set [store] to where the "
            "rows are, or run the same `mentormesh store move` again"
        )


RETRY_S: Final = 30

# SQLite's primary result codes that come from the machine rather than from our statements.
_AWAY: Final = {
    sqlite3.SQLITE_BUSY: "the database is locked by another program",
    sqlite3.SQLITE_LOCKED: "the database is locked by another program",
    sqlite3.SQLITE_PROTOCOL: "the database is locked by another program",
    sqlite3.SQLITE_NOMEM: "there is not enough memory for the database",
    sqlite3.SQLITE_READONLY: "the database is read-only: check the permissions of the data directory",
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened: check the permissions of the data directory",
    sqlite3.SQLITE_PERM: "the database cannot be opened: check the permissions of the data directory",
    sqlite3.SQLITE_IOERR: "the disk fails: see the system's log",
    sqlite3.SQLITE_CORRUPT: "the database is damaged: restore a backup",
    sqlite3.SQLITE_NOTADB: "the file is not a database: restore a backup",
}


def explain(error: Exception, *, now: int) -> MeshError | None:
    """Return what `error` means to a caller; None if it is a mistake in our own code."""
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError("the disk is full: make room, nothing of this change was kept", retry_at=now + RETRY_S)
    if code in _AWAY:
        return UnavailableError(_AWAY[code], retry_at=now + RETRY_S)
    return None


def raise_explained(error: Exception, *, now: int) -> NoReturn:
    """Raise what `error` means to a caller, or `error` itself if it is a mistake in our own code."""
    meaning = explain(error, now=now)
    if meaning is None:
        raise error
    raise meaning from error
