"""Tests of the statement by which a device lets another certificate into the account."""

import pytest
from msgspec.structs import replace

from protocol import jws
from protocol.authorization import (
    AUTHORIZATION_TYP,
    MAX_AGE_S,
    MAX_SKEW_S,
    Authorization,
    certificate_name,
    check_authorization,
    sign_authorization,
    sign_in_name,
)
from protocol.encoding import b64, encode
from protocol.errors import MalformedError, UnverifiedError
from protocol.signing import SigningKey

NOW = 1_800_000_000
DEVICE = SigningKey(bytes(range(32)))
CERTIFICATE = "a.certificate.text"
SIGN_IN = sign_in_name(b64(bytes(32)))
GOOD = Authorization(certificate=certificate_name(CERTIFICATE), sign_in=SIGN_IN, created_at=NOW)


def check(text: str, *, device: SigningKey = DEVICE, now: int = NOW) -> None:
    check_authorization(text, device.public, certificate=CERTIFICATE, sign_in=SIGN_IN, now=now)


@pytest.mark.parametrize("age", [0, MAX_AGE_S, -MAX_SKEW_S])
def test_a_statement_about_this_certificate_and_sign_in_holds_for_ten_minutes(age: int) -> None:
    check(sign_authorization(GOOD, DEVICE), now=NOW + age)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"certificate": certificate_name("another")}, "wrong-certificate"),
        ({"sign_in": sign_in_name(b64(bytes([1] * 32)))}, "wrong-sign-in"),
        ({"created_at": NOW - MAX_AGE_S - 1}, "expired"),
        ({"created_at": NOW + MAX_SKEW_S + 1}, "expired"),
    ],
)
def test_a_statement_about_something_else_is_refused(changed: dict[str, str], code: str) -> None:
    with pytest.raises(UnverifiedError) as caught:
        check(sign_authorization(replace(GOOD, **changed), DEVICE))
    assert caught.value.code == code


def test_another_key_or_another_kind_of_statement_is_refused() -> None:
    with pytest.raises(UnverifiedError):
        check(sign_authorization(GOOD, SigningKey(bytes(32))))
    with pytest.raises(MalformedError, match="type"):
        check(jws.sign(encode(GOOD), DEVICE, "mentormesh-device+jws"))
    with pytest.raises(MalformedError):
        check(jws.sign(b"{}", DEVICE, AUTHORIZATION_TYP))


def test_a_changed_statement_is_refused() -> None:
    head, _, signature = sign_authorization(GOOD, DEVICE).split(".")
    forged = b64(encode(replace(GOOD, created_at=NOW + 1)))
    with pytest.raises(UnverifiedError):
        check(f"{head}.{forged}.{signature}")


def test_the_name_of_a_sign_in_is_not_its_token() -> None:
    token = b64(bytes(range(32)))
    assert sign_in_name(token) != token
    assert len(sign_in_name(token)) == 43
    for wrong in ("", token[:-1], f"{token}="):
        with pytest.raises(MalformedError):
            sign_in_name(wrong)
