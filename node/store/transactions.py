"""Reading and changing rows on one connection: what `store.read()` and `store.write()` hand out."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import cache
from itertools import groupby
from typing import Final, NoReturn, TypeVar

import msgspec

from federation.ports import Condition, Row, Value
from federation.shapes import check_key, check_query, check_rows, shape
from protocol.errors import ConflictError

from . import statements
from .groupcommit import Group, GroupCommit

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
        with self._statement():
            values = self._connection.execute(statements.get(kind), key).fetchone()
        return None if values is None else _builder(kind)(values)

    async def find(
        self, kind: type[R], *conditions: Condition, order: str | None = None, limit: int | None = None
    ) -> list[R]:
        """Return rows, fetched in portions between which other tasks run."""
        check_query(kind, conditions, order, limit)
        forms, values = statements.split(conditions)
        text = statements.select(kind, forms, order, limited=limit is not None)
        build = _builder(kind)
        found: list[R] = []
        with self._statement():
            cursor = self._connection.execute(text, values if limit is None else [*values, limit])
        with closing(cursor):
            while True:
                with self._statement():
                    portion = cursor.fetchmany(PORTION)
                found += map(build, portion)
                if len(portion) < PORTION:
                    return found
                await asyncio.sleep(0)

    async def count(self, kind: type[R], *conditions: Condition) -> int:
        """Return how many rows there are."""
        check_query(kind, conditions)
        forms, values = statements.split(conditions)
        with self._statement():
            (number,) = self._connection.execute(statements.count(kind, forms), values).fetchone()
        assert isinstance(number, int)
        return number

    @contextmanager
    def _statement(self) -> Iterator[None]:
        if not self.open:
            raise RuntimeError("used after its block has ended")
        try:
            yield
        except sqlite3.Error as error:
            self._note(error)
            self._fail(error)

    def _note(self, error: sqlite3.Error) -> None:  # noqa: ARG002 -- a transaction looks at it
        self.failed = True


class Transaction(Snapshot):
    """A `federation.ports.Writer`: one part of a group commit."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        fail: Callable[[Exception], NoReturn],
        commits: GroupCommit,
        group: Group,
    ) -> None:
        super().__init__(connection, fail)
        self._commits = commits
        self._group = group
        self.calls: list[Callable[[], None]] = []

    def on_commit(self, call: Callable[[], None]) -> None:
        """Run `call` once the transaction is durable."""
        self.calls.append(call)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Let a part of the transaction fail by itself."""
        calls = len(self.calls)
        with self._statement():
            self._connection.execute("SAVEPOINT block")
        try:
            yield
        except BaseException:
            del self.calls[calls:]
            self._commits.undo(self._group, "block")
            raise
        with self._statement():
            self._connection.execute("RELEASE block")

    async def insert(self, *rows: Row) -> None:
        """Add rows, all or none."""
        self._store(rows, statements.insert)

    async def put(self, *rows: Row) -> None:
        """Add or replace rows, all or none."""
        self._store(rows, statements.put)

    async def delete(self, kind: type[Row], *conditions: Condition) -> int:
        """Remove rows and return how many."""
        check_query(kind, conditions)
        forms, values = statements.split(conditions)
        with self._statement():
            return self._connection.execute(statements.delete(kind, forms), values).rowcount

    def _store(self, rows: tuple[Row, ...], text: Callable[[type[Row]], str]) -> None:
        check_rows(rows)
        with self._statement(), _conflicts(), self._all_or_none(len(rows)):
            for kind, alike in groupby(rows, type):
                self._connection.executemany(text(kind), map(msgspec.structs.astuple, alike))

    @contextmanager
    def _all_or_none(self, count: int) -> Iterator[None]:
        if count < 2:  # one statement is atomic by itself
            yield
            return
        self._connection.execute("SAVEPOINT call")
        try:
            yield
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO call")
                self._connection.execute("RELEASE call")
            raise
        self._connection.execute("RELEASE call")

    @contextmanager
    def _statement(self) -> Iterator[None]:
        if self.open:
            self._commits.check(self._group)
        with super()._statement():
            yield

    def _note(self, error: sqlite3.Error) -> None:
        self._commits.failed(self._group, error)


@contextmanager
def _conflicts() -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorcode not in _CONFLICTS:
            raise
        columns = str(error).removeprefix("UNIQUE constraint failed: ")
        raise ConflictError(f"there is a row with the same {columns} already") from error


@cache
def _builder(kind: type[R]) -> Callable[[tuple[Value, ...]], R]:
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
