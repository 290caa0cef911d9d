"""The one loop of a client: entries in, each stored together with what it says, and everything that follows from them.

An entry is acknowledged only after the vault has it. What is still to be sent can be read off the vault, so that a
program that ends in the middle goes on where it was. Source: docs/protocol/41-envelopes.md §5.
"""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from node.api.exchange import Entry
from protocol.bodies import (
    AgreedBody,
    CancelledBody,
    CancelReason,
    DeclinedBody,
    ExpiredBody,
    OfferedBody,
    RefusedBody,
    VerifiedBody,
)
from protocol.e2ee.sealing import open_quote
from protocol.encoding import b64, decode_loose, unb64
from protocol.envelope import parse_envelope
from protocol.errors import LimitError, MeshError, MissingError, RefusedError, UnavailableError, UnverifiedError
from protocol.text import displayable

from .account import Accounts
from .agreeing import AGREED, take_agreed, take_private, take_verified
from .asking import take_offer
from .core import Core
from .ending import let_go
from .epochs import renewed, too_old, wants_turn
from .files import sweep_files
from .giving import give_tokens
from .keychecks import PATIENCE_S, KeyChecks, NotListedYetError, UnprovenError
from .mentoring import SAID_YES, WAITING, Mentoring, forgotten, take_request
from .needs import ENDED, ended
from .pins import Opened, UnknownSenderError, name_of, open_item
from .records import Outgoing, ParkedRecord, ThreadRecord
from .requesting import Requesting
from .session import OVER, destroyed, sent, take_envelope
from .state import ClientState
from .views import Alarm, Cancelled, Countered, Event, Problem, Refused

Step = tuple[ClientState, list[Event]]
#: An entry is looked at so often, each time with something more: a document, a proof.
TURNS: Final = 3
#: An entry waits so long for its sender's keys to be listed.
PARKED_S: Final = 3600
MAX_PARKED: Final = 64
#: A hub's answer to what was encrypted for an epoch long over.
STALE: Final = "stale-epoch"


class Storing(Protocol):
    """Stores an entry and what it says; with `last` it tells why it cannot be used instead of raising."""

    def __call__(self, entry: Entry, state: ClientState, *, last: bool) -> Step:
        """Return the next state and what happened."""
        ...


class MailboxLoop:
    """Takes in what waits, and does what follows."""

    def __init__(self, core: Core, accounts: Accounts, requesting: Requesting, checks: KeyChecks) -> None:
        self._core: Final = core
        self._accounts: Final = accounts
        self._requesting: Final = requesting
        self._mentoring: Final = Mentoring(core, checks)
        self._checks: Final = checks
        # Two turns at once would both ask the next person after one no.
        self._settling: Final = asyncio.Lock()

    async def turn(self, *, wait_s: float = 0) -> tuple[Event, ...]:
        """Return what happened; waits at most `wait_s` for the first entry if nothing else is to be done."""
        if events := await self.settle():
            return tuple(events)
        box = await self._core.api().mailbox(self._core.state().mailbox_after, wait_s=wait_s)
        if not box.entries:
            return ()
        for entry in box.entries:
            events += await self._take(entry)
        # What was taken in is stored and must be told; what fails from here on is done at the next turn.
        with suppress(UnavailableError):
            await self._core.api().acknowledge(box.entries[-1].cursor)
            events += await self.settle()
        return tuple(events)

    async def _take(self, entry: Entry) -> list[Event]:
        """Store one entry and what it says; what needs a document or a proof first is looked at again with it."""
        if any(one.thread == entry.thread for one in self._core.state().parked):
            return self._core.vault.change(partial(_parked, entry, now=self._core.now()))
        try:
            return await self._with_proofs(entry, self._stored, patience_s=PATIENCE_S)
        except NotListedYetError:
            return self._core.vault.change(partial(_parked, entry, now=self._core.now()))

    async def _with_proofs(self, entry: Entry, store: "Storing", *, patience_s: float) -> list[Event]:
        """Return what an entry says, asking for what it takes to understand it. Raises: NotListedYetError."""
        for _ in range(TURNS):
            try:
                return self._core.vault.change(partial(store, entry, last=False))
            except UnknownSenderError:
                await self._accounts.sync()
            except UnprovenError as wanted:
                with suppress(UnverifiedError):  # that is remembered, and told by the next turn
                    await self._checks.prove(wanted, patience_s=patience_s)
        return self._core.vault.change(partial(store, entry, last=True))

    def _stored(self, entry: Entry, state: ClientState, *, last: bool) -> Step:
        """Return the state past this entry; what it says is there, or why it cannot be used."""
        if entry.cursor <= state.mailbox_after:
            return state, []  # another program of this person was quicker
        after, events = self._understood(entry, state, last=last)
        return replace(after, mailbox_after=entry.cursor), events

    def _understood(self, entry: Entry, state: ClientState, *, last: bool) -> Step:
        try:
            return take_entry(self._core, state, entry)
        except (UnknownSenderError, UnprovenError) as error:
            if not last:
                raise
            return state, [problem_of(entry, error)]
        except MeshError as error:
            return state, [problem_of(entry, error)]

    async def _unpark(self) -> list[Event]:
        """Take in what waited for keys to be listed, in order; what waited too long is told and let go."""
        events: list[Event] = []
        waits: set[str] = set()
        for one in self._core.state().parked:
            if one.thread in waits:
                continue
            late = one.since + PARKED_S <= self._core.now()
            entry = decode_loose(one.entry, Entry, what="parked entry")
            try:
                events += await self._with_proofs(entry, partial(self._unparked, one), patience_s=0)
            except NotListedYetError:
                waits.add(one.thread)
                if late:
                    events += self._core.vault.change(partial(self._unparked, one, entry, last=True))
        return events

    def _unparked(self, one: ParkedRecord, entry: Entry, state: ClientState, *, last: bool) -> Step:
        after, events = self._understood(entry, state, last=last)
        return replace(after, parked=tuple(each for each in after.parked if each != one)), events

    # What follows

    async def settle(self) -> list[Event]:
        """Send what is stored and was not sent, ask the next person after a no, and let go of what is over."""
        async with self._settling:
            self.tidy()  # whatever else fails, words whose time is over go
            events = await self._unpark()
            await self._mentoring.decline_blocked()
            await self._requesting.unfinished()
            await self._cancel()
            await give_tokens(self._core)
            for thread in list(self._core.state().sessions):
                await self.flush(thread)
                if wants_turn(self._core.state(), thread, now=self._core.now()):
                    self._core.vault.update(partial(renewed, self._core, thread=thread))
                    await self.flush(thread)
            events += await self._requesting.go_on()
            self.tidy()
        return events

    def tidy(self) -> None:
        """Let go of what is over: sessions, briefs nobody answered, what was left of old threads."""
        before, now = self._core.state(), self._core.now()
        if let_go(before, now=now) is not before:
            before = self._core.vault.update(partial(let_go, now=now))
        sweep_files(self._core.vault.folder, before)

    async def _cancel(self) -> None:
        for record in self._core.state().threads.values():
            if not record.cancel:
                continue
            reason: CancelReason = "conflict" if record.cancel == "conflict" else "not-needed"
            with suppress(RefusedError, MissingError):  # it has ended already
                await self._core.api().cancel(record.thread, record.side, reason)
            why = record.reason or record.cancel
            self._core.vault.update(partial(called_off, thread=record.thread, reason=why, now=self._core.now()))

    async def flush(self, thread: str) -> bool:
        """Hand the session's stored envelopes to the node, in order; False while the node is away or not ready."""
        state = self._core.state()
        record = state.thread(thread)
        if record.state != AGREED:
            return False  # before both nodes signed, the other one does not know of a session
        for outgoing in state.session(thread).outbox:
            if not await self._send(record, outgoing):
                return False
            self._core.vault.update(partial(sent, thread=thread, outgoing=outgoing))
        return True

    async def _send(self, record: ThreadRecord, outgoing: Outgoing) -> bool:
        try:
            await self._core.api().envelope(record.thread, record.side, outgoing)
        except (UnavailableError, LimitError):
            return False
        except (RefusedError, MissingError) as error:
            if error.code == STALE:
                self._core.vault.update(partial(too_old, self._core, thread=record.thread, envelope=outgoing.id))
                return False  # the changes that it came after are in the mailbox
            return True  # the session is over at the node: nobody waits for this any more
        return True


