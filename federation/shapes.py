"""What the columns of a kind of row are, and the check that rows and conditions fit them.

Stores share this, so that a mistake fails in the memory fake just as it fails on a disk.
"""

import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, Final

import msgspec
from msgspec import inspect

from .ports import Condition, Row, Term, Value

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1
_INT64: Final = range(_LEAST, _MOST + 1)
MAX_VALUES: Final = 4096
#: From so many rows on, looking at whole columns is worth it.
_MANY: Final = 16
#: Types all of whose values fit.
_UNBOUNDED: Final = frozenset({str, bytes, bool})
_Pick = Callable[[Sequence[Any]], Sequence[int]]

_TYPES: Final[dict[type[inspect.Type], type]] = {
    inspect.IntType: int,
    inspect.StrType: str,
    inspect.BytesType: bytes,
    inspect.BoolType: bool,
    inspect.FloatType: float,
}


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column: its name, the exact Python type of its values, and whether it may be empty."""

    name: str
    type: type
    optional: bool


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The table, columns (in field order) and keys of one kind of row."""

    table: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the column names in field order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Return one column. Raises: TypeError: there is none of this name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise TypeError(f"table {self.table} has no column {name}")


@cache
def shape(kind: type[Row]) -> Shape:
    """Return the shape of a kind of row. Raises: TypeError: the class cannot be a table."""
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType)
    columns = tuple(_column(field.name, field.type) for field in found.fields)
    names = {column.name for column in columns}
    for name in (kind.table, *names):
        if not _NAME.fullmatch(name):
            raise TypeError(f"{name!r} of {kind.__name__} is no portable name")
    for named in (kind.key, *kind.unique):
        if not named or not names.issuperset(named):
            raise TypeError(f"a key of {kind.__name__} names no column or an unknown one")
    if any(column.optional for column in columns if column.name in kind.key):
        raise TypeError(f"a key column of {kind.__name__} may be empty")
    return Shape(table=kind.table, columns=columns, key=kind.key, unique=kind.unique)


def _column(name: str, declared: inspect.Type) -> Column:
    choices = declared.types if isinstance(declared, inspect.UnionType) else (declared,)
    held = {_type(name, choice) for choice in choices if not isinstance(choice, inspect.NoneType)}
    if len(held) != 1:
        raise TypeError(f"column {name} must have exactly one type beside None")
    return Column(name=name, type=held.pop(), optional=any(isinstance(choice, inspect.NoneType) for choice in choices))


def _type(name: str, declared: inspect.Type) -> type:
    if isinstance(declared, inspect.LiteralType):
        return type(declared.values[0])
    if type(declared) not in _TYPES:
        raise TypeError(f"column {name} is neither int, str, bytes, bool nor float")
    return _TYPES[type(declared)]


def check_row(row: Row) -> None:
    """Return if every value of `row` fits its column. Raises: TypeError, ValueError: one does not."""
    values = msgspec.structs.astuple(row)
    known = _fitting(type(row))
    types = tuple(map(type, values))
    if types in known:
        integers = known[types](values)
        if min(integers) >= _LEAST and max(integers) <= _MOST:
            return
    columns = shape(type(row)).columns
    for column, value in zip(columns, values, strict=True):
        _check_value(column, value, optional=column.optional)
    if float not in types:
        known[types] = _picker(types)


@cache
def _fitting(_kind: type[Row]) -> dict[tuple[type, ...], _Pick]:
    """Return the types that rows of one kind were found to have, each with what picks the integers, which are bounded.

    Rows with floats are not among them, because not every float fits.
    """
    return {}


def _picker(types: tuple[type, ...]) -> _Pick:
    places = [place for place, kind in enumerate(types) if kind is int]
    # An itemgetter of one place would return no tuple.
    return itemgetter(*places, places[-1]) if places else lambda _: (0,)


def check_rows(rows: Sequence[Row]) -> None:
    """Return if `check_row` would for each of `rows`. Raises: TypeError, ValueError: as it does for the first."""
    if len(rows) < _MANY or not _all_fit(rows):
        for row in rows:
            check_row(row)


def _all_fit(rows: Sequence[Row]) -> bool:
    """Return whether rows of one kind surely fit, looked at column by column; False asks to look again."""
    if len(set(map(type, rows))) != 1:
        return False
    for column in shape(type(rows[0])).columns:
        values = list(map(attrgetter(column.name), rows))
        if set(map(type, values)) != {column.type} or column.type is float:
            return False
        if column.type is int and not (min(values) in _INT64 and max(values) in _INT64):
            return False
    return True


def check_key(kind: type[Row], key: tuple[Value, ...]) -> None:
    """Return if `key` fits the key columns. Raises: TypeError, ValueError: it does not."""
    columns = _key_columns(kind)
    if len(key) != len(columns):
        raise TypeError(f"the key of table {kind.table} is {', '.join(kind.key)}")
    for column, value in zip(columns, key, strict=True):
        if type(value) is not column.type or column.type not in _UNBOUNDED:
            _check_value(column, value, optional=False)


@cache
def _key_columns(kind: type[Row]) -> tuple[Column, ...]:
    return tuple(map(shape(kind).column, shape(kind).key))


def check_query(
    kind: type[Row], conditions: tuple[Condition, ...], order: str | None = None, limit: int | None = None
) -> None:
    """Return if the conditions, order and limit of a query fit its table. Raises: TypeError, ValueError."""
    found = shape(kind)
    for condition in conditions:
        for term in condition.terms:
            _check_term(found.column(term.column), term)
    if order is not None:
        found.column(order.removeprefix("-"))
    if limit is not None and limit < 0:
        raise ValueError("a limit is 0 or more")


def _check_term(column: Column, term: Term) -> None:
    if term.test == "in":
        assert isinstance(term.value, tuple)
        if len(term.value) > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values for column {column.name}; ask in portions")
        for value in term.value:
            _check_value(column, value, optional=False)
        return
    assert not isinstance(term.value, tuple)
    _check_value(column, term.value, optional=column.optional and term.test == "=")


def _check_value(column: Column, value: Value, *, optional: bool) -> None:
    if value is None:
        if not optional:
            raise TypeError(f"column {column.name} takes no None here")
        return
    if type(value) is not column.type:
        raise TypeError(f"column {column.name} holds {column.type.__name__}, not {type(value).__name__}")
    if column.type is int and value not in _INT64:
        raise ValueError(f"column {column.name} holds integers of 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"column {column.name} holds finite numbers")
