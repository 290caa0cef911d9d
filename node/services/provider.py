"""The mentor's side of a handshake as its node drives it: quotes, the atomic place, the agreement, the clock.

Source: docs/protocol/31-handshake.md §6–§8.
"""

from typing import Final

from msgspec.structs import replace

from federation.agreements import note_agreement
from federation.ports import Clock, Store, Writer, at_most, where
from federation.rows import CandidateRow, ThreadRow
from protocol import contexts
from protocol.agreement import agreement_hash, check_same, open_agreement, open_proposed
from protocol.bodies import (
    AcceptedBody,
    Candidate,
    Choice,
    ExpiredBody,
    FinalizedBody,
    Refusal,
    RefusedBody,
    Slots,
    VerifiedBody,
)
from protocol.devices import sealing_key_hash
from protocol.encoding import b64, decode, encode, unb64
from protocol.handshake import State
from protocol.messages import Message
from protocol.sealing import SealingPublicKey

from . import places
from .answering import Answering
from .mailbox import EntryKind, Mailboxes
from .mentor_side import DAY_S, GRACE_S, SIDE, Asked, Mentors, Notices, ProviderNotes, RequestEntry
from .quota import Quota
from .sessions import Sessions
from .threads import ENDED, Desk, Peers, has_changed


class Provider:
    """Drives threads in which a person of this organization is the mentor."""

    def __init__(
        self,
        *,
        store: Store,
        desk: Desk,
        peers: Peers,
        quota: Quota,
        answering: Answering,
        mentors: Mentors,
        notices: Notices,
        mailboxes: Mailboxes,
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        self._store: Final = store
        self._desk: Final = desk
        self._peers: Final = peers
        self._quota: Final = quota
        self._answering: Final = answering
        self._mentors: Final = mentors
        self._notices: Final = notices
        self._mailboxes: Final = mailboxes
        self._sessions: Final = sessions
        self._clock: Final = clock

    # What comes from the consumer's node

    async def on_message(self, tx: Writer, row: ThreadRow, message: Message) -> ThreadRow:
        """Take a verified message of the consumer."""
        match message.head.type:
            case "accept":
                return await self._accepted(tx, row, message)
            case "verify":
                return await self._verified(tx, row, message)
            case _:
                before = row
                row, effective = await self._desk.take(tx, row, message)
                if effective and has_changed(before, row):
                    await self._released(tx, before, row, message)
                return row

    async def _accepted(self, tx: Writer, row: ThreadRow, message: Message) -> ThreadRow:
        notes = decode(row.notes, ProviderNotes)
        context = contexts.ThreadContext(thread=row.thread, consumer=row.peer, provider=self._desk.own.entity)
        sealed = unb64(message.as_(AcceptedBody).choice, what="choice")
        opened = self._desk.own.open(sealed, lambda key: contexts.choice(context, key))
        choice = decode(opened, Choice, what="choice")
        candidate = await tx.get(CandidateRow, row.thread, choice.ref)
        deadline = await self._answering.deadline(tx, candidate.label) if candidate else None
        row, effective = await self._desk.take(tx, row, message, deadline=deadline)
        if not effective:
            return row
        quoted = candidate if candidate and _is_sealed_as_quoted(message.as_(AcceptedBody), candidate) else None
        held = await self._take_place(tx, row, choice, quoted, deadline=deadline or 0)
        if isinstance(held, str):
            row, _ = await self._desk.say(tx, row, "refuse", RefusedBody(reason=held))
            await places.release(tx, row.thread)
            await tx.delete(CandidateRow, where(thread=row.thread))
            return row
        assert candidate is not None
        assert deadline is not None
        assert notes.asked is not None
        if not notes.ref:
            await self._quota.accepted(tx, row.peer, notes.asked.quoted_at)
        await self._keep_only(tx, candidate, until=deadline + DAY_S)
        topic = notes.asked.topic
        notes = replace(notes, ref=choice.ref, choice=choice, accepted=message.hash)
        row = replace(row, label=candidate.label, notes=encode(notes))
        await tx.put(row)
        entry = RequestEntry(item=b64(message.item), choice=choice, held=held, deadline=deadline, topic=topic)
        await self._entry(tx, row, "request", encode(entry))
        await self._notices.request(tx, row, topic, entry)
        return row

    async def _keep_only(self, tx: Writer, chosen: CandidateRow, *, until: int) -> None:
        """Forget who else was proposed; who was chosen is needed for other times, as long as the answer may take."""
        await tx.delete(CandidateRow, where(thread=chosen.thread))
        await tx.insert(replace(chosen, purge_at=until))

    async def _take_place(
        self, tx: Writer, row: ThreadRow, choice: Choice, candidate: CandidateRow | None, *, deadline: int
    ) -> Slots | Refusal:
        """Take the place and the asked half hours in this transaction, or say neutrally why not."""
        notes = decode(row.notes, ProviderNotes)
        now = self._clock.now()
        if notes.asked is None or now > notes.asked.quote_until + GRACE_S:
            return "quote-expired"
        capacity = await self._mentors.capacity(tx, candidate.label) if candidate else 0
        if candidate is None or not capacity or not _fits(notes, notes.asked, choice, candidate):
            return "unavailable"
        free = await places.free_of(tx, candidate.label, choice.slots, choice.length, now=now, thread=row.thread)
        if (choice.slots and not free) or not await places.take_place(
            tx, candidate.label, row.thread, now=now, free_at=deadline + DAY_S, capacity=capacity
        ):
            return "no-capacity"
        await places.hold(tx, candidate.label, row.thread, free, choice.length)
        return free

    async def _verified(self, tx: Writer, row: ThreadRow, message: Message) -> ThreadRow:
        notes = decode(row.notes, ProviderNotes)
        own = self._desk.own.messages
        keys = await self._peers.keys(tx, row.peer)
        document = message.as_(VerifiedBody).agreement
        signed = open_agreement(document, own, keys.verify)
        proposed = open_proposed(notes.agreement, own)
        check_same(proposed, signed)
        row, effective = await self._desk.take(tx, row, message)
        if not effective:
            return row
        row = replace(row, notes=encode(replace(notes, agreement=document)))
        hashed = agreement_hash(document)
        row, _ = await self._desk.say(tx, row, "finalize", FinalizedBody(agreement_hash=hashed))
        await note_agreement(tx, row.thread, row.side, hashed, now=self._clock.now())
        await self._entry(tx, row, "message", message.item)
        await self._notices.agreed(tx, row, signed)
        return row

    async def _released(self, tx: Writer, before: ThreadRow, row: ThreadRow, message: Message) -> None:
        """A cancel gives everything back and tells the mentor, if one was asked."""
        await places.release(tx, row.thread)
        await self._sessions.cancelled(tx, row)
        if not row.label:
            return
        asked = decode(row.notes, ProviderNotes).asked
        in_time = before.deadline is None or self._clock.now() < before.deadline
        if asked is not None and row.state == State.CANCELLED.value and in_time:
            await self._quota.withdrawn(tx, row.peer, asked.quoted_at)
        await self._entry(tx, row, "message", message.item)
        await self._notices.ended(tx, row, message.head.type)

    async def on_undelivered(self, tx: Writer, row: ThreadRow, code: str) -> None:
        """Tell the mentor that the other organization refused or never took a message; everything is given back."""
        if row.state in ENDED:
            return  # the other side finds its own end by the clock
        bound = row.state in (State.AGREED.value, State.VERIFIED.value)
        if row.state != State.FINALIZED.value:
            row = await self._desk.give_up(tx, row)
            await places.release(tx, row.thread)
            await self._sessions.abandon(tx, row.thread, row.side)
        if row.label:
            await self._entry(tx, row, "notice", code.encode())
        if bound:
            await self._notices.ended(tx, row, "cancel")

    # Clocks

    async def sweep(self) -> int:
        """Expire requests nobody answered and counters nobody took up; return how many threads moved."""
        async with self._store.write() as tx:
            await tx.delete(CandidateRow, at_most("purge_at", self._clock.now()))
            return await self._desk.sweep(tx, SIDE, self._lapse)

    async def _lapse(self, tx: Writer, row: ThreadRow) -> None:
        if row.state == State.ACCEPTED.value:
            row, _ = await self._desk.say(tx, row, "expire", ExpiredBody(deadline=row.deadline or 0))
            await places.release(tx, row.thread)
            await self._mentors.missed(tx, row.label)
            await self._entry(tx, row, "notice", b"expired")
        elif row.state == State.OFFERED.value and row.label:
            await self._answering.cancel_in(tx, row, "unavailable")
        else:
            await tx.put(replace(row, deadline=None))

    async def _entry(self, tx: Writer, row: ThreadRow, kind: EntryKind, data: bytes) -> None:
        await self._mailboxes.add(tx, row.label, kind, data, thread=row.thread, side=SIDE.value)


def _is_sealed_as_quoted(accepted: AcceptedBody, candidate: CandidateRow) -> bool:
    """Tell whether the brief is sealed to keys of this quote alone.

    With a key from another quote, perhaps of another audience, a mentee would learn whether one person stands behind
    both: only that person's device could open the brief.
    """
    quoted = decode(candidate.candidate, Candidate).keys
    own = {sealing_key_hash(SealingPublicKey.parse(key)) for key in quoted}
    return all(one.key in own for one in accepted.brief.wrapped)


def _fits(notes: ProviderNotes, asked: Asked, choice: Choice, candidate: CandidateRow) -> bool:
    """Tell whether the choice asks for what was quoted: form, times, and after a counter the same person."""
    quoted = decode(candidate.candidate, Candidate).slots
    timed = choice.format != "text"
    return (
        (choice.format, choice.length) == (asked.format, asked.length)
        and notes.ref in ("", choice.ref)
        and len(set(choice.slots)) == len(choice.slots)
        and set(choice.slots) <= set(quoted)
        and timed == bool(choice.slots)
    )
