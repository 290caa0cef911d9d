"""Carries all rows from one database to another of either kind, in portions, and proves that they arrived.

Both sides answer the same SQL; rows travel as the databases hold them. What has arrived is durable and in the order of
the key, so a copy that was broken off goes on behind the last key that is there.
"""

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from functools import cache
from typing import Final, Protocol

import msgspec

from federation.ports import Value
from protocol.errors import UnverifiedError

from . import migrations

Cells = Sequence[Value]

#: Bounds of one portion, which is held in memory and is one transaction of the target.
PORTION: Final = 4000
PORTION_BYTES: Final = 16 * 1024 * 1024
#: Tables about the database itself, which are not carried over.
OWN: Final = frozenset({"meta", "migration", "last_commit"})
#: Bytes of files, which may stand elsewhere than in a database: see `node.store.file_copying`.
FILES: Final = "blob_piece"

#: Told how much is done, and of how much.
Progress = Callable[[int, int], None]

_encode: Final = msgspec.msgpack.Encoder().encode


class Table(msgspec.Struct, frozen=True):
    """One table: its columns in their order, those of its key, and those of text or bytes."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    wide: tuple[str, ...]


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a table holds: how many rows, and the SHA-256 over them in the order of the key."""

    table: str
    rows: int
    sha256: str


class Statements(Protocol):
    """Asks a database, each time by itself. Raises, all methods: MeshError: the database is away."""

    async def query(self, text: str, values: Cells = ()) -> Sequence[Cells]:
        """Return the rows of a question in the SQL that both databases share."""
        ...

    async def change(self, text: str, values: Cells) -> None:
        """Run one statement, durably."""
        ...


class Rows(Statements, Protocol):
    """Rows of a database that nobody else changes meanwhile. Raises, all methods: MeshError: the database is away."""

    async def append(self, table: Table, rows: Sequence[Cells]) -> None:
        """Add `rows`, durably, all or none."""
        ...


@cache
def tables() -> tuple[Table, ...]:
    """Return the tables of a node in the schema of this program, but for those about the database and for files."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.migrate(connection, now=0)
        named = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
        names = [name for (name,) in connection.execute(named)]
        return tuple(_table(connection, name) for name in names if name not in {*OWN, FILES})


def _table(connection: sqlite3.Connection, name: str) -> Table:
    found = connection.execute("SELECT name, type, pk FROM pragma_table_info(?)", (name,)).fetchall()
    key = sorted((at, column) for column, _, at in found if at)
    return Table(
        name,
        columns=tuple(column for column, _, _ in found),
        key=tuple(column for _, column in key),
        wide=tuple(column for column, kind, _ in found if kind in {"TEXT", "BLOB"}),
    )


async def carry(source: Rows, target: Rows, *, progress: Progress) -> tuple[Content, ...]:
    """Copy what `target` lacks of every table and return what both hold now.

    Raises: UnverifiedError: the two differ, because `target` held something else before.
    """
    # Each row is copied once, and read once on either side to compare.
    sizes, before = await _sizes(source), await _sizes(target)
    done = _Done(sum(before.values()), 3 * sum(sizes.values()), progress)
    filled = [table for table in tables() if sizes[table.name] or before[table.name]]
    copied = {table.name: await _copied(source, target, table, done) for table in filled}
    found = {table.name: await _compared(source, target, table, copied[table.name], done) for table in filled}
    return tuple(found.get(table.name) or _Seen(table).content() for table in tables())


async def _copied(source: Rows, target: Rows, table: Table, done: "_Done") -> Content | None:
    """Copy what `target` lacks of a table; return what `source` holds if all of it has been read for that."""
    last = await target.query(_LAST.format(columns=_names(table.key), table=table.name, order=_down(table.key)))
    seen = _Seen(table)
    async for portion in _portions(source, table, after=tuple(last[0]) if last else None):
        await target.append(table, portion)
        seen.add(portion)
        done.add(len(portion) if last else 2 * len(portion))
    return None if last else seen.content()


class _Seen:
    """Rows of a table that come by in the order of the key."""

    def __init__(self, table: Table) -> None:
        self._table: Final = table
        self._digest: Final = hashlib.sha256()
        self._number = 0

    def add(self, portion: Sequence[Cells]) -> None:
        """Take note of the next ones."""
        for row in portion:
            self._digest.update(_encode(tuple(row)))
        self._number += len(portion)

    def content(self) -> Content:
        """Return what the table holds if these were all."""
        return Content(table=self._table.name, rows=self._number, sha256=self._digest.hexdigest())


class _Done:
    """Counts rows for whoever watches."""

    def __init__(self, before: int, total: int, progress: Progress) -> None:
        self._count = before
        self._total = total
        self._progress = progress

    def add(self, number: int) -> None:
        """Count so many more."""
        self._count += number
        self._progress(self._count, self._total)


async def _compared(source: Rows, target: Rows, table: Table, wanted: Content | None, done: _Done) -> Content:
    wanted = wanted or await _content(source, table, done)
    if await _content(target, table, done) != wanted:
        raise UnverifiedError(
            f"the copy of table {table.name} is not what was copied: empty the target, and begin anew", code="copy"
        )
    return wanted


async def _content(rows: Rows, table: Table, done: _Done) -> Content:
    seen = _Seen(table)
    async for portion in _portions(rows, table, after=None):
        seen.add(portion)
        done.add(len(portion))
    return seen.content()


async def _sizes(rows: Rows) -> dict[str, int]:
    """Return how many rows there are in each table."""
    counts = " UNION ALL ".join(
        f"SELECT '{table.name}', count(*) FROM \"{table.name}\""  # noqa: S608 -- a name of ours
        for table in tables()
    )
    return {str(name): number for name, number in await rows.query(counts) if isinstance(number, int)}


_FIRST: Final = 'SELECT {columns} FROM "{table}" ORDER BY {order} LIMIT ?'
_NEXT: Final = 'SELECT {columns} FROM "{table}" WHERE ({key}) > ({marks}) ORDER BY {order} LIMIT ?'
_LAST: Final = 'SELECT {columns} FROM "{table}" ORDER BY {order} LIMIT 1'


async def _portions(rows: Rows, table: Table, *, after: Cells | None) -> AsyncIterator[Sequence[Cells]]:
    """Yield the rows behind the key `after` in the order of the key."""
    names = {"columns": _names(table.columns), "table": table.name, "order": _names(table.key)}
    following = _NEXT.format(key=_names(table.key), marks=", ".join("?" * len(table.key)), **names)
    places = [table.columns.index(name) for name in table.key]
    most = await _portion(rows, table)
    while True:
        if after is None:
            portion = await rows.query(_FIRST.format(**names), (most,))
        else:
            portion = await rows.query(following, (*after, most))
        if portion:
            yield portion
        if len(portion) < most:
            return
        after = tuple(portion[-1][place] for place in places)


async def _portion(rows: Rows, table: Table) -> int:
    """Return how many rows of a table make a portion, should all be as large as the largest."""
    if not table.wide:
        return PORTION
    longest = " + ".join(f'coalesce(max(length("{name}")), 0)' for name in table.wide)
    ((size_bytes,),) = await rows.query(f'SELECT {longest} FROM "{table.name}"')  # noqa: S608 -- names of ours
    assert isinstance(size_bytes, int)
    return max(1, min(PORTION, PORTION_BYTES // max(1, size_bytes)))


def _names(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _down(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}" DESC' for name in names)
