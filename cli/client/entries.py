"""What one mailbox entry says, as the next state of the vault and what happened; nothing here sends anything.

Source: docs/protocol/41-envelopes.md §5.
"""

from typing import Final

from msgspec.structs import replace

from node.api.exchange import Entry
from node.services.mailbox import EntryKind
from protocol.bodies import (
    AgreedBody,
    CancelledBody,
    DeclinedBody,
    ExpiredBody,
    OfferedBody,
    RefusedBody,
    VerifiedBody,
)
from protocol.devices import sealing_key_hash
from protocol.e2ee.frames import Frame, Gone
from protocol.e2ee.sealing import open_quote
from protocol.encoding import b64, decode, unb64
from protocol.envelope import parse_envelope
from protocol.errors import MeshError, RefusedError, UnverifiedError
from protocol.sealing import SealingPublicKey
from protocol.text import displayable

from .agreeing import AGREED, take_agreed, take_private, take_verified
from .asking import take_offer
from .core import Core
from .epochs import too_old
from .mentoring import SAID_YES, WAITING, forgotten, take_request
from .needs import ENDED, ended
from .pins import Opened, name_of, open_item
from .records import ThreadRecord
from .remains import destroyed
from .session import OVER, take_envelope
from .siblings import held, take_word
from .state import ClientState
from .views import Alarm, Cancelled, Countered, Event, Problem, Refused

Step = tuple[ClientState, list[Event]]
#: A hub's answer to what was encrypted for an epoch long over.
STALE: Final = "stale-epoch"
#: What is left of a thread after its end is forgotten after this long.
KEEP_S: Final = 30 * 86_400


def take_entry(core: Core, state: ClientState, entry: Entry) -> Step:
    """Return the state with what an entry says. Raises: MeshError: it cannot be used, and nothing has changed."""
    data = unb64(entry.data, what="mailbox entry")
    if entry.kind == "request":
        return take_request(core, state, entry.thread, data)
    if entry.kind == "sibling":
        return take_word(core, state, entry, data)
    if entry.kind == "envelope" and entry.thread in state.joining:
        return held(state, entry.thread, data), []
    record = state.threads.get(entry.thread)
    if record is None or record.side != entry.side:
        return state, []  # forgotten here, or of another device
    return _of_thread(core, state, record, entry.kind, data)


def _of_thread(core: Core, state: ClientState, record: ThreadRecord, kind: EntryKind, data: bytes) -> Step:
    match kind:
        case "envelope":
            return _envelope(core, state, record, data)
        case "notice":
            return _notice(core, state, record, displayable(data.decode("utf-8", "replace"), lines=False)[:60])
        case _:
            opened = open_item(state, data, audience=state.signed_in.entity)
            return _message(core, state, record, opened)


def _message(core: Core, state: ClientState, record: ThreadRecord, opened: Opened) -> Step:
    head = opened.message.head
    if (opened.entity, head.thread) != (record.peer, record.thread) or head.side == record.side:
        raise UnverifiedError("message belongs to another thread", code="wrong-thread")
    if record.role == "mentee":
        return _to_mentee(core, state, record, opened)
    return _to_mentor(core, state, record, opened)


def _to_mentee(core: Core, state: ClientState, record: ThreadRecord, opened: Opened) -> Step:
    now, body = core.now(), opened.message.body
    if record.state in (*ENDED, OVER):
        return state, []
    if isinstance(body, OfferedBody) and record.state == "REQUESTED":
        return take_offer(state, record, opened, now=now), []  # of a backup that the node asked by itself
    if isinstance(body, OfferedBody) and record.state == "ACCEPTED":
        return _countered(state, record, body.quote, now)
    if isinstance(body, AgreedBody) and record.state == "ACCEPTED":
        return take_agreed(core, state, record, opened)
    return _ending(state, record, opened, now)


def _ending(state: ClientState, record: ThreadRecord, opened: Opened, now: int) -> Step:
    match opened.message.body:
        case DeclinedBody(reason=no):
            return _no(state, record, "DECLINED", no, now)
        case RefusedBody(reason=refusal):
            return _no(state, record, "TERMINATED", refusal, now)
        case ExpiredBody():
            return _no(state, record, "EXPIRED", "expired", now)
        case CancelledBody(reason=reason):
            return _cancelled(state, record, reason, now)
        case _:
            return state, []


def _to_mentor(core: Core, state: ClientState, record: ThreadRecord, opened: Opened) -> Step:
    match opened.message.body:
        case VerifiedBody() if record.state in (WAITING, SAID_YES):
            return take_verified(core, state, record, opened)
        case CancelledBody(reason=reason) if record.state not in (*ENDED, OVER):
            return _cancelled(state, record, reason, core.now())
        case _:
            return state, []


def _no(state: ClientState, record: ThreadRecord, outcome: str, reason: str, now: int) -> Step:
    event = Refused(thread=record.thread, entity=record.peer, org=name_of(state, record.peer), reason=reason)
    return ended(state, thread=record.thread, outcome=outcome, reason=reason, now=now), [event]


