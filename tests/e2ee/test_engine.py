"""MLS as a session engine: every rule of docs/protocol/45-sessions.md §4, and what §5 and §7 of 48-mls.md add."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.e2ee.crypto import Member, Own, Received, SessionCrypto
from protocol.e2ee.keys import DeviceKey
from protocol.e2ee.mls.engine import MlsCrypto, Session
from protocol.envelope import MAX_CIPHERTEXT_BYTES
from protocol.errors import MalformedError, MeshError, RefusedError, UnverifiedError
from tests.protocol.e2ee.damage import cut, flipped
from tests.protocol.e2ee.people import MENTEE, MENTOR, NOW, STRANGER

from .engine_people import (
    ADA,
    ADA_PHONE,
    CEM,
    CEM_PHONE,
    CONTEXT,
    DRAWS,
    ENGINE,
    EVE,
    OTHER_CONTEXT,
    Device,
    change,
    check,
    device,
    group,
    hear,
    join,
    read,
    refused,
    say,
)


def test_the_engine_has_the_shape_of_a_session_engine() -> None:
    engine: SessionCrypto[Session] = MlsCrypto()
    assert engine.name == "mls-1"


def test_both_sides_read_each_other_in_the_suite_that_the_product_uses() -> None:
    engine = MlsCrypto()
    mentor, mentee = device(MENTOR, engine=engine), device(MENTEE, engine=engine)
    cem, ada = group(mentee, start=mentor, engine=engine)
    cem, first = say(cem, b"from Cem")
    ada, event = hear(ada, first)
    assert isinstance(event, Received)
    assert event == Received(sender=mentor.name, epoch=1, counter=0, frame=b"from Cem", proof=event.proof)
    assert engine.proven(event.proof, b"from Cem", device=mentor.name) == CONTEXT
    for frame, device_key in ((b"from Ada", mentor.name), (b"from Cem", mentee.name)):
        with pytest.raises(UnverifiedError):
            engine.proven(event.proof, frame, device=device_key)
    ada, commit = change(ada)
    cem, _ = hear(cem, commit)
    ada, _ = hear(ada, commit)
    ada, second = say(ada, b"from Ada")
    cem, event = hear(cem, second)
    assert isinstance(event, Received)
    assert event == Received(sender=mentee.name, epoch=2, counter=0, frame=b"from Ada", proof=event.proof)


def test_four_devices_of_two_people_read_everything() -> None:
    states = group(ADA, ADA_PHONE, CEM_PHONE)
    for at in range(4):
        states[at], data = say(states[at], b"to all")
        for other in set(range(4)) - {at}:
            states[other], text = read(states[other], data)
            assert text == b"to all"
    members = (CEM, ADA, ADA_PHONE, CEM_PHONE)
    assert [member.device for member in ENGINE.members(states[3])] == [one.name for one in members]


def test_members_carry_the_certificates_that_were_checked() -> None:
    ada = group(ADA)[1]
    expected = (
        Member(device=CEM.name, certificate=MENTOR.certificate()),
        Member(device=ADA.name, certificate=MENTEE.certificate()),
    )
    assert ENGINE.members(ada) == expected


def test_the_largest_frame_fits_an_envelope() -> None:
    assert len(say(group(ADA)[0], bytes(65_536))[1]) <= MAX_CIPHERTEXT_BYTES


# Messages


@pytest.mark.slow
def test_a_changed_byte_anywhere_is_refused_and_the_genuine_message_still_opens() -> None:
    cem, ada = group(ADA)
    _, genuine = say(cem)
    for damaged in (*flipped(genuine), *cut(genuine)):
        refused(ada, damaged)
    assert read(ada, genuine)[1] == b"hello"


@pytest.mark.parametrize("junk", [b"", b"\x00", bytes(100), b"\xff" * 100, CEM.package, ADA.own.secret], ids=len)
def test_junk_is_refused_and_changes_nothing(junk: bytes) -> None:
    refused(group(ADA)[1], junk)


def test_a_message_is_read_once() -> None:
    cem, ada = group(ADA)
    _, data = say(cem)
    ada, _ = hear(ada, data)
    refused(ada, data, "replayed")


def test_ones_own_message_coming_back_is_refused() -> None:
    cem, _ = group(ADA)
    refused(*say(cem))


@settings(max_examples=15)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_in_any_order_with_any_repeats_each_message_is_read_exactly_once(order: list[int]) -> None:
    cem, ada = group(ADA)
    messages = []
    for _ in range(10):
        cem, data = say(cem)
        messages.append(data)
    seen: list[int] = []
    for at in order:
        if at in seen:
            refused(ada, messages[at], "replayed")
            continue
        ada, event = hear(ada, messages[at])
        assert isinstance(event, Received)
        seen.append(event.counter)
    assert sorted(seen) == sorted(set(order))


def test_a_message_of_another_session_is_refused() -> None:
    _, ada = group(ADA)
    other_cem, other_ada = group(ADA, context=OTHER_CONTEXT)
    _, data = say(other_cem)
    refused(ada, data, "mls-epoch")
    assert read(other_ada, data)[1] == b"hello"


def test_a_message_of_a_group_with_other_members_is_refused() -> None:
    _, ada = group(ADA)
    refused(ada, say(group(ADA, ADA_PHONE)[0])[1], "mls-epoch")


# Starting and joining


def welcome_for(*others: Device, context: bytes = CONTEXT, start: Device = CEM) -> bytes:
    packages = [other.package for other in others]
    return ENGINE.start(start.own, packages, context=context, check=lambda _: None, now=NOW, entropy=next(DRAWS))[1]


def test_a_welcome_for_another_agreement_is_refused() -> None:
    with pytest.raises(UnverifiedError) as caught:
        join(welcome_for(ADA, context=OTHER_CONTEXT))
    assert caught.value.code == "wrong-context"


@pytest.mark.parametrize(
    "welcome", [welcome_for(ADA, EVE), welcome_for(ADA, start=EVE)], ids=["a member", "the starter"]
)
def test_a_welcome_with_a_device_that_was_not_checked_is_refused(welcome: bytes) -> None:
    with pytest.raises(UnverifiedError) as caught:
        join(welcome)
    assert caught.value.code == "unknown-member"


def test_a_welcome_for_somebody_else_is_refused() -> None:
    with pytest.raises(MeshError):
        join(welcome_for(ADA_PHONE))
    with pytest.raises(MeshError):
        join(welcome_for(ADA), own=CEM.own)


@pytest.mark.slow
def test_a_changed_or_cut_welcome_is_refused() -> None:
    welcome = welcome_for(ADA)
    for damaged in (*flipped(welcome, step=3), *cut(welcome, step=31)):
        with pytest.raises(MeshError):
            join(damaged)


def test_a_key_package_belongs_to_the_device_that_made_it() -> None:
    thief = Own(device=STRANGER.key(), secret=ADA.own.secret)
    with pytest.raises(MalformedError, match="another device"):
        join(welcome_for(ADA), own=thief)
    with pytest.raises(MalformedError, match="another device"):
        ENGINE.start(thief, [CEM.package], context=CONTEXT, check=check, now=NOW, entropy=next(DRAWS))
    changed = ADA.package.replace(MENTEE.key().public.raw, STRANGER.key().public.raw)
    with pytest.raises(UnverifiedError):
        ENGINE.start(CEM.own, [changed], context=CONTEXT, check=lambda _: None, now=NOW, entropy=next(DRAWS))


@pytest.mark.parametrize(
    ("others", "error"),
    [
        pytest.param((CEM.package,), MeshError, id="oneself"),
        pytest.param((ADA.package, ADA.package), MeshError, id="somebody twice"),
        pytest.param((EVE.package,), UnverifiedError, id="somebody unchecked"),
        pytest.param((device(MENTEE, engine=MlsCrypto()).package,), UnverifiedError, id="another suite"),
        pytest.param((ADA.package[:-1],), MalformedError, id="a short key package"),
        pytest.param((ADA.package + b"\x00",), MalformedError, id="a long key package"),
        pytest.param((b"\xff" * 300,), MalformedError, id="not a key package"),
    ],
)
def test_a_group_of_wrong_members_cannot_be_started(others: tuple[bytes, ...], error: type[MeshError]) -> None:
    with pytest.raises(error):
        ENGINE.start(CEM.own, others, context=CONTEXT, check=check, now=NOW, entropy=next(DRAWS))


@pytest.mark.parametrize("late", [-7200, 60 * 86_400 + 7200], ids=["too early", "too late"])
def test_a_key_package_outside_its_life_is_refused(late: int) -> None:
    with pytest.raises(UnverifiedError):
        ENGINE.start(CEM.own, [ADA.package], context=CONTEXT, check=check, now=NOW + late, entropy=next(DRAWS))


def test_a_context_of_another_size_is_a_programming_mistake() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ENGINE.start(CEM.own, [ADA.package], context=b"short", check=check, now=NOW, entropy=next(DRAWS))


# Storing and closing


def test_a_state_survives_the_vault_with_a_change_under_way() -> None:
    cem, ada = group(ADA)
    ada, commit = change(ada)
    cem, first = say(cem)
    ada = ENGINE.load(ENGINE.dump(ada))
    ada, _ = hear(ada, first)
    refused(ENGINE.load(ENGINE.dump(ada)), first, "replayed")
    ada, _ = hear(ENGINE.load(ENGINE.dump(ada)), commit)
    cem, _ = hear(ENGINE.load(ENGINE.dump(cem)), commit)
    assert read(ada, say(cem, b"again")[1])[1] == b"again"


def test_a_state_that_was_kept_without_its_mark_shows_the_same_mark() -> None:
    cem, _ = group(ADA)
    assert cem.group is not None
    version, kept, *more = msgspec.msgpack.decode(ENGINE.dump(cem), strict=False)
    assert kept.pop() == cem.group.marked
    older = ENGINE.load(msgspec.msgpack.encode([version, kept, *more]))
    assert ENGINE.mark(older) == ENGINE.mark(cem)


def test_a_closed_session_has_no_keys_and_neither_sends_nor_reads() -> None:
    cem, ada = group(ADA)
    _, data = say(cem)
    ada, _ = change(ada)
    closed = ENGINE.close(ada)
    assert len(ENGINE.dump(closed)) < 10
    for state in (closed, ENGINE.load(ENGINE.dump(closed))):
        assert ENGINE.is_closed(state)
        assert not ENGINE.wants_update(state, now=NOW)
        assert ENGINE.forget(state, now=NOW) is state
        refused(state, data, "closed")
        with pytest.raises(RefusedError) as caught:
            say(state)
        assert caught.value.code == "closed"


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\xc1", b"\xff" * 40, ENGINE.dump(group(ADA)[0])[:-1], ENGINE.dump(group(ADA)[0]) + b"\x00"]
)
def test_a_damaged_state_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        ENGINE.load(data)


def test_a_state_of_another_version_is_refused() -> None:
    state = msgspec.structs.replace(group(ADA)[0], version=2)
    with pytest.raises(MalformedError):
        ENGINE.load(ENGINE.dump(state))


def test_no_secret_shows_in_a_printed_state() -> None:
    ada, _ = change(group(ADA)[1])
    shown = repr(ada)
    for secret in (DeviceKey(MENTEE.key().seed).seed, ADA.own.secret[4:36]):
        assert repr(secret)[2:-1] not in shown
    assert len(shown) < 100
