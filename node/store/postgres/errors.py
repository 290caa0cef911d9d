"""What can go wrong with a PostgreSQL database, as the kinds of errors that callers know.

The message of an error never repeats what the server says in detail: that may quote a row.
"""

import re
from typing import Final, NoReturn

import asyncpg

from node.store.errors import RETRY_S, DiskFullError
from protocol.errors import ConflictError, MalformedError, MeshError, RefusedError, UnavailableError

#: Everything by which a question to the database can fail.
FAILURES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class CommitUnknownError(Exception):
    """The connection broke during a commit, and nobody could be asked since whether it was kept."""


_AWAY: Final = "the database cannot be reached: check that it runs, and [store] url"
_LATER: Final = "the database is starting, stopping or has no connection free; it is tried again"
_SLOW: Final = "the database took too long: look at its load and at locks that other programs hold"
_STANDBY: Final = "the database is read-only, such as a standby: name the primary in [store] url"
_FAILING: Final = "the database fails: see its log"

#: SQLSTATE, or its class of two characters, that comes from the server's state rather than from our statements.
_PASSING: Final = {
    "08": _AWAY,
    "40": _LATER,
    "53": _LATER,
    "57": _LATER,
    "57014": _SLOW,
    "55P03": _SLOW,
    "25P03": _SLOW,
    "25006": _STANDBY,
    "58": _FAILING,
    "XX": _FAILING,
}

#: SQLSTATE that lasts until somebody changes a setting or a right.
_LASTING: Final = {
    "28": "the database does not let this user in: check the user in [store] url, and password_file",
    "3D000": "there is no such database: create it, or correct the name in [store] url",
    "3F000": "there is no such schema: create it, or correct search_path in [store] url",
    "42501": "the database user lacks rights: it must own the node's tables, and be allowed to make them in the schema",
}

_HELD: Final = re.compile(r'Key \(([a-z0-9_", ]+)\)=')


def explain(error: Exception, *, now: int) -> MeshError | None:
    """Return what `error` means to a caller; None if it is a mistake in our own code."""
    if isinstance(error, asyncpg.PostgresError):
        return _said(error, now + RETRY_S)
    if isinstance(error, CommitUnknownError):
        text = "the database went away during a commit and did not come back to say whether the change was kept"
        return UnavailableError(text, code="commit-unknown", retry_at=now + RETRY_S)
    if isinstance(error, asyncpg.ClientConfigurationError):
        return RefusedError("[store] url is not understood: see docs/reference/storage.md", code="store")
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return UnavailableError(_STANDBY, retry_at=now + RETRY_S)
    if isinstance(error, FAILURES) and not isinstance(error, ValueError):  # which is about a value of ours
        return UnavailableError(_AWAY, retry_at=now + RETRY_S)
    return None


def _said(error: asyncpg.PostgresError, retry_at: int) -> MeshError | None:
    state = error.sqlstate or ""
    if state == "23505":
        return ConflictError(f"there is a row with the same {_columns(error)} already")
    if state == "53100":
        text = "the disk of the database is full: make room, nothing of this change was kept"
        return DiskFullError(text, retry_at=retry_at)
    if state == "22021":
        return MalformedError("a text holds a zero character, which the database cannot keep")
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        # A plan made before another process changed the schema: the next session makes a new one.
        return UnavailableError(_LATER, retry_at=retry_at)
    lasting, passing = (table.get(state) or table.get(state[:2]) for table in (_LASTING, _PASSING))
    if lasting:
        return RefusedError(lasting, code="store")
    return UnavailableError(passing, retry_at=retry_at) if passing else None


def _columns(error: asyncpg.PostgresError) -> str:
    """Return the columns of a unique set as SQLite names them, `sample.name, sample.code`; no value."""
    held = _HELD.match(getattr(error, "detail", None) or "")
    table = getattr(error, "table_name", None) or "table"
    return ", ".join(f"{table}.{name}" for name in held[1].split(", ")) if held else f"key of {table}"


def raise_explained(error: Exception, *, now: int) -> NoReturn:
    """Raise what `error` means to a caller, or `error` itself if it is a mistake in our own code."""
    meaning = explain(error, now=now)
    if meaning is None:
        raise error
    raise meaning from error
