"""`sqlite3.connect` as the store calls it, on another build of SQLite that runs over a recorder.

Only the methods that the store and its migrations use; errors are those of `sqlite3`.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

import apsw

from .recorder import Recorder

_FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI


class RecordedCursor:
    """Rows of one statement."""

    def __init__(self, cursor: apsw.Cursor, rowcount: int) -> None:
        self._cursor: Final = cursor
        self.rowcount: Final = rowcount

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._cursor

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row."""
        row: tuple[Any, ...] | None = self._cursor.fetchone()
        return row

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        """Return at most `size` rows."""
        rows: list[tuple[Any, ...]] = []
        while len(rows) < size and (row := self._cursor.fetchone()) is not None:
            rows.append(row)
        return rows

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows that are left."""
        return list(self._cursor)

    def close(self) -> None:
        """Let go of the statement."""
        self._cursor.close(force=True)


class RecordedConnection:
    """A connection over a recorder."""

    def __init__(self, uri: str, recorder: Recorder, timeout: float) -> None:
        with _translated():
            self._connection: Final = apsw.Connection(uri, flags=_FLAGS, vfs=recorder.name)
            self._connection.set_busy_timeout(round(timeout * 1000))

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    @property
    def total_changes(self) -> int:
        """How many rows were changed since the connection was opened."""
        return self._connection.total_changes()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> RecordedCursor:
        """Run one statement."""
        with _translated():
            cursor = self._connection.execute(statement, tuple(values))
            return RecordedCursor(cursor, self._connection.changes())

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row."""
        with _translated():
            self._connection.executemany(statement, rows)

    def commit(self) -> None:
        """End the transaction, if there is one."""
        if self.in_transaction:
            self.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if there is one."""
        if self.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


@contextmanager
def recorded(recorder: Recorder) -> Iterator[None]:
    """Let `sqlite3.connect` open files over `recorder` while inside."""

    def connect(address: str, *, timeout: float, **_: object) -> RecordedConnection:
        return RecordedConnection(address, recorder, timeout)

    with recorder.installed(), patch.object(sqlite3, "connect", connect):
        yield


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        kind = sqlite3.IntegrityError if isinstance(error, apsw.ConstraintError) else sqlite3.OperationalError
        translated = kind(str(error))
        translated.sqlite_errorcode = int(getattr(error, "extendedresult", 0))
        raise translated from error
