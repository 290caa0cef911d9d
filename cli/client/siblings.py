"""Own devices in one session: whoever is missing is invited, answers with a key package, and is told what was said.

What one device tells another crosses sealed and signed; that a device is one's own is read off the logged directory,
never off the node's list. Source: docs/protocol/46-own-devices.md §6.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from msgspec.structs import replace

from node.api.exchange import Entry
from node.services.thread_views import SideName
from protocol.devices import open_enrolment, open_stated_key
from protocol.e2ee.crypto import Own
from protocol.e2ee.frames import Frame
from protocol.e2ee.keys import certify
from protocol.e2ee.siblings import Handoff, Heard, Invite, Package, Word, open_word, reader_of, seal_word
from protocol.encoding import b64, decode, unb64
from protocol.envelope import Envelope, parse_envelope
from protocol.errors import MalformedError, MissingError, RefusedError, UnavailableError, UnverifiedError
from protocol.sealing import SealingPublicKey
from protocol.signing import VerifyKey

from .agreeing import AGREED
from .core import ENGINE, Core, fresh_secret
from .gaps import said_before
from .handoff import frames_told, spoken
from .keychecks import KeyChecks, NotListedYetError, UnprovenError, require_listed
from .members import checked, is_own
from .ownwords import taken_back
from .records import SessionRecord, ThreadRecord
from .session import caught_up
from .sibling_records import JoiningRecord, WordRecord
from .state import ClientState
from .views import Event, Secured

#: The own devices of a session are looked at this often.
LOOK_EVERY_S: Final = 60
#: An invitation that led to nothing is answered again after this long.
PATIENCE_S: Final = 600
#: Envelopes kept while the handoff is awaited; what is more, the sibling may not have told.
MAX_HELD: Final = 512

Step = tuple[ClientState, list[Event]]


class Siblings:
    """Brings the person's other devices into the sessions of this one."""

    def __init__(self, core: Core, checks: KeyChecks) -> None:
        self._core: Final = core
        self._checks: Final = checks
        self._looked: Final[dict[str, int]] = {}

    def look_again(self) -> None:
        """Look at the own devices of every session at the next turn."""
        self._looked.clear()

    async def keys_of(self, device: str) -> dict[str, str]:
        """Return by thread the key that one of the person's devices, as the node names it, has in an open session."""
        state = self._core.state()
        keys: dict[str, str] = {}
        for thread, session in state.sessions.items():
            record = state.thread(thread)
            if not _is_open(record, session):
                continue
            members = {one.device for one in ENGINE.members(ENGINE.load(session.state))}
            for one in await self._core.api().siblings(record.audience):
                if one.device == device and one.device_key in members:
                    keys[thread] = one.device_key
        return keys

    async def turn(self) -> None:
        """Invite own devices that are missing, and send what waits for them."""
        with suppress(UnavailableError):  # the next turn goes on
            await self._invite()
            await self._send()

    async def _invite(self) -> None:
        state, now = self._core.state(), self._core.now()
        for thread, session in state.sessions.items():
            record = state.thread(thread)
            if not _is_open(record, session) or now < self._looked.get(thread, 0) + LOOK_EVERY_S:
                continue
            found = await self._devices(record.audience)
            if None not in found.values():  # who is not listed yet is looked for again at the next turn
                self._looked[thread] = now
            for device, key in found.items():
                if key is not None:
                    self._core.vault.update(partial(_invite, thread=thread, device=device, now=now))
            for device in _unnamed(state, record, session, found, now=now):
                if await self._is_gone(record.audience, device):
                    self._core.vault.update(partial(leaves, thread=thread, key=device))

    async def only_named_stand(self, audience: str) -> bool:
        """Return whether the person's directory of now lists this device, and none that the node does not name."""
        mine = self._core.state().device_secret.key(audience).public.text
        named = {mine, *(one.device_key for one in await self._core.api().siblings(audience))}
        standing = await self._standing(audience, mine)
        return standing is not None and named.issuperset(standing)

    async def _is_gone(self, audience: str, device: str) -> bool:
        """Return whether the person's directory of now is proven and lists an own device no more.

        A node that only hides a device takes it out of nothing.
        """
        standing = await self._standing(audience)
        return standing is not None and device not in standing

    async def _standing(self, audience: str, *devices: str) -> tuple[str, ...] | None:
        """Return whom the person's directory of now lists, all `devices` among them; None: that is not proven."""
        state = self._core.state()
        identity = state.account_secret.identity(audience).public.text
        entity = state.signed_in.entity
        wanted = UnprovenError(origin=entity, audience=audience, identity_key=identity, devices=devices)
        with suppress(UnverifiedError, NotListedYetError):
            return (await self._checks.prove(wanted, patience_s=0)).devices
        return None

    async def _send(self) -> None:
        for one in self._core.state().words:
            found = await self._devices(one.audience)
            to = found.get(one.device)
            if to is None and one.device in found:
                continue  # not to be checked just now: the word waits
            if to is not None:
                with suppress(RefusedError, MissingError):  # the session is over: nobody waits for it
                    await self._core.api().tell_sibling(one.thread, one.side, self._sealed(one, to))
            self._core.vault.update(partial(_said, word=one))

    def _sealed(self, one: WordRecord, to: SealingPublicKey) -> bytes:
        state, now = self._core.state(), self._core.now()
        certificate = certify(state.account_secret, state.device_secret, audience=one.audience, now=now)
        device = state.device_secret.key(one.audience)
        return seal_word(decode(one.word, Word), to, device, certificate, audience=one.audience)

    async def _devices(self, audience: str) -> Mapping[str, SealingPublicKey | None]:
        """Return the person's other devices, with a key that each can open; None while the directory lists it not."""
        state, now = self._core.state(), self._core.now()
        identity = state.account_secret.identity(audience).public.text
        found: dict[str, SealingPublicKey | None] = {}
        for one in await self._core.api().siblings(audience):
            if one.device_key == state.device_secret.key(audience).public.text:
                continue
            with suppress(UnverifiedError):  # not one's own, whatever the node says
                certificate = open_enrolment(one.enrolment, audience=audience, now=now)
                if (one.enrolment.identity_key, certificate.device_key) != (identity, one.device_key):
                    continue
                found[one.device_key] = None
                with suppress(NotListedYetError):
                    await self._require_listed(audience, one.device_key)
                    device = VerifyKey.parse(one.device_key)
                    found[one.device_key] = open_stated_key(one.enrolment.sealing[0], device, now=now)
        return found

    async def _require_listed(self, audience: str, device: str) -> None:
        try:
            _listed(self._core.state(), audience, device, now=self._core.now())
        except UnprovenError as wanted:
            await self._checks.prove(wanted, patience_s=0)


