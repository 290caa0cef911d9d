"""Entries that wait for their sender's keys to be listed: what comes behind them waits, too, but never behind an ask.

Anybody who once was in a session can ask to be let in with a device that no directory lists, again and again. So an ask
waits by itself. Source: docs/protocol/45-sessions.md §8.7.
"""

from collections import Counter
from typing import Final

import msgspec
from msgspec.structs import replace

from node.api.exchange import Entry
from protocol.e2ee.rejoin import is_rejoin
from protocol.encoding import unb64
from protocol.envelope import parse_envelope
from protocol.errors import MeshError

from .entries import Step, problem_of
from .keychecks import NotListedYetError
from .records import ParkedRecord
from .state import ClientState

#: An entry waits so long for its sender's keys to be listed.
PARKED_S: Final = 3600
MAX_PARKED: Final = 64
#: Asks that wait in one session; more come from nobody honest.
MAX_ASIDE: Final = 4


def is_behind(state: ClientState, thread: str) -> bool:
    """Return whether something of this thread waits that later entries must not pass."""
    return any(one.thread == thread and not one.aside for one in state.parked)


def parked(entry: Entry, state: ClientState, *, now: int) -> Step:
    """Return the state with an entry put aside until its sender's keys are listed.

    Where too much waits already, the thread of which most waits loses what came last.
    """
    if entry.cursor <= state.mailbox_after:
        return state, []
    state = replace(state, mailbox_after=entry.cursor)
    aside = not is_behind(state, entry.thread) and _is_rejoin(entry)
    record = ParkedRecord(thread=entry.thread, entry=msgspec.json.encode(entry), since=now, aside=aside)
    waiting = [one for one in state.parked if one.thread == entry.thread and one.aside]
    if aside and len(waiting) >= MAX_ASIDE:
        return state, []
    rows = [*state.parked, record]
    if len(rows) <= MAX_PARKED:
        return replace(state, parked=tuple(rows)), []
    most, _ = Counter(one.thread for one in rows).most_common(1)[0]
    last = max(place for place, one in enumerate(rows) if one.thread == most)
    lost = msgspec.json.decode(rows.pop(last).entry, type=Entry)
    event = problem_of(lost, NotListedYetError("too much waits for keys that are not listed"))
    return replace(state, parked=tuple(rows)), [event]


def _is_rejoin(entry: Entry) -> bool:
    try:
        return entry.kind == "envelope" and is_rejoin(parse_envelope(unb64(entry.data)).ciphertext)
    except MeshError:
        return False
