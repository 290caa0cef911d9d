"""MLS as a session engine: every rule of docs/protocol/45-sessions.md §4, and what §5 and §7 of 48-mls.md add."""

import itertools
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import contexts
from protocol.e2ee.crypto import Change, CheckMember, Event, Member, Own, Received, Removed, SessionCrypto
from protocol.e2ee.keys import DeviceKey
from protocol.e2ee.mls.engine import UPDATE_AFTER_MESSAGES, UPDATE_AFTER_S, MlsCrypto, Session
from protocol.e2ee.mls.suites import X25519
from protocol.envelope import MAX_CIPHERTEXT_BYTES
from protocol.errors import MalformedError, MeshError, RefusedError, UnverifiedError
from tests.protocol.e2ee.damage import cut, flipped
from tests.protocol.e2ee.people import ACCEPTED, MENTEE, MENTOR, NOW, OTHER_HASH, STRANGER, THREAD, Person, seed

# Groups with few operations are cheap in the classical suite; what is said of one engine holds for both.
ENGINE = MlsCrypto(X25519)
CONTEXT = contexts.session(thread=THREAD, accepted=ACCEPTED, consent=OTHER_HASH)
OTHER_CONTEXT = contexts.session(thread=THREAD, accepted=OTHER_HASH, consent=OTHER_HASH)
DRAWS = (seed(f"draw {number}") for number in itertools.count())


class Device(NamedTuple):
    own: Own
    package: bytes

    @property
    def name(self) -> str:
        return self.own.device.public.text


def device(person: Person, number: int = 1, *, engine: MlsCrypto = ENGINE) -> Device:
    entropy = seed(f"{person.name} {number}")
    return Device(*engine.prepare(person.key(number), person.certificate(number), now=NOW, entropy=entropy))


ADA, ADA_PHONE = device(MENTEE), device(MENTEE, 2)
CEM, CEM_PHONE = device(MENTOR), device(MENTOR, 2)
EVE = device(STRANGER)
CHECKED = {one.name for one in (ADA, ADA_PHONE, CEM, CEM_PHONE)}


def check(member: Member) -> None:
    if member.device not in CHECKED:
        raise UnverifiedError("not checked", code="unknown-member")


def group(*others: Device, context: bytes = CONTEXT, engine: MlsCrypto = ENGINE, start: Device = CEM) -> list[Session]:
    """Return the states of the one who starts, and of the others, who join."""
    packages = [other.package for other in others]
    state, welcome = engine.start(start.own, packages, context=context, check=check, now=NOW, entropy=next(DRAWS))
    return [state, *(engine.join(one.own, welcome, context=context, check=check, now=NOW) for one in others)]


def say(state: Session, text: bytes = b"hello") -> tuple[Session, bytes]:
    return ENGINE.encrypt(state, text, entropy=next(DRAWS))


def hear(state: Session, data: bytes, *, now: int = NOW, check: CheckMember = check) -> tuple[Session, Event]:
    return ENGINE.receive(state, data, check=check, now=now)


def read(state: Session, data: bytes, *, now: int = NOW) -> tuple[Session, bytes]:
    state, event = hear(state, data, now=now)
    assert isinstance(event, Received)
    return state, event.frame


def change(state: Session, *, add: tuple[bytes, ...] = (), remove: tuple[str, ...] = ()) -> tuple[Session, bytes]:
    return ENGINE.change(state, add=add, remove=remove, check=check, now=NOW, entropy=next(DRAWS))


def refused(state: Session, data: bytes, code: str = "", *, now: int = NOW) -> None:
    """Assert that the message is refused by name and that the state is as it was."""
    before = ENGINE.dump(state)
    with pytest.raises(MeshError) as caught:
        hear(state, data, now=now)
    assert caught.value.code not in ("error", "refused", "unverified", "malformed")
    assert code in ("", caught.value.code)
    assert ENGINE.dump(state) == before


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


