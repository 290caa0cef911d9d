"""The provider's node proposes people by published rules, each with two reasons and one honest gap."""

from typing import Any

import pytest

from node.matching.choose import choose
from node.matching.facts import Asker, MentorFacts, RankedMentor
from node.matching.weights import DEFAULT, Weights
from protocol.encoding import b64, sha256
from protocol.ids import id_bytes
from protocol.needs import Need

from .people import NINE, THREAD, VOCABULARY, held, mentor, need, ref

TEACHES = held("hiring", experience=("teaches-it",), told=("teaches-it",))
#: A mentor of whom little can be said.
WEAK: dict[str, Any] = {"topics": (held("team", "do"),), "slots": (NINE,), "responsiveness": ""}


def ranked(wanted: Need, *people: MentorFacts, asker: Asker | None = None) -> tuple[RankedMentor, ...]:
    return choose(wanted, people, VOCABULARY, thread=THREAD, asker=asker or Asker())


def only(wanted: Need, facts: MentorFacts, asker: Asker | None = None) -> RankedMentor:
    (found,) = ranked(wanted, facts, asker=asker)
    return found


def test_a_mentor_who_fits_in_everything_scores_the_full_thousand_and_has_no_gap() -> None:
    found = only(need(), mentor())
    assert found.score.total == 1000
    assert (found.fit, found.reasons, found.gap) == ("exact", ("been-through-it", "exact-topic"), "")
    assert found.slots == mentor().slots


def test_a_mentor_without_a_fitting_topic_is_not_proposed() -> None:
    assert ranked(need(), mentor(topics=(held("budget"),)), mentor(topics=())) == ()


@pytest.mark.parametrize(
    ("topic", "fit", "worth"),
    [("hiring", "exact", 450), ("team", "general", 360), ("leadership", "general", 270), ("feedback", "near", 202)],
)
def test_the_closer_the_topic_the_more_it_counts(topic: str, fit: str, worth: int) -> None:
    found = only(need(), mentor(topics=(held(topic),)))
    assert (found.fit, found.score.topic) == (fit, worth)


def test_the_first_of_three_topics_counts_half() -> None:
    wanted = need(topics=("mm:hiring", "mm:budget", "mm:unheard"))
    scores = {name: only(wanted, mentor(topics=(held(name),))).score.topic for name in ("hiring", "budget", "unheard")}
    assert scores == {"hiring": 225, "budget": 149, "unheard": 74}
    everything = only(wanted, mentor(topics=(held("unheard"), held("budget"), held("hiring"))))
    assert (everything.score.topic, everything.held, everything.gap) == (450, held("hiring"), "")
    assert everything.reasons == ("been-through-it", "several-topics")


def test_the_topic_shown_is_the_best_one_and_of_the_kind_asked_for() -> None:
    topics = (held("feedback"), held("hiring", "know"), held("hiring", "been-through"))
    found = only(need(), mentor(topics=topics))
    assert found.held == held("hiring", "been-through")


@pytest.mark.parametrize(
    ("why", "wanted", "facts", "part", "worth"),
    [
        ("another kind", {}, {"topics": (held("hiring", "know"),)}, "experience", 80),
        (
            "the kind asked for and the experience wished",
            {"experience": ("did-it-often",)},
            {"topics": (held("hiring", experience=("did-it-often",)),)},
            "experience",
            200,
        ),
        ("the kind asked for, other experience", {"experience": ("did-it-often",)}, {}, "experience", 140),
        ("three times", {}, {}, "slots", 150),
        ("two times", {}, {"slots": (NINE, NINE + 3600)}, "slots", 112),
        ("one time", {}, {"slots": (NINE,)}, "slots", 75),
        ("times do not matter for text", {"format": "text"}, {"slots": ()}, "slots", 150),
        ("no approach wished", {}, {}, "approach", 100),
        (
            "half of the approach wished",
            {"approach": ("listens-first", "direct-feedback")},
            {"approach": ("listens-first",)},
            "approach",
            50,
        ),
        ("answers in hours", {}, {}, "responsiveness", 100),
        ("answers in a day", {}, {"responsiveness": "a-day"}, "responsiveness", 70),
        ("new and unknown", {}, {"responsiveness": ""}, "responsiveness", 70),
        ("answers in two days", {}, {"responsiveness": "two-days"}, "responsiveness", 40),
        ("never proposed", {}, {}, "exposure", 0),
        ("proposed five times", {}, {"proposed": 5}, "exposure", -50),
        ("proposed five times with five places", {}, {"proposed": 5, "capacity": 5}, "exposure", -10),
        ("proposed a hundred times", {}, {"proposed": 100}, "exposure", -100),
    ],
)
def test_each_part_of_a_score_is_worth_what_the_table_says(
    why: str, wanted: dict[str, Any], facts: dict[str, Any], part: str, worth: int
) -> None:
    assert getattr(only(need(**wanted), mentor(**facts)).score, part) == worth, why


def test_exposure_weighs_less_than_the_step_from_near_to_exact() -> None:
    assert DEFAULT.exposure < DEFAULT.topic * (1000 - DEFAULT.near_topic) // 1000
    tired, near = mentor("tired", proposed=1000), mentor("near", topics=(held("feedback"),))
    assert [each.ref for each in ranked(need(), near, tired)] == [tired.ref, near.ref]


def test_who_was_proposed_less_comes_first_among_equals() -> None:
    often, rarely = mentor("often", proposed=6), mentor("rarely", proposed=1)
    assert [each.ref for each in ranked(need(), often, rarely)] == [rarely.ref, often.ref]


