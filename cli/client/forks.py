"""Two histories of one session: whoever orders what is said could show each member another order of changes.

Every message shows a mark of its sender's history. A mark that is not this device's own of the same epoch is told in
red, and the first such message is kept. Source: docs/protocol/45-sessions.md §7.
"""

from typing import Final

from msgspec.structs import replace

from protocol.e2ee.mls.engine import Session
from protocol.envelope import Envelope, render_envelope

from .core import ENGINE
from .records import ForkRecord, SessionRecord
from .views import Alarm

#: Marks of so many epochs are remembered.
MAX_MARKS: Final = 64
CODE: Final = "two-histories"


def marked(session: SessionRecord, group: Session) -> SessionRecord:
    """Return the session with the mark of the epoch that `group` is in."""
    if ENGINE.is_closed(group) or ENGINE.epoch(group) in session.marks:
        return session
    here = ENGINE.mark(group)
    newest = dict(sorted({**session.marks, here.epoch: here.value}.items())[-MAX_MARKS:])
    return replace(session, marks=newest)


def is_of_another_history(session: SessionRecord, group: Session, ciphertext: bytes) -> bool:
    """Return whether a message claims another history than this device's. Raises: MalformedError: no message."""
    if ENGINE.is_closed(group):
        return False
    claimed = ENGINE.marked(ciphertext)
    if claimed is None or claimed.group != ENGINE.mark(group).group:
        return False
    return session.marks.get(claimed.epoch, claimed.value) != claimed.value


def forked(session: SessionRecord, envelope: Envelope, *, now: int) -> tuple[SessionRecord, Alarm]:
    """Return the session with what shows another history, if it is the first time, and what its person is told."""
    claimed = ENGINE.marked(envelope.ciphertext)
    assert claimed is not None, "only called for a message of another history"
    found = ForkRecord(
        at=now, epoch=claimed.epoch, mark=session.marks[claimed.epoch], envelope=render_envelope(envelope)
    )
    sentence = (
        "Another device of this session was shown another history of it than this one, or what it said was changed on "
        "the way: the organizations between you are not to be trusted with this session. Say nothing more here"
    )
    return replace(session, fork=session.fork or found), Alarm(thread=session.thread, sentence=sentence, code=CODE)
