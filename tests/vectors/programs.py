"""The programs that make vectors, found by their place."""

import importlib
from pathlib import Path
from typing import Protocol, cast


class Program(Protocol):
    """A module of `tests/vectors/generate`."""

    __name__: str

    def files(self) -> dict[str, bytes]:
        """Return the content of each file by its path under `tests/vectors`."""
        ...


def programs() -> list[Program]:
    """Return every program, by name."""
    names = sorted(path.stem for path in (Path(__file__).parent / "generate").glob("*.py") if path.stem != "__init__")
    return [cast("Program", importlib.import_module(f"tests.vectors.generate.{name}")) for name in names]


def frozen(program: Program) -> tuple[str, ...]:
    """Return the files of a program that are checked by opening only."""
    found: tuple[str, ...] = getattr(program, "frozen", ())
    return found