def test_equal_scores_go_by_the_hash_of_thread_and_ref() -> None:
    people = [mentor(str(number)) for number in range(6)]
    for thread in (THREAD, b64(bytes(range(16)))):
        expected = sorted((each.ref for each in people), key=lambda one: sha256(id_bytes(thread), id_bytes(one)))
        assert [each.ref for each in choose(need(), people, VOCABULARY, thread=thread)] == expected


@pytest.mark.parametrize(
    ("why", "wanted", "facts", "gap"),
    [
        ("a sibling", {}, {"topics": (held("feedback", "know"),)}, "topic-near-only"),
        ("the group", {}, {"topics": (held("team", "know"),)}, "topic-may-be-covered"),
        ("another kind", {"topics": ("mm:hiring", "mm:budget")}, {"topics": (held("hiring", "do"),)}, "other-kind"),
        ("one of two topics", {"topics": ("mm:hiring", "mm:budget")}, {}, "some-topics-missing"),
        ("experience", {"experience": ("teaches-it",), "approach": ("listens-first",)}, {}, "experience-not-stated"),
        ("approach", {"approach": ("listens-first",), "sector": "same"}, {"sector": "K"}, "approach-not-stated"),
        ("sector", {"sector": "same", "function": "same"}, {"sector": "K", "function": "IT"}, "sector-not-as-wished"),
        ("function", {"function": "different"}, {"function": "HR", "languages": ("de",)}, "function-not-as-wished"),
        ("second language", {}, {"languages": ("de",), "slots": (NINE,)}, "not-first-language"),
        ("one time only", {}, {"slots": (NINE,), "responsiveness": "two-days"}, "few-times"),
        ("slow", {}, {"responsiveness": "two-days"}, "answers-slowly"),
        ("nothing", {}, {}, ""),
    ],
)
def test_the_most_serious_gap_is_named(why: str, wanted: dict[str, Any], facts: dict[str, Any], gap: str) -> None:
    wanted = {"languages": ("en", "de"), **wanted}
    found = only(need(**wanted), mentor(**facts), Asker(sector="H", function="HR"))
    assert found.gap == gap, why


@pytest.mark.parametrize(
    ("why", "wanted", "facts", "reasons"),
    [
        (
            "what was wished comes first",
            {"experience": ("teaches-it",), "approach": ("listens-first",)},
            {"topics": (TEACHES,), "told_approach": ("listens-first",)},
            ("experience-fits", "approach-fits"),
        ),
        ("both wishes", {"sector": "different", "function": "same"}, {}, ("sector-as-wished", "function-as-wished")),
        ("does it", {"kind": "do"}, {"topics": (held("hiring", "do"),)}, ("does-it", "exact-topic")),
        ("knows it", {"kind": "know"}, {"topics": (held("hiring", "know"),)}, ("knows-it", "exact-topic")),
        ("times and answers", {}, {"topics": (held("team", "do"),)}, ("time-fits", "answers-quickly")),
        ("near", {"band": "senior"}, {**WEAK, "topics": (held("feedback", "do"),)}, ("near-topic", "senior-enough")),
        ("first language", {"languages": ("en", "de")}, WEAK, ("first-language", "speaks-your-language")),
        ("what always holds", {}, WEAK, ("speaks-your-language", "offers-this-format")),
    ],
)
def test_the_two_strongest_reasons_are_told(
    why: str, wanted: dict[str, Any], facts: dict[str, Any], reasons: tuple[str, ...]
) -> None:
    facts = {"sector": "K", "function": "HR", **facts}
    assert only(need(**wanted), mentor(**facts), Asker(sector="H", function="HR")).reasons == reasons, why


def test_what_may_not_be_told_ranks_but_never_decides_between_two_codes() -> None:
    wanted = need(experience=("teaches-it",), approach=("listens-first",))
    secret = mentor("a", topics=(held("hiring", experience=("teaches-it",)),), approach=("listens-first",))
    other = mentor("b")
    hidden, without = ranked(wanted, secret, other)
    assert (hidden.ref, without.ref) == (secret.ref, other.ref)
    assert (hidden.reasons, hidden.gap) == (without.reasons, without.gap)


def test_a_wish_about_something_unknown_has_no_effect() -> None:
    wanted = need(sector="same", function="different")
    assert only(wanted, mentor(sector="K", function="HR")).score == only(need(), mentor()).score
    assert only(wanted, mentor(), Asker(sector="K", function="HR")).gap == ""


def test_both_wishes_met_count_a_hundred_and_one_counts_fifty() -> None:
    wanted = need(sector="same", function="different")
    asker = Asker(sector="K", function="HR")
    assert only(wanted, mentor(sector="K", function="IT"), asker).score.wishes == 100
    assert only(wanted, mentor(sector="K", function="HR"), asker).score.wishes == 50


def test_at_most_five_times_are_shown_the_earliest_first() -> None:
    slots = tuple(NINE + number * 1200 for number in (6, 5, 4, 3, 2, 1, 0))
    assert only(need(), mentor(slots=slots)).slots == tuple(NINE + number * 1200 for number in range(5))


def test_weights_of_an_operator_replace_the_published_ones() -> None:
    near, exact = mentor("near", topics=(held("feedback"),)), mentor("exact", responsiveness="two-days")
    quick = Weights(topic=0, responsiveness=1000)
    order = choose(need(), (near, exact), VOCABULARY, thread=THREAD, weights=quick)
    assert [each.ref for each in order] == [near.ref, exact.ref]
    assert ref("near") == near.ref
