"""The epochs of a session on this device: renewing keys, following the other side's changes, and what came too late.

A change of one's own counts when the hub returns it. What was encrypted for an epoch that has ended is encrypted again,
as the same frame, which everybody shows once. Source: docs/protocol/45-sessions.md §5, 48-mls.md §5, §7.
"""

from typing import Final

from msgspec.structs import replace

from protocol.e2ee.crypto import Change, CheckMember, Removed
from protocol.e2ee.frames import Close, Frame, Gone, encode_frame
from protocol.e2ee.mls.engine import Session
from protocol.e2ee.siblings import MAX_LEFT
from protocol.encoding import decode
from protocol.errors import MeshError

from .core import ENGINE, Core, fresh_secret
from .handoff import handed_on
from .members import checked, is_own
from .records import FrameRecord, Outgoing, SessionRecord, ThreadRecord
from .state import ClientState
from .views import Alarm, Devices, Event

#: What is on its way for longer does not hold up a change; a change that is on its way for longer is sent again.
PATIENCE_S: Final = 600
#: By so much a hub may count too high before this device gives in; far from the last epoch that envelopes can name.
MOST_AHEAD: Final = 2**30 - 1
AGREED: Final = "AGREED"


def member_check(state: ClientState, record: ThreadRecord, session: SessionRecord, *, now: int) -> CheckMember:
    """Return who may be in the group of an open session."""
    known = {member.device for member in ENGINE.members(ENGINE.load(session.state))}
    return checked(state, record, peer=record.peer_identity, known=known, now=now, later=True)


def wants_turn(state: ClientState, thread: str, *, now: int) -> bool:
    """Return whether `renewed` would do anything."""
    record, session = state.thread(thread), state.session(thread)
    group = ENGINE.load(session.state)
    if ENGINE.forget(group, now=now) is not group:
        return True
    if record.state != AGREED or session.closed_mine or session.closed_theirs or session.outbox:
        return False
    if session.rejoin is not None and now < session.rejoin.at + PATIENCE_S:
        return False  # others go on without this device until it is let in again
    if session.commit is not None:
        return session.commit.at + PATIENCE_S <= now
    if (session.newcomers or session.leaving) and not ENGINE.is_closed(group):
        return True
    return not _is_waiting(session, now) and ENGINE.wants_update(group, now=now)


def renewed(core: Core, state: ClientState, thread: str) -> ClientState:
    """Return the state without keys whose time is over, and with a change to be sent if it is time for one."""
    now = core.now()
    if not wants_turn(state, thread, now=now):
        return state
    record, session = state.thread(thread), state.session(thread)
    session = replace(session, state=ENGINE.dump(ENGINE.forget(ENGINE.load(session.state), now=now)))
    state = state.with_session(session)
    if not wants_turn(state, thread, now=now):
        return state
    if session.commit is not None:
        return state.with_session(_commit_again(core, session))
    check = member_check(state, record, session, now=now)
    before = ENGINE.load(session.state)
    add, remove = _wanted(session, before)
    try:
        group, data = ENGINE.change(before, add=add, remove=remove, check=check, now=now, entropy=fresh_secret())
    except MeshError:
        if not add:
            raise
        return state.with_session(replace(session, newcomers={}, returning=()))  # a package that does not hold
    commit = Outgoing(
        id=core.envelope_id(), kind="commit", ciphertext=data, epoch=ENGINE.epoch(group) + session.ahead, at=now
    )
    return state.with_session(
        replace(
            session,
            state=ENGINE.dump(group),
            commit=commit,
            adding=session.newcomers,
            outbox=(*session.outbox, commit),
        )
    )


def _wanted(session: SessionRecord, group: Session) -> tuple[list[bytes], list[str]]:
    """Return the key packages to add and the devices to remove; who lost its place is both."""
    members = {one.device for one in ENGINE.members(group)}
    gone = dict.fromkeys((*session.leaving, *session.newcomers))
    return list(session.newcomers.values()), [one for one in gone if one in members]


