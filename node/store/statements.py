"""SQL text for each kind of row and form of condition, in the subset that SQLite ≥ 3.40 and PostgreSQL ≥ 15 share.

Names come from row classes (checked in `federation.shapes`), values only ever through placeholders. What is left to
translate stands in `node.store.postgres.dialect`.
"""
# ruff: noqa: S608 -- only checked names of classes and columns enter the text

from functools import cache, lru_cache
from typing import Final

import msgspec

from federation.ports import Condition, Row, Term, Test, Value
from federation.shapes import shape


class Form(msgspec.Struct, frozen=True):
    """A condition without its values: `count` placeholders; none for `=` means IS NULL, for `in` no row at all."""

    column: str
    test: Test
    count: int


Forms = tuple[Form, ...]
_CACHED: Final = 2048


def split(conditions: tuple[Condition, ...]) -> tuple[Forms, list[Value]]:
    """Return the forms of `conditions`, which choose the text, and the values in the order of placeholders."""
    forms: list[Form] = []
    values: list[Value] = []
    for condition in conditions:
        for term in condition.terms:
            given = _values(term)
            forms.append(Form(term.column, term.test, len(given)))
            values.extend(given)
    return tuple(forms), values


def _values(term: Term) -> tuple[Value, ...]:
    if isinstance(term.value, tuple):
        # Repeat the last value up to a power of two, so that few texts serve every length.
        missing = (1 << (len(term.value) - 1).bit_length()) - len(term.value) if term.value else 0
        return term.value + term.value[-1:] * missing
    return () if term.value is None else (term.value,)


@lru_cache(_CACHED)
def select(kind: type[Row], forms: Forms, order: str | None, *, limited: bool) -> str:
    """Return the text that reads whole rows; the last placeholder is the limit, if `limited`."""
    found = shape(kind)
    text = f"SELECT {_names(found.names)} FROM {_quoted(found.table)}{_where(forms)} ORDER BY {_order(kind, order)}"
    return f"{text} LIMIT ?" if limited else text


@cache
def get(kind: type[Row]) -> str:
    """Return the text that reads the row of one key."""
    found = shape(kind)
    forms = tuple(Form(name, "=", 1) for name in found.key)
    return f"SELECT {_names(found.names)} FROM {_quoted(found.table)}{_where(forms)}"


@lru_cache(_CACHED)
def count(kind: type[Row], forms: Forms) -> str:
    """Return the text that counts rows."""
    return f"SELECT count(*) FROM {_quoted(shape(kind).table)}{_where(forms)}"


@lru_cache(_CACHED)
def delete(kind: type[Row], forms: Forms) -> str:
    """Return the text that deletes rows."""
    return f"DELETE FROM {_quoted(shape(kind).table)}{_where(forms)}"


@cache
def insert(kind: type[Row]) -> str:
    """Return the text that adds one row."""
    found = shape(kind)
    marks = ", ".join("?" for _ in found.names)
    return f"INSERT INTO {_quoted(found.table)} ({_names(found.names)}) VALUES ({marks})"


@cache
def put(kind: type[Row]) -> str:
    """Return the text that adds one row or replaces the one with its key."""
    found = shape(kind)
    others = [_quoted(name) for name in found.names if name not in found.key]
    effect = "UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in others) if others else "NOTHING"
    return f"{insert(kind)} ON CONFLICT ({_names(found.key)}) DO {effect}"


def _where(forms: Forms) -> str:
    return " WHERE " + " AND ".join(map(_part, forms)) if forms else ""


def _part(form: Form) -> str:
    column = _quoted(form.column)
    if form.test == "in":
        return f"{column} IN ({', '.join('?' * form.count)})" if form.count else "1 = 0"
    return f"{column} {form.test} ?" if form.count else f"{column} IS NULL"


def _order(kind: type[Row], order: str | None) -> str:
    found = shape(kind)
    keys = [_quoted(name) for name in found.key if name != (order or "").removeprefix("-")]
    if order is None:
        return ", ".join(keys)
    column = found.column(order.removeprefix("-"))
    # Said only where it matters: the two databases differ in where they put empty columns.
    direction, empty = (" DESC", " NULLS LAST") if order.startswith("-") else ("", " NULLS FIRST")
    return ", ".join([_quoted(column.name) + direction + (empty if column.optional else ""), *keys])


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(_quoted(name) for name in names)


def _quoted(name: str) -> str:
    return f'"{name}"'
