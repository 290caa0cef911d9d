"""Identifiers have one spelling each, and say nothing beyond what they name."""

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.encoding import b64, decode, encode
from protocol.errors import MalformedError
from protocol.ids import (
    Bytes32,
    MessageId,
    RandomId,
    Seconds,
    entity_host,
    id_bytes,
    many_id_bytes,
    message_id,
    parse_entity,
    random_id,
)

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True).filter(lambda one: one[:4] != "xn--")
HOSTS = st.tuples(st.lists(LABELS, min_size=1, max_size=4), st.from_regex("[a-z]{2,8}", fullmatch=True)).map(
    lambda parts: ".".join([*parts[0], parts[1]])
)


@pytest.mark.slow
@given(HOSTS)
def test_an_entity_is_its_host_with_https(host: str) -> None:
    assert parse_entity(f"https://{host}") == f"https://{host}"
    assert entity_host(f"https://{host}") == host


@pytest.mark.slow
@given(HOSTS, st.data())
def test_an_entity_with_one_more_character_is_another_one_or_none(host: str, data: st.DataObject) -> None:
    text = f"https://{host}"
    at = data.draw(st.integers(0, len(text)))
    other = text[:at] + data.draw(st.sampled_from("A./:@?#%_ \n\u00e9-")) + text[at:]
    try:
        assert parse_entity(other) == other
    except MalformedError:
        return
    assert re.fullmatch(r"https://[a-z0-9.-]+", other)


def test_an_error_says_what_the_entity_was_meant_as_and_does_not_repeat_it() -> None:
    for wrong in ("https://ada.lovelace@example", "https://xn--ada.example"):
        with pytest.raises(MalformedError, match=r"^registry must") as caught:
            parse_entity(wrong, what="registry")
        assert "ada" not in str(caught.value)


@given(st.binary(min_size=16, max_size=16))
def test_a_random_id_is_its_entropy(entropy: bytes) -> None:
    text = random_id(entropy)
    assert id_bytes(text) == entropy
    assert decode(encode(text), RandomId) == text


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_an_id_of_other_entropy_is_a_programming_mistake(size: int) -> None:
    with pytest.raises(ValueError, match="exactly 16 bytes"):
        random_id(bytes(size))


def test_the_bytes_of_an_id_that_is_none_are_refused_by_name() -> None:
    with pytest.raises(MalformedError, match=r"^thread must be 16 bytes"):
        id_bytes("AAAA", what="thread")


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=5))
def test_many_ids_have_the_bytes_that_each_has(entropies: list[bytes]) -> None:
    assert many_id_bytes([random_id(entropy) for entropy in entropies]) == entropies


@pytest.mark.parametrize(
    "text", ["", "A" * 21, "A" * 23, "A" * 21 + "B", "A" * 21 + "=", "A" * 20 + "+A", "\u00e9" * 22]
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_of_many_ids_that_is_none_is_refused(text: str, place: int) -> None:
    texts = ["A" * 22, "_" * 21 + "w"]
    with pytest.raises(MalformedError, match=r"^salt (must be|is not)"):
        many_id_bytes([*texts[:place], text, *texts[place:]], what="salt")


def test_one_ids_want_of_a_character_is_not_made_up_by_the_next() -> None:
    with pytest.raises(MalformedError):
        many_id_bytes(["A" * 21, "A" * 23])


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_message_id_is_a_uuid_of_version_7_that_holds_the_time(now_ms: int, entropy: bytes) -> None:
    text = message_id(now_ms, entropy)
    made = uuid.UUID(text)
    assert (made.version, made.variant, made.int >> 80) == (7, uuid.RFC_4122, now_ms)
    assert decode(encode(text), MessageId) == text


@given(st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_a_later_message_id_sorts_behind_an_earlier_one(first: bytes, second: bytes) -> None:
    assert message_id(1_767_000_000_000, first) < message_id(1_767_000_000_001, second)


def test_entropy_reaches_every_free_bit_of_a_message_id() -> None:
    zeros, ones = uuid.UUID(message_id(0, bytes(10))).int, uuid.UUID(message_id(0, b"\xff" * 10)).int
    assert (zeros ^ ones).bit_count() == 74


@pytest.mark.parametrize("size", [9, 11])
def test_a_message_id_of_other_entropy_is_a_programming_mistake(size: int) -> None:
    with pytest.raises(ValueError, match="exactly 10 bytes"):
        message_id(0, bytes(size))


@given(st.binary(min_size=32, max_size=32))
def test_every_hash_has_a_text(data: bytes) -> None:
    assert decode(encode(b64(data)), Bytes32) == b64(data)


@given(st.integers(0, 253402300799))
def test_every_second_up_to_the_year_9999_is_a_time(second: int) -> None:
    assert decode(encode(second), Seconds) == second
