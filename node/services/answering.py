"""What a mentor does with a request: agree, decline, propose other times, call off; and what happens when they leave.

Source: docs/protocol/31-handshake.md §7–§11, 32-agreement.md §3.
"""

from typing import Final

from msgspec.structs import replace

from federation.ports import Clock, Reader, Store, Writer, where
from federation.rows import AnswerLinkRow, CandidateRow, ThreadRow
from protocol import contexts
from protocol.agreement import propose
from protocol.bodies import (
    AgreedBody,
    Agreement,
    CancelledBody,
    CancelReason,
    Candidate,
    Choice,
    DeclinedBody,
    OfferedBody,
    Quote,
    RefusedBody,
    Slots,
)
from protocol.encoding import decode, encode
from protocol.errors import ConflictError, MissingError, RefusedError
from protocol.handshake import State
from protocol.sealing import SealingPublicKey
from protocol.session import TEXT_WINDOW_S
from protocol.threads import Book

from . import places
from .availability import GRID_S
from .mentor_side import (
    DAY_S,
    SIDE,
    Agree,
    Answer,
    Counter,
    Decline,
    Mentors,
    ProviderNotes,
    ProviderSettings,
    sealed_quote,
)
from .sessions import Sessions
from .threads import LONGEST_ANSWER_S, Desk


