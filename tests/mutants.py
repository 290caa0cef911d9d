"""Change the code in small ways and print the changes no test notices: `python -m tests.mutants [PATH ...]`.

A PATH is a package, a folder or a file, `protocol` when none is given. Of all possible changes a seeded sample is
drawn; each is made in a copy of the tree, where the tests that mirror the file run first and those of its package
next. A survivor is a missing test or a needless line.
"""

import argparse
import ast
import difflib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Final

import msgspec

from tests.e2ee.test_mls_vectors import DIRECTORY

ROOT: Final = Path(__file__).resolve().parents[1]
COPIED: Final = ("node", "protocol", "federation", "cli", "tests", "docs", "pyproject.toml", "README.md")
FAST: Final = "not slow and not long and not system"
PYTEST: Final = (sys.executable, "-m", "pytest", "-x", "--no-header", "-p", "no:cacheprovider", "-m", FAST)
NOTHING_COLLECTED: Final = 5
ENGINE: Final = ("protocol", "e2ee", "mls")

COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
# Words for people, promises to the type checker: nothing inside them is changed.
UNTESTED: Final = (ast.Raise, ast.Assert, ast.JoinedStr, ast.arg)


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """One change: these bytes of one file are replaced."""

    path: str
    start: int
    end: int
    text: str

    def applied(self, source: bytes) -> bytes:
        """Return the source with the change made."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def shown(self) -> str:
        """Return the change as a reader of the source sees it."""
        source = (ROOT / self.path).read_bytes()
        line = source[: self.start].count(b"\n") + 1
        before, after = source.decode().splitlines(), self.applied(source).decode().splitlines()
        changed = [
            row for row in difflib.unified_diff(before, after, n=0, lineterm="") if row[:3] not in {"---", "+++"}
        ]
        return f"{self.path}:{line}\n" + "\n".join(f"    {row}" for row in changed if not row.startswith("@@"))


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield every change we know for one file."""
    source = path.read_bytes()
    offsets = [0]
    for row in source.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(row))
    for node, text in changes(ast.parse(source)):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        yield Mutant(
            path=path.relative_to(ROOT).as_posix(),
            start=offsets[node.lineno - 1] + node.col_offset,
            end=offsets[node.end_lineno - 1] + node.end_col_offset,
            text=text,
        )


