"""One attack and the tests that play it."""

import msgspec


class Line(msgspec.Struct, frozen=True):
    """One attack; `remark` says what is not tested and why, or nothing."""

    attack: str
    tests: tuple[str, ...]
    remark: str = ""


def at(module: str, *names: str) -> tuple[str, ...]:
    """Return the ids of tests in one module, named without what they have in common."""
    return tuple(f"tests/{module}.py::test_{name}" for name in names)
