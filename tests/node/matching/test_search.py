"""The mentee's node finds whom to ask among all mirrored offers."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.matching.facts import Asker, FoundOffer, MirroredOffer
from node.matching.search import search
from protocol.encoding import sha256
from protocol.ids import id_bytes
from protocol.vocabulary import Kind, Level, Topic

from .people import VOCABULARY, need, offer

TIE = b"tie"


def found(*offers: MirroredOffer, **more: Any) -> tuple[FoundOffer, ...]:  # noqa: ANN401 -- passed on as they are
    return search(more.pop("wanted", need()), offers, VOCABULARY, tie=TIE, **more)


def topic(name: str, level: Level = "leaf", kind: Kind = "been-through") -> Topic:
    return Topic(id=f"mm:{name}", level=level, kind=kind)


def test_exact_comes_before_the_group_the_group_before_the_domain_and_a_sibling_last() -> None:
    listed = [
        offer("sibling", "aurora", topic=topic("feedback")),
        offer("domain", "birch", topic=topic("leadership", "domain")),
        offer("group", "cobalt", topic=topic("team", "group")),
        offer("exact", "delta", topic=topic("hiring")),
        offer("other", "ember", topic=topic("budget")),
    ]
    results = found(*listed)
    assert [each.origin.removeprefix("https://").split(".")[0] for each in results] == [
        "delta",
        "cobalt",
        "birch",
        "aurora",
    ]
    assert [each.fit for each in results] == ["exact", "general", "general", "near"]
    assert [each.score.topic for each in results] == [450, 360, 270, 202]
    assert [each.gap for each in results] == ["", "topic-may-be-covered", "topic-may-be-covered", "topic-near-only"]
    assert results[0].reasons == ("been-through-it", "exact-topic")


def test_an_offer_that_breaks_a_constraint_is_not_found() -> None:
    assert found(offer(language="fr"), offer("two", lengths=(15,))) == ()


def test_one_offer_of_an_organization_is_enough_unless_more_are_wanted() -> None:
    listed = [offer("one"), offer("two", topic=topic("team", "group")), offer("three", "cobalt")]
    assert [each.origin for each in found(*listed)].count("https://birch.example") == 1
    assert len(found(*listed, per_origin=2)) == 3
    assert found(*listed)[0].fit == "exact"


def test_an_excluded_organization_is_never_asked_and_a_tired_one_last() -> None:
    weak = offer("weak", "cobalt", topic=topic("feedback"))
    assert [each.origin for each in found(offer(), weak, excluded={"https://birch.example"})] == [weak.origin]
    assert [each.origin for each in found(offer(), weak, last={"https://birch.example"})] == [
        weak.origin,
        offer().origin,
    ]


def test_no_more_than_the_limit_are_returned() -> None:
    listed = [offer(str(number), f"company{number}") for number in range(30)]
    assert len(found(*listed)) == 20
    assert found(*listed, limit=3) == found(*listed)[:3]


def test_equal_offers_go_by_the_hash_of_this_search() -> None:
    listed = [offer(str(number), f"company{number}") for number in range(8)]
    for tie in (b"one", b"two"):
        results = search(need(), listed, VOCABULARY, tie=tie)
        assert list(results) == sorted(results, key=lambda each: sha256(tie, id_bytes(each.offer.offer_id)))
    assert search(need(), listed, VOCABULARY, tie=b"one") != search(need(), listed, VOCABULARY, tie=b"two")


def test_an_offer_answers_the_topic_that_counts_most() -> None:
    wanted = need(topics=("mm:feedback", "mm:hiring"))
    (result,) = found(offer(topic=topic("hiring")), wanted=wanted)
    assert (result.topic, result.fit, result.gap) == ("mm:hiring", "exact", "")
    (near,) = found(offer(topic=topic("delegating")), wanted=wanted)
    assert near.topic == "mm:feedback"


def test_a_sector_as_wished_lifts_an_offer() -> None:
    listed = [offer("one", "birch", sector="K"), offer("two", "cobalt", sector="H")]
    for wish, first in (("same", "birch"), ("different", "cobalt")):
        results = found(*listed, wanted=need(sector=wish), asker=Asker(sector="K"))
        assert results[0].origin == f"https://{first}.example"
        assert results[0].reasons[0] == "sector-as-wished"
        assert results[1].gap == "sector-not-as-wished"
        assert results[0].score.total - results[1].score.total == 50


def test_an_unknown_topic_is_found_exactly() -> None:
    strange = Topic(id="ext:harbour:crane-safety", kind="do")
    (result,) = found(offer(topic=strange), wanted=need(topics=(strange.id,), kind="do"))
    assert result.fit == "exact"
    assert result.score.experience == 200
    (other_kind,) = found(offer(topic=strange), wanted=need(topics=(strange.id,), kind="know"))
    assert (other_kind.score.experience, other_kind.gap) == (80, "other-kind")


listings = st.lists(
    st.builds(
        offer,
        name=st.integers(0, 10**6).map(str),
        origin=st.sampled_from(["aurora", "birch", "cobalt"]),
        topic=st.builds(topic, st.sampled_from(["hiring", "feedback", "team", "budget"])),
        language=st.sampled_from(["en", "de"]),
    ),
    max_size=10,
    unique_by=lambda each: each.offer.offer_id,
)


@pytest.mark.slow
@given(listed=listings, order=st.randoms(use_true_random=False))
def test_the_order_in_which_offers_come_changes_nothing(listed: list[MirroredOffer], order: Random) -> None:
    shuffled = list(listed)
    order.shuffle(shuffled)
    assert found(*shuffled) == found(*listed)
