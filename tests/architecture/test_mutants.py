"""`make mutants` makes changes that a test could notice, and only those."""

import ast
import shutil
from pathlib import Path

import msgspec
import pytest

from tests import mutants, mutants_loop
from tests.mutants_loop import replacements

SOURCE = '''"""A module."""

from typing import Literal, TypeVar

T = TypeVar("T")
Side = Literal["left", "right"]
LIMIT: int = 3


def check(size: int, *, what: str = "size") -> str:
    """Return the verdict."""
    if size > LIMIT and size != 7:
        raise ValueError("too large: 8")
    return str(size + 1)
'''


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    file = tmp_path / "module.py"
    file.write_text(SOURCE, encoding="utf-8")
    sources = [mutant.applied(SOURCE.encode()).decode() for mutant in mutants.mutants_of(file)]
    for source in sources:
        ast.parse(source)
    return {row.strip() for source in sources for row in set(source.splitlines()) - set(SOURCE.splitlines())}


@pytest.mark.parametrize(
    "row",
    [
        "LIMIT: int = 4",
        "if (size >= LIMIT) and size != 7:",
        "if size > LIMIT and (size == 7):",
        "if size > LIMIT and size != 8:",
        "if (size > LIMIT or size != 7):",
        "if (not (size > LIMIT and size != 7)):",
        "pass",
        "return None",
        "return str((size - 1))",
        "return str(size + 2)",
    ],
)
def test_each_small_change_is_made(changed: set[str], row: str) -> None:
    assert row in changed


def test_words_for_people_and_types_are_left_alone(changed: set[str]) -> None:
    words = ("verdict", "too large", '"""', "TypeVar", "Literal")
    assert not [row for row in changed if any(word in row for word in words)]


def test_the_tests_of_the_same_name_come_first() -> None:
    assert list(mutants.tests_for("protocol/handshake.py")) == ["tests/protocol/test_handshake.py", "tests/protocol"]
    assert list(mutants.tests_for("protocol/no_such_file.py")) == ["tests/protocol"]


@pytest.fixture
def module(tmp_path: Path) -> Path:
    file = tmp_path / "module.py"
    file.write_text(SOURCE, encoding="utf-8")
    return file


def test_a_change_in_a_function_is_new_code_for_that_function_alone(module: Path) -> None:
    replaced = replacements(module, SOURCE.replace("size + 1", "size + 2"))
    assert [(old.co_name, new.co_name) for old, new in replaced.items()] == [("check", "check")]
    assert [(1 in old.co_consts, 2 in new.co_consts) for old, new in replaced.items()] == [(True, True)]


@pytest.mark.parametrize(
    ("old", "new"),
    [("LIMIT: int = 3", "LIMIT: int = 4"), ('what: str = "size"', 'what: str = "sizes"'), ("LIMIT and", "size and")],
)
def test_what_is_read_while_a_module_is_imported_takes_a_process_of_its_own(module: Path, old: str, new: str) -> None:
    assert (replacements(module, SOURCE.replace(old, new)) == {}) is (new != "size and")


TESTS = """
import module

def test_a_large_size_is_refused():
    try:
        module.check(9)
    except ValueError:
        return
    raise AssertionError

def test_a_small_one_is_not():
    assert module.check(LIMIT) if (LIMIT := module.LIMIT) else False
"""


@pytest.mark.long
def test_in_forks_exactly_the_changes_that_a_test_fails_for_are_noticed(tmp_path: Path) -> None:
    for name, text in {"module.py": SOURCE, "test_module.py": TESTS, "pytest.ini": "[pytest]\nmarkers = x\n"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "tests").mkdir()
    shutil.copy2(mutants_loop.__file__, tmp_path / "tests")
    changes = {
        "size != 7": "size != 9",  # a large one passes
        "size + 1": "size + 2",
        "LIMIT: int = 3": "LIMIT: int = 9",
        "return str": "while size: pass\n    return str",
    }
    task = tmp_path / "task.json"
    sources = tuple(("module.py", SOURCE.replace(old, new)) for old, new in changes.items())
    task.write_bytes(msgspec.json.encode(mutants_loop.Task(sources, limit_s=5)))
    mutants.run(tmp_path, ["-p", "tests.mutants_loop", "test_module.py"], limit_s=60, task=task)
    answer = msgspec.json.decode(mutants_loop.answer_of(task).read_bytes())
    assert answer == [True, False, False, True]
