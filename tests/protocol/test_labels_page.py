"""docs/protocol/01-bytes.md §5 lists every label that the program uses, and no other."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from protocol.heads import ENTRY_PURPOSE

from .pages import section, table

ROOT = Path(__file__).parents[2]


def calls(name: str) -> set[str]:
    """Return the first argument, where it is written out, of every call of a function or method `name`."""
    return {
        node.args[0].value
        for tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _name(node.func) == name and node.args
        if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    }


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
        case _:
            return ""


@cache
def sources() -> tuple[ast.Module, ...]:
    """Return the files that say anything like a label; parsing all of them would take seconds."""
    paths = [path for package in ("protocol", "federation", "node", "cli") for path in (ROOT / package).rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return tuple(ast.parse(text) for text in texts if re.search(r"\b(label|info|_derive|derived)\(\"|\+jws\"", text))


def types() -> set[str]:
    """Return every JWS type that is assigned to a name."""
    return {
        node.value.value
        for tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant)
        if isinstance(node.value.value, str) and node.value.value.endswith("+jws")
    }


def listed(start: str, end: str = "") -> list[str]:
    return [row[0] for row in table(section("01-bytes", start, end))]


@pytest.mark.slow
def test_every_label_is_listed_once() -> None:
    used = (
        calls("label")
        | {f"derive/{purpose}" for purpose in calls("_derive") | calls("derived")}
        | set(ENTRY_PURPOSE.values())
    )
    assert sorted(listed("§5.2", "§5.3")) == sorted(used)


def test_every_purpose_of_a_sealed_part_is_listed_once() -> None:
    assert sorted(listed("§5.3", "§5.4")) == sorted(calls("info"))


def test_every_type_of_jws_is_listed_once() -> None:
    assert sorted(listed("§5.4")) == sorted(types())
