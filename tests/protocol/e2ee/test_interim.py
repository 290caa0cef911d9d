"""The negative suite of a session engine: whatever is refused leaves the state as it was, and genuine messages open."""

import itertools
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import contexts
from protocol.e2ee.content import seal_content
from protocol.e2ee.crypto import Own, Received, SessionCrypto
from protocol.e2ee.interim import (
    HEAD_BYTES,
    MAX_MEMBERS,
    PACKAGE_BYTES,
    WINDOW,
    WRAP_BYTES,
    Group,
    InterimCrypto,
)
from protocol.e2ee.keys import DeviceKey
from protocol.encoding import label, length_prefixed
from protocol.envelope import MAX_CIPHERTEXT_BYTES
from protocol.errors import MalformedError, MeshError, RefusedError, UnverifiedError
from protocol.sealing import SealingPublicKey, info

from .damage import cut, flipped
from .people import ACCEPTED, MENTEE, MENTOR, OTHER_HASH, STRANGER, THREAD, seed

ENGINE = InterimCrypto()
CONTEXT = contexts.session(thread=THREAD, accepted=ACCEPTED, consent=OTHER_HASH)
OTHER_CONTEXT = contexts.session(thread=THREAD, accepted=OTHER_HASH, consent=OTHER_HASH)
KEYS = (seed(f"message key {number}") for number in itertools.count())


class Member(NamedTuple):
    own: Own
    package: bytes


def member(device: DeviceKey, name: str = "") -> Member:
    return Member(*ENGINE.prepare(device, entropy=seed(f"session {device.public.text} {name}")))


ADA, ADA_PHONE = member(MENTEE.key(1)), member(MENTEE.key(2))
CEM, CEM_PHONE = member(MENTOR.key(1)), member(MENTOR.key(2))
EVE = member(STRANGER.key())
ALLOWED = tuple(one.own.device.public.text for one in (ADA, ADA_PHONE, CEM, CEM_PHONE))


def group(*others: Member, context: bytes = CONTEXT) -> tuple[Group, ...]:
    """Return the states of Cem, who starts, and of the others, who join."""
    packages = tuple(other.package for other in others)
    started, welcome = ENGINE.start(CEM.own, packages, context=context, entropy=seed("start"))
    joined = (ENGINE.join(other.own, welcome, context=context, allowed=ALLOWED) for other in others)
    return started, *joined


def pair() -> tuple[Group, ...]:
    return group(ADA)


def send(state: Group, text: bytes = b"hello") -> tuple[Group, bytes]:
    return ENGINE.encrypt(state, text, entropy=next(KEYS))


def refused(state: Group, ciphertext: bytes) -> None:
    """Assert that the message is refused and that the state is as it was."""
    before = ENGINE.dump(state)
    with pytest.raises(MeshError):
        ENGINE.receive(state, ciphertext)
    assert ENGINE.dump(state) == before


def test_the_engine_has_the_shape_of_a_session_engine() -> None:
    engine: SessionCrypto[Group] = ENGINE
    assert engine.name == "interim-1"


def test_both_sides_read_each_other() -> None:
    cem, ada = pair()
    cem, first = send(cem, b"from Cem")
    ada, event = ENGINE.receive(ada, first)
    assert event == Received(sender=MENTOR.key().public.text, counter=1, frame=b"from Cem")
    ada, second = send(ada, b"from Ada")
    cem, event = ENGINE.receive(cem, second)
    assert event == Received(sender=MENTEE.key().public.text, counter=1, frame=b"from Ada")


def test_four_devices_of_two_people_read_everything() -> None:
    states = list(group(ADA, ADA_PHONE, CEM_PHONE))
    for at in range(MAX_MEMBERS):
        states[at], ciphertext = send(states[at], b"to all")
        for other in set(range(MAX_MEMBERS)) - {at}:
            states[other], event = ENGINE.receive(states[other], ciphertext)
            assert event.frame == b"to all"
    assert ENGINE.members(states[3]) == tuple(one.own.device.public.text for one in (CEM, ADA, ADA_PHONE, CEM_PHONE))


def test_the_largest_frame_to_the_largest_group_fits_an_envelope() -> None:
    states = group(ADA, ADA_PHONE, CEM_PHONE)
    assert len(send(states[0], bytes(65_536))[1]) <= MAX_CIPHERTEXT_BYTES


def test_a_state_survives_the_vault() -> None:
    cem, ada = pair()
    cem, first = send(cem)
    cem, ada = ENGINE.load(ENGINE.dump(cem)), ENGINE.load(ENGINE.dump(ada))
    ada, _ = ENGINE.receive(ada, first)
    refused(ENGINE.load(ENGINE.dump(ada)), first)
    _, second = send(cem)
    assert ENGINE.receive(ada, second)[1].counter == 2


@pytest.mark.slow
def test_a_changed_byte_anywhere_is_refused_and_the_genuine_message_still_opens() -> None:
    cem, ada = pair()
    _, genuine = send(cem)
    for damaged in flipped(genuine):
        refused(ada, damaged)
    assert ENGINE.receive(ada, genuine)[1].frame == b"hello"


