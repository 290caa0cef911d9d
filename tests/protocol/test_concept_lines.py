"""Concept lines are read whole or not at all, and bounded (vectors: test_vocabulary_vectors.py)."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import concept_lines
from protocol.concept_lines import MAX_LINE_BYTES, parse_concepts
from protocol.errors import LimitError, MalformedError

GOOD = b'{"id":"mm:a","en":"A"}'


def test_groups_marks_every_concept_of_a_file_that_does_not_say_so() -> None:
    (alone,) = parse_concepts([GOOD]).concepts
    (marked,) = parse_concepts([GOOD], groups=True).concepts
    assert (alone.group, marked.group) == (False, True)


def test_what_was_passed_over_is_told() -> None:
    parsed = parse_concepts([b'{"id":"mm:a","en":"A","reuse":"x","in":[],"t":"s"}', b'{"id":"mm:b","en":"B"}', GOOD])
    assert [concept.id for concept in parsed.concepts] == ["mm:a", "mm:b"]
    assert parsed.repeated == 1
    assert parsed.keys_passed_over == ("in", "reuse", "t")


def test_a_line_may_be_as_long_as_the_limit_and_no_longer() -> None:
    empty = len(b'{"id":"mm:a","en":"A","x":""}')
    longest = b'{"id":"mm:a","en":"A","x":"' + b"x" * (MAX_LINE_BYTES - empty) + b'"}'
    assert len(longest) == MAX_LINE_BYTES
    assert len(parse_concepts([longest]).concepts) == 1
    with pytest.raises(MalformedError, match=r"^line 1: longer than 65536 bytes$"):
        parse_concepts([longest + b" "])


def test_a_concept_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concept_lines, "MAX_CONCEPTS", 2)
    lines = [msgspec.json.encode({"id": f"mm:{number}", "en": "A"}) for number in range(3)]
    assert len(parse_concepts([*lines[:2], lines[0]]).concepts) == 2
    with pytest.raises(LimitError, match=r"^line 3: "):
        parse_concepts(lines)


@pytest.mark.parametrize(("field", "most"), [("alt", 200), ("broader", 64)])
def test_a_list_may_be_as_long_as_the_limit_and_no_longer(field: str, most: int) -> None:
    def line(count: int) -> bytes:
        return msgspec.json.encode({"id": "mm:a", "en": "A", field: [f"mm:{number}" for number in range(count)]})

    (concept,) = parse_concepts([line(most)]).concepts
    assert len(concept.labels["en"]) + len(concept.broader) == most + 1
    with pytest.raises(MalformedError, match=f"^line 1: .*{field}"):
        parse_concepts([line(most + 1)])


def test_an_error_never_repeats_what_stands_in_the_line() -> None:
    for line in (
        b'{"id":"mm:a","en":"A","holder":"secret"}',
        b'{"id":"secret","en":"A"}',
        b'{"id":"mm:a","de":["secret"]}',
    ):
        with pytest.raises(MalformedError) as refusal:
            parse_concepts([line])
        assert "secret" not in str(refusal.value)


def test_invisible_characters_are_taken_out_of_labels() -> None:
    (concept,) = parse_concepts(['{"id":"mm:a","en":"\u200bboard\u202e\u00a0meeting"}'.encode()]).concepts
    assert concept.labels["en"] == ("board meeting",)


@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([GOOD, b"{}", b"[", b'{"id":"mm:a","en":"\xff"}']), max_size=4)
)
def test_any_bytes_are_read_or_refused_as_malformed(lines: list[bytes]) -> None:
    with suppress(MalformedError):
        assert all(concept.labels for concept in parse_concepts(lines).concepts)


labels = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=20)


@pytest.mark.slow
@given(
    st.dictionaries(
        st.sampled_from(["en", "de", "fr", "es"]), st.lists(labels, min_size=1, max_size=3, unique=True), min_size=1
    )
)
def test_every_label_that_goes_in_comes_out_under_its_language(given_labels: dict[str, list[str]]) -> None:
    line: dict[str, object] = {"id": "mm:a"}
    for language, (first, *further) in given_labels.items():
        line[language] = first
        line["alt" if language == "en" else f"alt_{language}"] = further
    (concept,) = parse_concepts([msgspec.json.encode(line)]).concepts
    assert concept.labels == {language: tuple(each) for language, each in given_labels.items()}
