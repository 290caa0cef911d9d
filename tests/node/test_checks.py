"""The clock of this machine beside those of peers."""

from collections.abc import Sequence

import pytest

from node.checks import check_clock_beside


@pytest.mark.parametrize(
    ("others", "detail"),
    [
        ([-120, -118], "118 s ahead of"),
        ([-120, -118, 0], "118 s ahead of"),
        ([95, 90, -7], "90 s behind"),
        ([40, 90, 95, 31], "40 s behind"),
    ],
)
def test_a_clock_that_most_peers_contradict_is_wrong(others: Sequence[int], detail: str) -> None:
    found = check_clock_beside(others)
    assert found is not None
    assert found.level == "red"
    assert found.detail.startswith(detail)
    assert found.fix


@pytest.mark.parametrize("others", [[0, 0], [30, -30], [30, 31], [-120, 3, 5], [-120, 120], [9999, -9999, 1]])
def test_a_clock_that_half_of_the_peers_share_is_right(others: Sequence[int]) -> None:
    found = check_clock_beside(others)
    assert found is not None
    assert found.level == "green"


@pytest.mark.parametrize("others", [[], [-120]])
def test_one_peer_cannot_tell_whose_clock_is_wrong(others: Sequence[int]) -> None:
    assert check_clock_beside(others) is None