def take_word(core: Core, state: ClientState, entry: Entry, data: bytes) -> Step:
    """Return the state with what another device of the person told this one.

    Raises: UnverifiedError: not by an own device; UnprovenError: that device is to be looked up first; MalformedError.
    """
    reader = reader_of(data)
    own = next((one for one in state.sealing if one.hash == reader), None)
    if own is None:
        return state, []  # for another device
    identity = state.account_secret.identity(own.audience).public
    heard = open_word(data, own.key, identity, audience=own.audience, now=core.now())
    _listed(state, own.audience, heard.device.text, now=core.now())
    if heard.word.thread != entry.thread:
        raise UnverifiedError("what a device tells another is of another session", code="wrong-thread")
    match heard.word.content:
        case Invite():
            return _invited(core, state, heard, side=entry.side, audience=own.audience), []
        case Package(package=text):
            return _offered(state, heard, own.audience, unb64(text, what="key package")), []
        case Handoff() as told:
            return _handed(core, state, entry.thread, told)


def leaves(state: ClientState, *, thread: str, key: str) -> ClientState:
    """Return the state with an own device that is to be taken out of a session; never this one."""
    session = state.sessions.get(thread)
    if session is None or key == state.device_secret.key(state.thread(thread).audience).public.text:
        return state
    newcomers = {name: one for name, one in session.newcomers.items() if name != key}
    leaving = tuple(dict.fromkeys((*session.leaving, key)))
    return state.with_session(replace(session, leaving=leaving, newcomers=newcomers))


def alone(state: ClientState, *, thread: str, now: int) -> ClientState:
    """Return the state with every other own device to be taken out of a session."""
    session = state.sessions.get(thread)
    if session is None:
        return state
    for one in ENGINE.members(ENGINE.load(session.state)):
        if is_own(state, state.thread(thread), one, now=now):
            state = leaves(state, thread=thread, key=one.device)
    return state


def held(state: ClientState, thread: str, data: bytes) -> ClientState:
    """Return the state with an envelope kept for a session that this device is about to join.

    Raises: MalformedError: it is none.
    """
    joining = state.joining.get(thread)
    if joining is None:
        return state
    parse_envelope(data)  # junk takes nobody's place, and does not stand in the way of the handoff
    kept = replace(joining, held=(*joining.held, data)[-MAX_HELD:])
    return replace(state, joining={**state.joining, thread: kept})


def _invited(core: Core, state: ClientState, heard: Heard, *, side: SideName, audience: str) -> ClientState:
    """Return the state with a key package for the sibling that invited."""
    thread, now = heard.word.thread, core.now()
    waiting = state.joining.get(thread)
    here = state.sessions.get(thread)
    inside = here is not None and not ENGINE.is_closed(ENGINE.load(here.state))
    if inside or (waiting is not None and now < waiting.since + PATIENCE_S):
        return state
    certificate = certify(state.account_secret, state.device_secret, audience=audience, now=now)
    own, package = ENGINE.prepare(state.device_secret.key(audience), certificate, now=now, entropy=fresh_secret())
    joining = JoiningRecord(audience=audience, own_secret=own.secret, since=now)
    state = replace(state, joining={**state.joining, thread: joining})
    answer = Word(thread=thread, at=now, content=Package(package=b64(package)))
    return spoken(state, answer, heard.device.text, side=side, audience=audience)


