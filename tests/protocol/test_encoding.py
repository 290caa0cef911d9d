"""Canonical bytes: one value, one spelling, whatever the value."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.encoding import (
    MAX_SAFE_INTEGER,
    b64,
    broken_rule,
    decode,
    decode_lines,
    decode_loose,
    encode,
    label,
    length_prefixed,
    sha256,
    split_prefixed,
    unb64,
)
from protocol.errors import MalformedError
from tests.vectors.generate.encoding import Example

KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
NUMBERS = st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
EXAMPLES = st.recursive(
    st.builds(Example, number=NUMBERS, text=st.text(), yes=st.booleans(), more=st.dictionaries(KEYS, st.text())),
    lambda inner: st.builds(Example, items=st.lists(inner, max_size=3).map(tuple), number=NUMBERS),
    max_leaves=8,
)


@pytest.mark.slow
@given(EXAMPLES)
@settings(max_examples=40)
def test_what_was_encoded_is_decoded_to_the_same_value_and_bytes(example: Example) -> None:
    data = encode(example)
    assert decode(data, Example) == example
    assert encode(decode(data, Example)) == data


@pytest.mark.slow
@given(st.lists(EXAMPLES, max_size=5))
@settings(max_examples=40)
def test_many_are_decoded_to_what_each_is(examples: list[Example]) -> None:
    assert decode_lines([encode(each) for each in examples], Example) == examples


@pytest.mark.parametrize(
    "bodies",
    [
        (b'{"number":1}\n{"number":2}',),
        (b'{"number":', b"1}"),
        (b'{"number":1}', b""),
        (b"", b'{"number":1}'),
        (b'{"number":1}\n', b'{"number":2}'),
        (b'{"number":1}', b'{"number":2,\n"yes":true}'),
        (b'{"number":1}', b'{"number": 2}'),
        (b'{"number":1}', b'{"number":2,"number":2}'),
        (b'{"number":1}', b'{"other":2}'),
        (b'{"number":1}', b'{"text":"\xff"}'),
        (b'{"number":1}', b'{"number":2}\r'),
    ],
)
def test_many_are_refused_when_one_of_them_is(bodies: tuple[bytes, ...]) -> None:
    with pytest.raises(MalformedError):
        _ = [decode(body, Example, what="example") for body in bodies]
    with pytest.raises(ValueError, match="a body is not"):
        decode_lines(bodies, Example)


@pytest.mark.slow
@given(EXAMPLES)
@settings(max_examples=40)
def test_the_bytes_are_those_of_rfc_8785(example: Example) -> None:
    """Keys of `[a-z0-9_]` sort alike by bytes and by UTF-16 units, so sorting by code point is the RFC's order."""
    plain = json.loads(encode(example))
    assert encode(example) == json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def test_every_character_is_escaped_as_rfc_8785_says() -> None:
    short = {8: r"\b", 9: r"\t", 10: r"\n", 12: r"\f", 13: r"\r", 0x22: r"\"", 0x5C: r"\\"}
    codes = [*range(0xD800), *range(0xE000, 0x11000), *range(0x1F000, 0x20000), *range(0x10FF00, 0x110000)]
    wanted = "".join(short.get(code, f"\\u{code:04x}" if code < 0x20 else chr(code)) for code in codes)
    assert encode("".join(map(chr, codes))) == f'"{wanted}"'.encode()


def test_a_lone_surrogate_has_no_bytes() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode("\ud83d")


@pytest.mark.slow
@given(EXAMPLES, st.data())
@settings(max_examples=40)
def test_a_changed_byte_never_gives_a_second_spelling(example: Example, data: st.DataObject) -> None:
    raw = bytearray(encode(example))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(raw), Example)
    except MalformedError:
        return
    assert other != example
    assert encode(other) == raw


@pytest.mark.parametrize("opening", [b"[", b'{"items":[', b'{"a":'])
def test_nesting_without_end_is_refused(opening: bytes) -> None:
    for kind in (Example, object):
        with pytest.raises(MalformedError):
            decode(opening * 100_000, kind)
        with pytest.raises(MalformedError):
            decode_loose(opening * 100_000, kind)


