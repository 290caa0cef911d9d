"""A mentee's own words lead to concepts, in any language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.matching.linking import TextIndex, link_text
from node.services.vocabulary import situations
from protocol.concepts import Concept, Vocabulary

INDEX = TextIndex(Vocabulary(situations()))


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("I have to present to the board on Thursday and have never done it", "mm:first-board-presentation"),
        ("wie bekomme ich mehr Gehalt?", "mm:salary-negotiation"),
        ("Ich komme aus der Elternzeit zurück", "mm:return-from-parental-leave"),
        ("our project missed all its deadlines", "mm:project-in-trouble"),
        ("I want to delegate: letting go is hard", "mm:delegating-and-letting-go"),
        ("BURNOUT", "mm:return-after-long-illness"),
    ],
)
def test_words_lead_to_the_situation(text: str, first: str) -> None:
    assert link_text(text, INDEX)[0] == first


@pytest.mark.parametrize("text", ["", "the and of my", "zzz", "und ich bin so"])
def test_words_that_say_nothing_lead_nowhere(text: str) -> None:
    assert link_text(text, INDEX) == ()


def test_a_rare_word_says_more_than_a_common_one() -> None:
    labels = ["team work"] * 8 + ["team budget", "other"]
    index = TextIndex(Vocabulary(Concept(id=f"mm:{n}", labels={"en": (label,)}) for n, label in enumerate(labels)))
    assert index.link("team budget")[0].id == "mm:8"
    assert index.link("work budget")[0].id == "mm:8"


def test_a_short_label_says_more_than_a_long_one_and_plurals_count() -> None:
    labels = ["budget planning for large public projects", "budgets"]
    index = TextIndex(Vocabulary(Concept(id=f"mm:{n}", labels={"en": (label,)}) for n, label in enumerate(labels)))
    assert [found.label for found in index.link("a budget")] == ["budgets", labels[0]]


def test_equal_scores_go_by_id_and_the_limit_holds() -> None:
    index = TextIndex(Vocabulary(Concept(id=f"mm:{n}", labels={"en": ("budget",)}) for n in (3, 1, 2)))
    assert link_text("budget", index, limit=2) == ("mm:1", "mm:2")


@pytest.mark.slow
@given(st.text(max_size=80))
def test_any_text_gives_distinct_known_concepts_in_falling_order(text: str) -> None:
    found = INDEX.link(text)
    assert len({each.id for each in found}) == len(found) <= 8
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
