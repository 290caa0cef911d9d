"""Before a name is shown, the mentee's device knows who agreed, to what, and who could have read the brief."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from protocol.agreement import propose
from protocol.bodies import AgreedBody, Agreement
from protocol.devices import MAX_DEVICE_LIFETIME_S, MAX_SEALING_LIFETIME_S
from protocol.e2ee.agreed import (
    AGREED_BYTES,
    AgreedProof,
    ForeignReaderError,
    SentBrief,
    check_agreed,
    open_agreed,
    seal_agreed,
)
from protocol.e2ee.consent import Consent, consent_hash, open_consent
from protocol.e2ee.keys import ReplyKey
from protocol.e2ee.mls.engine import MlsCrypto
from protocol.encoding import MAX_SAFE_INTEGER, b64, encode, sha256, unb64
from protocol.errors import LimitError, UnverifiedError
from protocol.messages import CheckpointRef, MessageHead, body_hash, sign_message

from .damage import flipped
from .people import (
    AUDIENCE,
    CONTEXT,
    MENTEE,
    MENTOR,
    NOW,
    OTHER_AUDIENCE,
    OTHER_HASH,
    OTHER_ID,
    REF,
    REPLY,
    SLOT,
    STRANGER,
    THREAD,
    agreement,
    consent_text,
    private,
    proof,
    seed,
    sent,
)
from .test_brief import LONG_CONSUMER, LONG_PROVIDER


def sealed() -> str:
    return seal_agreed(private(), REPLY.public, CONTEXT, ref=REF, audience=AUDIENCE)


def test_the_private_part_comes_back_for_the_reply_key_of_the_brief() -> None:
    assert open_agreed(sealed(), REPLY, CONTEXT, ref=REF, audience=AUDIENCE) == private()


@pytest.mark.parametrize(
    ("key", "context", "ref", "audience"),
    [
        pytest.param(ReplyKey(seed("other")), CONTEXT, REF, AUDIENCE, id="another key"),
        pytest.param(REPLY, replace(CONTEXT, thread=OTHER_ID), REF, AUDIENCE, id="another thread"),
        pytest.param(REPLY, replace(CONTEXT, provider="https://birch.example"), REF, AUDIENCE, id="another node"),
        pytest.param(REPLY, CONTEXT, OTHER_ID, AUDIENCE, id="another ref"),
        pytest.param(REPLY, CONTEXT, REF, OTHER_AUDIENCE, id="another audience"),
    ],
)
def test_the_private_part_opens_nowhere_else(key: ReplyKey, context: object, ref: str, audience: str) -> None:
    with pytest.raises(UnverifiedError):
        open_agreed(sealed(), key, context, ref=ref, audience=audience)  # type: ignore[arg-type] # from the table


@pytest.mark.slow
def test_a_changed_byte_in_the_private_part_is_refused() -> None:
    for damaged in flipped(unb64(sealed()), step=23):
        with pytest.raises(UnverifiedError):
            open_agreed(b64(damaged), REPLY, CONTEXT, ref=REF, audience=AUDIENCE)


def test_a_whole_chain_names_the_mentor() -> None:
    mentor = check_agreed(proof(), agreement(), sent(), now=NOW)
    assert mentor.label == MENTOR.account.label(AUDIENCE)
    assert mentor.master_key == MENTOR.account.master().public
    assert mentor.devices == (MENTOR.key().public,)
    assert (mentor.slot, mentor.consent) == (SLOT, consent_hash(consent_text()))


def test_two_devices_are_both_checked_and_either_may_consent() -> None:
    text = consent_text(MENTOR.key(2))
    mentor = check_agreed(proof(1, 2, consent=text), agreement(consent=consent_hash(text)), sent(1, 2), now=NOW)
    assert mentor.devices == (MENTOR.key(1).public, MENTOR.key(2).public)


def test_a_text_session_has_no_slot() -> None:
    text = consent_text(slot=None)
    about = agreement(consent=consent_hash(text), slot=None, format="text", window_s=259_200)
    assert check_agreed(proof(consent=text), about, sent(), now=NOW).slot is None


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(replace(sent(), sealed_to=(OTHER_HASH,)), id="another key"),
        pytest.param(replace(sent(), sealed_to=(*sent().sealed_to, OTHER_HASH)), id="one key more"),
        pytest.param(sent(1, 2), id="a second device that is not proven"),
        pytest.param(replace(sent(), sealed_to=()), id="no key at all"),
    ],
)
def test_a_key_that_the_mentor_does_not_own_stops_before_names(known: SentBrief) -> None:
    with pytest.raises(ForeignReaderError, match="someone else could read your brief") as caught:
        check_agreed(proof(), agreement(), known, now=NOW)
    assert caught.value.code == "foreign-reader"


def by_stranger(good: AgreedProof) -> AgreedProof:
    """Return the proof of a node that made up a mentor around the real one's identity."""
    return replace(good, devices=(STRANGER.proof(),), consent=consent_text(STRANGER.key()))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: replace(p, master_key=STRANGER.account.master().public.text), id="another master key"),
        pytest.param(lambda p: replace(p, identity=STRANGER.account.state_identity(AUDIENCE)), id="another identity"),
        pytest.param(
            lambda p: replace(p, identity=MENTOR.account.state_identity(OTHER_AUDIENCE)), id="identity elsewhere"
        ),
        pytest.param(by_stranger, id="devices of somebody else"),
        pytest.param(
            lambda p: replace(p, devices=(replace(p.devices[0], certificate=MENTOR.certificate(2)),)),
            id="statement by another device",
        ),
        pytest.param(lambda p: replace(p, consent=consent_text(STRANGER.key())), id="consent by a stranger"),
        pytest.param(lambda p: replace(p, consent=consent_text(MENTOR.key(2))), id="consent by an unproven device"),
        pytest.param(
            lambda p: replace(p, consent=consent_text(accepted=OTHER_HASH)), id="consent the node never named"
        ),
    ],
)
def test_a_broken_link_in_the_proof_is_refused(change: Callable[[AgreedProof], AgreedProof]) -> None:
    with pytest.raises(UnverifiedError):
        check_agreed(change(proof()), agreement(), sent(), now=NOW)


