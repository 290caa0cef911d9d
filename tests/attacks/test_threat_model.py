"""Every row of the threat model names a test that exists."""

import re

import pytest

from tests.architecture.house import ROOT

from .known_tests import is_test

PAGE = ROOT / "docs" / "explanation" / "threat-model.md"
NAMED = re.compile(r"`((?:[a-z0-9_]+/)+test_[a-z0-9_]+)::([a-z0-9_]+)`")
ADVERSARIES = 13


def rows() -> list[tuple[str, str]]:
    """Return the rows of all tables about adversaries, each with the heading it stands under."""
    found, heading, in_table = [], "", False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading, in_table = line[3:], False
        elif re.fullmatch(r"\|(-+\|)+", line):
            in_table = True
        elif in_table and line.startswith("|") and heading != "What is protected":
            found.append((heading, line))
    return found


def test_every_row_names_its_test() -> None:
    assert [line for _, line in rows() if not NAMED.search(line)] == []
    assert len({heading for heading, _ in rows()}) == ADVERSARIES
    assert len(rows()) > 60


@pytest.mark.slow
def test_every_test_that_the_page_names_exists() -> None:
    named = NAMED.findall(PAGE.read_text(encoding="utf-8"))
    assert [f"{module}::{test}" for module, test in named if not is_test(f"tests/{module}.py::test_{test}")] == []
