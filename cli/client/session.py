"""A session on this device: frames out and in, what is hidden until both spoke, and its end.

All functions take the state and return the next one, so that a message and the state that it leaves are stored in one
step; whoever sends does so afterwards. Source: docs/protocol/44-frames.md.
"""

from collections.abc import Iterable
from typing import Final, Literal

from msgspec.structs import replace

from protocol.e2ee.crypto import Change, Received, Removed
from protocol.e2ee.frames import (
    Again,
    Checkpoints,
    Close,
    ContactToken,
    Content,
    Frame,
    MasterChanged,
    Name,
    Retract,
    decode_frame,
    encode_frame,
)
from protocol.e2ee.rejoin import is_rejoin
from protocol.e2ee.safety import safety_number
from protocol.e2ee.shortcode import Step
from protocol.e2ee.signals import CallCandidate
from protocol.encoding import decode, encode
from protocol.envelope import Envelope
from protocol.errors import MalformedError, RefusedError, UnverifiedError
from protocol.signing import VerifyKey

from . import rejoining
from .asides import aside
from .board import board_of
from .core import ENGINE, Core, fresh_id, fresh_secret
from .epochs import came_back, changed, member_check
from .evidence import certified, taken_in
from .forks import forked, is_of_another_history, marked
from .gaps import gaps_before
from .keychecks import UnprovenError
from .logstories import heard
from .naming import named, role_of
from .ownwords import hidden, standing
from .records import (
    FrameRecord,
    Outgoing,
    SessionRecord,
    ThreadRecord,
)
from .rejoining import answering, is_ahead, is_asking, keyed, lost
from .state import ClientState
from .vanishing import gone_at, own_wishes, vanishing
from .verifying import COMPARING, stepped
from .views import Alarm, Closed, Event, Line, Mutual, Private, SessionView, Shown
from .words import SAYINGS, content_line, word

OVER: Final = "CLOSED"
WAITS: Final = "waits-to-be-let-in"
#: What programs say to each other.
UNSEEN: Final = (CallCandidate, Checkpoints, ContactToken, MasterChanged, *COMPARING)
#: Frames of one session that a device keeps; far more than two people say in an hour.
MAX_FRAMES: Final = 5_000
#: The vault is written whole at each message: nobody makes it large from outside. A long note comes at each change.
MAX_FRAME_BYTES: Final = 16 * 1024 * 1024


def with_frame(
    core: Core, state: ClientState, thread: str, content: Content, *, kind: Literal["message", "close"] = "message"
) -> ClientState:
    """Return the state with one more frame, encrypted and waiting to be sent.

    Raises: MissingError: no session; RefusedError: closed; MalformedError: a bound or a character that must not be.
    """
    session = state.session(thread)
    if session.closed_mine:
        raise RefusedError("you have closed this session")
    if session.context:
        raise RefusedError(
            "this new device waits to be let into the session: the other person's has to be on", code=WAITS
        )
    frame = Frame(id=fresh_id(), at=core.now(), content=content, seq=session.said + 1)
    group, ciphertext = ENGINE.encrypt(ENGINE.load(session.state), encode_frame(frame), entropy=fresh_secret())
    epoch = ENGINE.epoch(group)
    outgoing = Outgoing(id=core.envelope_id(), kind=kind, ciphertext=ciphertext, epoch=epoch + session.ahead)
    own = state.device_secret.key(state.thread(thread).audience).public.text
    shown = FrameRecord(
        number=0, sender=own, frame=encode(frame), envelope=outgoing.id, epoch=epoch, taken_at=core.now()
    )
    if isinstance(content, Retract):
        session = hidden(state.thread(thread), session, content, mine=True)
    session = replace(
        session,
        state=ENGINE.dump(group),
        outbox=(*session.outbox, outgoing),
        frames=(*session.frames, shown),
        again_mine=content.yes if isinstance(content, Again) else session.again_mine,
        closed_mine=isinstance(content, Close),
        said=session.said + 1,
    )
    return state.with_session(session)


def sent(state: ClientState, thread: str, outgoing: Outgoing) -> ClientState:
    """Return the state after the node took one envelope."""
    session = state.sessions.get(thread)
    if session is None:
        return state
    return state.with_session(replace(session, outbox=tuple(one for one in session.outbox if one.id != outgoing.id)))


