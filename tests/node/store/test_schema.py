"""The tables on the disk are exactly the row classes, and every column says what it is kept for."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Final

import pytest

import federation.rows
import node.rows
from federation.ports import Row
from federation.shapes import shape
from node.store.migrations import migrate

HOMES: Final = (federation.rows.__name__, node.rows.__name__)
TYPES: Final = {int: "INTEGER", bool: "INTEGER", str: "TEXT", bytes: "BLOB", float: "REAL"}


def kinds(base: type[Row] = Row) -> Iterator[type[Row]]:
    for kind in base.__subclasses__():
        if kind.__module__.startswith(HOMES):
            yield kind
        yield from kinds(kind)


ROWS: Final = sorted(set(kinds()), key=lambda kind: kind.table)


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, now=0)
        yield connection


def indexed(database: sqlite3.Connection, table: str) -> set[tuple[str, ...]]:
    """Return the column sets that are unique beside the primary key."""
    rows = database.execute("SELECT name FROM pragma_index_list(?) WHERE \"unique\" AND origin <> 'pk'", (table,))
    names = [name for (name,) in rows]
    columns = "SELECT name FROM pragma_index_info(?) ORDER BY seqno"
    return {tuple(column for (column,) in database.execute(columns, (name,))) for name in names}


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.table)
def test_a_table_is_exactly_its_row_class(database: sqlite3.Connection, kind: type[Row]) -> None:
    found = database.execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (kind.table,)).fetchall()
    wanted = shape(kind)
    assert [(name, declared, bool(needed)) for name, declared, needed, _ in found] == [
        (column.name, TYPES[column.type], not column.optional) for column in wanted.columns
    ], "columns are fields, in their order; NOT NULL unless the field may be None"
    assert tuple(name for name, _, _, at in sorted(found, key=lambda row: row[3]) if at) == kind.key
    assert indexed(database, kind.table) == set(kind.unique)


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.table)
def test_every_column_says_what_it_is_kept_for(kind: type[Row]) -> None:
    assert set(kind.purpose) == set(shape(kind).names)
    assert all(len(purpose) >= 8 for purpose in kind.purpose.values())


def test_every_table_has_one_row_class(database: sqlite3.Connection) -> None:
    tables = sorted(name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'"))
    assert tables == [kind.table for kind in ROWS]


def test_every_table_is_strict(database: sqlite3.Connection) -> None:
    assert database.execute("SELECT name FROM pragma_table_list WHERE schema = 'main' AND NOT strict").fetchall() == [
        ("sqlite_schema",)
    ]


def test_nothing_but_tables_and_plain_indexes_is_in_the_schema(database: sqlite3.Connection) -> None:
    found = database.execute("SELECT type, name FROM sqlite_schema WHERE type NOT IN ('table', 'index')").fetchall()
    assert found == [], "a trigger or view would do in one database what the memory store does not"
    partial = 'SELECT i.name FROM sqlite_schema t, pragma_index_list(t.name) i WHERE i.partial AND i."unique"'
    assert database.execute(partial).fetchall() == []
    foreign = "SELECT t.name FROM sqlite_schema t, pragma_foreign_key_list(t.name)"
    assert database.execute(foreign).fetchall() == []
