"""Signed statements: nobody reads a payload whose signature does not hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import jws
from protocol.encoding import b64, sha256
from protocol.errors import MalformedError, MeshError, UnverifiedError
from protocol.signing import SigningKey

from .e2ee.damage import flipped

TYP = "mentormesh-example+jws"
ALICE, BOB = SigningKey(sha256(b"alice")), SigningKey(sha256(b"bob"))
TEXT = jws.sign(b'{"number":1}', ALICE, TYP)
BOTH = jws.add_signature(jws.sign_general(b"{}", ALICE, TYP), BOB, TYP)


@given(st.binary(max_size=200))
def test_whoever_signed_is_verified_and_the_payload_is_what_it_was(payload: bytes) -> None:
    assert jws.parse(jws.sign(payload, ALICE, TYP), TYP).verify(ALICE.public) == payload
    assert jws.verify_general(jws.sign_general(payload, ALICE, TYP), (ALICE.public,), TYP) == payload


def test_a_compact_jws_changed_in_any_byte_is_refused() -> None:
    for wrong in flipped(TEXT.encode()):
        with pytest.raises(MeshError) as caught:
            jws.parse(wrong.decode("latin-1"), TYP).verify(ALICE.public)
        assert isinstance(caught.value, MalformedError | UnverifiedError)


def test_a_general_jws_changed_in_any_byte_is_refused() -> None:
    for wrong in flipped(BOTH):
        with pytest.raises((MalformedError, UnverifiedError)):
            jws.verify_general(wrong, (ALICE.public, BOB.public), TYP)


def test_a_jws_of_another_key_is_refused_before_its_payload_is_seen() -> None:
    with pytest.raises(UnverifiedError, match="names another key"):
        jws.parse(TEXT, TYP).verify(BOB.public)


def test_a_jws_of_another_type_is_refused() -> None:
    with pytest.raises(MalformedError, match="must be of type mentormesh-other"):
        jws.parse(TEXT, "mentormesh-other+jws")


def test_a_jws_over_64_kib_is_refused_before_it_is_read() -> None:
    parts = jws.sign(bytes(48_900), ALICE, TYP)
    assert len(jws.parse(parts, TYP).payload) == 48_900
    with pytest.raises(MalformedError, match="too long"):
        jws.parse(jws.sign(bytes(49_100), ALICE, TYP), TYP)


def test_the_longest_jws_is_told_from_a_longer_one_by_one_character() -> None:
    with pytest.raises(MalformedError, match="three parts"):
        jws.parse("A" * 65_536, TYP)
    with pytest.raises(MalformedError, match="too long"):
        jws.parse("A" * 65_537, TYP)


def test_a_second_signature_leaves_the_payload_and_the_first_as_they_were() -> None:
    one = jws.sign_general(b"{}", ALICE, TYP)
    assert BOTH.startswith(one[:-2])
    assert jws.verify_general(BOTH, (ALICE.public, BOB.public), TYP) == b"{}"


def test_a_third_signature_cannot_be_added() -> None:
    with pytest.raises(MalformedError, match="one signature before the second"):
        jws.add_signature(BOTH, ALICE, TYP)


@pytest.mark.parametrize("keys", [(), (ALICE,), (BOB, ALICE), (ALICE, ALICE), (ALICE, BOB, ALICE)])
def test_exactly_the_keys_that_signed_are_accepted_in_their_order(keys: tuple[SigningKey, ...]) -> None:
    with pytest.raises(UnverifiedError):
        jws.verify_general(BOTH, tuple(key.public for key in keys), TYP)


def test_a_signature_is_bound_to_its_place_in_the_text() -> None:
    header, payload, signature = TEXT.split(".")
    for wrong in (
        f"{payload}.{header}.{signature}",
        f"{header}.{payload}A.{signature}",
        f"{header}.{b64(b'')}.{signature}",
    ):
        with pytest.raises((MalformedError, UnverifiedError)):
            jws.parse(wrong, TYP).verify(ALICE.public)
