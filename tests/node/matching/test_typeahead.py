"""While somebody types, the right concepts come up in any language, whatever the accents and the order of the words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.matching.folding import fold
from node.matching.typeahead import Typeahead
from node.services.vocabulary import situations
from protocol.concepts import Concept


def concept(name: str, *, scheme: str = "ext", **labels: tuple[str, ...]) -> Concept:
    return Concept(id=f"{scheme}:{name}", labels=labels)


OWN = Typeahead(situations())


def ids(typeahead: Typeahead, typed: str, language: str = "en", limit: int = 10) -> list[str]:
    return [each.id for each in typeahead.suggest(typed, language, limit=limit)]


@pytest.mark.parametrize(
    ("typed", "language", "first"),
    [
        ("first pres", "en", "mm:first-board-presentation"),
        ("board", "en", "mm:first-board-presentation"),
        ("BOARD", "en", "mm:first-board-presentation"),
        ("presentation first", "en", "mm:first-board-presentation"),
        ("gehalt", "de", "mm:salary-negotiation"),
        ("ruckkehr aus", "de", "mm:return-from-parental-leave"),
        ("Rückkehr aus", "de", "mm:return-from-parental-leave"),
        ("großkunden", "de", "mm:winning-first-key-account"),
        ("grosskunden", "de", "mm:winning-first-key-account"),
        ("raise", "en", "mm:salary-negotiation"),
        ("gehaltsgesp", "en", "mm:salary-negotiation"),
        ("salary", "fr", "mm:salary-negotiation"),
    ],
)
def test_typed_words_lead_to_the_situation(typed: str, language: str, first: str) -> None:
    assert ids(OWN, typed, language)[0] == first


def test_a_suggestion_shows_the_preferred_label_and_what_matched() -> None:
    (found,) = OWN.suggest("gehaltserh", "de")
    assert (found.label, found.matched, found.language) == (
        "Über das eigene Gehalt verhandeln",
        "Gehaltserhöhung ansprechen",
        "de",
    )
    assert (found.kinds, found.group) == (("been-through", "know"), False)


@pytest.mark.parametrize("typed", ["", "   ", "!?", "zzz", "presentation zzz"])
def test_nothing_is_suggested_for_words_in_no_label(typed: str) -> None:
    assert ids(OWN, typed) == []


def test_the_language_asked_for_comes_first_then_english_then_the_others() -> None:
    typeahead = Typeahead(
        [
            concept("fr", fr=("budget",)),
            concept("de", de=("Budget",)),
            concept("en", en=("Budgeting",)),
            concept("es", es=("budget",)),
        ]
    )
    assert ids(typeahead, "budget", "de") == ["ext:de", "ext:en", "ext:es", "ext:fr"]
    assert ids(typeahead, "budget", "de-AT") == ["ext:de", "ext:en", "ext:es", "ext:fr"]
    assert ids(typeahead, "budget", "it") == ["ext:en", "ext:de", "ext:es", "ext:fr"]


def test_a_concept_appears_once_in_the_language_asked_for() -> None:
    typeahead = Typeahead([concept("a", en=("Team", "Teams", "Team work"), de=("Team",))])
    assert [(each.id, each.language) for each in typeahead.suggest("team", "de")] == [("ext:a", "de")]


def test_the_very_words_come_before_what_begins_with_them_and_that_before_later_words() -> None:
    labels = ("my team", "team work", "team", "work with a team")
    typeahead = Typeahead([concept(str(number), en=(label,)) for number, label in enumerate(labels)])
    assert [each.label for each in typeahead.suggest("team", "en")] == [
        "team",
        "team work",
        "my team",
        "work with a team",
    ]


def test_a_preferred_label_comes_before_a_shorter_alternative() -> None:
    typeahead = Typeahead([concept("alternative", en=("Work", "Team")), concept("preferred", en=("Team building",))])
    assert ids(typeahead, "tea") == ["ext:preferred", "ext:alternative"]


def test_imported_labels_never_hide_our_situations_unless_they_are_the_very_words() -> None:
    imported = [concept(f"salary-{number}", en=(f"Salary {number}",)) for number in range(2000)]
    typeahead = Typeahead([*imported, concept("salary", en=("Salary",)), *situations()])
    assert ids(typeahead, "salary")[:2] == ["ext:salary", "mm:salary-negotiation"]
    assert ids(typeahead, "s", limit=3)[0].startswith("mm:")


def test_words_in_another_order_are_found_in_a_large_vocabulary_too() -> None:
    crowd = [concept(f"n{number}", en=(f"manage process {number}",)) for number in range(5000)]
    typeahead = Typeahead([*crowd, concept("x", en=("process of the rare manager",))])
    assert ids(typeahead, "manager proc") == ["ext:x"]


def test_no_more_than_the_limit_are_suggested() -> None:
    assert len(ids(OWN, "a", limit=3)) == 3


def test_c_c_plus_plus_and_c_sharp_are_three_things() -> None:
    typeahead = Typeahead([concept("c", en=("C",)), concept("cpp", en=("C++",)), concept("cs", en=("C#",))])
    assert ids(typeahead, "c++") == ["ext:cpp"]
    assert ids(typeahead, "c#") == ["ext:cs"]
    assert ids(typeahead, "c")[0] == "ext:c"


def test_text_is_folded_to_plain_words() -> None:
    assert fold("  Rückkehr—aus der ELTERNZEIT! ") == "ruckkehr aus der elternzeit"
    assert fold("Straße Œuvre_ﬁt") == "strasse œuvre fit"


words = st.sampled_from(["team", "talk", "board", "first", "führen", "größe"])
vocabularies = st.lists(st.lists(words, min_size=1, max_size=4).map(" ".join), min_size=1, max_size=30, unique=True)


@pytest.mark.slow
@given(
    labels=vocabularies,
    typed=st.lists(
        words.flatmap(lambda word: st.integers(1, len(word)).map(lambda n: word[:n])), min_size=1, max_size=3
    ),
)
def test_what_is_suggested_equals_what_reading_every_label_finds(labels: list[str], typed: list[str]) -> None:
    typeahead = Typeahead([concept(str(number), en=(label,)) for number, label in enumerate(labels)])
    plain = [fold(word) for word in typed]
    expected = {
        label for label in labels if all(any(each.startswith(word) for each in fold(label).split()) for word in plain)
    }
    assert {each.label for each in typeahead.suggest(" ".join(typed), "en", limit=30)} == expected
