"""The mentee's side of a handshake: quotes from several companies, one acceptance, and what comes back.

The node carries sealed parts that it cannot read: the need and the choice are for the provider's node, quotes and
briefs for devices. Source: docs/protocol/31-handshake.md §6, §8.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from federation.ports import Clock, Store, Writer, at_most, is_in, where
from federation.rows import OutboxRow, ThreadRow
from protocol.agreement import agreement_hash, countersign, open_proposed
from protocol.bodies import (
    AcceptedBody,
    AgreedBody,
    CancelledBody,
    CancelReason,
    FinalizedBody,
    RequestBody,
    Sealed,
    VerifiedBody,
)
from protocol.encoding import Wire, decode, encode
from protocol.errors import ConflictError, LimitError, MeshError, UnverifiedError
from protocol.handshake import Side, State
from protocol.ids import Bytes32, Entity, RandomId
from protocol.messages import Message, Outcome, open_message, open_receipt, parse_item
from protocol.threads import Book

from .mailbox import EntryKind, Mailboxes
from .mentor_side import Notices
from .sessions import Sessions
from .threads import Desk, Peers

SIDE: Final = Side.CONSUMER
#: What counts as open: a quote or an answer is still to come.
OPEN: Final = (State.REQUESTED.value, State.OFFERED.value, State.ACCEPTED.value)
#: Requests that one person may have open at once.
MAX_OPEN: Final = 24


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
    """What the mentee's node keeps beside the book: its acceptance, the agreement, backups sealed in advance."""

    accepted: Bytes32 | None = None
    agreement: str = ""
    backups: tuple[Ask, ...] = ()


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
        self._due: Final[list[tuple[str, tuple[Ask, ...]]]] = []

    # What the mentee's device does

    async def ask(self, label: str, asks: Sequence[Ask]) -> list[QuoteResult]:
        """Send sealed requests to several nodes at once and return what each answered.

        Raises: LimitError: too many open requests; ConflictError: a thread id is in use.
        """
        messages = await self._request(label, asks)
        return list(
            await asyncio.gather(*(self._fetch(ask, message) for ask, message in zip(asks, messages, strict=True)))
        )

    async def _request(self, label: str, asks: Sequence[Ask]) -> list[Message]:
        async with self._store.write() as tx:
            open_now = await tx.count(ThreadRow, where(label=label, side=SIDE.value), is_in("state", OPEN))
            if open_now + len(asks) > MAX_OPEN:
                raise LimitError(f"at most {MAX_OPEN} open requests; withdraw one or wait until quotes lapse")
            for ask in asks:
                await self._peers.check_may_ask(tx, ask.peer)
                if await tx.get(ThreadRow, ask.thread, SIDE.value):
                    raise ConflictError("thread id is in use")
            messages: list[Message] = []
            for ask in asks:
                row = self._desk.open(ask.thread, SIDE, ask.peer, label=label, notes=ConsumerNotes())
                _, message = await self._desk.say(
                    tx,
                    row,
                    "request",
                    RequestBody(request=ask.request),
                    deadline=self._clock.now() + self._settings.quote_valid_s,
                    send=False,
                )
                messages.append(message)
            return messages

    async def _fetch(self, ask: Ask, request: Message) -> QuoteResult:
        try:
            item = await self._transport.quote(ask.peer, request.item)
            return await self._take_quote(ask, item)
        except MeshError as error:
            async with self._store.write() as tx:
                await self._desk.forget(tx, await self._desk.find(tx, ask.thread, SIDE))
            return QuoteResult(thread=ask.thread, peer=ask.peer, reason=error.code)

    async def _take_quote(self, ask: Ask, item: bytes) -> QuoteResult:
        async with self._store.write() as tx:
            row = await self._desk.find(tx, ask.thread, SIDE)
            keys = await self._peers.keys(tx, ask.peer)
            message = open_message(parse_item(item), keys.verify, audience=self._desk.own.entity)
            await self._desk.take(tx, row, message, deadline=self._clock.now() + self._settings.quote_valid_s)
        return QuoteResult(thread=ask.thread, peer=ask.peer, item=item)

    async def accept(self, label: str, thread: str, body: AcceptedBody, backups: tuple[Ask, ...] = ()) -> Message:
        """Send the acceptance of one candidate; return the signed message, whose hash the people's devices bind to.

        Args:
            backups: further requests, sealed in advance, that the node sends one after the other if this one fails
                while no device of the person is connected.
        Raises: MissingError, IllegalStepError.
        """
        async with self._store.write() as tx:
            row = await self._desk.find(tx, thread, SIDE, label=label)
            row, message = await self._desk.say(tx, row, "accept", body)
            notes = replace(decode(row.notes, ConsumerNotes), accepted=message.hash, backups=backups)
            await tx.put(replace(row, notes=encode(notes)))
        return message

    async def cancel(self, label: str, thread: str, reason: CancelReason) -> ThreadRow:
        """Step back: before AGREED the request ends, afterwards the session is called off."""
        async with self._store.write() as tx:
            row = await self._desk.find(tx, thread, SIDE, label=label)
            row, _ = await self._desk.say(tx, row, "cancel", CancelledBody(reason=reason), deadline=row.deadline)
            await self._sessions.cancelled(tx, row)
        return row

    # What comes from the provider's node

    async def on_message(self, tx: Writer, row: ThreadRow, message: Message) -> ThreadRow:
        """Take a verified message of the provider; the mentee's devices get the signed item as it is."""
        match message.head.type:
            case "agree":
                row = await self._agreed(tx, row, message)
            case "finalize":
                row = await self._finalized(tx, row, message)
            case "counter" | "redirect":
                row, _ = await self._desk.take(tx, row, message, deadline=message.head.deadline)
            case _:
                row, effective = await self._desk.take(tx, row, message)
                if effective:
                    await self._sessions.cancelled(tx, row)
                    await self._notices.ended(tx, row, message.head.type)
        await self._entry(tx, row, "message", message.item)
        if row.state in (State.DECLINED.value, State.EXPIRED.value, State.TERMINATED.value):
            self._next_backup(tx, row)
        return row

    async def _agreed(self, tx: Writer, row: ThreadRow, message: Message) -> ThreadRow:
        keys = await self._peers.keys(tx, row.peer)
        document = message.as_(AgreedBody).agreement
        agreement = open_proposed(document, keys.verify)
        notes = decode(row.notes, ConsumerNotes)
        parties = (agreement.thread, agreement.consumer, agreement.provider, agreement.accepted)
        if parties != (row.thread, self._desk.own.entity, row.peer, notes.accepted):
            raise UnverifiedError("agreement is not about this thread and acceptance", code="wrong-agreement")
        row, effective = await self._desk.take(tx, row, message)
        if not effective:
            return row
        signed = countersign(document, self._desk.own.message_key)
        row = replace(row, notes=encode(replace(notes, agreement=signed, backups=())))
        row, _ = await self._desk.say(tx, row, "verify", VerifiedBody(agreement=signed))
        await self._sessions.plan(tx, row, agreement)
        await self._notices.agreed(tx, row, agreement)
        return row

    async def _finalized(self, tx: Writer, row: ThreadRow, message: Message) -> ThreadRow:
        if message.as_(FinalizedBody).agreement_hash != agreement_hash(decode(row.notes, ConsumerNotes).agreement):
            raise UnverifiedError("acknowledgement names another agreement", code="wrong-agreement")
        row, _ = await self._desk.take(tx, row, message)
        return row

    async def on_delivered(self, tx: Writer, row: ThreadRow, sent: OutboxRow, outcome: Outcome) -> None:
        """Take the provider's receipt: it says until when the mentor may answer."""
        keys = await self._peers.keys(tx, row.peer)
        receipt = open_receipt(outcome.receipt, keys.verify)
        stored = await self._desk.message(tx, row, SIDE, sent.seq)
        if (receipt.mid, receipt.hash) != (sent.mid, stored.hash):
            raise UnverifiedError("receipt is for another message", code="wrong-receipt")
        if row.state == State.ACCEPTED.value and receipt.deadline is not None:
            await tx.put(replace(row, deadline=receipt.deadline + self._settings.grace_s))

    async def on_undelivered(self, tx: Writer, row: ThreadRow, code: str) -> None:
        """Tell the person that the other organization refused or never took a message."""
        await tx.put(replace(row, state=State.TERMINATED.value, deadline=None))
        await self._entry(tx, row, "notice", code.encode())
        self._next_backup(tx, row)

    # Clocks

    async def sweep(self) -> int:
        """Move on from quotes and answers whose time is over; return how many threads moved."""
        now = self._clock.now()
        async with self._store.write() as tx:
            rows = await tx.find(ThreadRow, where(side=SIDE.value), at_most("deadline", now), limit=500)
            for row in rows:
                await self._lapse(tx, row)
        return len(rows)

    async def _lapse(self, tx: Writer, row: ThreadRow) -> None:
        book = decode(row.book, Book)
        if row.state in (State.REQUESTED.value, State.TERMINATED.value) or (
            row.state == State.OFFERED.value and len(book.said) == 1
        ):
            await self._desk.forget(tx, row)
        elif row.state in (State.OFFERED.value, State.ACCEPTED.value):
            row, _ = await self._desk.say(tx, row, "cancel", CancelledBody(reason="fall-through"))
            await self._entry(tx, row, "notice", b"no-answer")
            self._next_backup(tx, row)
        else:
            await tx.put(replace(row, deadline=None))

    async def _entry(self, tx: Writer, row: ThreadRow, kind: EntryKind, data: bytes) -> None:
        await self._mailboxes.add(tx, row.label, kind, data, thread=row.thread, side=SIDE.value)

    # Backups: only while no device of the person is there to choose

    def _next_backup(self, tx: Writer, row: ThreadRow) -> None:
        backups = decode(row.notes, ConsumerNotes).backups
        if backups and not self._mailboxes.is_watched(row.label):
            tx.on_commit(lambda: self._due.append((row.label, backups)))

    async def send_backups(self) -> int:
        """Send the next prepared request of each failed thread; a quote that comes waits for the person."""
        sent = 0
        while self._due:
            label, (first, *rest) = self._due.pop()
            (result,) = await self.ask(label, [first])
            sent += 1
            if not result.item:
                self._due.extend([(label, tuple(rest))] if rest else [])
                continue
            async with self._store.write() as tx:
                row = await self._desk.find(tx, first.thread, SIDE)
                notes = replace(decode(row.notes, ConsumerNotes), backups=tuple(rest))
                await tx.put(row := replace(row, notes=encode(notes)))
                await self._entry(tx, row, "quote", result.item)
        return sent
