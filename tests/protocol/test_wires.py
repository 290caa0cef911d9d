"""Rules that hold for every body of the protocol, whoever adds one."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest
from msgspec import inspect

import protocol
from protocol.encoding import MAX_SAFE_INTEGER, Wire
from tests.together import together

Found = tuple[str, inspect.Type]


def subclasses(kind: type[Wire]) -> Iterator[type[Wire]]:
    for one in kind.__subclasses__():
        yield one
        yield from subclasses(one)


def every_wire() -> list[type[Wire]]:
    for module in pkgutil.walk_packages(protocol.__path__, "protocol."):
        importlib.import_module(module.name)
    found = {one for one in subclasses(Wire) if one.__module__.startswith("protocol.")}
    return sorted(found, key=lambda one: (one.__module__, one.__qualname__))


def leaves(kind: inspect.Type, place: str, inside: frozenset[type] = frozenset()) -> Iterator[Found]:
    """Yield every type within `kind` with its place; recursion stops at a struct seen before."""
    yield place, kind
    parts: list[Found] = []
    match kind:
        case inspect.StructType(cls=cls, fields=fields) if cls not in inside:
            inside |= {cls}
            parts = [(f"{place}.{field.encode_name}", field.type) for field in fields]
        case inspect.UnionType(types=types):
            parts = [(place, one) for one in types]
        case inspect.VarTupleType(item_type=item):
            parts = [(f"{place}[]", item)]
        case inspect.TupleType(item_types=items):
            parts = [(f"{place}[{at}]", one) for at, one in enumerate(items)]
        case inspect.DictType(key_type=key, value_type=value):
            parts = [(f"{place}[key]", key), (f"{place}[value]", value)]
    for where, part in parts:
        yield from leaves(part, where, inside)


WIRES = [pytest.param(one, id=f"{one.__module__}.{one.__qualname__}") for one in every_wire()]


def fields(wire: type[Wire]) -> list[Found]:
    return list(leaves(inspect.type_info(wire), wire.__qualname__))


@together(WIRES)
def test_every_integer_is_bounded_within_what_all_json_readers_keep(wire: type[Wire]) -> None:
    for place, kind in fields(wire):
        if isinstance(kind, inspect.IntType):
            least = kind.ge if kind.ge is not None else kind.gt
            most = kind.le if kind.le is not None else kind.lt
            assert least is not None, place
            assert most is not None, place
            assert -MAX_SAFE_INTEGER <= least <= most <= MAX_SAFE_INTEGER + (kind.lt is not None), place


@together(WIRES)
def test_every_pattern_refuses_a_line_feed_at_the_end(wire: type[Wire]) -> None:
    for place, kind in fields(wire):
        if isinstance(kind, inspect.StrType) and kind.pattern:
            assert kind.pattern.startswith("^"), place
            assert kind.pattern.endswith(r"(?!\n)$"), place


@together(WIRES)
def test_every_list_and_map_is_bounded_and_nothing_is_a_float_or_anything(wire: type[Wire]) -> None:
    for place, kind in fields(wire):
        assert not isinstance(kind, inspect.FloatType | inspect.AnyType | inspect.BytesType | inspect.ListType), place
        if isinstance(kind, inspect.VarTupleType | inspect.DictType):
            assert kind.max_length is not None, place


@together(WIRES)
def test_every_key_is_lower_case(wire: type[Wire]) -> None:
    for _, kind in fields(wire):
        if isinstance(kind, inspect.StructType):
            assert all(re.fullmatch("[a-z][a-z0-9_]*", field.encode_name) for field in kind.fields)
