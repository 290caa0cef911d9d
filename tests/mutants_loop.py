"""A pytest plugin for `tests.mutants`: collects the tests once, and runs them in a fork for each change.

What takes most of the time of a change that a test notices at once is to start Python and to import. So the functions
that a change is in get its code in a fork of the process that has collected all tests. What was called already while
modules were imported kept what the code as it was has given: so a change that no test noticed here, or that is not in
a function, is to be tried once more in a process that starts with it.
"""

import gc
import os
import resource
import time
from collections.abc import Iterator
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FunctionType
from typing import Final

import msgspec
import pytest

#: Names the file with the task; the answer is written beside it.
TASK: Final = "MUTANTS_TASK"
POLL_S: Final = 0.02
#: A change that makes a test wait for something else than the processor is given so many times as long.
PATIENCE: Final = 10


class Task(msgspec.Struct, frozen=True):
    """Changes to try: of each the file, relative to the tree, and its source then."""

    changes: tuple[tuple[str, str], ...]
    limit_s: int


def answer_of(task: Path) -> Path:
    """Return where the answer to a task is written: for each change, whether a test noticed it."""
    return task.with_suffix(".answer")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run all tests once for each change; in the fork, go on with what pytest does otherwise."""
    if session.testsfailed:
        return None
    gc.unfreeze()  # or what was imported by now is not among the objects below
    path = Path(os.environ[TASK])
    task = msgspec.json.decode(path.read_bytes(), type=Task)
    # First without any change: if a fork as such fails a test, nothing that it says counts.
    changes = [{}, *(replacements(Path(name).resolve(), source) for name, source in task.changes)]
    noticed: list[bool] = []
    for number, replaced in enumerate(changes):
        functions = [each for each in gc.get_objects() if isinstance(each, FunctionType) and each.__code__ in replaced]
        child = os.fork() if functions or number == 0 else None
        if child == 0:
            resource.setrlimit(resource.RLIMIT_CPU, (task.limit_s, task.limit_s))
            for function in functions:
                function.__code__ = replaced[function.__code__]
            return None
        noticed.append(child is not None and _failed(child, limit_s=task.limit_s * PATIENCE))
    answer_of(path).write_bytes(msgspec.json.encode([each and not noticed[0] for each in noticed[1:]]))
    return True


def replacements(path: Path, source: str) -> dict[CodeType, CodeType]:
    """Return what changes in functions of a file, the new code by the old; nothing when anything else changes."""
    before = list(_codes(compile(path.read_bytes(), str(path), "exec", dont_inherit=True)))
    after = list(_codes(compile(source, str(path), "exec", dont_inherit=True)))
    if [_frame(code) for code in before] != [_frame(code) for code in after]:
        return {}
    return {old: new for old, new in zip(before, after, strict=True) if old != new and old.co_flags & CO_OPTIMIZED}


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)


def _frame(code: CodeType) -> tuple[object, ...]:
    """Return what must be equal for code to take another's place: the variables; of a module or class, all of it."""
    if code.co_flags & CO_OPTIMIZED:
        return code.co_qualname, code.co_freevars
    return code.co_qualname, code.co_code, code.co_names, *(repr(each) for each in _plain(code))


def _plain(code: CodeType) -> list[object]:
    return [each for each in code.co_consts if not isinstance(each, CodeType)]


def _failed(child: int, *, limit_s: float) -> bool:
    """Return whether a test failed in a fork, or took more of the processor than it may; not when it only waited."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status) != pytest.ExitCode.OK
        time.sleep(POLL_S)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False
