"""Properties of signed messages that a list of cases cannot show (vectors: test_httpsig_vectors.py)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol import httpsig
from protocol.digest import content_digest
from protocol.errors import MeshError
from protocol.httpsig import (
    RequestLine,
    parse_request,
    parse_response,
    sign_request,
    sign_response,
    verify_request,
    verify_response,
)
from protocol.signature_errors import BadSignatureError, TargetError
from protocol.signing import SigningKey

NOW = 1_800_000_000
CALLER = SigningKey(bytes(range(32)))
SERVER = SigningKey(bytes(range(1, 33)))

PATHS = st.text(st.sampled_from("abz09-._~!$&'()*+,;=:@/%\"<>[]\\^`{|}"), max_size=20).map(lambda text: f"/{text}")
QUERIES = st.text(st.sampled_from("abz09-._~?/%=&"), max_size=12).map(lambda text: f"?{text}" if text else "")
TARGETS = st.builds(lambda path, query: path + query, PATHS, QUERIES)


def line(target: str = "/federation/v1/messages", method: str = "POST") -> RequestLine:
    return RequestLine(method=method, authority="birch.example", target=target)


def take(headers: dict[str, str]) -> None:
    verify_request(parse_request(headers.items()), line(), b"x", key=CALLER.public, now=NOW)


@pytest.mark.slow
@given(target=TARGETS, body=st.binary(max_size=64), nonce=st.binary(min_size=16, max_size=16))
def test_what_is_signed_verifies_in_both_directions(target: str, body: bytes, nonce: bytes) -> None:
    sent = sign_request(line(target), body, "application/json" if body else None, key=CALLER, now=NOW, nonce=nonce)
    signed = parse_request(sent.headers.items())
    asked = verify_request(signed, line(target), body, key=CALLER.public, now=NOW)
    assert asked == sent.asked
    assert signed.render() == sent.headers
    answer = sign_response(200, body, asked=asked, key=SERVER, now=NOW)
    back = parse_response(answer.items())
    verify_response(back, 200, body, asked=sent.asked, key=SERVER.public, now=NOW)
    assert back.render() == answer


@given(target=TARGETS, other=TARGETS)
def test_a_signature_is_good_for_one_target_only(target: str, other: str) -> None:
    sent = sign_request(line(target), b"x", "text/plain", key=CALLER, now=NOW, nonce=bytes(16))
    signed = parse_request(sent.headers.items())
    if other == target:
        return
    with pytest.raises(BadSignatureError):
        verify_request(signed, line(other), b"x", key=CALLER.public, now=NOW)


def test_the_parameters_mean_the_same_in_every_order() -> None:
    sent = sign_request(line(), b"x", "text/plain", key=CALLER, now=NOW, nonce=bytes(16))
    own = parse_request(sent.headers.items())
    covered, *parameters = sent.headers["signature-input"].split(";")
    for order in itertools.permutations(parameters):
        moved = ";".join([covered, *order])
        other = parse_request({**sent.headers, "signature-input": moved}.items())
        assert other == replace(own, parameters=moved.removeprefix("sig1="))


@given(place=st.integers(0, 400), character=st.characters(min_codepoint=1, max_codepoint=300))
def test_no_change_of_one_character_gets_through(place: int, character: str) -> None:
    sent = sign_request(line(), b"x", "text/plain", key=CALLER, now=NOW, nonce=bytes(16))
    for name in ("signature-input", "signature", "content-digest", "content-type"):
        value = sent.headers[name]
        at = place % len(value)
        changed = value[:at] + character + value[at + 1 :]
        if changed == value:
            continue
        with pytest.raises(MeshError):
            take({**sent.headers, name: changed})


@given(st.text(max_size=60))
def test_any_text_as_signature_ends_in_an_expected_error(text: str) -> None:
    for name in ("signature-input", "signature"):
        headers = {"signature-input": "sig1=()", "signature": "sig1=::", "content-digest": content_digest(b"")}
        with pytest.raises(MeshError):
            parse_request({**headers, name: text}.items())


def test_the_body_of_a_request_decides_whether_it_has_a_type() -> None:
    with pytest.raises(ValueError, match="content type"):
        sign_request(line(), b"", "text/plain", key=CALLER, now=NOW, nonce=bytes(16))
    with pytest.raises(ValueError, match="content type"):
        sign_request(line(), b"x", None, key=CALLER, now=NOW, nonce=bytes(16))


def test_a_nonce_of_another_size_is_a_programming_mistake() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        sign_request(line(), b"", None, key=CALLER, now=NOW, nonce=bytes(15))


@pytest.mark.parametrize("target", ["", "x", "//ok?", "/a b", "/ä", "/a\n", "/a\x00", "http://birch.example/"])
def test_only_a_path_with_an_optional_query_is_a_target(target: str) -> None:
    with pytest.raises(TargetError):
        line(target)


def test_no_error_repeats_what_was_sent() -> None:
    secret = "mallory-was-here"
    for name in ("signature-input", "signature", "content-digest", "content-type"):
        sent = sign_request(line(), b"x", "text/plain", key=CALLER, now=NOW, nonce=bytes(16))
        with pytest.raises(MeshError) as refusal:
            take({**sent.headers, name: secret})
        assert secret not in str(refusal.value)


def test_a_life_is_as_long_as_the_page_says() -> None:
    assert (httpsig.MAX_LIFETIME_S, httpsig.MAX_SKEW_S) == (300, 60)