def changed(
    state: ClientState,
    record: ThreadRecord,
    session: SessionRecord,
    event: Change | Removed,
    *,
    number: int,
    now: int,
) -> tuple[ClientState, list[Event]]:
    """Return the state after a new epoch; `session` holds its group already, `number` is the hub's of the commit."""
    session = replace(session, commit=None)
    if isinstance(event, Removed):
        sentence = "This device was taken out of the session; nothing more can be read or sent here"
        return state.with_session(session), [Alarm(thread=record.thread, sentence=sentence, code="removed")]
    members = {one.device: one for one in ENGINE.members(ENGINE.load(session.state))}
    theirs = tuple(one for one in event.joined if not is_own(state, record, members[one], now=now))
    record = replace(record, peer_devices=tuple(dict.fromkeys((*record.peer_devices, *theirs))))
    events: list[Event] = []
    if event.joined or event.left:
        events = [Devices(thread=record.thread, joined=len(event.joined), left=len(event.left))]
    added = set(in_welcome(session)) if event.welcome else set(event.joined)
    if event.welcome:
        state = handed_on(state, record, session, added, welcome=event.welcome, number=number, now=now)
    still = {name: one for name, one in session.newcomers.items() if name not in added}
    leaving = tuple(one for one in session.leaving if one in members)
    left = tuple(dict.fromkeys((*session.left, *(one for one in event.left if one not in members))))[-MAX_LEFT:]
    session = replace(session, newcomers=still, adding={}, leaving=leaving, left=left)
    return state.with_thread(record).with_session(session), events


def in_welcome(session: SessionRecord) -> list[str]:
    """Return whose key package of now is in the change under way; who sent another one since is added by the next."""
    return [name for name, one in session.newcomers.items() if session.adding.get(name) == one]


def came_back(core: Core, state: ClientState, thread: str, envelope: str) -> ClientState:
    """Return the state after an own frame was ordered by the hub: behind a change, nobody may have read it."""
    session = state.session(thread)
    group = ENGINE.load(session.state)
    late = (one for one in session.frames if one.envelope == envelope and one.epoch < _epoch(group))
    for frame in late:
        session = frame_again(core, session, frame)
    return state.with_session(session)


def too_old(core: Core, state: ClientState, thread: str, envelope: str) -> ClientState:
    """Return the state after a hub refused an envelope as of an old epoch.

    Either there are changes that this device has not seen yet, or the hub was made to count too many. What comes next
    claims a later epoch, more and more so; the ciphertext itself says which one it is.
    """
    session = state.sessions.get(thread)
    if session is None:
        return state
    session = replace(session, outbox=tuple(one for one in session.outbox if one.id != envelope))
    frame = next((one for one in session.frames if one.envelope == envelope), None)
    commit = session.commit if session.commit is not None and session.commit.id == envelope else None
    epoch = _epoch(ENGINE.load(session.state))
    if commit is not None or (frame is not None and frame.epoch >= epoch):
        if session.ahead >= MOST_AHEAD:
            return state.with_session(session)
        session = replace(session, ahead=2 * session.ahead + 1)
    if commit is not None:
        session = _commit_again(core, session)
    elif frame is not None:
        session = frame_again(core, session, frame)
    return state.with_session(session)


def _epoch(group: Session) -> int:
    """Return the epoch of a group; that of a closed one is beyond caring."""
    return 0 if ENGINE.is_closed(group) else ENGINE.epoch(group)


def _is_waiting(session: SessionRecord, now: int) -> bool:
    """Return whether something said lately has not come back from the hub."""
    return any(one.number == 0 and decode(one.frame, Frame).at + PATIENCE_S > now for one in session.frames)


def _commit_again(core: Core, session: SessionRecord) -> SessionRecord:
    assert session.commit is not None
    epoch = _epoch(ENGINE.load(session.state)) + session.ahead
    commit = replace(session.commit, id=core.envelope_id(), epoch=epoch, at=core.now())
    return replace(session, commit=commit, outbox=(*session.outbox, commit))


def frame_again(core: Core, session: SessionRecord, shown: FrameRecord) -> SessionRecord:
    """Return the session with an own frame encrypted for the epoch of now."""
    group = ENGINE.load(session.state)
    frame = decode(shown.frame, Frame)
    if ENGINE.is_closed(group) or isinstance(frame.content, Gone):
        return session
    group, ciphertext = ENGINE.encrypt(group, encode_frame(frame), entropy=fresh_secret())
    epoch = ENGINE.epoch(group)
    outgoing = Outgoing(
        id=core.envelope_id(),
        kind="close" if isinstance(frame.content, Close) else "message",
        ciphertext=ciphertext,
        epoch=epoch + session.ahead,
    )
    again = replace(shown, envelope=outgoing.id, number=0, epoch=epoch)
    frames = tuple(again if one is shown else one for one in session.frames)
    return replace(session, state=ENGINE.dump(group), frames=frames, outbox=(*session.outbox, outgoing))
