"""The mentee's side of a handshake: quotes from several companies, one acceptance, and what comes back.

The node carries sealed parts that it cannot read: the need and the choice are for the provider's node, quotes and
briefs for devices. Source: docs/protocol/31-handshake.md §6, §8.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from federation.agreements import note_agreement
from federation.ports import Clock, Reader, Store, Writer, is_in, where
from federation.rows import OutboxRow, ThreadRow
from protocol.agreement import agreement_hash, countersign, open_proposed
from protocol.bodies import (
    AcceptedBody,
    AgreedBody,
    Agreement,
    CancelledBody,
    CancelReason,
    FinalizedBody,
    RequestBody,
    Sealed,
    VerifiedBody,
)
from protocol.encoding import Wire, decode, encode
from protocol.errors import ConflictError, LimitError, MeshError, MissingError, RefusedError, UnverifiedError
from protocol.handshake import Side, State
from protocol.ids import Bytes32, Entity, RandomId
from protocol.messages import Message, Outcome, open_message, open_receipt, parse_item
from protocol.threads import Book

from .mailbox import EntryKind, Mailboxes
from .mentor_side import Notices
from .places import FARTHEST_S
from .sessions import Sessions
from .threads import DELIVER_S, ENDED, KEEP_S, LONGEST_ANSWER_S, Desk, Peers, has_changed, is_untaken

SIDE: Final = Side.CONSUMER
#: What counts as open: a quote or an answer is still to come.
OPEN: Final = (State.REQUESTED.value, State.OFFERED.value, State.ACCEPTED.value)
#: Requests that one person may have open at once.
MAX_OPEN: Final = 24
#: Acceptances that one person may call off in that time: each has disturbed a mentor.
MAX_WITHDRAWN: Final = 30
#: Requests of one person that are kept at once, open or ended.
MAX_KEPT: Final = 200
DAY_S: Final = 86_400


class QuoteTransport(Protocol):
    """Carries one REQUESTED and brings back its OFFERED or refusal."""

    async def quote(self, peer: str, item: bytes) -> bytes:
        """Return the answering item. Raises: MeshError."""
        ...


class Ask(Wire, frozen=True, kw_only=True):
    """One sealed request of a quote round: `thread` is the device's fresh random id."""

    peer: Entity
    thread: RandomId
    request: Sealed


class QuoteResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came back for one `Ask`: the signed item (an offer or a refusal), or why there is none."""

    thread: str
    peer: str
    item: bytes = b""
    reason: str = ""


class ConsumerNotes(Wire, frozen=True, kw_only=True):
    """What the mentee's node keeps beside the book: its acceptance, the agreement, backups sealed in advance.

    `backup` marks a request that the node sent by itself while no device was there.
    """

    accepted: Bytes32 | None = None
    agreement: str = ""
    backups: tuple[Ask, ...] = ()
    backup: bool = False


class ConsumerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`quote_valid_s`: when an unanswered quote is forgotten; `grace_s`: wait after a deadline before moving on."""

    quote_valid_s: int = 900
    grace_s: int = 600


