"""Decoys are entries like any other, with those of people always a power of two; tests/privacy says how they behave."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.decoys import Crowd, DecoyPolicy, Person, advance, next_due, render_decoy, size_for, skipped, waiting
from protocol.devices import MAX_DEVICE_LIFETIME_S
from protocol.keyentries import EntrySet, encode_entry
from tests.vectors.generate.keys import AUDIENCE

NOW = 1_800_000_000
DAY = 86_400


def entropy(number: int) -> bytes:
    return sha256(number.to_bytes(4, "big")).digest()


def person(*created: int, vouch: str = "") -> Person:
    devices = {f"device {number}": (at, at + MAX_DEVICE_LIFETIME_S) for number, at in enumerate(created)}
    return Person(devices=devices, vouch=vouch)


def step(crowd: Crowd, people: dict[str, Person], at: int = NOW, policy: DecoyPolicy | None = None) -> Crowd:
    return advance(crowd, people, now=at, entropy=entropy(at % 2**31), policy=policy or DecoyPolicy())


@pytest.mark.slow
@given(st.lists(st.sets(st.integers(0, 40), max_size=40), min_size=1, max_size=6), st.integers(0, 40))
def test_people_and_decoys_together_are_always_a_power_of_two(turns: list[set[int]], expected: int) -> None:
    crowd, size, policy = Crowd(), 0, DecoyPolicy(expected=expected)
    for number, names in enumerate(turns):
        at = NOW + number * DAY
        crowd = step(crowd, {f"person {name}": person(at - 5) for name in names}, at, policy)
        total = len(crowd.decoys) + len(names)
        assert total & (total - 1) == 0
        assert total >= max(16, 2 * len(names), 2 * expected, size)
        assert len({one.label for one in crowd.decoys}) == len(crowd.decoys)
        size = total


def test_a_directory_never_shrinks() -> None:
    assert size_for(9, before=0, policy=DecoyPolicy()) == 32
    assert size_for(0, before=32, policy=DecoyPolicy()) == 32


def test_the_same_state_time_and_entropy_give_the_same_crowd() -> None:
    people = {"a": person(NOW - 5)}
    assert step(Crowd(), people) == step(Crowd(), people)
    other = advance(Crowd(), people, now=NOW, entropy=entropy(1), policy=DecoyPolicy())
    assert {one.secret for one in other.decoys}.isdisjoint(one.secret for one in step(Crowd(), people).decoys)


def test_decoys_hold_as_entries_and_are_as_long_as_those_of_people() -> None:
    crowd = step(Crowd(), {"a": person(NOW - 5)})
    bodies = [encode_entry(render_decoy(one, AUDIENCE)) for one in crowd.decoys]
    entries = EntrySet(audience=AUDIENCE, now=NOW, before={})
    assert len([entries.take(body) for body in bodies]) == 15
    assert len({len(body) for body in bodies}) == 1
    assert all(one.devices[0].created_at == NOW - 5 for one in crowd.decoys)


def test_a_decoy_that_changes_keeps_its_keys_and_grows_its_number() -> None:
    crowd = step(Crowd(), {"a": person(NOW - 5)})
    crowd = step(crowd, {"a": person(NOW - 5, NOW + DAY)}, NOW + DAY)
    before = {one.secret: one for one in crowd.decoys}
    at = next_due(crowd)
    assert at is not None
    for _ in range(40):
        crowd = step(crowd, {"a": person(NOW - 5, NOW + DAY)}, at)
        at = next_due(crowd) or at + DAY
    changed = [one for one in crowd.decoys if one.secret in before and one.seq > before[one.secret].seq]
    assert changed
    for one in changed:
        first, second = render_decoy(before[one.secret], AUDIENCE), render_decoy(one, AUDIENCE)
        assert (first.label, first.identity_key) == (second.label, second.identity_key)
        assert set(first.devices) < set(second.devices)


def test_a_renewal_of_a_person_waits_and_everything_else_shows_at_once() -> None:
    crowd = step(Crowd(), {"a": person(NOW), "b": person(NOW), "c": person(NOW)})
    later = {"a": person(NOW + DAY), "b": person(NOW, NOW + DAY), "c": person(NOW, vouch="new")}
    crowd = step(crowd, later, NOW + DAY)
    assert waiting(crowd) == {"a"}
    due = crowd.lives[0].due_at
    assert NOW + DAY < due <= NOW + 8 * DAY + 3600
    assert waiting(step(crowd, later, due)) == frozenset()


def test_certificates_of_decoys_are_renewed_before_they_end() -> None:
    crowd = step(Crowd(), {})
    end = NOW + MAX_DEVICE_LIFETIME_S
    crowd = step(crowd, {}, end - 13 * DAY)
    assert all(one.devices[0].expires_at > end for one in crowd.decoys)
    assert {one.seq for one in crowd.decoys} == {2}


def test_after_a_restore_all_numbers_move_on() -> None:
    crowd = step(Crowd(), {})
    assert {one.seq for one in skipped(crowd, 7).decoys} == {8}


def test_little_entropy_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        advance(Crowd(), {}, now=NOW, entropy=bytes(31), policy=DecoyPolicy())