class Answering:
    """Takes mentors' answers, from their devices and from mailed links."""

    def __init__(
        self,
        *,
        store: Store,
        desk: Desk,
        mentors: Mentors,
        sessions: Sessions,
        clock: Clock,
        settings: ProviderSettings,
    ) -> None:
        self._store: Final = store
        self._desk: Final = desk
        self._mentors: Final = mentors
        self._sessions: Final = sessions
        self._clock: Final = clock
        self._settings: Final = settings

    async def answer(self, label: str, thread: str, answer: Answer) -> ThreadRow:
        """Take the mentor's answer to an open request. Raises: MissingError, RefusedError, IllegalStepError."""
        async with self._store.write() as tx:
            row = await self._desk.find(tx, thread, SIDE, label=label)
            if row.state != State.ACCEPTED.value:
                raise RefusedError("this request does not wait for an answer any more", code="not-open")
            if row.deadline is not None and row.deadline <= self._clock.now():
                raise RefusedError("the time to answer this request is over", code="too-late")
            return await self.answer_in(tx, row, answer)

    async def answer_in(self, tx: Writer, row: ThreadRow, answer: Answer) -> ThreadRow:
        """Do the same inside the caller's transaction; the caller has checked who answers and when."""
        match answer:
            case Agree():
                row = await self._agree(tx, row, answer)
            case Decline():
                row, _ = await self._desk.say(tx, row, "decline", DeclinedBody(reason=answer.reason))
                await places.release(tx, row.thread)
            case Counter():
                row = await self._counter(tx, row, answer.slots)
        await tx.delete(AnswerLinkRow, where(thread=row.thread))
        await self._mentors.answered(tx, row.label, pause=isinstance(answer, Decline) and answer.pause)
        return row

    async def _agree(self, tx: Writer, row: ThreadRow, answer: Agree) -> ThreadRow:
        notes = decode(row.notes, ProviderNotes)
        choice = notes.choice
        if choice is None or notes.accepted is None:
            raise MissingError("this request has no choice")
        await self._check_slot(tx, row, choice, answer.slot)
        if (answer.consent is None) != (answer.private is None):
            raise RefusedError("a device's consent and its private part go together", code="half-consent")
        agreement = Agreement(
            thread=row.thread,
            consumer=row.peer,
            provider=self._desk.own.entity,
            accepted=notes.accepted,
            slot=answer.slot,
            window_s=TEXT_WINDOW_S if answer.slot is None else 0,
            format=choice.format,
            length=choice.length,
            attested="device" if answer.consent else "node",
            consent=answer.consent,
            agreed_at=self._clock.now(),
        )
        document = propose(agreement, self._desk.own.message_key)
        session = await self._sessions.plan(tx, row, agreement)
        row = replace(row, notes=encode(replace(notes, agreement=document)))
        row, _ = await self._desk.say(tx, row, "agree", AgreedBody(agreement=document, private=answer.private))
        kept = () if answer.slot is None else (answer.slot,)
        await places.hold(tx, row.label, row.thread, kept, choice.length)
        await places.keep_place(tx, row.thread, free_at=session.ends_at)
        return row

    async def _check_slot(self, tx: Reader, row: ThreadRow, choice: Choice, slot: int | None) -> None:
        """Return if the mentor may agree to this time. Raises: RefusedError, ConflictError."""
        if (slot is None) != (choice.format == "text") or (slot is not None and slot not in choice.slots):
            raise RefusedError("the time was never asked for", code="wrong-slot")
        if slot is None:
            return
        now = self._clock.now()
        if slot <= now:
            raise RefusedError("this time has passed", code="too-late")
        if not await places.free_of(tx, row.label, (slot,), choice.length, now=now, thread=row.thread):
            raise ConflictError("this time is taken")

    async def _counter(self, tx: Writer, row: ThreadRow, slots: Slots) -> ThreadRow:
        """Quote the same person with other times; the place stays, the half hours are given back."""
        notes = decode(row.notes, ProviderNotes)
        stored = await tx.get(CandidateRow, row.thread, notes.ref)
        if stored is None or notes.choice is None or notes.asked is None:
            raise MissingError("this request has no choice")
        now = self._clock.now()
        _check_other_times(notes.choice, slots, now)
        if await places.free_of(tx, row.label, slots, notes.choice.length, now=now, thread=row.thread) != slots:
            raise ConflictError("one of these times is taken")
        until = await self.deadline(tx, row.label)
        candidate = replace(decode(stored.candidate, Candidate), slots=slots)
        context = contexts.ThreadContext(thread=row.thread, consumer=row.peer, provider=self._desk.own.entity)
        quote = Quote(org=self._desk.own.org, candidates=(candidate,), valid_until=until)
        body = OfferedBody(quote=sealed_quote(quote, SealingPublicKey.parse(notes.asked.reply_key), context))
        row = replace(row, notes=encode(replace(notes, asked=replace(notes.asked, quote_until=until))))
        row, _ = await self._desk.say(tx, row, "counter", body, deadline=until)
        await tx.put(replace(stored, candidate=encode(candidate), purge_at=until + DAY_S))
        await places.hold(tx, row.label, row.thread, (), notes.choice.length)
        await places.keep_place(tx, row.thread, free_at=until + DAY_S)
        return row

    async def cancel(self, label: str, thread: str, reason: CancelReason) -> ThreadRow:
        """Call off an agreed session, or a counter that waits; a session is called off once."""
        async with self._store.write() as tx:
            row = await self._desk.find(tx, thread, SIDE, label=label)
            if decode(row.book, Book).session_cancelled:
                return row
            return await self.cancel_in(tx, row, reason)

    async def cancel_in(self, tx: Writer, row: ThreadRow, reason: CancelReason) -> ThreadRow:
        """Do the same inside the caller's transaction."""
        row, _ = await self._desk.say(tx, row, "cancel", CancelledBody(reason=reason))
        await places.release(tx, row.thread)
        await self._sessions.cancelled(tx, row)
        return row

    async def deadline(self, tx: Reader, label: str) -> int:
        """Return until when a mentor asked now may answer."""
        now = self._clock.now()
        if self._settings.deadline_s:
            return now + min(self._settings.deadline_s, LONGEST_ANSWER_S)
        until = await self._mentors.answer_deadline(tx, label, now, working_days=self._settings.deadline_days)
        return min(until, now + LONGEST_ANSWER_S)

    async def leave(self, tx: Writer, label: str) -> None:
        """End everything of a mentor who left: requests neutrally, sessions to come as "your mentor can't make it"."""
        for row in await tx.find(ThreadRow, where(label=label, side=SIDE.value)):
            await self._desk.attempt(tx, row, self._leave)

    async def _leave(self, tx: Writer, row: ThreadRow) -> None:
        if row.state == State.ACCEPTED.value:
            await self._desk.say(tx, row, "refuse", RefusedBody(reason="unavailable"))
            await places.release(tx, row.thread)
        elif row.state == State.OFFERED.value or await self._sessions.is_to_come(tx, row):
            await self.cancel_in(tx, row, "cannot-make-it")


def _check_other_times(choice: Choice, slots: Slots, now: int) -> None:
    """Return if these can be quoted: on the grid, ascending, to come, and not too far. Raises: RefusedError."""
    if choice.format == "text":
        raise RefusedError("a text session has no times to change", code="no-slots")
    if not slots or list(slots) != sorted(set(slots)):
        raise RefusedError("other times must be at least one, each once, earliest first", code="no-slots")
    if any(slot % GRID_S or not now < slot <= now + places.FARTHEST_S for slot in slots):
        raise RefusedError("times must be half hours of the next sixty days", code="wrong-slot")