@pytest.mark.slow
def test_a_changed_byte_in_what_others_read_is_refused_by_everybody() -> None:
    states = group(ADA, CEM_PHONE)
    _, genuine = send(states[0])
    for damaged in flipped(genuine, step=17):
        refused(states[1], damaged)
        refused(states[2], damaged)


@pytest.mark.slow
def test_a_message_cut_anywhere_or_longer_is_refused() -> None:
    cem, ada = pair()
    _, genuine = send(cem)
    for damaged in cut(genuine):
        refused(ada, damaged)
    assert ENGINE.receive(ada, genuine)[1].frame == b"hello"


def test_a_message_is_read_once() -> None:
    cem, ada = pair()
    _, message = send(cem)
    ada, _ = ENGINE.receive(ada, message)
    with pytest.raises(RefusedError) as caught:
        ENGINE.receive(ada, message)
    assert caught.value.code == "replayed"


def test_ones_own_message_coming_back_is_refused() -> None:
    cem, _ = pair()
    cem, message = send(cem)
    refused(cem, message)


def test_messages_in_another_order_are_each_read_once_within_the_window() -> None:
    cem, ada = pair()
    messages = []
    for _ in range(WINDOW + 1):
        cem, message = send(cem)
        messages.append(message)
    ada, _ = ENGINE.receive(ada, messages[-1])
    with pytest.raises(RefusedError):
        ENGINE.receive(ada, messages[0])
    for message in messages[-2:0:-1]:
        ada, _ = ENGINE.receive(ada, message)
        refused(ada, message)
    assert ada.seen[0] == (WINDOW + 1, 2**WINDOW - 1)


def test_the_window_remembers_64_messages_however_many_came() -> None:
    cem, ada = pair()
    for _ in range(WINDOW + 6):
        cem, message = send(cem)
        ada, _ = ENGINE.receive(ada, message)
    assert ada.seen == ((WINDOW + 6, 2**WINDOW - 1), (0, 0))


@settings(max_examples=20)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_in_any_order_with_any_repeats_each_message_is_read_exactly_once(order: list[int]) -> None:
    cem, ada = pair()
    messages = []
    for _ in range(10):
        cem, message = send(cem)
        messages.append(message)
    read = []
    for at in order:
        if at in read:
            refused(ada, messages[at])
        else:
            ada, event = ENGINE.receive(ada, messages[at])
            read.append(event.counter - 1)
    assert sorted(read) == sorted(set(order))


def test_a_message_of_another_session_is_refused() -> None:
    _, ada = pair()
    other_cem, other_ada = group(ADA, context=OTHER_CONTEXT)
    _, message = send(other_cem)
    refused(ada, message)
    assert ENGINE.receive(other_ada, message)[1].frame == b"hello"


def test_a_message_of_a_group_with_other_members_is_refused() -> None:
    _, ada = pair()
    _, message = send(group(ADA, ADA_PHONE)[0])
    refused(ada, message)


def forged(state: Group, text: bytes, *, sender: int, signer: DeviceKey, reader: int, counter: int = 1) -> bytes:
    """Return a message as a member would write it who wants to be taken for `sender`."""
    head = bytes([1, sender]) + counter.to_bytes(8, "big")
    key = seed("forged")
    public = SealingPublicKey(state.members[reader][: PACKAGE_BYTES - 32])
    wrap = public.seal(key, info("session-wrap", state.group, head, bytes([reader])))
    wraps = b"".join(wrap for at in range(len(state.members)) if at != sender)
    signature = signer.sign(label("session-frame") + length_prefixed(state.group, head, text))
    return head + wraps + seal_content(signature + text, key, info("session-box", state.group, head, wraps))


def test_a_member_cannot_write_as_another_member() -> None:
    cem, ada, phone = group(ADA, CEM_PHONE)
    honest = forged(cem, b"I am Cem", sender=0, signer=CEM.own.device, reader=1)
    assert ENGINE.receive(ada, honest)[1].frame == b"I am Cem"
    refused(ada, forged(cem, b"I am Cem", sender=0, signer=CEM_PHONE.own.device, reader=1))
    refused(phone, forged(cem, b"I am Cem", sender=0, signer=ADA.own.device, reader=2))


def test_a_message_without_a_signature_is_refused() -> None:
    cem, ada = pair()
    head, key = bytes([1, 0]) + (1).to_bytes(8, "big"), seed("short")
    wrap = SealingPublicKey(ada.members[1][: PACKAGE_BYTES - 32]).seal(
        key, info("session-wrap", cem.group, head, b"\x01")
    )
    for text in (b"", bytes(63), bytes(64)):
        refused(ada, head + wrap + seal_content(text, key, info("session-box", cem.group, head, wrap)))


@pytest.mark.parametrize(
    "head", [b"", bytes(HEAD_BYTES), b"\x02" + bytes(9), b"\x01\x02" + bytes(8), b"\x01\xff" + b"\xff" * 8]
)
def test_a_head_of_no_member_or_another_version_is_malformed(head: bytes) -> None:
    with pytest.raises(MalformedError):
        ENGINE.receive(pair()[1], head + bytes(WRAP_BYTES + 200))