def join(welcome: bytes, *, own: Own = ADA.own, now: int = NOW) -> Session:
    return ENGINE.join(own, welcome, context=CONTEXT, check=check, now=now)


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


# Changes


def test_an_own_change_counts_when_it_comes_back() -> None:
    cem, ada = group(ADA)
    ada, commit = change(ada)
    assert ENGINE.epoch(ada) == 1
    ada, between = say(ada, b"between")
    cem, event = hear(cem, commit)
    assert event == Change(by=ADA.name, epoch=2)
    assert read(cem, between)[1] == b"between"
    ada, event = hear(ada, commit)
    assert event == Change(by=ADA.name, epoch=2)
    assert ENGINE.export(ada, "test", 16) == ENGINE.export(cem, "test", 16)
    refused(ada, commit, "mls-epoch")


def test_a_member_reads_what_was_said_between_making_a_change_and_its_return() -> None:
    cem, ada = group(ADA)
    ada, commit = change(ada)
    cem, first = say(cem, b"first")
    ada, text = read(ada, first)
    assert text == b"first"
    cem, second = say(cem, b"second")
    ada, _ = hear(ada, commit)
    refused(ada, first, "replayed")
    assert read(ada, second)[1] == b"second"


def test_of_two_changes_at_once_the_first_in_the_hubs_order_counts_for_all() -> None:
    cem, ada = group(ADA)
    ada, hers = change(ada)
    cem, his = change(cem)
    cem, event = hear(cem, hers)
    assert event == Change(by=ADA.name, epoch=2, lost=True)
    ada, _ = hear(ada, hers)
    for state in (ada, cem):
        refused(state, his, "mls-epoch")
    cem, again = change(cem)
    ada, event = hear(ada, again)
    assert event == Change(by=CEM.name, epoch=3)


def test_only_one_change_is_under_way_at_a_time() -> None:
    ada, _ = change(group(ADA)[1])
    with pytest.raises(RefusedError) as caught:
        change(ada)
    assert caught.value.code == "pending"
    assert not ENGINE.wants_update(ada, now=NOW + UPDATE_AFTER_S)


def test_a_device_comes_by_a_change_and_reads_what_follows() -> None:
    cem, ada = group(ADA)
    cem, before = say(cem, b"before")
    ada, commit = change(ada, add=(ADA_PHONE.package,))
    cem, event = hear(cem, commit)
    assert event == Change(by=ADA.name, joined=(ADA_PHONE.name,), epoch=2)
    ada, event = hear(ada, commit)
    assert isinstance(event, Change)
    assert event.joined == (ADA_PHONE.name,)
    phone = join(event.welcome, own=ADA_PHONE.own)
    refused(phone, before, "mls-epoch")
    cem, after = say(cem, b"after")
    assert read(phone, after)[1] == read(ada, after)[1] == b"after"


def test_a_change_that_adds_an_unchecked_device_is_refused() -> None:
    cem, ada = group(ADA)
    ada, commit = ENGINE.change(ada, add=[EVE.package], check=lambda _: None, now=NOW, entropy=next(DRAWS))
    refused(cem, commit, "unknown-member")
    with pytest.raises(UnverifiedError):
        change(group(ADA)[1], add=(EVE.package,))


def test_a_device_that_was_removed_has_no_keys_and_reads_nothing_more() -> None:
    cem, ada, phone = group(ADA, ADA_PHONE)
    ada, commit = change(ada, remove=(ADA_PHONE.name,))
    cem, event = hear(cem, commit)
    assert event == Change(by=ADA.name, left=(ADA_PHONE.name,), epoch=2)
    ada, event = hear(ada, commit)
    assert event == Change(by=ADA.name, left=(ADA_PHONE.name,), epoch=2)
    _, later = say(cem, b"later")
    refused(phone, later, "mls-epoch")
    phone, event = hear(phone, commit)
    assert event == Removed(by=ADA.name)
    assert ENGINE.is_closed(phone)


