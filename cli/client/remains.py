"""What is left of a session when it is destroyed: who it was, what both said to keep, and a contact.

Source: docs/protocol/44-frames.md, docs/protocol/49-recovery.md §9.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from protocol.e2ee.frames import Action, Frame, Goal, Takeaway

from .archived import is_kept, with_kept
from .book import line_key
from .ownwords import standing
from .records import Contact, TakeawayRecord
from .session import OVER, view
from .state import ClientState
from .vanishing import vanishing
from .views import Vanishing

#: So many takeaways, goals and actions of one session stay: nobody fills another person's archive.
MOST_LEFT: Final = 500


def destroyed(state: ClientState, thread: str, *, now: int) -> ClientState:
    """Return the state without the session's keys and words; takeaways, goals and actions stay, and who it was.

    What is left of the thread holds no key and no text of the brief.
    """
    record, session = state.thread(thread), state.session(thread)
    frames = standing(session)
    # Words that both wished to vanish are not kept behind the other's back.
    if is_kept(state.archive, thread) and vanishing(record, session) == Vanishing():
        state = with_kept(state, view(state, thread, now=now), topic=record.topic, now=now)
    bare = replace(
        record.bare(state=OVER, now=now),
        agreement=record.agreement,
        slot=record.slot,
        ends_at=record.ends_at,
        attested=record.attested,
    )
    state = state.without_session(thread).with_thread(bare)
    own = (
        TakeawayRecord(thread=thread, kind="private", text=one.text, at=one.at, id=one.id) for one in session.private
    )
    # Another device of this person may have told already what stays, and whom they met.
    told = {line_key(one) for one in state.takeaways}
    stays = (one for one in (*_kept(thread, frames), *own) if line_key(one) not in told)
    state = replace(state, takeaways=(*state.takeaways, *stays))
    if not session.name or any(one.thread == thread for one in state.contacts):
        return state
    contact = Contact(
        thread=thread,
        name=session.name,
        entity=record.peer,
        label=session.label,
        master_key=session.master_key,
        former=session.former,
        disputed=len(record.peer_next) > 1,
        met_at=record.slot or record.ends_at,
        again=session.again_mine is True and session.again_theirs is True,
        token=session.token if record.role == "mentee" else "",
        token_until=session.token_until,
        given=session.token if record.role == "mentor" else "",
        identity=record.peer_identity,
    )
    return replace(state, contacts=(*state.contacts, contact))


def _kept(thread: str, frames: Iterable[Frame]) -> Iterable[TakeawayRecord]:
    """Return what stays: every takeaway, and the last form of each goal and action."""
    kept: dict[str, TakeawayRecord] = {}
    for frame in frames:
        match frame.content:
            case Takeaway(text=text):
                kept[frame.id] = TakeawayRecord(thread=thread, kind="takeaway", text=text, at=frame.at)
            case Goal(goal=name, text=text):
                kept[name] = TakeawayRecord(thread=thread, kind="goal", text=text, at=frame.at, id=name)
            case Action(action=name, text=text, done=done):
                kept[name] = TakeawayRecord(thread=thread, kind="action", text=text, at=frame.at, id=name, done=done)
            case _:
                pass
    return list(kept.values())[-MOST_LEFT:]
