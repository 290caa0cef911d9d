"""`make mutants` makes changes that a test could notice, and only those."""

import ast
from pathlib import Path

import pytest

from tests import mutants

SOURCE = '''"""A module."""

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


def test_words_for_people_are_left_alone(changed: set[str]) -> None:
    assert not [row for row in changed if "verdict" in row or "too large" in row or '"""' in row]


def test_the_tests_of_the_same_name_come_first() -> None:
    assert list(mutants.tests_for("protocol/handshake.py")) == ["tests/protocol/test_handshake.py", "tests/protocol"]
    assert list(mutants.tests_for("protocol/no_such_file.py")) == ["tests/protocol"]