def changes(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Yield each part of the tree that can be changed, with what to write in its place."""
    if isinstance(node, ast.Constant):
        yield from ((node, text) for text in _other_literal(node.value))
    else:
        yield from _other_logic(node)
    if not isinstance(node, UNTESTED):
        for child in ast.iter_child_nodes(node):
            if not _is_untested(child, node):
                yield from changes(child)


def _other_logic(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    match node:
        case ast.Raise():
            yield node, "pass"
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield test, f"(not ({ast.unparse(test)}))"
        case ast.Compare(left=left, ops=[only], comparators=right) if type(only) in COMPARISONS:
            yield node, f"({ast.unparse(ast.Compare(left, [COMPARISONS[type(only)]()], right))})"
        case ast.BoolOp(op=op, values=values):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield node, f"({ast.unparse(ast.BoolOp(other, values))})"
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            yield node, f"({ast.unparse(ast.BinOp(left, OPERATORS[type(op)](), right))})"
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield value, "None"


def _other_literal(value: object) -> Iterator[str]:
    match value:
        case bool():
            yield repr(not value)
        case int():
            yield repr(value + 1)
        case str() if value:
            yield repr(value + value[:1])
        case bytes() if value:
            yield repr(value + value[:1])


def _is_untested(node: ast.AST, parent: ast.AST) -> bool:
    """Return whether this part is words for people, or a type: nothing a test should pin."""
    match parent:
        case ast.FunctionDef(returns=untested) | ast.AsyncFunctionDef(returns=untested):
            return node is untested
        case ast.AnnAssign(annotation=untested):
            return node is untested
        case ast.Expr():
            return isinstance(node, ast.Constant)  # a docstring
        case ast.ClassDef(keywords=options):
            return node in options
        case ast.keyword(arg="what"):
            return True
    return False


class Copies:
    """Copies of the tree in which changes are tried, each by one thread at a time."""

    def __init__(self, folder: Path, *, count: int) -> None:
        self._free: SimpleQueue[Path] = SimpleQueue()
        for number in range(count):
            tree = folder / str(number)
            for name in COPIED:
                origin = ROOT / name
                skip = shutil.ignore_patterns("__pycache__")
                if origin.is_dir():
                    shutil.copytree(origin, tree / name, ignore=skip)
                elif origin.is_file():
                    shutil.copy2(origin, tree / name)
            self._free.put(tree)

    def survives(self, mutant: Mutant, *, timeout_s: float) -> bool:
        """Return whether every test still passes with the change made."""
        tree = self._free.get()
        file = tree / mutant.path
        source = file.read_bytes()
        try:
            file.write_bytes(mutant.applied(source))
            return all(passes(tree, tests, timeout_s=timeout_s) for tests in tests_for(mutant.path))
        finally:
            file.write_bytes(source)
            self._free.put(tree)


def tests_for(path: str) -> Iterator[str]:
    """Yield the test file that mirrors a source file, if there is one, and then the tests of its whole package.

    The session engine has a folder of tests of its own, and its package's tests would only look on.
    """
    source = Path(path)
    if source.parts[:3] == ENGINE:
        yield "tests/e2ee"
        return
    mirrored = Path("tests") / source.parent / f"test_{source.name}"
    if (ROOT / mirrored).is_file():
        yield mirrored.as_posix()
    yield f"tests/{source.parts[0]}"


def passes(tree: Path, tests: str, *, timeout_s: float) -> bool:
    """Return whether these tests pass in a tree; what takes too long has failed."""
    # First on the path, before the tree that the environment was made for.
    environment = {"MLS_VECTORS": str(DIRECTORY), **os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*PYTEST, tests], cwd=tree, env=environment, timeout=timeout_s, capture_output=True, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode in {0, NOTHING_COLLECTED}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the survivors; return 1 when the tests fail before anything was changed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Print the changes no test notices.")
    parser.add_argument("paths", nargs="*", default=["protocol"], help="packages, folders or files of the repository")
    parser.add_argument("--count", type=int, default=300, help="changes drawn for each path")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="for the tests of one change")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = Copies(Path(folder), count=options.jobs)
        for path in options.paths:
            files = sorted((ROOT / path).rglob("*.py")) if (ROOT / path).is_dir() else [ROOT / path]
            possible = [mutant for file in files for mutant in mutants_of(file)]
            *_, package = tests_for(path)
            if not passes(Path(folder) / "0", package, timeout_s=600):
                print(f"{package} fails before anything is changed: repair that first", file=sys.stderr)
                return 1
            drawn = random.Random(options.seed).sample(possible, min(options.count, len(possible)))
            report(path, drawn, possible=len(possible), copies=copies, jobs=options.jobs, timeout_s=options.timeout)
    return 0


def report(path: str, drawn: list[Mutant], *, possible: int, copies: Copies, jobs: int, timeout_s: float) -> None:
    """Try the drawn changes and print each survivor as soon as it is known, then the score."""
    print(f"{path}: {len(drawn)} of {possible} possible changes", flush=True)
    survivors = 0
    with ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda mutant: copies.survives(mutant, timeout_s=timeout_s), drawn)
        for mutant, survived in zip(drawn, results, strict=True):
            survivors += survived
            if survived:
                print(f"survived: {mutant.shown()}", flush=True)
    killed = len(drawn) - survivors
    print(f"{path}: {killed} of {len(drawn)} noticed ({killed / max(1, len(drawn)):.0%})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
