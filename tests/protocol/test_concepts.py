"""The graph over concepts keeps its rules on any file, also a wrong one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.concepts import CLOSE_FAMILY, Concept, Vocabulary
from protocol.vocabulary import Band, band_reaches, scheme_of

NAMES = [f"mm:{letter}" for letter in "abcdefgh"]


def concept(name: str, *broader: str, group: bool = False, sensitive: bool = False) -> Concept:
    return Concept(id=name, labels={"en": (name,)}, broader=broader, group=group, sensitive=sensitive)


#: Any graph over eight names: circles, self-loops, unknown parents and groups in odd places included.
graphs = st.dictionaries(
    st.sampled_from(NAMES),
    st.tuples(st.lists(st.sampled_from([*NAMES, "mm:unknown"]), max_size=4), st.booleans()),
).map(lambda graph: Vocabulary(concept(name, *above, group=group) for name, (above, group) in graph.items()))


def family(children: int) -> Vocabulary:
    leaves = [concept(f"mm:{number}", "mm:parent") for number in range(children)]
    return Vocabulary([concept("mm:parent", group=True), *leaves])


def test_siblings_are_near_up_to_sixty_children_and_not_beyond() -> None:
    assert CLOSE_FAMILY == 60
    assert family(60).fit("mm:0", "mm:1") == "near"
    assert family(61).fit("mm:0", "mm:1") is None


def test_a_crowded_parent_that_is_no_group_is_not_near_its_children_either() -> None:
    leaves = [concept(f"mm:{number}", "mm:parent") for number in range(61)]
    vocabulary = Vocabulary([concept("mm:parent"), *leaves])
    assert vocabulary.fit("mm:0", "mm:parent") is None
    assert vocabulary.fit("mm:parent", "mm:0") is None


def test_a_group_over_nothing_but_groups_is_a_domain() -> None:
    vocabulary = Vocabulary(
        [
            concept("mm:top", group=True),
            concept("mm:mixed", "mm:top", group=True),
            concept("mm:inner", "mm:mixed", group=True),
            concept("mm:leaf", "mm:mixed"),
        ]
    )
    levels = {name: vocabulary.level_of(f"mm:{name}") for name in ("top", "mixed", "inner", "leaf", "unknown")}
    assert levels == {"top": "domain", "mixed": "group", "inner": "group", "leaf": "leaf", "unknown": "leaf"}


def test_a_topic_generalizes_to_the_nearest_of_each_level_only() -> None:
    vocabulary = Vocabulary(
        [
            concept("mm:far", group=True),
            concept("mm:domain", "mm:far", group=True),
            concept("mm:group", "mm:domain", group=True),
            concept("mm:skill", "mm:group"),
            concept("mm:detail", "mm:skill"),
        ]
    )
    assert vocabulary.generalize("mm:detail", "leaf") == ("mm:detail",)
    assert vocabulary.generalize("mm:detail", "group") == ("mm:group",)
    assert vocabulary.generalize("mm:detail", "domain") == ("mm:domain",)
    assert vocabulary.generalize("mm:group", "group") == ("mm:group",)
    assert vocabulary.generalize("mm:unknown", "leaf") == ()
    assert vocabulary.ancestors("mm:detail") == ("mm:skill", "mm:group", "mm:domain", "mm:far")


def test_what_stands_below_something_sensitive_is_sensitive() -> None:
    vocabulary = Vocabulary(
        [concept("mm:health", group=True, sensitive=True), concept("mm:burnout", "mm:health"), concept("mm:budget")]
    )
    sensitive = [name for name in ("health", "burnout", "budget", "unknown") if vocabulary.is_sensitive(f"mm:{name}")]
    assert sensitive == ["health", "burnout"]


def test_of_two_concepts_with_one_id_the_first_counts() -> None:
    vocabulary = Vocabulary([concept("mm:a", "mm:b"), concept("mm:b"), concept("mm:a")])
    assert vocabulary.parents("mm:a") == ("mm:b",)
    assert len(vocabulary) == 2
    assert [each.id for each in vocabulary] == ["mm:a", "mm:b"]


def test_parents_and_children_are_sorted_known_and_never_the_concept_itself() -> None:
    vocabulary = Vocabulary([concept("mm:c", "mm:b", "mm:a", "mm:c", "mm:x"), concept("mm:b"), concept("mm:a", "mm:b")])
    assert vocabulary.parents("mm:c") == ("mm:a", "mm:b")
    assert vocabulary.children("mm:b") == ("mm:a", "mm:c")
    assert vocabulary.children_count("mm:b") == 2
    assert vocabulary.get("mm:x") is None
    assert "mm:x" not in vocabulary


@pytest.mark.slow
@given(vocabulary=graphs, topic=st.sampled_from(NAMES))
def test_walking_up_ends_on_any_graph_and_never_comes_back(vocabulary: Vocabulary, topic: str) -> None:
    above = vocabulary.ancestors(topic)
    assert len(set(above)) == len(above)
    assert topic not in above
    for level in ("group", "domain"):
        reached = vocabulary.generalize(topic, level)
        assert set(reached) <= {topic, *above}
        assert all(vocabulary.level_of(each) == level for each in reached)


@pytest.mark.slow
@given(vocabulary=graphs, topic=st.sampled_from(NAMES))
def test_a_topic_answers_itself_and_everything_it_generalizes_to_covers_it(vocabulary: Vocabulary, topic: str) -> None:
    relatives = vocabulary.relatives(topic)
    assert relatives[topic] == "exact"
    for level in ("group", "domain"):
        covering = set(vocabulary.generalize(topic, level)) - {topic}
        assert all(relatives[each] == "general" for each in covering)


@pytest.mark.slow
@given(vocabulary=graphs, one=st.sampled_from(NAMES), other=st.sampled_from(NAMES))
def test_being_near_goes_both_ways_unless_one_covers_the_other(vocabulary: Vocabulary, one: str, other: str) -> None:
    if vocabulary.fit(one, other) == "near":
        assert vocabulary.fit(other, one) in {"near", "general"}


def test_a_label_falls_back_to_the_base_language_then_english_then_any() -> None:
    labels = Concept(id="mm:a", labels={"de": ("Eins", "Erste"), "en": ("One",)})
    assert [labels.label(language) for language in ("de", "de-AT", "fr", "en")] == ["Eins", "Eins", "One", "One"]
    assert Concept(id="mm:a", labels={"fi": ("Yksi",)}).label("de") == "Yksi"


@pytest.mark.parametrize(
    ("held", "wanted", "reaches"),
    [
        ("any", "any", True),
        ("any", "senior", False),
        ("senior", "senior", True),
        ("senior", "lead", False),
        ("lead", "senior", True),
        ("lead", "any", True),
    ],
)
def test_lead_counts_as_senior_and_senior_as_any(held: Band, wanted: Band, reaches: bool) -> None:
    assert band_reaches(held, wanted) is reaches


def test_the_scheme_is_what_stands_before_the_first_colon() -> None:
    assert scheme_of("ext:harbour:crane-safety") == "ext"