def _offered(state: ClientState, heard: Heard, audience: str, package: bytes) -> ClientState:
    """Return the state with a sibling that waits to be added."""
    session, record = state.sessions.get(heard.word.thread), state.threads.get(heard.word.thread)
    if session is None or record is None or record.audience != audience or not _is_open(record, session):
        return state
    return state.with_session(replace(session, newcomers={**session.newcomers, heard.device.text: package}))


def _handed(core: Core, state: ClientState, thread: str, told: Handoff) -> Step:
    """Return the state in the session, after everything that was held back for it."""
    joining = state.joining.get(thread)
    if joining is None:
        return state, []
    now, audience = core.now(), joining.audience
    record = _record(thread, audience, told, now=now)
    # This device looks up everybody itself, whatever its sibling has checked.
    check = checked(state, record, peer=told.peer_identity, known=(), now=now, later=True)
    own = Own(device=state.device_secret.key(audience), secret=joining.own_secret)
    context = unb64(told.context, size=32, what="context")
    group = ENGINE.join(own, unb64(told.welcome, what="welcome"), context=context, check=check, now=now)
    theirs = (one.device for one in ENGINE.members(group) if not is_own(state, record, one, now=now))
    record = replace(record, peer_devices=tuple(dict.fromkeys((*told.peer_devices, *theirs))))
    frames = frames_told(told, now=now)
    session = SessionRecord(
        thread=thread,
        engine=ENGINE.name,
        state=ENGINE.dump(group),
        frames=frames,
        name=told.name,
        master_key=told.master_key,
        former=told.former,
        label=told.label,
        vouched=told.vouched,
        again_mine=told.again_mine,
        again_theirs=told.again_theirs,
        closed_mine=told.closed_mine,
        closed_theirs=told.closed_theirs,
        said=said_before(decode(one.frame, Frame) for one in frames if one.sender == own.device.public.text),
        late=True,
        asks={one.device: (now,) for one in ENGINE.members(group)},  # those of before were for others
        rejoin_key=unb64(told.rejoin) if told.rejoin else b"",
        left=told.left,
    )
    waiting = {name: one for name, one in state.joining.items() if name != thread}
    state = replace(state.with_thread(record).with_session(taken_back(record, session)), joining=waiting)
    events: list[Event] = [Secured(thread=thread, role=record.role, witnessed=record.witnessed)]
    later = [one for one in _envelopes(joining.held) if (one.header.number or 0) > told.number]
    state, more = caught_up(core, state, thread, later)
    return state, [*events, *more]


def _envelopes(held: Iterable[bytes]) -> Iterator[Envelope]:
    """Yield what was kept; a vault of before may hold junk."""
    for data in held:
        with suppress(MalformedError):
            yield parse_envelope(data)


def _record(thread: str, audience: str, told: Handoff, *, now: int) -> ThreadRecord:
    return ThreadRecord(
        thread=thread,
        role=told.role,
        consumer=told.consumer,
        provider=told.provider,
        audience=audience,
        state=AGREED,
        updated_at=now,
        agreement=told.agreement,
        peer_identity=told.peer_identity,
        peer_next=told.peer_next,
        peer_chain=told.peer_chain,
        topic=told.topic,
        format=told.format,
        length=told.length,
        slot=told.slot,
        ends_at=told.ends_at,
        attested=told.attested,
        witnessed=told.witnessed,
    )


def _invite(state: ClientState, *, thread: str, device: str, now: int) -> ClientState:
    """Return the state with an invitation for an own device that is no member and was not invited."""
    session = state.sessions.get(thread)
    if session is None or not _is_open(state.thread(thread), session) or device in session.invited:
        return state
    if device in {one.device for one in ENGINE.members(ENGINE.load(session.state))}:
        return state
    record = state.thread(thread)
    state = state.with_session(replace(session, invited=(*session.invited, device)))
    word = Word(thread=thread, at=now, content=Invite())
    return spoken(state, word, device, side=record.side, audience=record.audience)


def _said(state: ClientState, *, word: WordRecord) -> ClientState:
    return replace(state, words=tuple(one for one in state.words if one != word))


def _listed(state: ClientState, audience: str, device: str, *, now: int) -> None:
    """Return when the own directory lists a device. Raises: UnprovenError, UnverifiedError."""
    identity = state.account_secret.identity(audience).public.text
    origin = state.signed_in.entity
    require_listed(state, origin=origin, audience=audience, identity_key=identity, devices=(device,), now=now)


def _unnamed(
    state: ClientState, record: ThreadRecord, session: SessionRecord, found: Collection[str], *, now: int
) -> list[str]:
    """Return the own members of a session, this device aside, that the node does not name any more."""
    here = state.device_secret.key(record.audience).public.text
    members = ENGINE.members(ENGINE.load(session.state))
    own = [one.device for one in members if is_own(state, record, one, now=now)]
    return [one for one in own if one != here and one not in found and one not in session.leaving]


def _is_open(record: ThreadRecord, session: SessionRecord) -> bool:
    """Return whether somebody can still come into a session."""
    closed = session.closed_mine or session.closed_theirs
    return record.state == AGREED and not closed and not ENGINE.is_closed(ENGINE.load(session.state))
