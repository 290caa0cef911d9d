"""Our own situations are complete: two languages, alternatives, kinds, groups, and the sensitive ones marked."""

from itertools import pairwise
from pathlib import Path

import pytest

import protocol
from protocol.concept_lines import parse_concepts
from protocol.concepts import Concept, Vocabulary

LINES = (Path(protocol.__file__).parent / "situations.jsonl").read_bytes().splitlines()
PARSED = parse_concepts(LINES)
VOCABULARY = Vocabulary(PARSED.concepts)
SITUATIONS = [concept for concept in PARSED.concepts if not concept.group]


def test_there_are_forty_situations_in_eight_groups_and_four_domains() -> None:
    levels = [VOCABULARY.level_of(concept.id) for concept in PARSED.concepts]
    assert (levels.count("leaf"), levels.count("group"), levels.count("domain")) == (40, 8, 4)
    assert PARSED.repeated == 0
    assert PARSED.keys_passed_over == ()


@pytest.mark.parametrize("concept", PARSED.concepts, ids=lambda concept: concept.id)
def test_every_concept_has_english_and_german_labels_with_alternatives(concept: Concept) -> None:
    assert set(concept.labels) == {"en", "de"}
    assert all(3 <= len(labels) <= 5 for labels in concept.labels.values())


@pytest.mark.parametrize("concept", SITUATIONS, ids=lambda concept: concept.id)
def test_every_situation_has_kinds_a_group_and_a_domain(concept: Concept) -> None:
    assert concept.kinds
    assert list(concept.kinds) == sorted(concept.kinds)
    assert set(concept.broader) <= set(VOCABULARY.generalize(concept.id, "group"))
    assert VOCABULARY.generalize(concept.id, "domain")
    assert all(parent in VOCABULARY for parent in concept.broader)


def test_no_label_names_two_situations_in_one_language() -> None:
    for language in ("en", "de"):
        labels = sorted(label.casefold() for concept in PARSED.concepts for label in concept.labels[language])
        assert [one for one, other in pairwise(labels) if one == other] == []


def test_every_situation_has_siblings_that_are_near() -> None:
    assert all("near" in VOCABULARY.relatives(concept.id).values() for concept in SITUATIONS)


def test_situations_about_health_family_and_leaving_are_sensitive() -> None:
    assert {concept.id for concept in SITUATIONS if VOCABULARY.is_sensitive(concept.id)} == {
        "mm:caring-for-relatives",
        "mm:conflict-with-own-manager",
        "mm:deciding-to-leave",
        "mm:disability-at-work",
        "mm:dismissing-somebody",
        "mm:return-after-long-illness",
        "mm:return-from-parental-leave",
    }


def test_a_holder_rule_never_says_what_everyone_means_already() -> None:
    assert {concept.holder for concept in SITUATIONS} == {None, "senior", "lead"}
