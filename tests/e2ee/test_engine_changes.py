"""Changes of a group by a session engine: who comes, who goes, whose counts, and when keys are renewed.

Source: docs/protocol/48-mls.md §5, §7.
"""

import pytest

from protocol.e2ee.crypto import Change, Removed
from protocol.e2ee.mls.engine import UPDATE_AFTER_MESSAGES, UPDATE_AFTER_S
from protocol.errors import RefusedError, UnverifiedError
from tests.protocol.e2ee.damage import cut, flipped
from tests.protocol.e2ee.people import NOW

from .engine_people import ADA, ADA_PHONE, CEM, DRAWS, ENGINE, EVE, change, group, hear, join, read, refused, say


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
