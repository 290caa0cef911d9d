"""What a device lets go of by the clock: sessions that are over, words that vanish, what is left of old threads."""

from typing import Final

from msgspec.structs import replace

from protocol.session import LIFE_S

from .mentoring import WAITING, forgotten
from .needs import ENDED
from .places import without_old_places
from .records import SessionRecord, ThreadRecord
from .remains import destroyed
from .session import OVER, is_over
from .state import ClientState
from .vanishing import is_due, without_old_words

#: What is left of a thread after its end is forgotten after this long.
KEEP_S: Final = 30 * 86_400


def let_go(state: ClientState, *, now: int) -> ClientState:
    """Return the state without sessions, words and threads whose time is over; the same one if there are none."""
    for thread, session in list(state.sessions.items()):
        record = state.threads.get(thread)
        if record is not None and (_is_due(record, session, now)):
            state = destroyed(state, thread, now=now)
    state = without_old_places(without_old_words(state, now=now), now=now)
    for thread, record in state.threads.items():
        if record.role == "mentor" and record.state == WAITING and record.deadline + 86_400 <= now:
            state = forgotten(state, thread=thread, outcome="EXPIRED", reason="expired", now=now)
    joining = {name: one for name, one in state.joining.items() if one.since + LIFE_S > now}
    if len(joining) < len(state.joining):
        state = replace(state, joining=joining)
    waiting = {ask.active for ask in state.asks.values()}
    old = [
        name
        for name, record in state.threads.items()
        if record.state in (*ENDED, OVER) and record.updated_at + KEEP_S <= now and name not in waiting
    ]
    return state.without_threads(*old) if old else state


def _is_due(record: ThreadRecord, session: SessionRecord, now: int) -> bool:
    """Tell whether a session is destroyed: both have closed, its life is over, or its words were to vanish."""
    lived = bool(record.ends_at) and record.ends_at + LIFE_S <= now
    return is_over(session) or lived or is_due(record, session, now=now)
