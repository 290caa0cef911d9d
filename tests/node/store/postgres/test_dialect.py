"""One text for both databases: what is left to translate, and that the tables come out the same."""

import asyncio
from typing import Final

import asyncpg
import pytest

from federation.ports import Row, at_most, is_in, where
from federation.shapes import shape
from node.store import statements
from node.store.postgres.connection import Server
from node.store.postgres.dialect import declared, numbered
from node.store.postgres.store import PostgresStore
from tests.contracts.store import SampleRow
from tests.fakes.clock import SteppedClock
from tests.node.store.test_schema import ROWS
from tests.postgres import Cluster

TYPES: Final = {int: "bigint", bool: "bigint", str: "text", bytes: "bytea", float: "double precision"}

COLUMNS: Final = """
SELECT column_name, data_type, is_nullable = 'NO', coalesce(collation_name, '')
FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position
"""
KEYS: Final = """
SELECT i.indisprimary, array_agg(a.attname::text ORDER BY k.at)
FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (number, at), pg_attribute a
WHERE i.indrelid = $1::regclass AND i.indisunique AND a.attrelid = i.indrelid AND a.attnum = k.number
GROUP BY i.indexrelid, i.indisprimary
"""

Tables = dict[str, tuple[list[tuple[str, str, bool, str]], dict[bool, set[tuple[str, ...]]]]]


def test_values_are_marked_by_number() -> None:
    forms, _ = statements.split((where(name="n", code=None), is_in("flag", [True, False]), at_most("id", 7)))
    text = numbered(statements.select(SampleRow, forms, "-code", limited=True))
    assert '"name" = $1 AND "code" IS NULL AND "flag" IN ($2, $3) AND "id" <= $4' in text
    assert text.endswith("LIMIT $5")


def test_a_declaration_has_types_that_hold_the_same_values() -> None:
    assert declared(
        "CREATE TABLE t (\n a INTEGER NOT NULL,\n b TEXT,\n c BLOB,\n d REAL\n) STRICT, WITHOUT ROWID;\n"
    ) == ('CREATE TABLE t (\n a BIGINT NOT NULL,\n b TEXT COLLATE "C",\n c BYTEA,\n d DOUBLE PRECISION\n);')
    assert declared("CREATE INDEX i ON t (a);\n") == "CREATE INDEX i ON t (a);\n"


@pytest.fixture(scope="module")
def tables(postgres: Cluster) -> Tables:
    """Return columns and unique sets of every table that the node's own migrations make."""
    return asyncio.run(_tables(postgres))


async def _tables(postgres: Cluster) -> Tables:
    url = await postgres.fresh()
    async with await PostgresStore.open(Server(url=url), clock=SteppedClock()):
        pass
    connection = await asyncpg.connect(url)
    try:
        listed = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        found: Tables = {}
        for (name,) in listed:
            columns = [tuple(row) for row in await connection.fetch(COLUMNS, name)]
            keys: dict[bool, set[tuple[str, ...]]] = {True: set(), False: set()}
            for primary, names in await connection.fetch(KEYS, name):
                keys[primary].add(tuple(names))
            found[name] = (columns, keys)
        return found
    finally:
        await connection.close()


@pytest.mark.slow
def test_every_table_has_one_row_class(tables: Tables) -> None:
    assert sorted(tables) == [kind.table for kind in ROWS]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.table)
def test_a_table_is_exactly_its_row_class(tables: Tables, kind: type[Row]) -> None:
    columns, keys = tables[kind.table]
    assert columns == [
        (column.name, TYPES[column.type], not column.optional, "C" if column.type is str else "")
        for column in shape(kind).columns
    ]
    assert keys == {True: {kind.key}, False: set(kind.unique)}
