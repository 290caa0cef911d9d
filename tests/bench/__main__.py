"""Run the benchmarks: `python -m tests.bench [--json] [WORD ...]`.

A benchmark is a module `bench_*.py` in this folder with `def run() -> list[Figure]`, or the same as a coroutine.
Its first docstring line is its title. With words, only modules whose name holds one of them are run.
"""

import argparse
import asyncio
import importlib
import inspect
import pkgutil
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from .figures import Figure


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of every chosen benchmark; return 1 when one of them failed, 2 when none was chosen."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure, as ratios where possible.")
    parser.add_argument("words", nargs="*", help="run only benchmarks whose name holds one of these")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    options = parser.parse_args(arguments)
    names = list(chosen(options.words))
    if not names:
        print(f"no benchmark matches {' '.join(options.words) or 'anything'}", file=sys.stderr)
        return 2
    if not options.json:
        print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}")
    return max(measure(name, as_json=options.json) for name in names)


def chosen(words: Sequence[str]) -> Iterator[str]:
    """Yield the benchmarks of this folder whose name holds one of `words`; all when there are none.

    A word that is a whole part of a name means those alone: `post` is not `postgres`.
    """
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    names = [module.name for module in modules if module.name.startswith("bench_")]
    parts = {part for name in names for part in name.split("_")}
    for name in names:
        if not words or any(word in (name.split("_") if word in parts else name) for word in words):
            yield name


def measure(name: str, *, as_json: bool) -> int:
    """Run one benchmark and print what it found; return 1 when it failed."""
    module = importlib.import_module(f"{__package__}.{name}")
    started = time.perf_counter()
    try:
        found = module.run()
        figures: list[Figure] = asyncio.run(found) if inspect.iscoroutine(found) else found
    except Exception as error:  # noqa: BLE001 -- one broken benchmark must not hide the figures of the others
        print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if as_json:
        for figure in figures:
            print(msgspec.json.encode(figure).decode(), flush=True)
        return 0
    title = (module.__doc__ or name).splitlines()[0]
    print(f"\n{title}  ({name}, {time.perf_counter() - started:.1f} s)")
    for figure in figures:
        print(line(figure), flush=True)
    return 0


def line(figure: Figure) -> str:
    """Return one row of the table."""
    remarks = [f"of {figure.ratio_to}"] if figure.ratio_to else []
    remarks += [f"aim {figure.aim}"] if figure.aim else []
    return f"  {figure.name:<58} {figure.shown():>16}   {', '.join(remarks)}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
