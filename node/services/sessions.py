"""Sessions as a node sees them: envelopes in, envelopes out, numbered by the hub, readable by nobody here.

The mentor's node is the hub: it numbers everything, also what its own person sends, and every device gets everything
in that order. Source: docs/protocol/41-envelopes.md.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from federation.inbox import ITEMS
from federation.ports import Clock, Reader, Store, Writer, at_most, where
from federation.rows import InboxRow, MailboxRow, OutboxRow, SessionRow, ThreadRow
from node.rows import BlobRow
from protocol.bodies import Agreement
from protocol.encoding import b64, decode, sha256
from protocol.envelope import (
    MAX_CIPHERTEXT_BYTES,
    Envelope,
    EnvelopeHeader,
    EnvelopeKind,
    Epoch,
    parse_envelope,
    render_envelope,
)
from protocol.errors import ConflictError, LimitError, MissingError, RefusedError, UnverifiedError
from protocol.handshake import Side, State
from protocol.ids import MessageId
from protocol.session import LIFE_S, SessionState, session_state
from protocol.threads import Book

from .company import Company
from .mailbox import Mailboxes
from .pace import Pace
from .queue import Queue
from .repeats import is_known, remember

OPEN: Final = "OPEN"
CANCELLED: Final = "CANCELLED"
CLOSED: Final = "CLOSED"
#: Answers after which no envelope of a session will arrive any more.
OVER: Final = frozenset({"missing", "session-over", "expired"})
#: Answer to an envelope of an epoch that most devices have forgotten.
STALE: Final = "stale-epoch"
DELIVER_S: Final = LIFE_S
#: A session that both sides have closed is erased so long afterwards.
CLOSED_S: Final = 3600


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One envelope as its device hands it over; `id` is the device's own, so that a retry is one message."""

    id: MessageId
    kind: EnvelopeKind
    epoch: Epoch
    ciphertext: bytes


class _Submission(msgspec.Struct, frozen=True, kw_only=True):
    label: str
    thread: str
    side: Side
    sent: Sent


