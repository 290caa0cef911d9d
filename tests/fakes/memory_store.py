"""A store that keeps its rows in memory and otherwise behaves as `federation.ports.Store` promises."""

import asyncio
import operator
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from federation.ports import Condition, Reader, Row, Term, Value, Writer
from federation.shapes import check_key, check_query, check_row
from protocol.errors import ConflictError

R = TypeVar("R", bound=Row)
Key = tuple[Value, ...]
Table = dict[Key, Row]
#: What a transaction changed of a table: the new row, or None for one that it deleted.
Overlay = dict[Key, Row | None]

_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


class MemoryStore:
    """Rows in dictionaries; a transaction lays its changes over them and leaves them there when it succeeds.

    Args:
        tables: what a store before this one held, to go on with as after a restart.
    """

    def __init__(self, tables: dict[type[Row], Table] | None = None) -> None:
        self.tables: Final[dict[type[Row], Table]] = {} if tables is None else tables
        self._readers = 0
        self._turn = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None
        self._changes: Counter[type[Row]] = Counter()

    def changes(self, *kinds: type[Row]) -> int:
        """Return how many commits have changed these tables."""
        return sum(self._changes[kind] for kind in kinds)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """Yield a reader of the rows as they are now."""
        view = _View(dict(self.tables))
        self._readers += 1
        try:
            yield view
        finally:
            self._readers -= 1
            view.open = False

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        """Yield a transaction."""
        task = asyncio.current_task()
        if self._holder is task:
            raise RuntimeError("a transaction is already open in this task")
        async with self._turn:
            change = _Change(self.tables)
            self._holder = task
            try:
                yield change
            finally:
                self._holder = None
                change.open = False
            self._commit(change)
        for call in change.calls:
            asyncio.get_running_loop().call_soon(call)
        await asyncio.sleep(0)

    def _commit(self, change: "_Change") -> None:
        self._changes.update(change.overlays.keys())
        for kind, overlay in change.overlays.items():
            rows = self.tables.get(kind, {})
            if self._readers:
                rows = dict(rows)  # somebody still looks at the old ones
            for key, row in overlay.items():
                if row is None:
                    rows.pop(key, None)
                else:
                    rows[key] = row
            self.tables[kind] = rows

    async def close(self) -> None:
        """Nothing to let go of."""


class _View:
    """A snapshot of every table."""

    def __init__(self, tables: dict[type[Row], Table]) -> None:
        self._tables = tables
        self.open = True

    def one(self, kind: type[Row], key: Key) -> Row | None:
        """Return the row of a key."""
        return self.rows(kind).get(key)

    def rows(self, kind: type[Row]) -> Table:
        """Return all rows of a table."""
        if not self.open:
            raise RuntimeError("used after its block has ended")
        return self._tables.get(kind, {})

    async def get(self, kind: type[R], *key: Value) -> R | None:
        check_key(kind, key)
        row = self.one(kind, key)
        assert row is None or isinstance(row, kind)
        return row

    async def find(
        self, kind: type[R], *conditions: Condition, order: str | None = None, limit: int | None = None
    ) -> list[R]:
        check_query(kind, conditions, order, limit)
        found = [row for row in self._chosen(kind, conditions) if isinstance(row, kind)]
        if len(found) > 1:
            found.sort(key=lambda row: _sortable_key(row, kind.key))
            if order is not None:
                column = order.removeprefix("-")
                found.sort(key=lambda row: _sortable(getattr(row, column)), reverse=order.startswith("-"))
        return found[:limit]

    def _chosen(self, kind: type[Row], conditions: tuple[Condition, ...]) -> Iterable[Row]:
        """Return the rows that hold all conditions; a whole key finds its row without a search."""
        terms = [term for condition in conditions for term in condition.terms]
        equal = {term.column: term.value for term in terms if term.test == "="}
        if equal.keys() >= set(kind.key):
            row = self.one(kind, tuple(equal[column] for column in kind.key))  # type: ignore[misc]
            rows: list[Row] = [] if row is None else [row]
        else:
            rows = list(self.rows(kind).values())
        for term in terms:
            column, value = term.column, term.value
            if term.test == "=":
                rows = [row for row in rows if getattr(row, column) == value]
            else:
                rows = [row for row in rows if _compare(getattr(row, column), term)]
        return rows

    async def count(self, kind: type[R], *conditions: Condition) -> int:
        check_query(kind, conditions)
        return sum(1 for _ in self._chosen(kind, conditions))


