"""The SQL text: portable, without values, and few texts for many questions."""

import re
import sqlite3
from contextlib import closing

import pytest

from federation.ports import at_most, is_in, where
from node.store import statements
from node.store.statements import split
from tests.contracts.store import SAMPLES, PairRow, SampleRow


def test_text_of_each_statement() -> None:
    forms, values = split((where(name="n", code=None), at_most("id", 7), is_in("flag", [True, False])))
    assert values == ["n", 7, True, False]
    assert statements.select(SampleRow, forms, "-code", limited=True) == (
        'SELECT "id", "name", "code", "flag", "maybe", "share" FROM "sample" '
        'WHERE "name" = ? AND "code" IS NULL AND "id" <= ? AND "flag" IN (?, ?) '
        'ORDER BY "code" DESC NULLS LAST, "id" LIMIT ?'
    )
    assert statements.select(SampleRow, (), "code", limited=False).endswith('ORDER BY "code" NULLS FIRST, "id"')
    assert statements.select(PairRow, (), "second", limited=False).endswith('ORDER BY "second", "first"')
    assert statements.select(PairRow, (), None, limited=False).endswith('ORDER BY "first", "second"')
    assert statements.get(PairRow) == 'SELECT "first", "second" FROM "pair" WHERE "first" = ? AND "second" = ?'
    assert statements.count(PairRow, ()) == 'SELECT count(*) FROM "pair"'
    assert statements.delete(PairRow, split((where(second=1),))[0]) == 'DELETE FROM "pair" WHERE "second" = ?'
    assert statements.insert(PairRow) == 'INSERT INTO "pair" ("first", "second") VALUES (?, ?)'
    assert statements.put(PairRow) == statements.insert(PairRow) + ' ON CONFLICT ("first", "second") DO NOTHING'
    assert 'ON CONFLICT ("id") DO UPDATE SET "name" = excluded."name", "code"' in statements.put(SampleRow)


@pytest.mark.slow
def test_lists_of_similar_length_share_one_text() -> None:
    counts = {split((is_in("id", range(length)),))[0][0].count for length in range(4097)}
    assert counts == {0, *(2**power for power in range(13))}
    forms, values = split((is_in("id", [1, 2, 3]),))
    assert values == [1, 2, 3, 3]
    assert statements.count(SampleRow, forms).endswith('WHERE "id" IN (?, ?, ?, ?)')


def test_values_never_enter_the_text() -> None:
    forms, _ = split((where(name="'; DROP TABLE sample; --"),))
    assert "DROP" not in statements.delete(SampleRow, forms)


def test_no_order_costs_a_sort_when_the_key_is_the_index() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SAMPLES)
        plan = connection.execute("EXPLAIN QUERY PLAN " + statements.select(SampleRow, (), "-id", limited=False))
        assert not re.search("TEMP B-TREE", str(plan.fetchall()))
