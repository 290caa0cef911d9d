"""Whatever breaks a constraint is never proposed, whatever its score."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.matching.choose import choose
from node.matching.filters import common_language, mentor_passes, offer_passes, suitable_slots
from protocol.needs import Need, Window
from protocol.vocabulary import band_reaches

from .people import HOUR, NINE, THREAD, VOCABULARY, held, mentor, need, offer, ref

ONE_HOUR = (Window(start=NINE, end=NINE + HOUR),)


@pytest.mark.parametrize(
    ("why", "wanted", "facts", "passes"),
    [
        ("fits in everything", {}, {}, True),
        ("no open place", {}, {"open_places": 0}, False),
        ("another language", {}, {"languages": ("fr",)}, False),
        ("the second language in common", {"languages": ("en", "fr")}, {"languages": ("fr",)}, True),
        ("another format", {"format": "in-person"}, {}, False),
        ("another length", {"length": 45}, {}, False),
        ("band too low", {"band": "lead"}, {}, False),
        ("band higher than asked", {"band": "senior"}, {"band": "lead"}, True),
        ("reverse: band too high", {"band": "any", "reverse": True}, {}, False),
        ("reverse: band as asked", {"band": "any", "reverse": True}, {"band": "any"}, True),
        ("no time in the windows", {}, {"slots": (NINE - HOUR, NINE + 3 * HOUR)}, False),
        ("no time at all", {"windows": ()}, {"slots": ()}, False),
        ("any time will do", {"windows": ()}, {"slots": (NINE - HOUR,)}, True),
        ("a text session needs no time", {"format": "text"}, {"slots": ()}, True),
    ],
)
def test_a_mentor_is_proposed_only_if_every_constraint_holds(
    why: str, wanted: dict[str, Any], facts: dict[str, Any], passes: bool
) -> None:
    assert mentor_passes(need(**wanted), mentor(**facts)) is passes, why


@pytest.mark.parametrize(
    ("why", "wanted", "listed", "country", "passes"),
    [
        ("fits in everything", {}, {}, "", True),
        ("another language", {}, {"language": "fr"}, "", False),
        ("another format", {"format": "link"}, {}, "", False),
        ("another length", {"length": 15}, {}, "", False),
        ("band too low", {"band": "lead"}, {"band": "senior"}, "", False),
        ("any band may hide a senior", {"band": "senior"}, {"band": "any"}, "", True),
        ("in person in another country", {"format": "in-person"}, {"formats": ("in-person",)}, "AT", False),
        ("in person in the same country", {"format": "in-person"}, {"formats": ("in-person",)}, "DE", True),
        (
            "in person in a wide region",
            {"format": "in-person"},
            {"formats": ("in-person",), "region": "eu"},
            "AT",
            True,
        ),
        ("in person, own country not known", {"format": "in-person"}, {"formats": ("in-person",)}, "", True),
        ("a call to another country", {}, {}, "AT", True),
    ],
)
def test_an_offer_is_found_only_if_every_constraint_holds(
    why: str, wanted: dict[str, Any], listed: dict[str, Any], country: str, passes: bool
) -> None:
    assert offer_passes(need(**wanted), offer(**listed).offer, country=country) is passes, why


@pytest.mark.parametrize(
    ("slot", "suits"),
    [(NINE - 1, False), (NINE, True), (NINE + 30 * 60, True), (NINE + 30 * 60 + 1, False), (NINE + HOUR, False)],
)
def test_a_session_must_end_inside_the_window_it_starts_in(slot: int, suits: bool) -> None:
    assert bool(suitable_slots(need(windows=ONE_HOUR), (slot,))) is suits


def test_suitable_times_are_in_order_and_each_once() -> None:
    assert suitable_slots(need(windows=ONE_HOUR), (NINE + 1800, NINE, NINE)) == (NINE, NINE + 1800)


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [("de", "de", True), ("de", "de-AT", True), ("de-AT", "de", True), ("pt-BR", "pt-PT", False), ("de", "nds", False)],
)
def test_two_tags_share_a_language(one: str, other: str, common: bool) -> None:
    assert common_language(one, other) is common


needs = st.builds(
    need,
    topics=st.lists(st.sampled_from(["mm:hiring", "mm:budget", "mm:team"]), min_size=1, max_size=3, unique=True).map(
        tuple
    ),
    kind=st.sampled_from(["do", "know", "been-through"]),
    languages=st.lists(st.sampled_from(["en", "de", "fr"]), min_size=1, max_size=2, unique=True).map(tuple),
    format=st.sampled_from(["call", "text", "in-person"]),
    length=st.sampled_from([15, 30, 60]),
    band=st.sampled_from(["any", "senior", "lead"]),
    reverse=st.booleans(),
    approach=st.lists(st.sampled_from(["listens-first", "direct-feedback"]), max_size=2, unique=True).map(tuple),
)
mentors = st.lists(
    st.builds(
        mentor,
        name=st.integers(0, 10**6).map(str),
        topics=st.lists(
            st.builds(held, st.sampled_from(["hiring", "feedback", "team", "budget"]), st.sampled_from(["do", "know"])),
            min_size=1,
            max_size=3,
        ).map(tuple),
        band=st.sampled_from(["any", "senior", "lead"]),
        languages=st.sampled_from([("en",), ("de",), ("fr", "en")]),
        formats=st.sampled_from([("call",), ("call", "text"), ("in-person", "text")]),
        lengths=st.sampled_from([(15,), (30, 60)]),
        slots=st.lists(st.integers(-4, 10).map(lambda n: NINE + n * 1800), max_size=5).map(tuple),
        open_places=st.integers(0, 2),
        proposed=st.integers(0, 30),
        responsiveness=st.sampled_from(["", "hours", "a-day", "two-days"]),
    ),
    max_size=8,
    unique_by=lambda each: each.ref,
)


@pytest.mark.slow
@given(wanted=needs, pool=mentors)
def test_nobody_who_breaks_a_constraint_is_ever_proposed(wanted: Need, pool: list[Any]) -> None:
    by_ref = {each.ref: each for each in pool}
    for found in choose(wanted, pool, VOCABULARY, thread=THREAD):
        facts = by_ref[found.ref]
        assert facts.open_places > 0
        assert set(facts.languages) & set(wanted.languages)
        assert wanted.format in facts.formats
        assert wanted.length in facts.lengths
        assert band_reaches(*((wanted.band, facts.band) if wanted.reverse else (facts.band, wanted.band)))
        assert wanted.format == "text" or found.slots
        assert all(NINE <= slot <= NINE + 3 * HOUR - wanted.length * 60 for slot in found.slots)
        assert set(found.slots) <= set(facts.slots)
        assert found.held in facts.topics


@pytest.mark.slow
@given(wanted=needs, pool=mentors, order=st.randoms(use_true_random=False))
def test_the_order_in_which_people_come_changes_nothing(wanted: Need, pool: list[Any], order: Random) -> None:
    shuffled = list(pool)
    order.shuffle(shuffled)
    assert choose(wanted, shuffled, VOCABULARY, thread=THREAD) == choose(wanted, pool, VOCABULARY, thread=THREAD)


@pytest.mark.slow
@given(wanted=needs, pool=mentors)
def test_new_names_change_only_who_comes_first_among_equals(wanted: Need, pool: list[Any]) -> None:
    renamed = [
        type(each)(**{**{n: getattr(each, n) for n in each.__struct_fields__}, "ref": ref(each.ref)}) for each in pool
    ]
    before = choose(wanted, pool, VOCABULARY, thread=THREAD)
    after = choose(wanted, renamed, VOCABULARY, thread=THREAD)
    assert [each.score.total for each in after] == [each.score.total for each in before]
    assert {ref(each.ref): each.score for each in before} == {each.ref: each.score for each in after}