def test_the_number_zero_and_a_giant_number_do_no_harm() -> None:
    cem, ada = pair()
    refused(ada, forged(cem, b"", sender=0, signer=CEM.own.device, reader=1, counter=0))
    last = forged(cem, b"last", sender=0, signer=CEM.own.device, reader=1, counter=2**64 - 1)
    ada, event = ENGINE.receive(ada, last)
    assert event.counter == 2**64 - 1
    assert ENGINE.load(ENGINE.dump(ada)) == ada


# joining


def welcome_for(*others: Member, context: bytes = CONTEXT, starter: Member = CEM) -> bytes:
    packages = tuple(other.package for other in others)
    return ENGINE.start(starter.own, packages, context=context, entropy=seed("start"))[1]


def test_a_welcome_for_another_agreement_is_refused() -> None:
    with pytest.raises(UnverifiedError) as caught:
        ENGINE.join(ADA.own, welcome_for(ADA, context=OTHER_CONTEXT), context=CONTEXT, allowed=ALLOWED)
    assert caught.value.code == "wrong-context"


def test_a_welcome_with_a_device_that_was_not_checked_is_refused() -> None:
    for welcome in (welcome_for(ADA, EVE), welcome_for(ADA, starter=EVE)):
        with pytest.raises(UnverifiedError) as caught:
            ENGINE.join(ADA.own, welcome, context=CONTEXT, allowed=ALLOWED)
        assert caught.value.code == "unknown-member"


def test_a_welcome_that_does_not_name_this_device_is_refused() -> None:
    with pytest.raises(RefusedError):
        ENGINE.join(ADA.own, welcome_for(ADA_PHONE), context=CONTEXT, allowed=ALLOWED)


def test_ones_own_welcome_coming_back_is_refused() -> None:
    with pytest.raises(UnverifiedError):
        ENGINE.join(CEM.own, welcome_for(ADA), context=CONTEXT, allowed=ALLOWED)


@pytest.mark.slow
def test_a_changed_or_cut_welcome_is_refused() -> None:
    welcome = welcome_for(ADA)
    for damaged in (*flipped(welcome, step=3), *cut(welcome, step=31)):
        with pytest.raises(MeshError):
            ENGINE.join(ADA.own, damaged, context=CONTEXT, allowed=ALLOWED)


@pytest.mark.parametrize(
    ("others", "error"),
    [
        pytest.param((), RefusedError, id="nobody else"),
        pytest.param((CEM.package,), RefusedError, id="oneself"),
        pytest.param((ADA.package, ADA.package), RefusedError, id="somebody twice"),
        pytest.param((ADA.package, member(MENTEE.key(1), "b").package), RefusedError, id="one device with two keys"),
        pytest.param((ADA.package[:-32] + EVE.package[-32:], ADA.package), RefusedError, id="one key for two devices"),
        pytest.param((ADA.package, ADA_PHONE.package, CEM_PHONE.package, EVE.package), RefusedError, id="too many"),
        pytest.param((ADA.package[:-1],), MalformedError, id="a short key package"),
        pytest.param((ADA.package + b"\x00",), MalformedError, id="a long key package"),
        pytest.param((b"\xff" * PACKAGE_BYTES,), MalformedError, id="not a key"),
        pytest.param((ADA.package[:-32] + bytes(32),), MalformedError, id="a low-order signature key"),
    ],
)
def test_a_group_of_wrong_members_cannot_be_started(others: tuple[bytes, ...], error: type[MeshError]) -> None:
    with pytest.raises(error):
        ENGINE.start(CEM.own, others, context=CONTEXT, entropy=seed("start"))


# closing and storing


def test_a_closed_session_has_no_keys_and_neither_sends_nor_reads() -> None:
    cem, ada = pair()
    _, message = send(cem)
    closed = ENGINE.close(ada)
    assert (closed.seeds, closed.members, closed.group, closed.seen) == (b"", (), b"", ())
    for state in (closed, ENGINE.load(ENGINE.dump(closed))):
        refused(state, message)
        with pytest.raises(RefusedError) as caught:
            send(state)
        assert caught.value.code == "closed"


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\xc1", b"\xff" * 40, ENGINE.dump(pair()[0])[:-1], ENGINE.dump(pair()[0]) + b"\x00"]
)
def test_a_damaged_state_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        ENGINE.load(data)


@pytest.mark.parametrize("changed", [{"version": 2}, {"seen": ()}, {"me": 7}], ids=str)
def test_a_state_that_cannot_be_is_refused(changed: dict[str, object]) -> None:
    state = msgspec.structs.replace(pair()[0], **changed)
    with pytest.raises(MalformedError):
        ENGINE.load(ENGINE.dump(state))


def test_no_seed_shows_in_a_printed_state() -> None:
    cem, _ = pair()
    assert repr(CEM.own.secret)[2:-1] not in repr(cem)
    assert repr(cem) == "Group(me=0, members=2, sent=0)"