class Consumer:
    """Drives threads in which a person of this organization is the mentee."""

    def __init__(
        self,
        *,
        store: Store,
        desk: Desk,
        peers: Peers,
        transport: QuoteTransport,
        mailboxes: Mailboxes,
        sessions: Sessions,
        notices: Notices,
        clock: Clock,
        settings: ConsumerSettings,
    ) -> None:
        self._store: Final = store
        self._desk: Final = desk
        self._peers: Final = peers
        self._transport: Final = transport
        self._mailboxes: Final = mailboxes
        self._sessions: Final = sessions
        self._notices: Final = notices
        self._clock: Final = clock
        self._settings: Final = settings
        self._unsent: Final[list[tuple[Ask, Message]]] = []

    # What the mentee's device does

    async def ask(self, label: str, asks: Sequence[Ask]) -> list[QuoteResult]:
        """Send sealed requests to several nodes at once and return what each answered.

        Raises: LimitError: too many requests; ConflictError: a thread id is in use.
        """
        async with self._store.write() as tx:
            await self._check_room(tx, label, len(asks))
            for ask in asks:
                await self._peers.check_may_ask(tx, ask.peer)
            messages = [await self._request(tx, label, ask, ConsumerNotes()) for ask in asks]
        return list(
            await asyncio.gather(*(self._fetch(ask, message) for ask, message in zip(asks, messages, strict=True)))
        )

    async def _check_room(self, tx: Reader, label: str, more: int) -> None:
        mine = where(label=label, side=SIDE.value)
        if await tx.count(ThreadRow, mine, is_in("state", OPEN)) + more > MAX_OPEN:
            raise LimitError(f"at most {MAX_OPEN} open requests; withdraw one or wait until quotes lapse")
        if await tx.count(ThreadRow, mine) + more > MAX_KEPT:
            raise LimitError(f"at most {MAX_KEPT} requests in {KEEP_S // 86_400} days")

    async def _request(self, tx: Writer, label: str, ask: Ask, notes: ConsumerNotes) -> Message:
        """Store the thread of a request; what travels is returned and not queued."""
        if await tx.get(ThreadRow, ask.thread, SIDE.value):
            raise ConflictError("thread id is in use")
        until = self._clock.now() + self._settings.quote_valid_s
        row = self._desk.open(ask.thread, SIDE, ask.peer, label=label, notes=notes, purge_at=until + DAY_S)
        body = RequestBody(request=ask.request)
        _, message = await self._desk.say(tx, row, "request", body, deadline=until, send=False)
        return message

    async def _fetch(self, ask: Ask, request: Message) -> QuoteResult:
        try:
            item = await self._transport.quote(ask.peer, request.item)
            await self._take_quote(ask, item)
        except MeshError as error:
            await self._without_quote(ask)
            return QuoteResult(thread=ask.thread, peer=ask.peer, reason=error.code)
        return QuoteResult(thread=ask.thread, peer=ask.peer, item=item)

    async def _take_quote(self, ask: Ask, item: bytes) -> None:
        unopened = parse_item(item)
        await self._peers.learn(ask.peer, (unopened.keyid,))
        async with self._store.write() as tx:
            row = await self._desk.find(tx, ask.thread, SIDE)
            keys = await self._peers.keys(tx, ask.peer)
            message = open_message(unopened, keys.verify, audience=self._desk.own.entity)
            until = self._clock.now() + self._settings.quote_valid_s
            row, _ = await self._desk.take(tx, row, message, deadline=until)
            notes = decode(row.notes, ConsumerNotes)
            if row.state == State.OFFERED.value and notes.backup:
                await self._entry(tx, row, "quote", item)
            elif row.state != State.OFFERED.value:
                await self._fall_through(tx, row)

    async def _without_quote(self, ask: Ask) -> None:
        """Forget a request that got no answer; after a backup the next one is tried."""
        async with self._store.write() as tx:
            row = await tx.get(ThreadRow, ask.thread, SIDE.value)
            if row is None or row.state != State.REQUESTED.value:
                return
            if not await self._fall_through(tx, row):
                await self._desk.forget(tx, row)

    async def accept(self, label: str, thread: str, body: AcceptedBody, backups: tuple[Ask, ...] = ()) -> Message:
        """Send the acceptance of one candidate; return the signed message, whose hash the people's devices bind to.

        A device that missed the answer may send the same again and gets the same message.

        Args:
            backups: further requests, sealed in advance, that the node sends one after the other if this one fails
                while no device of the person is connected.
        Raises: MissingError, IllegalStepError; LimitError: this person has called off too many.
        """
        async with self._store.write() as tx:
            row = await self._desk.find(tx, thread, SIDE, label=label)
            said = await self._said(tx, row)
            if row.state == State.ACCEPTED.value and said.body == body:
                return said
            withdrawn = where(label=label, side=SIDE.value, state=State.CANCELLED.value)
            if await tx.count(ThreadRow, withdrawn) >= MAX_WITHDRAWN:
                raise LimitError(f"at most {MAX_WITHDRAWN} requests may be withdrawn in {KEEP_S // DAY_S} days")
            row, message = await self._desk.say(tx, row, "accept", body)
            notes = replace(decode(row.notes, ConsumerNotes), accepted=message.hash, backups=backups)
            # The provider's receipt names a nearer deadline; without one nobody waits for ever.
            deadline = self._clock.now() + LONGEST_ANSWER_S
            await tx.put(replace(row, notes=encode(notes), deadline=deadline))
        return message

    async def _said(self, tx: Reader, row: ThreadRow) -> Message:
        """Return this side's last message."""
        stored = await self._desk.message(tx, row, SIDE, len(decode(row.book, Book).said))
        return open_message(parse_item(stored.item), self._desk.own.messages, audience=row.peer)

    async def cancel(self, label: str, thread: str, reason: CancelReason) -> ThreadRow:
        """Step back: before AGREED the request ends, afterwards the session is called off, once."""
        async with self._store.write() as tx:
            row = await self._desk.find(tx, thread, SIDE, label=label)
            if decode(row.book, Book).session_cancelled:
                return row
            return await self._cancel(tx, row, reason)

    async def _cancel(self, tx: Writer, row: ThreadRow, reason: CancelReason) -> ThreadRow:
        row, _ = await self._desk.say(tx, row, "cancel", CancelledBody(reason=reason))
        await self._sessions.cancelled(tx, row)
        return row

    async def leave(self, tx: Writer, label: str) -> None:
        """End everything of a mentee who left: requests that nobody took up are forgotten, the others called off."""
        for row in await tx.find(ThreadRow, where(label=label, side=SIDE.value)):
            await self._desk.attempt(tx, row, self._leave)

    async def _leave(self, tx: Writer, row: ThreadRow) -> None:
        row = replace(row, notes=encode(replace(decode(row.notes, ConsumerNotes), backups=())))
        if row.state in (State.REQUESTED.value, State.OFFERED.value) and is_untaken(row):
            await self._desk.forget(tx, row)
        elif row.state in OPEN or await self._sessions.is_to_come(tx, row):
            await self._cancel(tx, row, "unavailable")
        else:
            await tx.put(row)

    # What comes from the provider's node

    async def on_message(self, tx: Writer, row: ThreadRow, message: Message) -> ThreadRow:
        """Take a verified message of the provider; the mentee's devices get the signed item as it is."""
        before = row
        match message.head.type:
            case "agree":
                row = await self._agreed(tx, row, message)
            case "finalize":
                row = await self._finalized(tx, row, message)
            case "counter" | "redirect":
                until = min(message.head.deadline, self._clock.now() + LONGEST_ANSWER_S)
                row, _ = await self._desk.take(tx, row, message, deadline=until)
            case _:
                row = await self._ended(tx, row, message)
        if has_changed(before, row):
            await self._entry(tx, row, "message", message.item)
        return row

    async def _agreed(self, tx: Writer, row: ThreadRow, message: Message) -> ThreadRow:
        keys = await self._peers.keys(tx, row.peer)
        document = message.as_(AgreedBody).agreement
        agreement = open_proposed(document, keys.verify)
        notes = decode(row.notes, ConsumerNotes)
        self._check_agreement(row, notes, agreement)
        row, effective = await self._desk.take(tx, row, message)
        if not effective:
            return row
        signed = countersign(document, self._desk.own.message_key)
        await self._sessions.plan(tx, row, agreement)
        row = replace(row, notes=encode(replace(notes, agreement=signed, backups=())))
        row, _ = await self._desk.say(tx, row, "verify", VerifiedBody(agreement=signed))
        await self._notices.agreed(tx, row, agreement)
        return row

    def _check_agreement(self, row: ThreadRow, notes: ConsumerNotes, agreement: Agreement) -> None:
        """Return if an agreement is about this thread and a time that can be. Raises: UnverifiedError.

        Whether it is a time that was asked for, only the mentee's device can tell: the choice is sealed.
        """
        parties = (agreement.thread, agreement.consumer, agreement.provider, agreement.accepted)
        if parties != (row.thread, self._desk.own.entity, row.peer, notes.accepted):
            raise UnverifiedError("agreement is not about this thread and acceptance", code="wrong-agreement")
        now = self._clock.now()
        if agreement.slot is not None and not now - DELIVER_S <= agreement.slot <= now + FARTHEST_S:
            raise UnverifiedError("agreement names a time that nobody can have asked for", code="wrong-agreement")

    async def _finalized(self, tx: Writer, row: ThreadRow, message: Message) -> ThreadRow:
        hashed = agreement_hash(decode(row.notes, ConsumerNotes).agreement)
        if message.as_(FinalizedBody).agreement_hash != hashed:
            raise UnverifiedError("acknowledgement names another agreement", code="wrong-agreement")
        row, effective = await self._desk.take(tx, row, message)
        if effective:
            await note_agreement(tx, row.thread, row.side, hashed, now=self._clock.now())
        return row

    async def _ended(self, tx: Writer, row: ThreadRow, message: Message) -> ThreadRow:
        before = row
        row, effective = await self._desk.take(tx, row, message)
        if not effective or not has_changed(before, row):
            return row
        await self._sessions.cancelled(tx, row)
        goes_on = row.state in ENDED and message.head.type != "cancel" and await self._fall_through(tx, row)
        await self._notices.ended(tx, row, message.head.type, goes_on=goes_on)
        return row

    async def on_delivered(self, tx: Writer, row: ThreadRow, sent: OutboxRow, outcome: Outcome) -> None:
        """Take the provider's receipt: it says until when the mentor may answer."""
        keys = await self._peers.keys(tx, row.peer)
        receipt = open_receipt(outcome.receipt, keys.verify)
        stored = await self._desk.message(tx, row, SIDE, sent.seq)
        if (receipt.mid, receipt.hash) != (sent.mid, stored.hash):
            raise UnverifiedError("receipt is for another message", code="wrong-receipt")
        if row.state == State.ACCEPTED.value and receipt.deadline is not None:
            until = min(receipt.deadline, self._clock.now() + LONGEST_ANSWER_S) + self._settings.grace_s
            await tx.put(replace(row, deadline=until))

    async def on_undelivered(self, tx: Writer, row: ThreadRow, code: str) -> None:
        """Tell the person that the other organization refused or never took a message."""
        if row.state in ENDED:
            return  # nobody waits for what that message said
        bound = row.state in (State.AGREED.value, State.VERIFIED.value)
        if row.state != State.FINALIZED.value:
            row = await self._desk.give_up(tx, row)
            await self._sessions.abandon(tx, row.thread, row.side)
        await self._entry(tx, row, "notice", code.encode())
        if bound:
            await self._notices.ended(tx, row, "cancel")
        elif row.state in ENDED:
            await self._fall_through(tx, row)

    # Clocks

    async def sweep(self) -> int:
        """Move on from quotes and answers whose time is over; return how many threads moved."""
        async with self._store.write() as tx:
            return await self._desk.sweep(tx, SIDE, self._lapse)

    async def _lapse(self, tx: Writer, row: ThreadRow) -> None:
        if decode(row.notes, ConsumerNotes).backups and (row.state in ENDED or row.state == State.REQUESTED.value):
            await self._next_backup(tx, row)
        elif is_untaken(row):
            await self._desk.forget(tx, row)
        elif row.state in (State.OFFERED.value, State.ACCEPTED.value):
            row = await self._cancel(tx, row, "fall-through")
            await self._entry(tx, row, "notice", b"no-answer")
            await self._fall_through(tx, row)
        else:
            await tx.put(replace(row, deadline=None))

    async def _entry(self, tx: Writer, row: ThreadRow, kind: EntryKind, data: bytes) -> None:
        await self._mailboxes.add(tx, row.label, kind, data, thread=row.thread, side=SIDE.value)

    # Backups: only while no device of the person is there to choose

    async def _fall_through(self, tx: Writer, row: ThreadRow) -> bool:
        """Let the next sweep send the backup of a thread that failed; tell whether there is one to send."""
        if not decode(row.notes, ConsumerNotes).backups or self._mailboxes.is_watched(row.label):
            return False
        await tx.put(replace(row, deadline=self._clock.now()))
        return True

    async def _next_backup(self, tx: Writer, row: ThreadRow) -> None:
        """Store the first backup that can be asked, with those after it; the thread that failed has none any more."""
        backups = decode(row.notes, ConsumerNotes).backups
        notes = replace(decode(row.notes, ConsumerNotes), backups=())
        if is_untaken(row):
            await self._desk.forget(tx, row)
        else:
            await tx.put(replace(row, notes=encode(notes), deadline=None))
        for number, ask in enumerate(backups):
            try:
                await self._check_room(tx, row.label, 1)
                await self._peers.check_may_ask(tx, ask.peer)
                message = await self._request(
                    tx, row.label, ask, ConsumerNotes(backups=backups[number + 1 :], backup=True)
                )
            except (RefusedError, MissingError, LimitError):
                continue
            tx.on_commit(lambda: self._unsent.append((ask, message)))  # noqa: B023 -- the loop ends here
            return

    async def send_backups(self) -> int:
        """Send the requests that `sweep` has stored; a quote that comes waits for the person."""
        unsent, self._unsent[:] = list(self._unsent), []
        await asyncio.gather(*(self._fetch(ask, message) for ask, message in unsent))
        return len(unsent)