def take_envelope(
    core: Core, state: ClientState, record: ThreadRecord, envelope: Envelope
) -> tuple[ClientState, list[Event]]:
    """Return the state after an envelope of the hub, and what it shows.

    Raises: UnverifiedError, RefusedError, MalformedError: nothing has changed, and a genuine copy still opens;
        UnprovenError: a device that comes in is to be looked up first.
    """
    session = state.session(record.thread)
    header, here = envelope.header, ENGINE.load(session.state)
    if header.thread != record.thread:
        raise UnverifiedError("envelope belongs to another session", code="wrong-thread")
    if header.side == record.side and any(one.envelope == header.id for one in session.frames):
        state = state.with_session(_numbered(session, header.id, header.number or 0))
        return came_back(core, state, record.thread, header.id), []
    session = keyed(marked(session, here), here)
    if is_rejoin(envelope.ciphertext):
        return _rejoined(core, state, record, session, envelope)
    if session.context:
        # What came before this device asked is of a group that it will never read.
        return lost(core, state, record, session, envelope) if session.asked else (state, [])
    if is_of_another_history(session, here, envelope.ciphertext):
        return _forked(core, state, record, session, envelope)
    return _read(core, state, record, session, envelope)


def _read(
    core: Core, state: ClientState, record: ThreadRecord, session: SessionRecord, envelope: Envelope
) -> tuple[ClientState, list[Event]]:
    """Return the state after a message or commit of the group."""
    header, here, now = envelope.header, ENGINE.load(session.state), core.now()
    check = member_check(state, record, session, now=now)
    try:
        group, event = ENGINE.receive(here, envelope.ciphertext, check=check, now=now)
    except RefusedError as error:
        if is_ahead(here, envelope.ciphertext):
            return lost(core, state, record, session, envelope)
        if header.kind == "commit" and error.code == "mls-epoch":
            return state, []  # of two changes at once the hub's first one counts
        raise
    if isinstance(event, Removed) and is_asking(session, now=now):
        return state.with_session(session), []  # it is about to be let in again
    session = replace(session, state=ENGINE.dump(group))
    if isinstance(event, Received):
        return _said(core, state.with_session(session), record, event, envelope)
    if not isinstance(event, Change):
        return changed(state, record, session, event, number=header.number or 0, now=now)
    comes_back = bool(event.welcome and session.returning)
    session = answering(core, session, event, number=header.number or 0)
    state, events = changed(state, record, session, event, number=header.number or 0, now=now)
    # Who comes back may not have heard, or know no more, that words are to vanish.
    for wish in own_wishes(record, session) if comes_back and not session.closed_mine else ():
        state = with_frame(core, state, record.thread, wish)
    return state, events


def _forked(
    core: Core, state: ClientState, record: ThreadRecord, session: SessionRecord, envelope: Envelope
) -> tuple[ClientState, list[Event]]:
    """Return the state after something of another history: that of the mentor's devices goes on."""
    session, alarm = forked(session, envelope, now=core.now())
    if record.role == "mentor":
        return state.with_session(session), [alarm]
    state, events = lost(core, state, record, session, envelope)
    return state, [alarm, *events]


def _rejoined(
    core: Core, state: ClientState, record: ThreadRecord, session: SessionRecord, envelope: Envelope
) -> tuple[ClientState, list[Event]]:
    state, events, waiting = rejoining.heard(core, state, record, session, envelope)
    state, more = caught_up(core, state, record.thread, waiting)
    return state, [*events, *more]


def caught_up(
    core: Core, state: ClientState, thread: str, waiting: Iterable[Envelope]
) -> tuple[ClientState, list[Event]]:
    """Return the state after envelopes that were kept until now; junk among them holds nothing up.

    Raises: UnprovenError: a device that comes in is to be looked up first.
    """
    told: list[Event] = []
    for one in waiting:
        try:
            state, events = take_envelope(core, state, state.thread(thread), one)
        except UnprovenError:
            raise
        except UnverifiedError as error:
            sentence = f"Something that does not verify was not believed: {error}"
            told.append(Alarm(thread=thread, sentence=sentence, code=error.code))
        except (RefusedError, MalformedError):
            continue  # of an epoch before, or nothing
        else:
            told += events
    return state, told


def _said(
    core: Core, state: ClientState, record: ThreadRecord, received: Received, envelope: Envelope
) -> tuple[ClientState, list[Event]]:
    session = state.session(record.thread)
    if len(session.frames) >= MAX_FRAMES or sum(len(one.frame) for one in session.frames) >= MAX_FRAME_BYTES:
        raise RefusedError("this session holds no more messages: close it and begin another", code="full")
    frame = decode_frame(received.frame)
    if any(decode(one.frame, Frame).id == frame.id for one in session.frames):
        return state.with_session(session), []
    mine = received.sender not in record.peer_devices
    shown = taken_in(frame, received, envelope, mine=mine, now=core.now())
    session = replace(certified(session, received.sender, mine=mine), frames=(*session.frames, shown))
    if isinstance(frame.content, COMPARING):
        return _compared(core, state.with_session(session), record, frame.content, received, mine=mine)
    return _apply(core, state.with_session(session), record, shown, mine=mine)


