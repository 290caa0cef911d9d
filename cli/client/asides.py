"""What devices tell each other in a session and nobody reads as a line."""

from protocol.e2ee.frames import ContactToken, MasterChanged
from protocol.e2ee.signals import CallCandidate

from .contacts import token_taken
from .core import Core
from .newkeys import told_in_session
from .records import ThreadRecord
from .state import ClientState
from .views import Event


def aside(
    core: Core,
    state: ClientState,
    record: ThreadRecord,
    content: MasterChanged | ContactToken | CallCandidate,
    *,
    mine: bool,
) -> tuple[ClientState, list[Event]]:
    """Return the state after one of these, and what to tell. Raises: UnverifiedError: it does not hold."""
    session = state.session(record.thread)
    match content:
        case MasterChanged() if not mine:
            return told_in_session(state, record, session, content, now=core.now())
        case ContactToken():
            return state.with_session(token_taken(record, session, content, mine=mine)), []
        case _:
            return state, []
