"""The life of a session is read off the clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.session import LIFE_S, TEXT_WINDOW_S, SessionState, session_state

TIMES = st.integers(0, 10_000)


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (99, SessionState.SCHEDULED),
        (100, SessionState.IN_SESSION),
        (199, SessionState.IN_SESSION),
        (200, SessionState.ENDED),
        (200 + LIFE_S, SessionState.ENDED),
    ],
)
def test_the_clock_moves_a_session(now: int, state: SessionState) -> None:
    assert session_state(start=100, end=200, now=now, closed=False, cancelled=False) is state


@given(TIMES, TIMES, TIMES, st.booleans())
def test_a_cancel_wins_over_everything(start: int, end: int, now: int, closed: bool) -> None:
    assert session_state(start=start, end=end, now=now, closed=closed, cancelled=True) is SessionState.CANCELLED


@given(TIMES, TIMES, TIMES)
def test_what_both_have_closed_is_closed_at_any_time(start: int, end: int, now: int) -> None:
    assert session_state(start=start, end=end, now=now, closed=True, cancelled=False) is SessionState.CLOSED


@given(TIMES, TIMES, TIMES, TIMES)
def test_a_session_never_goes_back(start: int, length: int, now: int, later: int) -> None:
    order = list(SessionState)

    def at(moment: int) -> int:
        state = session_state(start=start, end=start + length, now=moment, closed=False, cancelled=False)
        return order.index(state)

    assert at(now) <= at(now + later)


def test_a_text_session_runs_three_days_and_a_group_a_week() -> None:
    assert (TEXT_WINDOW_S, LIFE_S) == (3 * 86_400, 7 * 86_400)
