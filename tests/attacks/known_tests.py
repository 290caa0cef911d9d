"""Which tests there are, found by reading the modules and not by importing them."""

import ast
from functools import cache

from tests.architecture.house import ROOT


@cache
def names_of(module: str) -> frozenset[str]:
    """Return the names of the tests in a module, given by its path in the repository; none if there is no such file."""
    path = ROOT / module
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds) and node.name.startswith("test_"))


def is_test(name: str) -> bool:
    """Return whether `tests/…/test_x.py::test_y` names a test that exists."""
    module, _, test = name.partition("::")
    return test in names_of(module)
