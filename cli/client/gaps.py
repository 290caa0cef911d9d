"""What somebody said and never arrived: each device counts what it says, so that whoever leaves something out shows.

Source: docs/protocol/45-sessions.md §9.
"""

from collections.abc import Iterable

from protocol.e2ee.frames import Frame
from protocol.encoding import decode

from .epochs import PATIENCE_S
from .records import SessionRecord


def missing(session: SessionRecord | None, *, now: int) -> int:
    """Return at how many places something is missing that was said, in a session that goes on here."""
    return len(gaps_before(session, now=now)) if session is not None else 0


def gaps_before(session: SessionRecord, *, now: int) -> frozenset[str]:
    """Return the ids of the frames right before which something of the same device is missing for long enough.

    What was encrypted again may come after what was said later; so nothing counts as missing at once.
    """
    places: dict[str, dict[int, tuple[str, int]]] = {}
    for one in session.frames:
        frame = decode(one.frame, Frame)
        if frame.seq is not None:
            places.setdefault(one.sender, {}).setdefault(frame.seq, (frame.id, one.taken_at))
    return frozenset(name for known in places.values() for name in _before(known, late=session.late, now=now))


def _before(known: dict[int, tuple[str, int]], *, late: bool, now: int) -> Iterable[str]:
    previous = min(known) - 1 if late else 0
    for place in sorted(known):
        name, taken_at = known[place]
        if place != previous + 1 and taken_at + PATIENCE_S <= now:
            yield name
        previous = place


def said_before(frames: Iterable[Frame]) -> int:
    """Return how far a device has counted that said these."""
    return max((one.seq or 0 for one in frames), default=0)
