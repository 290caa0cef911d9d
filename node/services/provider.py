"""The mentor's side of a handshake as its node drives it: quotes, the atomic place, the agreement, the clock.

Source: docs/protocol/31-handshake.md §6–§8.
"""

from typing import Final

from msgspec.structs import replace

from federation.inbox import Guard
from federation.ports import Clock, Reader, Store, Writer, at_most, where
from federation.rows import CandidateRow, ThreadRow
from protocol import contexts
from protocol.agreement import agreement_hash, check_same, open_agreement, open_proposed
from protocol.bodies import (
    AcceptedBody,
    Candidate,
    Choice,
    ExpiredBody,
    FinalizedBody,
    OfferedBody,
    Quote,
    Refusal,
    RefusedBody,
    Request,
    RequestBody,
    Slots,
    VerifiedBody,
)
from protocol.encoding import b64, decode, encode, unb64
from protocol.errors import ConflictError, RefusedError
from protocol.handshake import State
from protocol.messages import Message, open_message, parse_item
from protocol.offers import OrgProfile
from protocol.sealing import SealingPublicKey
from protocol.threads import Book, is_repeat

from . import places
from .answering import Answering
from .mailbox import EntryKind, Mailboxes
from .mentor_side import GRACE_S, SIDE, Mentors, Notices, ProviderNotes, ProviderSettings, RequestEntry, sealed_quote
from .quoting import Quoting
from .sessions import Sessions
from .threads import Desk, Peers


