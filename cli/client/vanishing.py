"""Words that vanish: what the two have wished, when it holds, and what is then destroyed on this device.

Each device does it by its own clock, also when it was off at the time. What the other person copied, or what their
program keeps against the rule, nobody can take from them. Source: docs/protocol/44-frames.md §7.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from protocol.e2ee.frames import (
    Action,
    Again,
    Close,
    Content,
    Frame,
    Goal,
    Gone,
    Name,
    Retract,
    Takeaway,
    Unknown,
    Useful,
    Vanish,
)
from protocol.encoding import decode, encode

from .records import FrameRecord, SessionRecord, ThreadRecord
from .state import ClientState
from .views import Vanishing

#: Stands in every wish; a quote in somebody's text is written otherwise. Most sessions have none.
_MARK: Final = b'"type":"vanish"'
#: No words, or words that both said to keep: they stay as long as the session, or longer.
STAYS: Final = (Action, Again, Close, Goal, Gone, Name, Retract, Takeaway, Unknown, Useful, Vanish)


def vanishing(record: ThreadRecord, session: SessionRecord) -> Vanishing:
    """Return what holds in a session: of the newest wishes of both sides the shortest."""
    after_end, after_said = (_least(wishes(record, session.frames), after) for after in ("end", "said"))
    end_at = record.ends_at + after_end if after_end is not None and record.ends_at else None
    return Vanishing(end_at=end_at, said_s=after_said)


def wishes(record: ThreadRecord, frames: Iterable[FrameRecord]) -> list[FrameRecord]:
    """Return the newest wish of each side and kind, four at most."""
    newest: dict[tuple[bool, str], FrameRecord] = {}
    for one in frames:
        content = _content(one) if _MARK in one.frame else None
        if isinstance(content, Vanish):
            newest[one.sender in record.peer_devices, content.after] = one
    return list(newest.values())


def own_wishes(record: ThreadRecord, session: SessionRecord) -> list[Vanish]:
    """Return what this person wishes now."""
    found = (_content(one) for one in wishes(record, session.frames) if one.sender not in record.peer_devices)
    return [one for one in found if isinstance(one, Vanish) and one.seconds is not None]


def _least(frames: Iterable[FrameRecord], after: str) -> int | None:
    found = (content for content in map(_content, frames) if isinstance(content, Vanish) and content.after == after)
    return min((one.seconds for one in found if one.seconds is not None), default=None)


def gone_at(one: FrameRecord, rule: Vanishing) -> int | None:
    """Return when a message vanishes, None when it stays until the end of the session."""
    if rule.said_s is None or isinstance(_content(one), STAYS):
        return None
    # A sender's clock that is ahead keeps nothing longer.
    said_at = decode(one.frame, Frame).at
    return min(said_at, one.taken_at or said_at) + rule.said_s


def is_due(record: ThreadRecord, session: SessionRecord, *, now: int) -> bool:
    """Tell whether all words of a session are to go."""
    end_at = vanishing(record, session).end_at
    return end_at is not None and end_at <= now


def without_old_words(state: ClientState, *, now: int) -> ClientState:
    """Return the state without messages whose time is over; the same one if there are none."""
    for thread, session in state.sessions.items():
        record = state.threads.get(thread)
        if record is None:
            continue
        rule = vanishing(record, session)
        frames = tuple(_emptied(one, rule, now) for one in session.frames) if rule.said_s is not None else ()
        if any(new is not old for new, old in zip(frames, session.frames, strict=False)):
            state = state.with_session(replace(session, frames=frames))
    return state


def _emptied(one: FrameRecord, rule: Vanishing, now: int) -> FrameRecord:
    due = gone_at(one, rule)
    if due is None or due > now:
        return one
    frame = decode(one.frame, Frame)
    # Its id stays, so that a copy that comes late shows nothing again, and its place, so that nothing seems missing.
    return replace(one, frame=encode(replace(frame, content=Gone())), proof=b"")


def _content(one: FrameRecord) -> Content:
    return decode(one.frame, Frame).content
