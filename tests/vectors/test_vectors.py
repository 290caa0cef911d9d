"""Vectors, the programs that make them, and the pages that name them say the same."""

import json
import re
from functools import cache
from pathlib import Path

import pytest

from tests.together import together

from .programs import Program, frozen, programs

FOLDER = Path(__file__).parent
PAGES = Path(__file__).parents[2] / "docs" / "protocol"
KINDS = {"malformed", "unverified", "refused", "missing", "limit", "unavailable"}


def stored() -> list[str]:
    return sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*.json"))


@cache
def pages() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(PAGES.glob("*.md"))}


def content(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((FOLDER / name).read_bytes())
    return found


def cases(name: str) -> list[dict[str, object]]:
    found = content(name)["cases"]
    assert isinstance(found, list)
    return found


STORED = [pytest.param(name, id=name) for name in stored()]


@pytest.mark.parametrize("program", [pytest.param(one, id=one.__name__.rpartition(".")[2]) for one in programs()])
def test_a_program_makes_the_bytes_that_are_stored(program: Program) -> None:
    for name, made in program.files().items():
        assert (FOLDER / name).read_bytes() == made, f"{name}: run python -m tests.vectors"


@pytest.mark.slow
def test_every_file_is_made_by_one_program_or_frozen_by_one() -> None:
    made = [name for program in programs() for name in (*program.files(), *frozen(program))]
    assert sorted(made) == stored()


def test_every_file_is_named_by_a_page_and_every_named_file_exists() -> None:
    named = {found for text in pages().values() for found in re.findall(r"`tests/vectors/([a-z0-9/-]+\.json)`", text)}
    assert sorted(named) == stored()


@together(STORED)
def test_a_file_names_the_page_that_names_it(name: str) -> None:
    page = str(content(name)["spec"]).split()[0].rstrip(",")
    assert f"`tests/vectors/{name}`" in pages()[f"{page}.md"]


@together(STORED)
def test_every_case_has_a_name_of_its_own_and_one_known_outcome(name: str) -> None:
    found = cases(name)
    assert len({case["name"] for case in found}) == len(found)
    for case in found:
        assert "error" not in case or case["error"] in KINDS, case["name"]
        assert "error" not in case or "result" not in case, case["name"]


@pytest.mark.parametrize("topic", sorted({name.partition("/")[0] for name in stored()}))
def test_a_topic_has_at_least_as_many_refusals_as_successes(topic: str) -> None:
    found = [case for name in stored() if name.startswith(f"{topic}/") for case in cases(name)]
    refused = sum("error" in case for case in found)
    assert refused >= len(found) - refused


def test_every_page_is_in_the_table_of_the_front_page() -> None:
    front = pages()["README.md"]
    assert [name for name in pages() if name != "README.md" and f"]({name})" not in front] == []


@together(pytest.param(name, id=name) for name in sorted(pages()))
def test_every_link_between_pages_leads_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", pages()[name])
    assert [link for link in links if not (PAGES / link).exists()] == []


@together(pytest.param(name, id=name) for name in sorted(pages()))
def test_every_section_that_a_link_names_exists(name: str) -> None:
    """`[42 §3](42-sealing.md)` points to a heading `## 3` or a rule `§3.1` of that page."""
    for number, page in re.findall(r"\[\d\d §([0-9.]+)[^\]]*\]\(([^)]+\.md)\)", pages()[name]):
        text = pages()[page]
        assert re.search(rf"^(## {re.escape(number)} |§{re.escape(number)}[ .])", text, re.MULTILINE), (
            f"{page} §{number}"
        )
