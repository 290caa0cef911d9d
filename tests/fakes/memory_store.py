"""A store that keeps its rows in memory and otherwise behaves as `federation.ports.Store` promises."""

import asyncio
import operator
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from federation.ports import Condition, Reader, Row, Term, Value, Writer
from federation.shapes import check_key, check_query, check_row
from protocol.errors import ConflictError

R = TypeVar("R", bound=Row)
Table = dict[tuple[Value, ...], Row]

_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


class MemoryStore:
    """Rows in dictionaries; a transaction works on copies that replace the originals when it succeeds."""

    def __init__(self) -> None:
        self._tables: dict[type[Row], Table] = {}
        self._turn = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """Yield a reader of the rows as they are now."""
        view = _View(dict(self._tables))
        try:
            yield view
        finally:
            view.open = False

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        """Yield a transaction."""
        task = asyncio.current_task()
        if self._holder is task:
            raise RuntimeError("a transaction is already open in this task")
        async with self._turn:
            change = _Change(dict(self._tables))
            self._holder = task
            try:
                yield change
            finally:
                self._holder = None
                change.open = False
            self._tables = change.tables
        for call in change.calls:
            asyncio.get_running_loop().call_soon(call)
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Nothing to let go of."""


class _View:
    """A snapshot of every table."""

    def __init__(self, tables: dict[type[Row], Table]) -> None:
        self.tables = tables
        self.open = True

    def table(self, kind: type[Row]) -> Mapping[tuple[Value, ...], Row]:
        if not self.open:
            raise RuntimeError("used after its block has ended")
        return self.tables.get(kind, {})

    async def get(self, kind: type[R], *key: Value) -> R | None:
        check_key(kind, key)
        row = self.table(kind).get(key)
        assert row is None or isinstance(row, kind)
        return row

    async def find(
        self, kind: type[R], *conditions: Condition, order: str | None = None, limit: int | None = None
    ) -> list[R]:
        check_query(kind, conditions, order, limit)
        found = [row for row in self.table(kind).values() if isinstance(row, kind) and _holds(row, conditions)]
        found.sort(key=lambda row: _sortable(_pick(row, kind.key)))
        if order is not None:
            column = order.removeprefix("-")
            found.sort(key=lambda row: _sortable(_pick(row, (column,))), reverse=order.startswith("-"))
        return found[:limit]

    async def count(self, kind: type[R], *conditions: Condition) -> int:
        return len(await self.find(kind, *conditions))


class _Change(_View):
    """A transaction: a snapshot that can be changed."""

    def __init__(self, tables: dict[type[Row], Table]) -> None:
        super().__init__(tables)
        self.calls: list[Callable[[], None]] = []

    def on_commit(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        tables, calls = dict(self.tables), len(self.calls)
        try:
            yield
        except BaseException:
            self.tables = tables
            del self.calls[calls:]
            raise

    async def insert(self, *rows: Row) -> None:
        self._change(rows, replace=False)

    async def put(self, *rows: Row) -> None:
        self._change(rows, replace=True)

    async def delete(self, kind: type[Row], *conditions: Condition) -> int:
        gone = await self.find(kind, *conditions)
        keys = {_pick(row, kind.key) for row in gone}
        self.tables[kind] = {key: row for key, row in self.table(kind).items() if key not in keys}
        return len(gone)

    def _change(self, rows: tuple[Row, ...], *, replace: bool) -> None:
        for row in rows:
            check_row(row)
        changed = {kind: dict(self.table(kind)) for kind in {type(row) for row in rows}}
        for row in rows:
            _add(changed[type(row)], row, replace=replace)
        self.tables |= changed


def _add(table: Table, row: Row, *, replace: bool) -> None:
    key = _pick(row, row.key)
    if key in table and not replace:
        raise ConflictError(f"{row.table} has a row with this {', '.join(row.key)} already")
    for columns in row.unique:
        wanted = _pick(row, columns)
        taken = (other for at, other in table.items() if at != key)
        if None not in wanted and any(_pick(other, columns) == wanted for other in taken):
            raise ConflictError(f"{row.table} has a row with this {', '.join(columns)} already")
    table[key] = row


def _pick(row: Row, columns: Iterable[str]) -> tuple[Value, ...]:
    return tuple(getattr(row, column) for column in columns)


def _sortable(values: tuple[Value, ...]) -> tuple[tuple[bool, Any], ...]:
    return tuple((value is not None, value if value is not None else 0) for value in values)


def _holds(row: Row, conditions: tuple[Condition, ...]) -> bool:
    return all(_compare(getattr(row, term.column), term) for condition in conditions for term in condition.terms)


def _compare(value: Value, term: Term) -> bool:
    if term.test == "in":
        assert isinstance(term.value, tuple)
        return value in term.value
    if term.test == "=":
        return value == term.value
    return value is not None and _COMPARE[term.test](value, term.value)