def _countered(state: ClientState, record: ThreadRecord, sealed: str, now: int) -> Step:
    """Take other times of the same person; `take_up` accepts one."""
    quote = open_quote(sealed, record.quote_key, record.context)
    ask = state.asks.get(record.ask)
    candidate = next((one for one in quote.candidates if one.ref == record.ref), None)
    if ask is None or candidate is None:
        raise UnverifiedError("the mentor's answer is about somebody else", code="wrong-context")
    if {sealing_key_hash(SealingPublicKey.parse(key)) for key in candidate.keys} != set(record.sealed_to):
        # Whoever read the brief by a key of their own would have it sealed again for the real mentor, who says yes.
        raise UnverifiedError("other times came with another key than your brief was sealed to", code="foreign-reader")
    offered = tuple(
        replace(one, candidate=candidate, valid_until=quote.valid_until)
        if (one.thread, one.candidate.ref) == (record.thread, record.ref)
        else one
        for one in ask.offered
    )
    record = replace(record, state="OFFERED", deadline=quote.valid_until, updated_at=now)
    event = Countered(
        thread=record.thread,
        entity=record.peer,
        org=name_of(state, record.peer),
        slots=candidate.slots,
        valid_until=quote.valid_until,
    )
    return state.with_thread(record).with_ask(replace(ask, offered=offered)), [event]


def _cancelled(state: ClientState, record: ThreadRecord, reason: str, now: int) -> Step:
    event = Cancelled(thread=record.thread, reason=reason)
    return _over(state, record, reason, now), [event]


def _over(state: ClientState, record: ThreadRecord, reason: str, now: int) -> ClientState:
    """Return the state after a thread was called off; before the agreement the next person may be asked."""
    if record.thread in state.sessions:
        state = destroyed(state, record.thread, now=now)
        return state.with_thread(replace(state.thread(record.thread), state="CANCELLED", reason=reason))
    if record.role == "mentee":
        return ended(state, thread=record.thread, outcome="CANCELLED", reason=reason, now=now)
    return forgotten(state, thread=record.thread, outcome="CANCELLED", reason=reason, now=now)


def _notice(core: Core, state: ClientState, record: ThreadRecord, code: str) -> Step:
    """Take the node's own word: nobody answered, or the other organization does not take the message."""
    if code.startswith(f"{STALE} "):
        return refused_as_old(core, state, thread=record.thread, envelope=code.removeprefix(f"{STALE} "))
    if record.state in (*ENDED, OVER, AGREED):
        return state, []
    if record.role == "mentee":
        return _no(state, record, "EXPIRED" if code == "no-answer" else "TERMINATED", code, core.now())
    event = Cancelled(thread=record.thread, reason=code)
    outcome = "EXPIRED" if code == "expired" else "TERMINATED"
    return forgotten(state, thread=record.thread, outcome=outcome, reason=code, now=core.now()), [event]


def refused_as_old(core: Core, state: ClientState, *, thread: str, envelope: str) -> Step:
    """Return the state after a hub refused an envelope as of an old epoch; of what is given up its person is told."""
    after = too_old(core, state, thread, envelope)
    session = after.sessions.get(thread)
    given_up = (one for one in session.frames if one.envelope == envelope) if session else ()
    if all(isinstance(decode(one.frame, Frame).content, Gone) for one in given_up):
        return after, []
    sentence = (
        "Something that you said was called too old again and again by the other organization, and is not sent any "
        "more: it may have reached nobody"
    )
    return after, [Problem(thread=thread, code="given-up", sentence=sentence)]


def _envelope(core: Core, state: ClientState, record: ThreadRecord, item: bytes) -> Step:
    envelope = parse_envelope(item)
    if envelope.header.kind == "welcome" and envelope.header.side == record.side:
        return _own_welcome(state, record, envelope.header.id), []
    if envelope.header.kind == "welcome":
        late = record.role == "mentee" and record.attested == "node" and record.thread not in state.sessions
        if envelope.header.side != "provider" or not late or not record.answer_seed:
            return state, []
        after, event = take_private(core, state, record, b64(envelope.ciphertext))
        return after, [event]
    if record.thread not in state.sessions:
        return state, []  # destroyed, or not open yet: then its first message is the welcome
    return take_envelope(core, state, record, envelope)


def _own_welcome(state: ClientState, record: ThreadRecord, envelope: str) -> ClientState:
    """Return the state after a welcome by a device of this person: of two groups the hub's first one counts.

    Whoever began the other one forgets it, and is invited to this one.
    """
    session = state.sessions.get(record.thread)
    if session is None or not session.welcome:
        return state
    if session.welcome == envelope:
        return state.with_session(replace(session, welcome=""))
    return state.without_session(record.thread)


def problem_of(entry: Entry, error: MeshError) -> Event:
    """Return what is told of an entry that cannot be used: the reason by its name, and a sentence."""
    if isinstance(error, UnverifiedError):
        sentence = f"Something that does not verify was not believed: {error}"
        return Alarm(thread=entry.thread, sentence=sentence, code=error.code)
    return Problem(thread=entry.thread, code=error.code, sentence=str(error))


def mistake_of(entry: Entry, error: Exception) -> Event:
    """Return what is told of an entry that this program stumbles over: nothing of the entry, which may be anything."""
    sentence = f"A mistake in this program kept a message from being read ({type(error).__name__}); please report it"
    return Problem(thread=entry.thread, code="internal", sentence=sentence)


def called_off(state: ClientState, *, thread: str, reason: str, now: int) -> ClientState:
    """Return the state after this person stepped back: nobody else is asked for the same need by itself."""
    record = state.thread(thread)
    ask = state.asks.get(record.ask)
    if ask is not None and ask.active == thread:
        state = state.with_ask(replace(ask, active="", goes_on=False))
    return _over(state, replace(record, cancel=""), reason, now)


def require_cancellable(record: ThreadRecord) -> None:
    """Return when a request or session can be called off. Raises: RefusedError."""
    if record.role == "mentor" and record.state == WAITING:
        raise RefusedError("this request waits for your answer: decline it instead")