class Provider:
    """Drives threads in which a person of this organization is the mentor."""

    def __init__(
        self,
        *,
        store: Store,
        desk: Desk,
        peers: Peers,
        quoting: Quoting,
        answering: Answering,
        mentors: Mentors,
        notices: Notices,
        mailboxes: Mailboxes,
        sessions: Sessions,
        clock: Clock,
        settings: ProviderSettings,
    ) -> None:
        self._store: Final = store
        self._desk: Final = desk
        self._peers: Final = peers
        self._quoting: Final = quoting
        self._answering: Final = answering
        self._mentors: Final = mentors
        self._notices: Final = notices
        self._mailboxes: Final = mailboxes
        self._sessions: Final = sessions
        self._clock: Final = clock
        self._settings: Final = settings

    # The quote: answered by the node, no human

    async def quote(self, peer: str, item: bytes, guard: Guard, *, org: OrgProfile) -> bytes:
        """Return the signed OFFERED or refusal for a REQUESTED, not before the next tick.

        Args:
            guard: runs first in the transaction (the request's nonce).
            org: what the asking organization says about itself.
        Raises: MalformedError, UnverifiedError, ConflictError: nothing has happened.
        """
        unopened = parse_item(item)
        async with self._store.write() as tx:
            await guard(tx)
            keys = await self._peers.keys(tx, peer)
            message = open_message(unopened, keys.verify, audience=self._desk.own.entity)
            if message.head.type != "request":
                raise RefusedError("only a request is answered here")
            row = await tx.get(ThreadRow, message.head.thread, SIDE.value)
            answer = await (self._again(tx, row, message) if row else self._quote(tx, peer, message, org))
        await self._until_tick()
        return answer

    async def _again(self, tx: Reader, row: ThreadRow, message: Message) -> bytes:
        """Answer a repeated request with the bytes of the first answer."""
        if not is_repeat(decode(row.book, Book), message):
            raise ConflictError("thread id is in use")
        return (await self._desk.message(tx, row, SIDE, 1)).item

    async def _quote(self, tx: Writer, peer: str, message: Message, org: OrgProfile) -> bytes:
        now = self._clock.now()
        context = self._context(message.head.thread, peer)
        seal = self._desk.own.seal
        opened = seal.open(
            unb64(message.as_(RequestBody).request, what="request"), contexts.request(context, seal.public)
        )
        request = decode(opened, Request, what="request")
        reply_key = SealingPublicKey.parse(request.reply_key)
        proposed = await self._quoting.propose(tx, peer, request, thread=context.thread, org=org)
        notes = ProviderNotes(
            reply_key=request.reply_key,
            quoted_at=now,
            quote_until=now + self._settings.quote_valid_s,
            topic=request.need.topics[0],
        )
        row = self._desk.open(context.thread, SIDE, peer, label="", notes=notes)
        row, _ = await self._desk.take(tx, row, message)
        if isinstance(proposed, str):
            _, answer = await self._desk.say(tx, row, "refuse", RefusedBody(reason=proposed), send=False)
            return answer.item
        quote = Quote(
            org=self._desk.own.org,
            candidates=tuple(one.candidate for one in proposed),
            valid_until=notes.quote_until,
        )
        for one in proposed:
            await tx.insert(self._candidate(context.thread, one.candidate, one.label, notes.quote_until))
        body = OfferedBody(quote=sealed_quote(quote, reply_key, context))
        _, answer = await self._desk.say(tx, row, "offer", body, deadline=notes.quote_until, send=False)
        return answer.item

    def _candidate(self, thread: str, candidate: Candidate, label: str, until: int) -> CandidateRow:
        return CandidateRow(
            thread=thread, ref=candidate.ref, label=label, candidate=encode(candidate), purge_at=until + 86_400
        )

    def _context(self, thread: str, peer: str) -> contexts.ThreadContext:
        return contexts.ThreadContext(thread=thread, consumer=peer, provider=self._desk.own.entity)

    async def _until_tick(self) -> None:
        if self._settings.tick_ms:
            await self._clock.sleep((-self._clock.now_ms() % self._settings.tick_ms) / 1000)

    # What comes from the consumer's node

    async def on_message(self, tx: Writer, row: ThreadRow, message: Message) -> ThreadRow:
        """Take a verified message of the consumer."""
        match message.head.type:
            case "accept":
                return await self._accepted(tx, row, message)
            case "verify":
                return await self._verified(tx, row, message)
            case _:
                row, effective = await self._desk.take(tx, row, message, deadline=row.deadline)
                if effective:
                    await self._released(tx, row, message)
                return row

    async def _accepted(self, tx: Writer, row: ThreadRow, message: Message) -> ThreadRow:
        notes = decode(row.notes, ProviderNotes)
        context = self._context(row.thread, row.peer)
        seal = self._desk.own.seal
        opened = seal.open(
            unb64(message.as_(AcceptedBody).choice, what="choice"), contexts.choice(context, seal.public)
        )
        choice = decode(opened, Choice, what="choice")
        candidate = await tx.get(CandidateRow, row.thread, choice.ref)
        deadline = await self._answering.deadline(tx, candidate.label) if candidate else None
        row, effective = await self._desk.take(tx, row, message, deadline=deadline)
        if not effective:
            return row
        held = await self._take_place(tx, row, choice, candidate, deadline=deadline or 0)
        if isinstance(held, str):
            row, _ = await self._desk.say(tx, row, "refuse", RefusedBody(reason=held))
            await places.release(tx, row.thread)
            return row
        assert candidate is not None
        assert deadline is not None
        notes = replace(notes, ref=choice.ref, choice=choice, accepted=message.hash)
        row = replace(row, label=candidate.label, notes=encode(notes))
        await tx.put(row)
        await self._quoting.accepted(tx, row.peer, notes.quoted_at)
        entry = RequestEntry(item=b64(message.item), choice=choice, held=held, deadline=deadline, topic=notes.topic)
        await self._entry(tx, row, "request", encode(entry))
        await self._notices.request(tx, row, notes.topic, entry)
        return row

    async def _take_place(
        self, tx: Writer, row: ThreadRow, choice: Choice, candidate: CandidateRow | None, *, deadline: int
    ) -> Slots | Refusal:
        """Take the place and the asked half hours in this transaction, or say neutrally why not."""
        notes = decode(row.notes, ProviderNotes)
        now = self._clock.now()
        if now > notes.quote_until + GRACE_S:
            return "quote-expired"
        capacity = await self._mentors.capacity(tx, candidate.label) if candidate else 0
        if candidate is None or not capacity or not _fits(notes, choice, candidate):
            return "unavailable"
        free = await places.free_of(tx, candidate.label, choice.slots, choice.length)
        if (choice.slots and not free) or not await places.take_place(
            tx, candidate.label, row.thread, now=now, free_at=deadline + 86_400, capacity=capacity
        ):
            return "no-capacity"
        await places.hold(tx, candidate.label, row.thread, free, choice.length)
        return free

    async def _verified(self, tx: Writer, row: ThreadRow, message: Message) -> ThreadRow:
        notes = decode(row.notes, ProviderNotes)
        own_key = self._desk.own.message_key.public
        keys = await self._peers.keys(tx, row.peer)
        document = message.as_(VerifiedBody).agreement
        signed = open_agreement(document, own_key, keys.verify)
        proposed = open_proposed(notes.agreement, own_key)
        check_same(proposed, signed)
        row, effective = await self._desk.take(tx, row, message, deadline=row.deadline)
        if not effective:
            return row
        row = replace(row, notes=encode(replace(notes, agreement=document)))
        row, _ = await self._desk.say(tx, row, "finalize", FinalizedBody(agreement_hash=agreement_hash(document)))
        await self._entry(tx, row, "message", message.item)
        await self._notices.agreed(tx, row, signed)
        return row

    async def _released(self, tx: Writer, row: ThreadRow, message: Message) -> None:
        """A cancel gives everything back and tells the mentor, if one was asked."""
        await places.release(tx, row.thread)
        await self._sessions.cancelled(tx, row)
        if row.label:
            await self._entry(tx, row, "message", message.item)
            await self._notices.ended(tx, row, message.head.type)

    async def on_undelivered(self, tx: Writer, row: ThreadRow, code: str) -> None:
        """Tell the mentor that the other organization refused or never took a message; everything is given back."""
        await tx.put(replace(row, state=State.TERMINATED.value, deadline=None))
        await places.release(tx, row.thread)
        if row.label:
            await self._entry(tx, row, "notice", code.encode())

    # Clocks

    async def sweep(self) -> int:
        """Expire requests nobody answered and counters nobody took up; return how many threads moved."""
        now = self._clock.now()
        async with self._store.write() as tx:
            rows = await tx.find(ThreadRow, where(side=SIDE.value), at_most("deadline", now), limit=500)
            for row in rows:
                await self._lapse(tx, row)
            await tx.delete(CandidateRow, at_most("purge_at", now))
        return len(rows)

    async def _lapse(self, tx: Writer, row: ThreadRow) -> None:
        if row.state == State.ACCEPTED.value:
            row, _ = await self._desk.say(tx, row, "expire", ExpiredBody(deadline=row.deadline or 0))
            await places.release(tx, row.thread)
            await self._mentors.missed(tx, row.label)
            await self._entry(tx, row, "notice", b"expired")
        elif row.state == State.OFFERED.value and row.label:
            await self._answering.cancel_in(tx, replace(row, deadline=None), "unavailable")
        else:
            await tx.put(replace(row, deadline=None))

    async def _entry(self, tx: Writer, row: ThreadRow, kind: EntryKind, data: bytes) -> None:
        await self._mailboxes.add(tx, row.label, kind, data, thread=row.thread, side=SIDE.value)


def _fits(notes: ProviderNotes, choice: Choice, candidate: CandidateRow) -> bool:
    """Tell whether the choice asks for what was quoted: the same person as before a counter, and only quoted times."""
    quoted = decode(candidate.candidate, Candidate).slots
    timed = choice.format != "text"
    return notes.ref in ("", choice.ref) and set(choice.slots) <= set(quoted) and timed == bool(choice.slots)