def test_balanced_nesting_beyond_any_body_is_refused() -> None:
    with pytest.raises(MalformedError, match=r"^body is not valid: nested too deep$"):
        decode(b"[" * 100_000 + b"]" * 100_000, object)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"number":"Ada"}', "body is not valid: Expected `int`, got `str` - at `$.number`"),
        (b'{"ada":1}', "body is not valid: Object contains an unknown field"),
        (b'{"items":[{"ada":1}]}', "body is not valid: Object contains an unknown field - at `$.items[0]`"),
        (b"Ada", "body is not valid: not JSON in UTF-8"),
        (b'{"text":"Ada"} ', "body is not canonical: keys sorted, no spaces, no repeated keys, defaults left out"),
    ],
)
def test_an_error_names_field_and_rule_and_repeats_no_input(data: bytes, said: str) -> None:
    with pytest.raises(MalformedError) as caught:
        decode(data, Example)
    assert str(caught.value) == said
    assert "da" not in str(caught.value)


def test_an_error_says_what_was_read() -> None:
    with pytest.raises(MalformedError, match=r"^offer is not valid"):
        decode(b"1", Example, what="offer")
    with pytest.raises(MalformedError, match=r"^command is not valid"):
        decode_loose(b"1", Example, what="command")


def test_a_word_outside_a_list_is_not_repeated() -> None:

    assert broken_rule(msgspec.ValidationError("Invalid enum value 'Ada' - at `$.kind`")) == (
        "Not one of the allowed values - at `$.kind`"
    )
    assert broken_rule(msgspec.ValidationError("Invalid enum value 'Ada'")) == "Not one of the allowed values"


@pytest.mark.parametrize("data", [b'{"number": 1}', b'{"yes":false}', b'{"number":1,"number":2}'])
def test_loose_input_need_not_be_canonical(data: bytes) -> None:
    assert decode_loose(data, Example) == Example(number=json.loads(data).get("number", 0))
    with pytest.raises(MalformedError):
        decode(data, Example)


@pytest.mark.parametrize("data", [b'{"other":1}', b"", b'{"number":1.5}', b"\xff"])
def test_loose_input_keeps_its_shape(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_loose(data, Example)


@given(st.binary(max_size=80))
def test_base64url_gives_back_what_it_took(data: bytes) -> None:
    text = b64(data)
    assert unb64(text) == unb64(text, size=len(data)) == data
    assert "=" not in text


@given(st.text(alphabet="ABAQgw-_+/= \nZz09é", max_size=12))
def test_base64url_has_one_spelling(text: str) -> None:
    try:
        data = unb64(text)
    except MalformedError:
        return
    assert b64(data) == text


def test_base64url_that_is_none_says_so_by_the_usual_name() -> None:
    with pytest.raises(MalformedError, match=r"^value is not base64url without padding$"):
        unb64("A")
    with pytest.raises(MalformedError, match=r"^value is not base64url in its only spelling$"):
        unb64("AB")


def test_base64url_of_another_size_is_refused_by_name() -> None:
    with pytest.raises(MalformedError, match=r"^key must be 3 bytes$"):
        unb64("AAEC" + "AA", size=3, what="key")


PARTS = st.lists(st.binary(max_size=20), max_size=5)


@given(PARTS)
def test_prefixed_parts_are_taken_apart_as_they_were(parts: list[bytes]) -> None:
    assert split_prefixed(length_prefixed(*parts), len(parts)) == tuple(parts)


@given(PARTS, PARTS)
def test_two_lists_never_give_the_same_bytes(one: list[bytes], other: list[bytes]) -> None:
    assert (length_prefixed(*one) == length_prefixed(*other)) == (one == other)


@given(PARTS, st.integers(0, 6))
def test_another_number_of_parts_is_refused(parts: list[bytes], count: int) -> None:
    data = length_prefixed(*parts)
    if count == len(parts):
        return
    with pytest.raises(MalformedError):
        split_prefixed(data, count)


def test_parts_that_are_cut_anywhere_are_refused() -> None:
    data = length_prefixed(b"one", b"", b"three")
    for size in range(len(data)):
        with pytest.raises(MalformedError):
            split_prefixed(data[:size], 3)


def test_a_label_names_purpose_and_version() -> None:
    assert label("offer") == b"mentormesh/offer/v1\n"
    assert label("offer", 2) == b"mentormesh/offer/v2\n"


def test_a_hash_is_that_of_the_parts_joined() -> None:
    assert sha256(b"a", b"bc") == sha256(b"abc")
    assert sha256().hex().startswith("e3b0c44298fc1c14")