class _Change(_View):
    """A transaction: changes over the tables, and a journal by which the newest of them are undone."""

    def __init__(self, tables: dict[type[Row], Table]) -> None:
        super().__init__(tables)
        self.overlays: dict[type[Row], Overlay] = {}
        self.calls: list[Callable[[], None]] = []
        self._journal: list[Callable[[], None]] = []

    def one(self, kind: type[Row], key: Key) -> Row | None:
        overlay = self.overlays.get(kind, {})
        return overlay[key] if key in overlay else super().one(kind, key)

    def rows(self, kind: type[Row]) -> Table:
        rows = super().rows(kind)
        overlay = self.overlays.get(kind)
        if not overlay:
            return rows
        return {key: row for key, row in (rows | overlay).items() if row is not None}

    def on_commit(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        written, calls = len(self._journal), len(self.calls)
        try:
            yield
        except BaseException:
            self._undo(written)
            del self.calls[calls:]
            raise

    async def insert(self, *rows: Row) -> None:
        self._add(rows, replace=False)

    async def put(self, *rows: Row) -> None:
        self._add(rows, replace=True)

    async def delete(self, kind: type[Row], *conditions: Condition) -> int:
        check_query(kind, conditions)
        gone = list(self._chosen(kind, conditions))
        for row in gone:
            self._set(kind, _pick(row, kind.key), None)
        return len(gone)

    def _add(self, rows: tuple[Row, ...], *, replace: bool) -> None:
        for row in rows:
            check_row(row)
        written = len(self._journal)
        try:
            for row in rows:
                self._add_one(row, replace=replace)
        except ConflictError:
            self._undo(written)
            raise

    def _add_one(self, row: Row, *, replace: bool) -> None:
        kind, key = type(row), _pick(row, row.key)
        if not replace and self.one(kind, key) is not None:
            raise ConflictError(f"{row.table} has a row with this {', '.join(row.key)} already")
        for columns in row.unique:
            wanted = _pick(row, columns)
            taken = (other for at, other in self.rows(kind).items() if at != key)
            if None not in wanted and any(_pick(other, columns) == wanted for other in taken):
                raise ConflictError(f"{row.table} has a row with this {', '.join(columns)} already")
        self._set(kind, key, row)

    def _set(self, kind: type[Row], key: Key, row: Row | None) -> None:
        overlay = self.overlays.setdefault(kind, {})
        if key in overlay:
            before = overlay[key]
            self._journal.append(lambda: overlay.update({key: before}))
        else:
            self._journal.append(lambda: overlay.__delitem__(key))
        overlay[key] = row

    def _undo(self, written: int) -> None:
        while len(self._journal) > written:
            self._journal.pop()()


def _pick(row: Row, columns: Iterable[str]) -> Key:
    return tuple([getattr(row, column) for column in columns])


def _sortable_key(row: Row, columns: Iterable[str]) -> tuple[Any, ...]:
    return _pick(row, columns)  # no column of a key is ever empty


def _sortable(value: Value) -> tuple[bool, Any]:
    return value is not None, value if value is not None else 0


def _compare(value: Value, term: Term) -> bool:
    if term.test == "in":
        assert isinstance(term.value, tuple)
        return value in term.value
    return value is not None and _COMPARE[term.test](value, term.value)
