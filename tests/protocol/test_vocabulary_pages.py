"""The pages about the vocabulary list exactly the codes, situations and weights that the program has."""

import re
from pathlib import Path
from typing import get_args

import pytest

from node.matching.weights import DEFAULT
from node.services.vocabulary import situations
from protocol.needs import Approach, Experience, Fit, Gap, Reason
from protocol.vocabulary import Format, Kind

DOCS = Path(__file__).parents[2] / "docs"
SPECIFICATION = (DOCS / "protocol/10-vocabulary.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference/vocabulary.md").read_text(encoding="utf-8")


def table(page: str, heading: str) -> list[str]:
    """Return the codes in the first column of the table whose first heading is this."""
    _, _, rest = page.partition(f"| {heading} |")
    rows = rest.split("\n\n")[0].splitlines()[2:]
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row.split("|")[1])]


@pytest.mark.parametrize(
    ("heading", "codes"),
    [
        ("kind", get_args(Kind)),
        ("format", get_args(Format)),
        ("approach", get_args(Approach)),
        ("experience", get_args(Experience)),
        ("fit", get_args(Fit)),
        ("reason", get_args(Reason)),
        ("gap", tuple(code for code in get_args(Gap) if code)),
    ],
)
def test_the_specification_lists_every_code_once(heading: str, codes: tuple[str, ...]) -> None:
    assert sorted(table(SPECIFICATION, heading)) == sorted(codes)


def test_the_reference_lists_every_situation_with_its_labels_and_rules() -> None:
    rows = dict(re.findall(r"^\| `(mm:[^`]+)` \| (.+) \|$", REFERENCE, re.MULTILINE))
    expected = {
        concept.id: [
            concept.label("en"),
            concept.label("de"),
            concept.holder or "everyone",
            "; ".join(
                (["sensitive"] if concept.sensitive else []) + [f"also in `{group}`" for group in concept.broader[1:]]
            ),
        ]
        for concept in situations()
        if not concept.group
    }
    assert {name: [cell.strip() for cell in row.split("|")] for name, row in rows.items()} == expected


def test_the_reference_names_the_weight_of_each_part() -> None:
    rows = re.findall(r"^\| (\w+) \| (−?\d+) \|", REFERENCE, re.MULTILINE)
    assert {part: abs(int(weight.replace("−", "-"))) for part, weight in rows} == {
        part: getattr(DEFAULT, part)
        for part in ("topic", "experience", "slots", "approach", "responsiveness", "wishes", "exposure")
    }
