"""A device that cannot follow its session any more asks to be let in again; who hears it checks it, and lets it in.

Whoever lets it in makes the same checks as at the beginning, and neither side does so without end. A new device of
somebody who lost every other one asks in the same way. Source: docs/protocol/45-sessions.md §8, §10.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from protocol.e2ee.crypto import Change, Member, Own
from protocol.e2ee.keys import certify
from protocol.e2ee.mls.engine import Session
from protocol.e2ee.rejoin import (
    KEY_BYTES,
    PURPOSE,
    Answer,
    Ask,
    Rejoin,
    ask_with,
    is_rejoin,
    open_rejoin,
    package_of,
    seal_rejoin,
)
from protocol.encoding import b64, unb64
from protocol.envelope import Envelope, parse_envelope, render_envelope

from .core import ENGINE, Core, fresh_secret
from .epochs import MOST_AHEAD, PATIENCE_S, frame_again, in_welcome
from .members import checked, is_own, proven_of
from .records import Outgoing, RejoinRecord, SessionRecord, ThreadRecord
from .state import ClientState
from .views import Event, Problem

#: A device asks so often in one session, and is let in so often.
MOST: Final = 5
#: Envelopes kept until the answer comes; of a longer wait the newest.
MAX_HELD: Final = 256
NEW_DEVICE: Final = "new-device"
#: The epoch that the first members share; who comes later is told the key by a sibling.
FIRST_EPOCH: Final = 1

Step = tuple[ClientState, list[Event]]


def keyed(session: SessionRecord, group: Session) -> SessionRecord:
    """Return the session with the key that its devices have in common, if it can still be had."""
    if session.rejoin_key or ENGINE.is_closed(group) or ENGINE.epoch(group) != FIRST_EPOCH:
        return session
    return replace(session, rejoin_key=ENGINE.export(group, PURPOSE, KEY_BYTES))


def is_asking(session: SessionRecord, *, now: int) -> bool:
    """Return whether this device waits to be let in."""
    return session.rejoin is not None and now < session.rejoin.at + PATIENCE_S


def is_ahead(group: Session, ciphertext: bytes) -> bool:
    """Return whether a message claims a later epoch of a group than this device is in."""
    claimed = None if ENGINE.is_closed(group) else ENGINE.marked(ciphertext)
    if claimed is None:
        return False
    here = ENGINE.mark(group)
    return claimed.group == here.group and claimed.epoch > here.epoch


def lost(core: Core, state: ClientState, record: ThreadRecord, session: SessionRecord, envelope: Envelope) -> Step:
    """Return the state after something that only a device with another state can read: ask, and keep it until then."""
    now, group = core.now(), ENGINE.load(session.state)
    if not session.rejoin_key or session.closed_mine or session.closed_theirs:
        return state.with_session(session), [_told(session, "lost-place", "This device cannot follow the session")]
    if is_asking(session, now=now):
        assert session.rejoin is not None
        held = (*session.rejoin.held, render_envelope(envelope))[-MAX_HELD:]
        return state.with_session(replace(session, rejoin=replace(session.rejoin, held=held))), []
    if session.asked >= MOST:
        sentence = "This device cannot follow the session, and was let in again too often: go on with another device"
        return state.with_session(session), [_told(session, "lost-place", sentence)]
    outside = ENGINE.is_closed(group)
    epoch = MOST_AHEAD if outside else max(ENGINE.epoch(group) + session.ahead, envelope.header.epoch)
    first = () if is_rejoin(envelope.ciphertext) else (render_envelope(envelope),)
    session = _asking(core, state, record, session, epoch=epoch, held=first)
    if outside:
        return state.with_session(session), []  # its person knows that it waits
    sentence = (
        "This device cannot follow the session any more, and has asked to be let in again. "
        "Something that was said meanwhile may be missing here"
    )
    return state.with_session(session), [_told(session, "lost-place", sentence)]


def wants_in(state: ClientState, thread: str, *, now: int) -> bool:
    """Return whether this device asks by itself: it is new, or its place is of keys that its person had before."""
    session, record = state.sessions.get(thread), state.threads.get(thread)
    if session is None or record is None or is_asking(session, now=now):
        return False
    if session.context:
        return not session.asked
    if session.closed_mine or session.closed_theirs or not session.rejoin_key or session.asked >= MOST:
        return False
    group = ENGINE.load(session.state)
    if ENGINE.is_closed(group) or session.outbox or session.leaving or session.commit:
        return False
    mine = state.device_secret.key(record.audience).public.text
    return not all(is_own(state, record, one, now=now) for one in ENGINE.members(group) if one.device == mine)


def asked_in(core: Core, state: ClientState, *, thread: str) -> ClientState:
    """Return the state of a device that asks to be let into a session by itself, if it still wants to."""
    if not wants_in(state, thread, now=core.now()):
        return state
    session, group = state.session(thread), ENGINE.load(state.session(thread).state)
    epoch = MOST_AHEAD if ENGINE.is_closed(group) else ENGINE.epoch(group) + session.ahead
    return state.with_session(_asking(core, state, state.thread(thread), session, epoch=epoch))


def _asking(
    core: Core,
    state: ClientState,
    record: ThreadRecord,
    session: SessionRecord,
    *,
    epoch: int,
    held: tuple[bytes, ...] = (),
) -> SessionRecord:
    """Return the session with an ask that waits to be sent; who is in no group cannot know the epoch of now."""
    now, group = core.now(), ENGINE.load(session.state)
    own, package = _prepared(state, record, now=now)
    out = _outgoing(core, session, ask_with(package, at=now), epoch=epoch)
    followed = 0 if ENGINE.is_closed(group) else ENGINE.epoch(group)
    rejoin = RejoinRecord(own_secret=own.secret, at=now, epoch=followed, held=held)
    return replace(session, rejoin=rejoin, asked=session.asked + 1, outbox=(*session.outbox, out))


def _prepared(state: ClientState, record: ThreadRecord, *, now: int) -> tuple[Own, bytes]:
    device = state.device_secret.key(record.audience)
    certificate = certify(state.account_secret, state.device_secret, audience=record.audience, now=now)
    return ENGINE.prepare(device, certificate, now=now, entropy=fresh_secret())


def heard(
    core: Core, state: ClientState, record: ThreadRecord, session: SessionRecord, envelope: Envelope
) -> tuple[ClientState, list[Event], Sequence[Envelope]]:
    """Return the state after an ask or an answer, what it shows, and what can be read now, in order.

    Raises: UnverifiedError: not of this session, or of nobody in it; UnprovenError: look the device up first;
        MalformedError.
    """
    word = open_rejoin(envelope.ciphertext, session.rejoin_key, thread=record.thread)
    if isinstance(word.content, Ask):
        if ENGINE.is_closed(ENGINE.load(session.state)):
            return *_asked_outside(core, state, record, word, envelope), ()
        return *_asked(core, state, record, session, word), ()
    return _answered(core, state, record, session, word.content, epoch=envelope.header.epoch)


def _asked(core: Core, state: ClientState, record: ThreadRecord, session: SessionRecord, word: Rejoin) -> Step:
    """Return the state with a device that is to be taken out and added again, once it is checked."""
    now, group = core.now(), ENGINE.load(session.state)
    assert isinstance(word.content, Ask), "an answer is none"
    package, at = package_of(word.content), word.at
    member = ENGINE.member_of(package)
    before = session.asks.get(member.device, ())
    if (
        member.device == state.device_secret.key(record.audience).public.text
        or member.device in (*session.leaving, *session.left)
        or len(before) >= MOST
        or at <= max(before, default=0)
        or _waits_itself(state, record, session, member, now=now)
    ):
        return state.with_session(session), []
    # The same checks as at the beginning: whose device it is, and that the directory lists it today.
    proven = proven_of(state, record, member, now=now)
    session = replace(
        session,
        newcomers={**session.newcomers, member.device: package},
        returning=tuple(dict.fromkeys((*session.returning, member.device))),
        asks={**session.asks, member.device: (*before, at)},
        rejoin=None,
    )
    if member.device not in {one.device for one in ENGINE.members(group)}:
        own = is_own(state, record, member, now=now)
        theirs = (one for one in ENGINE.members(group) if is_own(state, record, one, now=now) == own)
        lost_ones = (one.device for one in theirs if one.device not in proven.devices)
        session = replace(session, leaving=tuple(dict.fromkeys((*session.leaving, *lost_ones))))
        return state.with_session(session), [_new_device(session, own=own)]
    sentence = "A device of this session lost its place and is let in again; its keys were checked as at the beginning"
    return state.with_session(session), [_told(session, "let-in-again", sentence)]


def _new_device(session: SessionRecord, *, own: bool) -> Problem:
    """Return what is told of a device that was never in the session; its keys hold."""
    if own:
        return _told(session, NEW_DEVICE, "You joined again with a new device")
    who = session.name or "The other person"
    sentence = (
        f"{who} joined again with a new device. Its keys are certified by the identity that you met, and listed; "
        f"whoever has the recovery words of {who} has this device, too. It was told nothing of what was said before"
    )
    return _told(session, NEW_DEVICE, sentence)


def _asked_outside(core: Core, state: ClientState, record: ThreadRecord, word: Rejoin, envelope: Envelope) -> Step:
    """Return the state of a device in no group that hears another one ask; the mentor's may begin a group anew.

    It does so once nobody can be left in the group of before: every device that the directory lists for the mentee
    has asked since. Who is let in by a member meanwhile goes there.
    """
    now, session = core.now(), state.session(record.thread)
    assert isinstance(word.content, Ask), "an answer is none"
    package = package_of(word.content)
    member = ENGINE.member_of(package)
    own = is_own(state, record, member, now=now)
    if not session.context:
        return state, []
    if record.role == "mentee":
        if own or not session.asked or is_asking(session, now=now):
            return state, []
        # Who is in no group either did not hear what was asked before they came.
        return lost(core, state, record, session, envelope)
    if not own:
        proven_of(state, record, member, now=now)
        session = replace(session, newcomers={**session.newcomers, member.device: package})
    if not session.asked or not session.newcomers:
        return state.with_session(session), []  # looked at again when this device's own ask is ordered
    last = ENGINE.member_of(next(reversed(session.newcomers.values())))
    if not set(proven_of(state, record, last, now=now).devices) <= session.newcomers.keys():
        return state.with_session(session), []
    return _anew(core, state, record, session, number=envelope.header.number or 1)


def _anew(core: Core, state: ClientState, record: ThreadRecord, session: SessionRecord, *, number: int) -> Step:
    """Return the state with a new group under the same agreement, of this device and all that asked."""
    now = core.now()
    own, _ = _prepared(state, record, now=now)
    check = checked(state, record, peer=record.peer_identity, known=(), now=now, later=True)
    group, welcome = ENGINE.start(
        own, list(session.newcomers.values()), context=session.context, check=check, now=now, entropy=fresh_secret()
    )
    words = (
        Rejoin(at=now, content=Answer(device=one, number=number, welcome=b64(welcome))) for one in session.newcomers
    )
    out = tuple(_outgoing(core, session, one, epoch=MOST_AHEAD) for one in words)
    record = replace(record, peer_devices=tuple(dict.fromkeys((*record.peer_devices, *session.newcomers))))
    session = replace(
        session, state=ENGINE.dump(group), context=b"", newcomers={}, ahead=MOST_AHEAD, outbox=(*session.outbox, *out)
    )
    sentence = (
        "Nobody was left in the group of this session: a new one begins under the same agreement, with devices that "
        "were checked as at the beginning"
    )
    return state.with_thread(record).with_session(session), [_told(session, "began-anew", sentence)]


def _waits_itself(
    state: ClientState, record: ThreadRecord, session: SessionRecord, member: Member, *, now: int
) -> bool:
    """Return whether this device waits to be let in by others: of two histories that of the mentor goes on."""
    if not is_asking(session, now=now):
        return False
    return record.role == "mentee" or is_own(state, record, member, now=now)


def answering(core: Core, session: SessionRecord, event: Change, *, number: int) -> SessionRecord:
    """Return the session with what tells those who come back how to join; `session` holds the new group."""
    # An ask of before that comes later is for a key package that was used.
    back = {one: (*session.asks.get(one, ())[:-1], core.now()) for one in event.joined if one in event.left}
    session = replace(session, asks={**session.asks, **back})
    added = in_welcome(session)
    returning = [one for one in session.returning if one in added]
    if not event.welcome:
        return replace(session, returning=tuple(one for one in returning if one not in event.joined))
    epoch = ENGINE.epoch(ENGINE.load(session.state)) + session.ahead
    words = (
        Rejoin(at=core.now(), content=Answer(device=one, number=number, welcome=b64(event.welcome)))
        for one in returning
    )
    out = tuple(_outgoing(core, session, one, epoch=epoch) for one in words)
    left = {name: one for name, one in session.newcomers.items() if name not in returning}
    waiting = tuple(one for one in session.returning if one in left)
    return replace(session, newcomers=left, returning=waiting, outbox=(*session.outbox, *out))


def _answered(
    core: Core, state: ClientState, record: ThreadRecord, session: SessionRecord, answer: Answer, *, epoch: int
) -> tuple[ClientState, list[Event], Sequence[Envelope]]:
    device, now, rejoin = state.device_secret.key(record.audience), core.now(), session.rejoin
    if answer.device != device.public.text or rejoin is None:
        return state.with_session(session), [], ()
    context = session.context or ENGINE.context(ENGINE.load(session.state))
    # Who was a member before may have been removed since, and has the key of these words, too: nobody counts as known.
    check = checked(state, record, peer=record.peer_identity, known=(), now=now, later=True)
    own = Own(device=device, secret=rejoin.own_secret)
    welcome = unb64(answer.welcome, what="welcome")
    group = ENGINE.join(own, welcome, context=context, check=check, now=now)
    theirs = (one.device for one in ENGINE.members(group) if not is_own(state, record, one, now=now))
    record = replace(record, peer_devices=tuple(dict.fromkeys((*record.peer_devices, *theirs))))
    session = replace(
        session,
        state=ENGINE.dump(group),
        marks={},
        commit=None,
        outbox=(),
        newcomers={},
        adding={},
        returning=(),
        rejoin=None,
        context=b"",
        # A group that began anew counts its epochs from one, and the hub does not.
        ahead=min(max(session.ahead, epoch - ENGINE.epoch(group)), MOST_AHEAD),
    )
    for one in session.frames:
        if one.sender == device.public.text and (one.number == 0 or one.epoch >= rejoin.epoch):
            session = frame_again(core, session, one)
    waiting = [one for one in map(parse_envelope, rejoin.held) if (one.header.number or 0) > answer.number]
    told = _told(session, "let-in-again", "This device was let in again, and follows the session from here on")
    return state.with_thread(record).with_session(session), [told], waiting


def _outgoing(core: Core, session: SessionRecord, word: Rejoin, *, epoch: int) -> Outgoing:
    data = seal_rejoin(word, session.rejoin_key, thread=session.thread, salt=fresh_secret())
    return Outgoing(id=core.envelope_id(), kind="message", ciphertext=data, epoch=epoch)


def _told(session: SessionRecord, code: str, sentence: str) -> Problem:
    return Problem(thread=session.thread, code=code, sentence=sentence)
