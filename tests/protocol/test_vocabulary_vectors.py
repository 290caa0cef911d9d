"""docs/protocol/10-vocabulary.md and this program agree on its vectors."""

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from protocol.concept_lines import parse_concepts
from protocol.concepts import Concept, Vocabulary
from protocol.encoding import decode, encode
from protocol.errors import MalformedError
from protocol.needs import Approach, Experience, Fit, Gap, Need, Reason, Responsiveness, Wish
from protocol.vocabulary import Band, Country, Format, Kind, Language, Length, Level, Region, Topic
from tests.together import together
from tests.vectors.generate import vocabulary as made

VECTORS = Path(__file__).parents[1] / "vectors"
FILES = ("topics", "codes", "needs", "concepts", "fits")
TYPES: dict[str, Any] = {
    "level": Level,
    "kind": Kind,
    "band": Band,
    "format": Format,
    "length": Length,
    "wish": Wish,
    "responsiveness": Responsiveness,
    "fit": Fit,
    "approach": Approach,
    "experience": Experience,
    "reason": Reason,
    "gap": Gap,
    "language": Language,
    "country": Country,
    "region": Region,
}


def cases(name: str, *, refused: bool) -> list[Any]:
    found = json.loads((VECTORS / "vocabulary" / f"{name}.json").read_bytes())["cases"]
    return [pytest.param(case, id=case["name"]) for case in found if ("error" in case) is refused]


def plain(value: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(value))


@together(cases("topics", refused=False))
def test_a_topic_in_its_only_form_is_read(case: dict[str, Any]) -> None:
    topic = decode(case["input"].encode(), Topic)
    assert {"id": topic.id, "kind": topic.kind, "level": topic.level} == case["result"]
    assert encode(topic).decode() == case["input"]


@together(cases("topics", refused=True))
def test_any_other_topic_is_malformed(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        decode(case["input"].encode(), Topic)


@together(cases("codes", refused=False))
def test_every_code_is_read(case: dict[str, Any]) -> None:
    assert decode(case["input"].encode(), TYPES[case["type"]]) == case["result"]


@together(cases("codes", refused=True))
def test_any_other_code_is_malformed(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        decode(case["input"].encode(), TYPES[case["type"]])


def test_every_closed_code_has_a_case() -> None:
    for kind, codes in TYPES.items():
        read = {case.values[0]["result"] for case in cases("codes", refused=False) if case.values[0]["type"] == kind}
        if kind not in {"language", "country", "region"}:
            assert read == set(get_args(codes)), kind


@together(cases("needs", refused=False))
def test_a_need_in_its_only_form_is_read(case: dict[str, Any]) -> None:
    need = decode(case["input"].encode(), Need)
    assert {name: plain(getattr(need, name)) for name in need.__struct_fields__} == case["result"]
    assert encode(need).decode() == case["input"]


@together(cases("needs", refused=True))
def test_any_other_need_is_malformed(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        decode(case["input"].encode(), Need)


@together(cases("concepts", refused=False))
def test_concept_lines_are_read(case: dict[str, Any]) -> None:
    parsed = parse_concepts(case["input"].encode().split(b"\n"))
    assert plain(parsed.concepts) == case["result"]


@together(cases("concepts", refused=True))
def test_a_bad_concept_line_is_refused_by_line_and_field(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedError) as refusal:
        parse_concepts(case["input"].encode().split(b"\n"))
    assert str(refusal.value).startswith(f"line {case['line']}: ")
    assert case["field"] in str(refusal.value)


@together(cases("fits", refused=False))
def test_topics_answer_each_other_as_specified(case: dict[str, Any]) -> None:
    graph = json.loads((VECTORS / "vocabulary/fits.json").read_bytes())["graph"]
    vocabulary = Vocabulary(
        Concept(id=name, labels={"en": (name,)}, broader=tuple(broader), group=name.startswith("G"))
        for name, broader in graph.items()
    )
    assert vocabulary.fit(case["wanted"], case["offered"]) == case["fit"]


@pytest.mark.parametrize("name", FILES)
def test_at_least_as_many_cases_are_refused_as_accepted(name: str) -> None:
    found = json.loads((VECTORS / "vocabulary" / f"{name}.json").read_bytes())["cases"]
    refused = [case for case in found if "error" in case or ("fit" in case and case["fit"] is None)]
    assert len(refused) * 2 >= len(found)


def test_the_vectors_are_those_that_their_program_makes() -> None:
    assert {name: (VECTORS / name).read_bytes() for name in made.files()} == made.files()