def _compared(
    core: Core, state: ClientState, record: ThreadRecord, said: Step, received: Received, *, mine: bool
) -> tuple[ClientState, list[Event]]:
    """Take a step of a comparison of codes, and answer it; what another device of one's own does there is its own."""
    if mine:
        return state, []
    state, out, events = stepped(state, record, said, received)
    return (with_frame(core, state, record.thread, out) if out else state), events


def _apply(
    core: Core, state: ClientState, record: ThreadRecord, shown: FrameRecord, *, mine: bool
) -> tuple[ClientState, list[Event]]:
    frame = decode(shown.frame, Frame)
    session, role = state.session(record.thread), role_of(record, mine=mine)
    match frame.content:
        case Name() as told if not mine:
            return named(core, state, record, told)
        case MasterChanged() | ContactToken() | CallCandidate():
            return aside(core, state, record, frame.content, mine=mine)
        case Again(yes=yes):
            session = replace(session, **{"again_mine" if mine else "again_theirs": yes})
            both = session.again_mine is True and session.again_theirs is True
            return state.with_session(session), [Mutual(thread=record.thread)] if both else []
        case Close():
            session = replace(session, **{"closed_mine" if mine else "closed_theirs": True})
            both = session.closed_mine and session.closed_theirs
            return state.with_session(session), [Closed(thread=record.thread, by=role, both=both)]
        case Retract() as taken:
            state = state.with_session(hidden(record, session, taken, mine=mine))
        case Checkpoints() as seen:
            return (state if mine else heard(state, record, seen, now=core.now())), []
    kind, text = content_line(frame.content)
    return state, [Shown(thread=record.thread, from_role=role, kind=kind, text=text, at=frame.at, number=shown.number)]


def _numbered(session: SessionRecord, envelope: str, number: int) -> SessionRecord:
    frames = (replace(one, number=number) if one.envelope == envelope else one for one in session.frames)
    return replace(session, frames=tuple(frames))


def is_over(session: SessionRecord) -> bool:
    """Tell whether both have closed and the own word of it has left."""
    return session.closed_mine and session.closed_theirs and not session.outbox


def view(state: ClientState, thread: str, *, now: int, language: str = "en") -> SessionView:
    """Return a session for its owner; whether the other would meet again shows only once both said yes."""
    record, session = state.thread(thread), state.session(thread)
    both = session.again_mine is True and session.again_theirs is True
    again: Literal["", "waiting", "yes"] = "yes" if both else "" if session.again_mine is None else "waiting"
    return SessionView(
        thread=thread,
        role=record.role,
        name=session.name,
        entity=record.peer,
        slot=record.slot,
        ends_at=record.ends_at,
        lines=tuple(_lines(record, session, language, now=now)),
        board=board_of(standing(session), now=now),
        vanishing=vanishing(record, session),
        private=tuple(Private(id=one.id, at=one.at, text=one.text) for one in session.private),
        again=again,
        closed_mine=session.closed_mine,
        closed_theirs=session.closed_theirs,
        witnessed=record.witnessed,
        safety=_safety(state, session),
        verified_at=state.verified.get(session.master_key, 0),
        vouched=session.vouched,
        forked_at=session.fork.at if session.fork else 0,
    )


def _safety(state: ClientState, session: SessionRecord) -> str:
    """Return the number to compare, once the other person's master key is known."""
    if not session.master_key:
        return ""
    return safety_number(state.account_secret.master().public, VerifyKey.parse(session.master_key))


def _lines(record: ThreadRecord, session: SessionRecord, language: str, *, now: int) -> Iterable[Line]:
    rule, gaps = vanishing(record, session), gaps_before(session, now=now)
    for one in session.frames:
        frame = decode(one.frame, Frame)
        mine = one.sender not in record.peer_devices
        role = role_of(record, mine=mine)
        if frame.id in gaps:
            said = word(SAYINGS, "missing", language)
            yield Line(number=0, at=frame.at, from_role=role, mine=mine, kind="missing", text=said)
        if isinstance(frame.content, UNSEEN) or (isinstance(frame.content, Again) and not mine):
            continue
        kind, text = content_line(frame.content, language)
        if one.hidden:
            text = word(SAYINGS, "retracted", language)
        yield Line(
            number=one.number,
            at=frame.at,
            from_role=role,
            mine=mine,
            kind=kind,
            text=text,
            gone_at=gone_at(one, rule),
        )