def test_a_device_that_is_no_member_cannot_be_removed() -> None:
    with pytest.raises(RefusedError) as caught:
        change(group(ADA)[1], remove=(EVE.name,))
    assert caught.value.code == "unknown-member"


@pytest.mark.slow
def test_a_damaged_change_is_refused_and_the_genuine_one_still_counts() -> None:
    cem, ada = group(ADA)
    _, commit = change(ada)
    for damaged in (*flipped(commit, step=5), *cut(commit, step=17)):
        refused(cem, damaged)
    assert isinstance(hear(cem, commit)[1], Change)


def test_the_epoch_before_is_read_for_a_minute_and_its_keys_are_forgotten_then() -> None:
    cem, ada = group(ADA)
    cem, late = say(cem, b"late")
    ada, commit = change(ada)
    ada, _ = hear(ada, commit)
    assert read(ada, late, now=NOW + 60)[1] == b"late"
    refused(ada, late, "mls-epoch", now=NOW + 61)
    assert ENGINE.forget(ada, now=NOW + 60) is ada
    forgotten = ENGINE.forget(ada, now=NOW + 61)
    assert forgotten.group is not None
    assert forgotten.group.past is None
    assert ENGINE.forget(forgotten, now=NOW + 61) is forgotten


def test_a_device_set_back_to_an_older_state_repeats_no_nonce_and_is_heard_again_after_a_renewal() -> None:
    cem, older = group(ADA)
    _, first = say(older, b"one and the same")
    cem, _ = hear(cem, first)
    set_back, second = say(older, b"one and the same")
    assert second != first
    refused(cem, second, "replayed")
    set_back, commit = change(set_back)
    cem, _ = hear(cem, commit)
    set_back, _ = hear(set_back, commit)
    assert read(cem, say(set_back, b"here again")[1])[1] == b"here again"


# Renewal


def test_who_reads_news_of_its_own_was_set_back_and_renews_its_keys_at_once() -> None:
    older, ada = group(ADA)
    later, own = say(older, b"said later")
    _, hers = say(ada)
    assert not ENGINE.wants_update(read(older, hers)[0], now=NOW)
    caught_up, text = read(older, own)
    assert text == b"said later"
    assert ENGINE.wants_update(caught_up, now=NOW)
    for state in (caught_up, later):
        refused(state, own, "replayed")


def test_who_joins_renews_its_keys_at_once_and_who_started_does_not() -> None:
    cem, ada = group(ADA)
    assert ENGINE.wants_update(ada, now=NOW)
    assert not ENGINE.wants_update(cem, now=NOW + 10 * UPDATE_AFTER_S)
    ada, commit = change(ada)
    ada, _ = hear(ada, commit)
    assert not ENGINE.wants_update(ada, now=NOW)


def test_keys_are_renewed_after_fifty_messages_of_both() -> None:
    cem, ada = group(ADA)
    for _ in range(UPDATE_AFTER_MESSAGES // 2):
        ada, data = say(ada)
        cem, _ = hear(cem, data)
        assert not ENGINE.wants_update(cem, now=NOW)
        cem, _ = say(cem)
    assert ENGINE.wants_update(cem, now=NOW)


def test_keys_are_renewed_after_ten_minutes_in_which_something_was_said() -> None:
    cem, _ = say(group(ADA)[0])
    assert not ENGINE.wants_update(cem, now=NOW + UPDATE_AFTER_S - 1)
    assert ENGINE.wants_update(cem, now=NOW + UPDATE_AFTER_S)


def test_a_change_of_somebody_else_renews_not_ones_own_keys() -> None:
    cem, ada = group(ADA)
    cem, _ = say(cem)
    _, commit = change(ada)
    cem, _ = hear(cem, commit)
    assert ENGINE.wants_update(cem, now=NOW + UPDATE_AFTER_S)


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
