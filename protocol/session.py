"""The life of a session after the agreement, read off the clock: nothing expires from AGREED on.

Source: docs/protocol/41-envelopes.md §7.
"""

from enum import Enum
from typing import Final

#: A group lives until both have closed, or this long after the agreed end.
LIFE_S: Final = 7 * 86_400
#: A text session agrees a window instead of a slot.
TEXT_WINDOW_S: Final = 3 * 86_400


class SessionState(Enum):
    """Where a session stands."""

    SCHEDULED = "SCHEDULED"
    IN_SESSION = "IN_SESSION"
    ENDED = "ENDED"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"


def session_state(*, start: int, end: int, now: int, closed: bool, cancelled: bool) -> SessionState:
    """Return the state at `now`: a cancel wins, then both having closed, then the clock."""
    if cancelled:
        return SessionState.CANCELLED
    if closed:
        return SessionState.CLOSED
    if now < start:
        return SessionState.SCHEDULED
    return SessionState.IN_SESSION if now < end else SessionState.ENDED
