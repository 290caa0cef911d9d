"""What becomes of a need: who can be asked next, and what is left of a request that came to nothing.

Pure functions of the client's state.
"""

from typing import Final

from msgspec.structs import replace

from .ask_records import AskRecord, OfferedRecord
from .asking import PEOPLE, choosable
from .state import ClientState

#: A quote that ends sooner is asked for again, because the way to the node takes time.
MARGIN_S: Final = 10
#: States after which a thread leads nowhere.
ENDED: Final = frozenset({"DECLINED", "EXPIRED", "TERMINATED", "CANCELLED"})


def remaining(state: ClientState, ask: AskRecord, *, now: int | None = None) -> list[OfferedRecord]:
    """Return who can be asked next, in the person's own order, then as ranked; nobody who said no."""
    place = {key: number for number, key in enumerate(ask.order)}
    active = state.threads.get(ask.active)
    people = [
        one
        for one in choosable(ask)
        if one.key not in ask.said_no
        and (active is None or (one.thread, one.candidate.ref) != (active.thread, active.ref))
        and (now is None or is_valid(state, one, now))
    ]
    return sorted(people, key=lambda one: place.get(one.key, PEOPLE))


def is_valid(state: ClientState, offered: OfferedRecord, now: int) -> bool:
    """Tell whether a proposal can be taken up: its quote stands and nobody of its thread was chosen yet."""
    record = state.threads.get(offered.thread)
    return record is not None and record.state == "OFFERED" and not record.ref and now + MARGIN_S < offered.valid_until


def ended(state: ClientState, *, thread: str, outcome: str, reason: str, now: int, said_no: bool = True) -> ClientState:
    """Return the state after a thread led nowhere; its one-time keys are gone.

    Args:
        said_no: the person is not asked again for this need.
    """
    record = state.thread(thread)
    bare = record.bare(state=outcome, now=now)
    state = state.with_thread(replace(bare, ref=record.ref, ask=record.ask, reason=reason))
    ask = state.asks.get(record.ask)
    if ask is None:
        return state
    keys = tuple(one.key for one in ask.offered if one.thread == thread and one.candidate.ref == record.ref)
    # Colleagues proposed in the same thread went with it; a new quote may bring them back.
    others = tuple(one for one in ask.offered if one.thread != thread)
    return state.with_ask(replace(ask, offered=others, said_no=(*ask.said_no, *(keys if said_no else ()))))


def put_back(state: ClientState, *, thread: str) -> ClientState:
    """Return the state with a thread as it was before a choice that the node never took."""
    record = state.thread(thread)
    state = state.with_thread(replace(record, state="OFFERED", ref="", answer_seed=b"", own_secret=b"", sealed_to=()))
    ask = state.asks.get(record.ask)
    return state if ask is None else state.with_ask(replace(ask, active=""))


def requoted(state: ClientState, ask_id: str) -> ClientState:
    """Return the state in which all nodes of a need are asked once more."""
    ask = state.asks[ask_id]
    return state.with_ask(replace(ask, requotes=ask.requotes + 1, asked=0))


def given_up(state: ClientState, ask_id: str) -> ClientState:
    """Return the state in which nobody is left to ask for a need."""
    return state.with_ask(replace(state.asks[ask_id], active="", goes_on=False))