class Sessions:
    """Plans, relays and ends the sessions of one node."""

    def __init__(self, *, store: Store, mailboxes: Mailboxes, queue: Queue, clock: Clock) -> None:
        self._queue: Final = queue
        self._store: Final = store
        self._mailboxes: Final = mailboxes
        self._clock: Final = clock
        self._pace: Final = Pace()
        self._company: Final = Company(store, self._submit, fresh=ITEMS)

    async def plan(self, tx: Writer, thread: ThreadRow, agreement: Agreement) -> SessionRow:
        """Return the session of a thread that is agreed now, open and stored."""
        start = agreement.slot if agreement.slot is not None else self._clock.now()
        ends_at = start + (agreement.window_s or agreement.length * 60)
        row = SessionRow(
            thread=thread.thread,
            side=thread.side,
            peer=thread.peer,
            label=thread.label,
            state=OPEN,
            slot=agreement.slot,
            ends_at=ends_at,
            destroy_at=ends_at + LIFE_S,
        )
        await tx.insert(row)
        return row

    async def cancelled(self, tx: Writer, thread: ThreadRow) -> None:
        """Call off the session of a thread if its book says so."""
        book = decode(thread.book, Book)
        if book.session_cancelled or book.state is State.CANCELLED:
            await self.abandon(tx, thread.thread, thread.side)

    async def abandon(self, tx: Writer, thread: str, side: str) -> None:
        """End an open session without a word: its agreement does not stand."""
        row = await tx.get(SessionRow, thread, side)
        if row is not None and row.state == OPEN:
            await tx.put(replace(row, state=CANCELLED, destroy_at=self._clock.now() + LIFE_S))

    async def is_to_come(self, tx: Reader, thread: ThreadRow) -> bool:
        """Tell whether somebody still counts on the session of a thread."""
        row = await tx.get(SessionRow, thread.thread, thread.side)
        return row is not None and self.state_of(row) in (SessionState.SCHEDULED, SessionState.IN_SESSION)

    async def state(self, tx: Reader, thread: str, side: Side) -> SessionState | None:
        """Return where the session of a thread stands now, or None before there is one."""
        row = await tx.get(SessionRow, thread, side.value)
        return self.state_of(row) if row is not None else None

    def state_of(self, row: SessionRow) -> SessionState:
        """Return where a session stands now."""
        return session_state(
            start=row.slot if row.slot is not None else 0,
            end=row.ends_at,
            now=self._clock.now(),
            closed=row.closed_own and row.closed_their,
            cancelled=row.state == CANCELLED,
        )

    async def submit(self, label: str, thread: str, side: Side, sent: Sent) -> None:
        """Take one envelope from a person's device and send it on; a repeat of the same `id` changes nothing.

        Raises: MissingError: no such session of this person; RefusedError: it is over; LimitError: too much waits.
        """
        if len(sent.ciphertext) > MAX_CIPHERTEXT_BYTES:
            raise LimitError(f"a session message holds at most {MAX_CIPHERTEXT_BYTES} bytes")
        await self._company.join(_Submission(label=label, thread=thread, side=side, sent=sent))

    async def _submit(self, tx: Writer, asked: _Submission) -> None:
        sent, side = asked.sent, asked.side
        session = await self.open_of(tx, asked.label, asked.thread, side)
        if await self._is_repeat(tx, asked.label, sent):
            return
        await self._pace.require_room(tx, session)
        header = EnvelopeHeader(
            mid=sent.id,
            id=sent.id,
            thread=asked.thread,
            side=side.value,
            kind=sent.kind,
            epoch=sent.epoch,
            seq=session.sent + 1,
        )
        envelope = Envelope(header=header, ciphertext=sent.ciphertext)
        if sent.kind == "close":
            session = replace(session, closed_own=True)
        if side is Side.PROVIDER:
            await self._order(tx, session, envelope)
        else:
            await self._send(tx, session, envelope)

    async def tell(self, label: str, thread: str, side: Side, item: bytes) -> None:
        """Hand what one device of a person says about a session to the person's other devices.

        Raises: MissingError: not this person's session; RefusedError: it is over; LimitError: too much waits.
        """
        async with self._store.write() as tx:
            await self.open_of(tx, label, thread, side)
            await self._mailboxes.add(tx, label, "sibling", item, thread=thread, side=side.value)

    async def open_of(self, tx: Reader, label: str, thread: str, side: Side) -> SessionRow:
        """Return a person's own session. Raises: MissingError: there is none; RefusedError: it is over."""
        session = await tx.get(SessionRow, thread, side.value)
        if session is None or session.label != label:
            raise MissingError("no such session")
        if session.state != OPEN or session.destroy_at <= self._clock.now():
            raise RefusedError("this session is over", code="session-over")
        return session

    async def _is_repeat(self, tx: Writer, label: str, sent: Sent) -> bool:
        """Remember the device's `id` under its own mailbox, as if the mailbox were a peer."""
        digest = b64(sha256(sent.kind.encode(), sent.ciphertext))
        known = await tx.get(InboxRow, label, sent.id)
        if known is None:
            purge_at = self._clock.now() + DELIVER_S
            await tx.insert(InboxRow(peer=label, mid=sent.id, hash=digest, outcome=b"", purge_at=purge_at))
            return False
        if known.hash != digest:
            raise ConflictError("this message id was used for another message")
        return True

    async def on_envelope(self, tx: Writer, peer: str, envelope: Envelope) -> bool:
        """Take an envelope from the other node: order it as the hub, or hand it on as the hub ordered it.

        Returns: whether it is new; a repeat of one of the last 64 has no effect.
        Raises: LimitError: there is no room now, or its agreement is still on the way; another MeshError: refused.
        """
        header = envelope.header
        to_hub = header.number is None
        side = Side.PROVIDER if to_hub else Side.CONSUMER
        session = await tx.get(SessionRow, header.thread, side.value)
        if session is None or session.peer != peer:
            await self._require_nothing_to_come(tx, peer, header.thread, side)
            raise MissingError("no such session")
        new = header.seq > session.heard
        if not new and is_known(session.recent, envelope):
            return False
        heard = replace(session, heard=header.seq, recent=remember(session.recent, envelope))
        if session.state == CLOSED and header.kind == "close":
            # The hub's echo of the last word: both sides know it, but not every device of this one.
            if new:
                await tx.put(heard)
                await self._show(tx, session, envelope)
            return new
        if session.state != OPEN:
            raise RefusedError("this session is over", code="session-over")
        if to_hub and header.side != Side.CONSUMER.value:
            raise UnverifiedError("only the hub's own side may speak for it", code="wrong-side")
        if not new:
            raise RefusedError("an older envelope than the last one", code="stale")
        if header.kind == "close" and header.side == side.other.value:
            heard = replace(heard, closed_their=True)
        if to_hub:
            # A peer that does not take what it is sent back must not fill the outbox.
            await self._pace.require_room(tx, heard)
            # Only the writer's own devices wait for it, and what they wait for to go on is no message.
            await self._order(tx, heard, envelope, patient=header.kind == "message")
        else:
            await tx.put(_settled(heard, self._clock.now()))
            await self._show(tx, heard, envelope)
        return True

    async def _require_nothing_to_come(self, tx: Reader, peer: str, thread: str, side: Side) -> None:
        """Return unless the agreement may still be on its way. Raises: LimitError: come again."""
        row = await tx.get(ThreadRow, thread, side.value)
        if row is not None and row.peer == peer and row.state == State.ACCEPTED.value:
            raise LimitError("the agreement of this session has not arrived", code="not-yet")

    async def on_undelivered(self, tx: Writer, sent: OutboxRow, code: str) -> None:
        """Close a session in which the other organization takes no more envelopes, and tell the person.

        Of an envelope that came after too many key changes the person's devices learn which one it was.
        """
        session = await tx.get(SessionRow, sent.thread, sent.side)
        if session is None or session.state != OPEN or code not in {*OVER, STALE}:
            return
        if code == STALE:
            code = f"{STALE} {parse_envelope(sent.item).header.id}"
        else:
            await tx.put(replace(session, state=CLOSED))
        await self._mailboxes.add(tx, session.label, "notice", code.encode(), thread=session.thread, side=session.side)

    async def _order(self, tx: Writer, session: SessionRow, envelope: Envelope, *, patient: bool = False) -> None:
        """Give the next number and hand the envelope to both sides. Raises: RefusedError: of an epoch long over."""
        session = replace(_followed(session, envelope.header), number=session.number + 1)
        header = replace(envelope.header, number=session.number)
        numbered = Envelope(header=header, ciphertext=envelope.ciphertext)
        await self._send(tx, session, numbered, patient=patient)
        await self._show(tx, session, numbered)

    async def _send(self, tx: Writer, session: SessionRow, envelope: Envelope, *, patient: bool = False) -> None:
        """Queue an envelope for the other node under this side's own sequence number."""
        session = replace(session, sent=session.sent + 1)
        hop, now_ms = self._queue.next_id(), self._clock.now_ms()
        header = replace(envelope.header, seq=session.sent, mid=hop)
        await tx.put(_settled(session, self._clock.now()))
        await self._queue.put(
            tx,
            OutboxRow(
                peer=session.peer,
                mid=hop,
                thread=session.thread,
                side=session.side,
                seq=session.sent,
                item=render_envelope(Envelope(header=header, ciphertext=envelope.ciphertext)),
                created_ms=now_ms,
                due_ms=await self._pace.due_ms(tx, session),
                expires_at=now_ms // 1000 + DELIVER_S,
            ),
            patient=patient,
        )

    async def _show(self, tx: Writer, session: SessionRow, envelope: Envelope) -> None:
        await self._mailboxes.add(
            tx, session.label, "envelope", render_envelope(envelope), thread=session.thread, side=session.side
        )

    async def sweep(self) -> int:
        """Erase what is left of sessions whose time is over; return how many."""
        now = self._clock.now()
        async with self._store.write() as tx:
            over = await tx.find(SessionRow, at_most("destroy_at", now), order="destroy_at", limit=500)
            for session in over:
                await self._destroy(tx, session, now)
        return len(over)

    async def _destroy(self, tx: Writer, session: SessionRow, now: int) -> None:
        """Erase a session, but a closed one not while last words wait for a peer that is away."""
        mine = where(thread=session.thread, side=session.side)
        last = session.ends_at + LIFE_S
        if session.state == CLOSED and now < last and await tx.count(OutboxRow, mine):
            await tx.put(replace(session, destroy_at=min(now + CLOSED_S, last)))
            return
        for kind in (MailboxRow, OutboxRow, BlobRow, SessionRow):
            await tx.delete(kind, mine)


def _followed(session: SessionRow, header: EnvelopeHeader) -> SessionRow:
    """Return the hub's session with its count of epochs; what the devices would not read any more is refused.

    A node cannot tell a commit from junk: a false one moves the count and nothing else.
    """
    if header.kind != "welcome" and header.epoch < session.epoch - 1:
        raise RefusedError("the keys of this session were changed since: encrypt it again", code=STALE)
    counts = header.kind == "commit" and header.epoch == session.epoch
    return replace(session, epoch=session.epoch + 1) if counts else session


def _settled(session: SessionRow, now: int) -> SessionRow:
    """Return the session, closed if both sides have closed: then it is erased within the hour."""
    if session.closed_own and session.closed_their and session.state == OPEN:
        return replace(session, state=CLOSED, destroy_at=min(session.destroy_at, now + CLOSED_S))
    return session
