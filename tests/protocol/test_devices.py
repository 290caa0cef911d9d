"""A chain of keys holds only whole: for this audience, at this time, about these keys."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from protocol import jws
from protocol.devices import (
    DEVICE_TYP,
    IDENTITY_TYP,
    MAX_DEVICE_LIFETIME_S,
    MAX_SEALING_LIFETIME_S,
    MAX_SKEW_S,
    SEALING_KEY_TYP,
    DeviceCertificate,
    Enrolment,
    StatedKey,
    open_device,
    open_enrolment,
    open_identity,
    open_sealing_key,
    open_stated_key,
    sign_device,
    sign_sealing_key,
)
from protocol.e2ee.keys import PersonSealingKey, enrol
from protocol.encoding import decode, encode
from protocol.errors import MalformedError, MeshError, UnverifiedError

from .e2ee.damage import flipped
from .e2ee.people import AUDIENCE, MENTOR, NOW, OTHER_AUDIENCE, STRANGER, seed

IDENTITY = MENTOR.account.identity(AUDIENCE).public
MASTER = MENTOR.account.master().public
DEVICE = MENTOR.key().public


def mentor_enrolment(keys: int = 2) -> Enrolment:
    sealing = tuple(PersonSealingKey(seed(f"sealing {number}")) for number in range(keys))
    return enrol(MENTOR.account, MENTOR.device(), sealing, audience=AUDIENCE, now=NOW)


def test_the_identity_statement_opens_with_the_master_key_and_names_the_identity_key() -> None:
    statement = open_identity(MENTOR.account.state_identity(AUDIENCE), MASTER, audience=AUDIENCE)
    assert (statement.identity_key, statement.seq) == (IDENTITY.text, 1)
    assert statement.label == MENTOR.account.label(AUDIENCE)


def test_an_identity_statement_by_another_master_key_is_refused() -> None:
    with pytest.raises(UnverifiedError, match="another key"):
        open_identity(STRANGER.account.state_identity(AUDIENCE), MASTER, audience=AUDIENCE)


def test_an_identity_statement_for_another_audience_is_refused() -> None:
    with pytest.raises(UnverifiedError, match="another audience"):
        open_identity(MENTOR.account.state_identity(OTHER_AUDIENCE), MASTER, audience=AUDIENCE)


def test_a_certificate_holds_from_its_first_second_to_its_last() -> None:
    text = MENTOR.certificate()
    for now in (NOW - MAX_SKEW_S, NOW, NOW + MAX_DEVICE_LIFETIME_S - 1):
        certificate = open_device(text, IDENTITY, audience=AUDIENCE, now=now)
        assert certificate.device_key == DEVICE.text
        assert certificate.device_id == MENTOR.device().device_id(AUDIENCE)


@pytest.mark.parametrize(
    ("now", "code"),
    [(NOW - MAX_SKEW_S - 1, "not-yet-valid"), (NOW + MAX_DEVICE_LIFETIME_S, "expired")],
)
def test_a_certificate_out_of_its_time_is_refused(now: int, code: str) -> None:
    with pytest.raises(UnverifiedError) as caught:
        open_device(MENTOR.certificate(), IDENTITY, audience=AUDIENCE, now=now)
    assert caught.value.code == code


@pytest.mark.parametrize("lifetime", [-1, 0, MAX_DEVICE_LIFETIME_S + 1])
def test_a_certificate_of_no_or_too_long_a_life_cannot_exist(lifetime: int) -> None:
    fields = {
        "audience": AUDIENCE,
        "created_at": NOW,
        "device_id": MENTOR.device().device_id(AUDIENCE),
        "device_key": DEVICE.text,
        "expires_at": NOW + lifetime,
    }
    text = jws.sign(encode(fields), MENTOR.account.identity(AUDIENCE), DEVICE_TYP)
    with pytest.raises(MalformedError, match="must live"):
        open_device(text, IDENTITY, audience=AUDIENCE, now=NOW)


def test_a_certificate_by_another_identity_or_for_another_audience_is_refused() -> None:
    with pytest.raises(UnverifiedError, match="another key"):
        open_device(STRANGER.certificate(), IDENTITY, audience=AUDIENCE, now=NOW)
    other = MENTOR.account.identity(OTHER_AUDIENCE).public
    with pytest.raises(UnverifiedError, match="another audience"):
        open_device(MENTOR.certificate(audience=OTHER_AUDIENCE), other, audience=AUDIENCE, now=NOW)


def test_one_statement_is_never_read_as_another_kind() -> None:
    text = jws.sign(jws.parse(MENTOR.certificate(), DEVICE_TYP).payload, MENTOR.account.master(), IDENTITY_TYP)
    with pytest.raises(MalformedError):
        open_identity(text, MASTER, audience=AUDIENCE)
    with pytest.raises(MalformedError, match="must be of type"):
        open_identity(MENTOR.certificate(), IDENTITY, audience=AUDIENCE)


def test_a_sealing_key_statement_holds_until_it_expires() -> None:
    key = MENTOR.sealing().public
    text = sign_sealing_key(key, MENTOR.key(), expires_at=NOW + 10)
    stated = StatedKey(key=key.text, statement=text)
    assert open_stated_key(stated, DEVICE, now=NOW + 9) == key
    with pytest.raises(UnverifiedError, match="expired"):
        open_stated_key(stated, DEVICE, now=NOW + 10)


def test_a_sealing_key_statement_for_ever_is_refused() -> None:
    limit = NOW + MAX_SEALING_LIFETIME_S + MAX_SKEW_S
    open_sealing_key(sign_sealing_key(MENTOR.sealing().public, MENTOR.key(), expires_at=limit), DEVICE, now=NOW)
    text = sign_sealing_key(MENTOR.sealing().public, MENTOR.key(), expires_at=limit + 1)
    with pytest.raises(UnverifiedError, match="too long"):
        open_sealing_key(text, DEVICE, now=NOW)


def test_a_device_cannot_state_a_key_for_another_device() -> None:
    text = sign_sealing_key(MENTOR.sealing().public, MENTOR.key(), expires_at=NOW + 9)
    own = jws.parse(text, SEALING_KEY_TYP).payload
    with pytest.raises(UnverifiedError, match="another device"):
        open_sealing_key(jws.sign(own, STRANGER.key(), SEALING_KEY_TYP), STRANGER.key().public, now=NOW)


def test_an_enrolment_is_checked_from_the_identity_key_to_every_sealing_key() -> None:
    enrolment = mentor_enrolment(32)
    assert open_enrolment(enrolment, audience=AUDIENCE, now=NOW).device_key == DEVICE.text
    assert decode(encode(enrolment), Enrolment) == enrolment


def swap_sealing(enrolment: Enrolment) -> Enrolment:
    """Return it with the last key under the first key's statement."""
    first, last = enrolment.sealing
    return replace(enrolment, sealing=(first, StatedKey(key=last.key, statement=first.statement)))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda e: replace(e, identity_key=DEVICE.text), id="another identity key"),
        pytest.param(lambda e: replace(e, certificate=STRANGER.certificate()), id="certificate of somebody else"),
        pytest.param(lambda e: replace(e, certificate=MENTOR.certificate(2)), id="certificate of another device"),
        pytest.param(swap_sealing, id="a key that its statement does not name"),
    ],
)
def test_an_enrolment_with_a_broken_link_is_refused(change: Callable[[Enrolment], Enrolment]) -> None:
    with pytest.raises(UnverifiedError):
        open_enrolment(change(mentor_enrolment()), audience=AUDIENCE, now=NOW)


@pytest.mark.parametrize("keys", [0, 33])
def test_an_enrolment_takes_1_to_32_sealing_keys(keys: int) -> None:
    with pytest.raises(MalformedError):
        decode(encode(mentor_enrolment(keys)), Enrolment)


def test_a_changed_character_anywhere_in_a_statement_is_refused() -> None:
    text = MENTOR.certificate().encode()
    for damaged in flipped(text):
        with pytest.raises(MeshError):
            open_device(damaged.decode("latin-1"), IDENTITY, audience=AUDIENCE, now=NOW)


def test_a_certificate_signed_anew_with_other_dates_opens_only_for_its_signer() -> None:
    certificate = open_device(MENTOR.certificate(), IDENTITY, audience=AUDIENCE, now=NOW)
    longer = replace(certificate, expires_at=certificate.expires_at - 1)
    assert isinstance(longer, DeviceCertificate)
    with pytest.raises(UnverifiedError):
        open_device(sign_device(longer, STRANGER.key()), IDENTITY, audience=AUDIENCE, now=NOW)