@pytest.mark.parametrize(
    "changed",
    [{"thread": OTHER_ID}, {"ref": OTHER_ID}, {"accepted": OTHER_HASH}, {"slot": SLOT + 1}, {"slot": None}],
    ids=str,
)
def test_a_consent_to_something_else_is_refused_though_the_agreement_names_it(changed: dict[str, object]) -> None:
    text = consent_text(**changed)
    with pytest.raises(UnverifiedError) as caught:
        check_agreed(proof(consent=text), agreement(consent=consent_hash(text)), sent(), now=NOW)
    assert caught.value.code == "wrong-consent"


@pytest.mark.parametrize(
    "changed",
    [
        {"thread": OTHER_ID},
        {"consumer": "https://birch.example"},
        {"provider": "https://birch.example"},
        {"accepted": OTHER_HASH},
        {"consent": None, "attested": "node"},
        {"consent": OTHER_HASH},
        {"slot": SLOT + 1_800},
    ],
    ids=str,
)
def test_an_agreement_about_something_else_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(UnverifiedError):
        check_agreed(proof(), agreement(**changed), sent(), now=NOW)


@pytest.mark.parametrize("now", [NOW + MAX_SEALING_LIFETIME_S, NOW + MAX_DEVICE_LIFETIME_S])
def test_a_proof_with_an_expired_statement_is_refused(now: int) -> None:
    with pytest.raises(UnverifiedError, match="expired"):
        check_agreed(proof(), agreement(), sent(), now=now)


def test_a_consent_opens_for_its_device_among_several() -> None:
    text = consent_text()
    expected = Consent(thread=THREAD, ref=REF, slot=SLOT, accepted=sent().accepted)
    assert open_consent(text, (STRANGER.key().public, MENTOR.key().public)) == expected
    with pytest.raises(UnverifiedError):
        open_consent(text, ())


def test_a_welcome_that_does_not_fit_is_refused() -> None:
    with pytest.raises(LimitError):
        seal_agreed(replace(private(), welcome=bytes(AGREED_BYTES)), REPLY.public, CONTEXT, ref=REF, audience=AUDIENCE)


def longest_agreement() -> Agreement:
    return agreement(
        consumer=LONG_CONSUMER,
        provider=LONG_PROVIDER,
        slot=253402300799,
        format="in-person",
        length=60,
        attested="device",
        agreed_at=253402300799,
    )


def welcome_for_three() -> bytes:
    """Return the welcome of a real group with three devices of the mentee."""
    engine = MlsCrypto()
    own, _ = engine.prepare(MENTOR.key(), MENTOR.certificate(), now=NOW, entropy=seed("own"))
    devices = [
        engine.prepare(MENTEE.key(number), MENTEE.certificate(number), now=NOW, entropy=seed(f"device {number}"))[1]
        for number in (1, 2, 3)
    ]
    group = bytes(32)
    return engine.start(own, devices, context=group, check=lambda _: None, now=NOW, entropy=seed("group"))[1]


def test_the_longest_agreement_fits_its_32_kib_with_two_devices_and_the_largest_group() -> None:
    welcome = welcome_for_three()
    part = replace(private(1, 2), welcome=welcome)
    body = AgreedBody(
        agreement=propose(longest_agreement(), MENTOR.key()),
        private=seal_agreed(part, REPLY.public, CONTEXT, ref=REF, audience=AUDIENCE),
    )
    head = MessageHead(
        mid="019b6e5c-7c00-7abc-8def-0123456789ab",
        aud=LONG_CONSUMER,
        thread=THREAD,
        side="provider",
        seq=1_000,
        prev=b64(sha256(b"prev")),
        seen=b64(sha256(b"seen")),
        deadline=253402300799,
        type="agree",
        body_hash=body_hash(body),
        checkpoint=CheckpointRef(origin="o" * 300, size=MAX_SAFE_INTEGER, root=b64(sha256(b"root"))),
    )
    assert len(sign_message(head, body, MENTOR.key()).item) == 32_768
    assert len(encode(part.proof)) + len(welcome) + 12 <= AGREED_BYTES
