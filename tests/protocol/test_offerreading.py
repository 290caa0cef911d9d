"""Offers read together are taken and refused exactly as each by itself is."""

import json
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from protocol.encoding import Wire
from protocol.errors import MalformedError
from protocol.offerreading import ReadOffer, ReadTopic, open_offers
from protocol.offers import Offer, open_offer
from protocol.vocabulary import Topic
from tests.vectors.generate.offers import canonical

VECTORS = Path(__file__).parents[1] / "vectors"
CASES: list[Any] = json.loads((VECTORS / "offers" / "offers.json").read_bytes())["cases"]
GOOD = [case["input"].encode() for case in CASES if "error" not in case]


def outcome(bodies: tuple[bytes, ...]) -> tuple[Offer, ...] | str:
    """Return the offers, or the error of the first that is refused, read one by one."""
    try:
        return tuple([open_offer(body) for body in bodies])
    except MalformedError as error:
        return str(error)


def outcome_together(bodies: tuple[bytes, ...]) -> tuple[Offer, ...] | str:
    try:
        return open_offers(bodies)
    except MalformedError as error:
        return str(error)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_a_vector_among_others_is_what_it_is_alone(case: dict[str, Any]) -> None:
    body = case["input"].encode()
    for bodies in ((body,), (*GOOD, body), (body, *GOOD), (GOOD[0], body, b"{}")):
        assert outcome_together(bodies) == outcome(bodies)


@pytest.mark.parametrize(
    "bodies",
    [
        (),
        (b"",),
        (GOOD[0] + b"\n" + GOOD[1],),
        (GOOD[0] + b"\n", GOOD[1]),
        (GOOD[0][:40], GOOD[0][40:]),
        (b"{}", b"x" * 1025),
        (b"x" * 1025, b"{}"),
    ],
)
def test_no_border_between_bodies_moves(bodies: tuple[bytes, ...]) -> None:
    assert outcome_together(bodies) == outcome(bodies)


def test_what_offers_say_alike_is_kept_once() -> None:
    one, other = open_offers([GOOD[0], GOOD[0].replace(b"AAECAwQFBgcICQoLDA0ODw", b"BAECAwQFBgcICQoLDA0ODw")])
    assert one.offer_id != other.offer_id
    for name in ("language", "region", "formats", "lengths"):
        assert getattr(one, name) is getattr(other, name)


LANGUAGES = ("de", "de\n", "de\nfr", "en-GB", "EN", "")
REGIONS = ("DE", "DE\n", "\nDE", "world", "emea ")
IDS = ("A" * 22, "A" * 22 + "\n", "A" * 21, "A" * 21 + "B", "x" * 22)
TOPICS = ("mm:a", "mm:a\n", "mm:", "mm:ä", "ext:" + "~" * 200, "ext:" + "~" * 201)
WORDS = ("any", "leaf", "group", "know", "call", "\u2028", "\x00", "𝄞")
TEXTS = st.sampled_from((*LANGUAGES, *REGIONS, *IDS, *TOPICS, *WORDS))
VALUES: st.SearchStrategy[object] = (
    TEXTS
    | st.sampled_from([None, True, 0, 15, 30, 2**63, 1.5, {}, [], [[]]])
    | st.lists(st.sampled_from(["call", "in-person", "link", "text", "CALL", 15, 30, 20]), max_size=6)
    | st.dictionaries(TEXTS | st.sampled_from(["note", "x", "a" * 33]), TEXTS, max_size=5)
)
FIELD = st.sampled_from([*Offer.__struct_fields__, "topic.id", "topic.level", "topic.kind", "topic.other", "other"])


def changed(body: bytes, field: str, value: object) -> bytes:
    """Return the body with another value in a field, in canonical form."""
    whole = json.loads(body)
    *outer, name = field.split(".")
    inner = whole[outer[0]] if outer else whole
    inner[name] = value
    return canonical(whole).encode()


def spliced(body: bytes, at: int, piece: bytes, gone: int) -> bytes:
    at %= len(body) + 1
    return body[:at] + piece + body[at + gone :]


BODIES = st.sampled_from(GOOD)
CHANGED = st.builds(changed, BODIES, FIELD, VALUES)
SPLICED = st.builds(spliced, BODIES | CHANGED, st.integers(0, 2000), st.binary(max_size=2), st.integers(0, 3))


@pytest.mark.slow
@given(st.lists(BODIES | CHANGED | SPLICED, min_size=1, max_size=3).map(tuple))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_changed_offers_are_taken_and_refused_together_as_one_by_one(bodies: tuple[bytes, ...]) -> None:
    assert outcome_together(bodies) == outcome(bodies)


@pytest.mark.parametrize(("read", "strict"), [(ReadOffer, Offer), (ReadTopic, Topic)])
def test_what_is_read_first_differs_from_an_offer_in_its_patterns_alone(read: type[Wire], strict: type[Wire]) -> None:
    """The texts with a pattern are the four that are checked; any bound that an offer gets later must come here too."""
    first, then = inspect.type_info(read), inspect.type_info(strict)
    assert isinstance(first, inspect.StructType)
    assert isinstance(then, inspect.StructType)
    assert (first.forbid_unknown_fields, first.array_like, first.tag) == (True, False, None)
    loose = set()
    for one, other in zip(first.fields, then.fields, strict=True):
        assert (one.name, one.encode_name, one.required) == (other.name, other.encode_name, other.required)
        assert (one.default, one.default_factory) == (other.default, other.default_factory)
        if get_type_hints(read, include_extras=True)[one.name] is str:
            loose.add(one.name)
            assert isinstance(other.type, inspect.StrType)
            assert other.type.pattern
        elif one.name != "topic":
            assert one.type == other.type
    assert loose == ({"offer_id", "language", "region"} if strict is Offer else {"id"})
