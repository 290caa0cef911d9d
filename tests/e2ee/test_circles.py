"""A circle of thirty-two devices: people come, go and speak, and nobody more gets in."""

from typing import Final

import pytest

from protocol.e2ee.mls import welcome
from protocol.e2ee.mls.errors import CommitError
from protocol.e2ee.mls.group import hear
from protocol.e2ee.mls.profile import PRODUCT
from protocol.e2ee.mls.state import Group
from protocol.e2ee.mls.suites import X_WING
from protocol.envelope import MAX_CIPHERTEXT_BYTES

from .groups import accept, begun, device, heard, rules, said, staged

NAMES: Final = tuple(f"device {number}" for number in range(PRODUCT.max_leaves))


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def circle() -> list[Group]:
    return begun(*NAMES)


def after(group: Group, message: bytes) -> Group | None:
    """Return a member's state after a commit of somebody else."""
    return hear(group, message, rules())[0]


def authenticators(groups: list[Group]) -> set[bytes]:
    return {one.epoch_secrets.authenticator for one in groups}


def test_thirty_two_devices_share_one_epoch_and_hear_each_other(circle: list[Group]) -> None:
    assert len(circle) == 32
    assert len(authenticators(circle)) == 1
    first, message = said(circle[31], b"hello, circle")
    assert first.epoch == circle[0].epoch
    assert {heard(one, message)[1] for one in circle[:31]} == {b"hello, circle"}


def test_the_thirty_third_is_refused_and_nothing_changes(circle: list[Group]) -> None:
    before = circle[0]
    with pytest.raises(CommitError, match="larger than this profile allows"):
        staged(before, add=(device("one too many"),))
    assert staged(before).next.epoch == before.epoch + 1


def test_one_renews_its_keys_and_all_others_follow(circle: list[Group]) -> None:
    commit = staged(circle[17], salt="renewed")
    assert len(commit.message) <= MAX_CIPHERTEXT_BYTES
    followers = [after(one, commit.message) for one in circle if one.me != circle[17].me]
    assert None not in followers
    assert len(authenticators([commit.next, *(one for one in followers if one is not None)])) == 1


def test_one_goes_and_another_comes_into_the_free_place(circle: list[Group]) -> None:
    gone = circle[9]
    commit = staged(circle[0], remove=(gone.me,), salt="removed")
    assert after(gone, commit.message) is None
    smaller = [one for each in circle[1:] if each is not gone and (one := after(each, commit.message)) is not None]
    assert len(smaller) == 30
    newcomer = device("newcomer")
    added = staged(commit.next, add=(newcomer,), salt="added")
    joined = welcome.join(welcome.make(added), newcomer, rules(), accept=accept)
    everybody = [added.next, joined, *(one for each in smaller if (one := after(each, added.message)) is not None)]
    assert len(everybody) == 32
    assert len(authenticators(everybody)) == 1
    assert joined.me == gone.me
    spoken, message = said(joined, b"I am new")
    assert spoken.epoch == joined.epoch
    assert {heard(one, message)[1] for one in everybody if one is not joined} == {b"I am new"}


def test_a_commit_of_a_full_circle_fits_into_an_envelope_in_x_wing() -> None:
    # The largest there is: nobody has renewed yet, so a path is sealed to every single leaf.
    begun_now = begun(*NAMES, suite=X_WING)
    commit = staged(begun_now[0], salt="the largest")
    assert 31 * 1120 < len(commit.message) <= MAX_CIPHERTEXT_BYTES
    assert after(begun_now[31], commit.message) is not None
