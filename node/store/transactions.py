"""Reading and changing rows on one connection: what `store.read()` and `store.write()` hand out."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from functools import cache
from itertools import groupby
from typing import Final, NoReturn, TypeVar

import msgspec

from federation.ports import Condition, Row, Value
from federation.shapes import check_key, check_query, check_rows, shape
from protocol.errors import ConflictError

from . import statements
from .groupcommit import GroupCommit
from .groups import Effects, Group

R = TypeVar("R", bound=Row)

PORTION: Final = 256
_CONFLICTS: Final = {sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE}


class Snapshot:
    """A `federation.ports.Reader` on a connection with an open transaction."""

    def __init__(self, connection: sqlite3.Connection, fail: Callable[[Exception], NoReturn]) -> None:
        self._connection = connection
        self._fail = fail
        self.open = True
        self.failed = False

    async def get(self, kind: type[R], *key: Value) -> R | None:
        """Return the row with this key, or None."""
        check_key(kind, key)
        values = self._first(statements.get(kind), key)
        return None if values is None else builder(kind)(values)

    async def find(
        self, kind: type[R], *conditions: Condition, order: str | None = None, limit: int | None = None
    ) -> list[R]:
        """Return rows, fetched in portions between which other tasks run."""
        check_query(kind, conditions, order, limit)
        forms, values = statements.split(conditions)
        text = statements.select(kind, forms, order, limited=limit is not None)
        build = builder(kind)
        found: list[R] = []
        with closing(self._run(text, values if limit is None else [*values, limit])) as cursor:
            while True:
                found += map(build, portion := self._portion(cursor))
                if len(portion) < PORTION:
                    return found
                await asyncio.sleep(0)

    async def count(self, kind: type[R], *conditions: Condition) -> int:
        """Return how many rows there are."""
        check_query(kind, conditions)
        forms, values = statements.split(conditions)
        found = self._first(statements.count(kind, forms), values)
        assert found is not None
        number = found[0]
        assert isinstance(number, int)
        return number

    # These run for every statement, so they are plain methods and no context managers.

    def _run(self, text: str, values: Sequence[Value] = ()) -> sqlite3.Cursor:
        """Return the cursor of one statement."""
        self._check()
        try:
            return self._connection.execute(text, values)
        except sqlite3.Error as error:
            self._failed(error)

    def _first(self, text: str, values: Sequence[Value]) -> tuple[Value, ...] | None:
        """Return the first row of one statement."""
        self._check()
        try:
            found: tuple[Value, ...] | None = self._connection.execute(text, values).fetchone()
        except sqlite3.Error as error:
            self._failed(error)
        return found

    def _portion(self, cursor: sqlite3.Cursor) -> list[tuple[Value, ...]]:
        self._check()
        try:
            return cursor.fetchmany(PORTION)
        except sqlite3.Error as error:
            self._failed(error)

    def _check(self) -> None:
        if not self.open:
            raise RuntimeError("used after its block has ended")

    def _failed(self, error: sqlite3.Error) -> NoReturn:
        self._note(error)
        self._fail(error)

    def _note(self, error: sqlite3.Error) -> None:  # noqa: ARG002 -- a transaction looks at it
        self.failed = True


class Transaction(Snapshot, Effects):
    """A `federation.ports.Writer`: one part of a group commit."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        fail: Callable[[Exception], NoReturn],
        commits: GroupCommit,
        group: Group,
    ) -> None:
        Snapshot.__init__(self, connection, fail)
        Effects.__init__(self)
        self._commits = commits
        self._group = group

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Let a part of the transaction fail by itself."""
        calls = len(self.calls)
        self._run("SAVEPOINT block")
        try:
            yield
        except BaseException:
            del self.calls[calls:]
            self._commits.undo(self._group, "block")
            raise
        self._run("RELEASE block")

    async def insert(self, *rows: Row) -> None:
        """Add rows, all or none."""
        self._store(rows, statements.insert)

    async def put(self, *rows: Row) -> None:
        """Add or replace rows, all or none."""
        self._store(rows, statements.put)

    async def delete(self, kind: type[Row], *conditions: Condition) -> int:
        """Remove rows and return how many."""
        check_query(kind, conditions)
        self.kinds.add(kind)
        forms, values = statements.split(conditions)
        return self._run(statements.delete(kind, forms), values).rowcount

    def _store(self, rows: tuple[Row, ...], text: Callable[[type[Row]], str]) -> None:
        check_rows(rows)
        self.kinds.update(map(type, rows))
        self._check()
        try:
            if len(rows) == 1:  # one statement is atomic by itself
                self._connection.execute(text(type(rows[0])), msgspec.structs.astuple(rows[0]))
            else:
                self._store_many(rows, text)
        except sqlite3.Error as error:
            _raise_conflict(error)
            self._failed(error)

    def _store_many(self, rows: tuple[Row, ...], text: Callable[[type[Row]], str]) -> None:
        self._connection.execute("SAVEPOINT call")
        try:
            for kind, alike in groupby(rows, type):
                self._connection.executemany(text(kind), map(msgspec.structs.astuple, alike))
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO call")
                self._connection.execute("RELEASE call")
            raise
        self._connection.execute("RELEASE call")

    def _check(self) -> None:
        super()._check()
        self._commits.check(self._group)

    def _note(self, error: sqlite3.Error) -> None:
        self._commits.failed(self._group, error)


def _raise_conflict(error: sqlite3.Error) -> None:
    """Raise what a caller learns about a key that is taken. Raises: ConflictError."""
    if isinstance(error, sqlite3.IntegrityError) and error.sqlite_errorcode in _CONFLICTS:
        columns = str(error).removeprefix("UNIQUE constraint failed: ")
        raise ConflictError(f"there is a row with the same {columns} already") from error


@cache
def builder(kind: type[R]) -> Callable[[tuple[Value, ...]], R]:
    """Return the function that makes a row from the values of its columns."""
    names = shape(kind).names
    flags = tuple(column.name for column in shape(kind).columns if column.type is bool)

    def build(values: tuple[Value, ...]) -> R:
        fields = dict(zip(names, values, strict=True))
        for name in flags:
            value = fields[name]
            fields[name] = None if value is None else bool(value)
        return kind(**fields)

    return build
