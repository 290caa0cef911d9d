"""The index of attacks is complete, and names tests that exist."""

from pathlib import Path

import pytest

from .index import LINES
from .known_tests import is_test, names_of

HERE = Path(__file__).parent


def test_every_attack_is_listed_and_tested_or_says_why_not() -> None:
    assert sorted(LINES) == list(range(1, 67))
    assert [number for number, line in LINES.items() if not line.tests and not line.remark] == []


@pytest.mark.slow
def test_every_test_of_the_index_exists() -> None:
    named = [(number, test) for number, line in LINES.items() for test in line.tests]
    assert [one for one in named if not is_test(one[1])] == []
    assert len(named) > 150


def test_every_attack_of_this_folder_is_in_the_index() -> None:
    named = {test for line in LINES.values() for test in line.tests}
    there = {
        f"tests/attacks/{path.name}::{test}"
        for path in HERE.glob("test_*.py")
        if path.name not in {"test_index.py", "test_threat_model.py"}
        for test in names_of(f"tests/attacks/{path.name}")
    }
    # This one looks at the table of the others.
    assert there - named == {"tests/attacks/test_forms.py::test_the_bodies_of_this_table_are_good"}
