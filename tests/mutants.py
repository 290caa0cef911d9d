"""Change the code in small ways and print the changes no test notices: `python -m tests.mutants [PATH ...]`.

A PATH is a package, a folder or a file, `protocol` when none is given. Of all possible changes a seeded sample is
drawn; each is made in a copy of the tree, where the tests that mirror the file run first and those of its package
next, in forks of one process at first, and once more in one of its own when no test noticed it there. A survivor is a
missing test or a needless line. Limits are of processor time, so that a busy machine fails no test: a change that
makes tests wait for something else counts as a survivor.
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
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Final

import msgspec
import pytest

from tests.e2ee.test_mls_vectors import DIRECTORY
from tests.mutants_loop import PATIENCE, TASK, Task, answer_of

ROOT: Final = Path(__file__).resolve().parents[1]
COPIED: Final = ("node", "protocol", "federation", "cli", "tests", "docs", "pyproject.toml", "README.md")
FAST: Final = "not slow and not long"
PYTEST: Final = ("-x", "--no-header", "--capture=sys", "-p", "no:cacheprovider", "-o", "timeout=0", "-m", FAST)
LIMITED: Final = """\
import resource, sys, pytest
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]),) * 2)
sys.exit(pytest.main(sys.argv[2:]))
"""
PASSED: Final = frozenset({pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED})
#: Processor time of all tests of a package.
BASELINE_S: Final = 600
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
        case (
            ast.keyword(arg="what")
            | ast.Call(func=ast.Name(id="TypeVar"))
            | ast.Subscript(value=ast.Name(id="Literal"))
        ):
            return True
    return False


class Copies:
    """Copies of the tree in which changes are tried, each by one thread at a time."""

    def __init__(self, folder: Path, *, count: int, limit_s: int) -> None:
        self._free: SimpleQueue[Path] = SimpleQueue()
        self._limit_s: Final = limit_s
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

    def passing(self, tests: str) -> bool:
        """Return whether these tests pass while nothing is changed; what is compiled then is kept for later."""
        tree = self._free.get()
        try:
            return run(tree, [tests], limit_s=BASELINE_S, compiled=True) in PASSED
        finally:
            self._free.put(tree)

    def noticed(self, tests: str, mutants: Sequence[Mutant]) -> set[Mutant]:
        """Return the changes that one of these tests notices in a fork."""
        tree = self._free.get()
        sources = ((mutant.path, mutant.applied((tree / mutant.path).read_bytes()).decode()) for mutant in mutants)
        task = tree / "task.json"
        task.write_bytes(msgspec.json.encode(Task(tuple(sources), self._limit_s)))
        try:
            run(tree, ["-p", "tests.mutants_loop", tests], limit_s=BASELINE_S, task=task)
            answer = msgspec.json.decode(answer_of(task).read_bytes(), type=list[bool])
            return {mutant for mutant, noticed in zip(mutants, answer, strict=True) if noticed}
        finally:
            answer_of(task).unlink(missing_ok=True)
            self._free.put(tree)

    def survives(self, mutant: Mutant) -> bool:
        """Return whether every test still passes with the change made before anything is imported."""
        tree = self._free.get()
        file = tree / mutant.path
        source, facts = file.read_bytes(), file.stat()
        try:
            file.write_bytes(mutant.applied(source))
            return all(passes(tree, tests, limit_s=self._limit_s) for tests in tests_for(mutant.path))
        finally:
            file.write_bytes(source)
            os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # what is compiled of it counts again
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


def passes(tree: Path, tests: str, *, limit_s: int) -> bool:
    """Return whether these tests pass in a tree; what takes too much of the processor has failed."""
    try:
        return run(tree, [tests], limit_s=limit_s, wall_s=limit_s * PATIENCE) in PASSED
    except subprocess.TimeoutExpired:
        return True


def run(
    tree: Path,
    arguments: Sequence[str],
    *,
    limit_s: int,
    wall_s: float | None = None,
    task: Path | None = None,
    compiled: bool = False,
) -> int:
    """Return the exit code of pytest in a tree; `compiled`: keep bytecode. Raises: subprocess.TimeoutExpired."""
    environment = {
        "MLS_VECTORS": str(DIRECTORY),
        **os.environ,
        "PYTHONPATH": str(tree),  # before the tree that the environment was made for
        "PYTHONPYCACHEPREFIX": str(tree / "compiled"),
        "PYTHONDONTWRITEBYTECODE": "" if compiled else "1",
        TASK: str(task),
    }
    command = [sys.executable, "-c", LIMITED, str(limit_s), *PYTEST, *arguments]
    return subprocess.run(
        command, cwd=tree, env=environment, timeout=wall_s, capture_output=True, check=False
    ).returncode


def draw(files: Iterable[Path], *, count: int, each: int, seed: int) -> tuple[list[Mutant], int]:
    """Return a sample of the changes of some files, at least `each` of every file that has so many; and of how many."""
    of_files = [list(mutants_of(file)) for file in files]
    possible = [mutant for of_file in of_files for mutant in of_file]
    dice = random.Random(seed)
    drawn = dice.sample(possible, min(count, len(possible)))
    for of_file in of_files:
        left = [mutant for mutant in of_file if mutant not in drawn]
        drawn += dice.sample(left, min(len(left), max(0, each - len(of_file) + len(left))))
    return drawn, len(possible)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the survivors; return 1 when the tests fail before anything was changed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Print the changes no test notices.")
    parser.add_argument("paths", nargs="*", default=["protocol"], help="packages, folders or files of the repository")
    parser.add_argument("--count", type=int, default=300, help="changes drawn for each path")
    parser.add_argument("--each", type=int, default=0, help="changes drawn for each file at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--timeout", type=int, default=60, metavar="SECONDS", help="of the processor, for the tests of one change"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(options.jobs) as pool:
        copies = Copies(Path(folder), count=options.jobs, limit_s=options.timeout)
        for path in options.paths:
            files = sorted((ROOT / path).rglob("*.py")) if (ROOT / path).is_dir() else [ROOT / path]
            drawn, possible = draw(files, count=options.count, each=options.each, seed=options.seed)
            *_, package = tests_for(path)
            if not all(pool.map(copies.passing, [package] * options.jobs)):
                print(f"{package} fails before anything is changed: repair that first", file=sys.stderr)
                return 1
            print(f"{path}: {len(drawn)} of {possible} possible changes", flush=True)
            report(path, drawn, copies=copies, jobs=options.jobs, pool=pool)
    return 0


def report(path: str, drawn: Sequence[Mutant], *, copies: Copies, jobs: int, pool: ThreadPoolExecutor) -> None:
    """Try the drawn changes and print each survivor as soon as it is known, then the score."""
    left = unnoticed(drawn, copies, pool, jobs)
    print(f"{path}: {len(left)} left for processes of their own", flush=True)
    survivors = 0
    for mutant, survived in zip(left, pool.map(copies.survives, left), strict=True):
        survivors += survived
        if survived:
            print(f"survived: {mutant.shown()}", flush=True)
    killed = len(drawn) - survivors
    print(f"{path}: {killed} of {len(drawn)} noticed ({killed / max(1, len(drawn)):.0%})", flush=True)


def unnoticed(drawn: Sequence[Mutant], copies: Copies, pool: ThreadPoolExecutor, jobs: int) -> list[Mutant]:
    """Return the changes that no test notices in a fork; those that mirror a file come before those of the package."""
    by_tests: dict[str, list[Mutant]] = {}
    for mutant in drawn:
        for tests in tests_for(mutant.path):
            by_tests.setdefault(tests, []).append(mutant)
    noticed: set[Mutant] = set()
    for tests in sorted(by_tests, key=lambda tests: not tests.endswith(".py")):
        left = [mutant for mutant in by_tests[tests] if mutant not in noticed]
        parts = [part for number in range(jobs) if (part := left[number::jobs])]
        noticed.update(*pool.map(lambda part, tests=tests: copies.noticed(tests, part), parts))
    return [mutant for mutant in drawn if mutant not in noticed]


if __name__ == "__main__":
    sys.exit(main())