def _parked(entry: Entry, state: ClientState, *, now: int) -> Step:
    """Return the state with an entry put aside until its sender's keys are listed."""
    if entry.cursor <= state.mailbox_after:
        return state, []
    state = replace(state, mailbox_after=entry.cursor)
    if len(state.parked) >= MAX_PARKED:
        return state, [problem_of(entry, NotListedYetError("too much waits for keys that are not listed"))]
    record = ParkedRecord(thread=entry.thread, entry=msgspec.json.encode(entry), since=now)
    return replace(state, parked=(*state.parked, record)), []


def take_entry(core: Core, state: ClientState, entry: Entry) -> Step:
    """Return the state with what an entry says. Raises: MeshError: it cannot be used, and nothing has changed."""
    data = unb64(entry.data, what="mailbox entry")
    if entry.kind == "request":
        return take_request(core, state, entry.thread, data)
    record = state.threads.get(entry.thread)
    if record is None or record.side != entry.side:
        return state, []  # forgotten here, or of another device
    match entry.kind:
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
        return too_old(core, state, record.thread, code.removeprefix(f"{STALE} ")), []
    if record.state in (*ENDED, OVER, AGREED):
        return state, []
    if record.role == "mentee":
        return _no(state, record, "EXPIRED" if code == "no-answer" else "TERMINATED", code, core.now())
    event = Cancelled(thread=record.thread, reason=code)
    outcome = "EXPIRED" if code == "expired" else "TERMINATED"
    return forgotten(state, thread=record.thread, outcome=outcome, reason=code, now=core.now()), [event]


def _envelope(core: Core, state: ClientState, record: ThreadRecord, item: bytes) -> Step:
    envelope = parse_envelope(item)
    if envelope.header.kind == "welcome":
        late = record.role == "mentee" and record.attested == "node" and record.thread not in state.sessions
        if envelope.header.side != "provider" or not late or not record.answer_seed:
            return state, []
        after, event = take_private(core, state, record, b64(envelope.ciphertext))
        return after, [event]
    if record.thread not in state.sessions:
        return state, []  # destroyed, or not open yet: then its first message is the welcome
    return take_envelope(core, state, record, envelope)


def problem_of(entry: Entry, error: MeshError) -> Event:
    """Return what is told of an entry that cannot be used: the reason by its name, and a sentence."""
    if isinstance(error, UnverifiedError):
        sentence = f"Something that does not verify was not believed: {error}"
        return Alarm(thread=entry.thread, sentence=sentence, code=error.code)
    return Problem(thread=entry.thread, code=error.code, sentence=str(error))


def called_off(state: ClientState, *, thread: str, reason: str, now: int) -> ClientState:
    """Return the state after this person stepped back: nobody else is asked for the same need by itself."""
    record = state.thread(thread)
    ask = state.asks.get(record.ask)
    if ask is not None and ask.active == thread:
        state = state.with_ask(replace(ask, active="", goes_on=False))
    return _over(state, replace(record, cancel=""), reason, now)
