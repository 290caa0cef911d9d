"""The desk of both roles: says the next message of a thread, takes the other side's, and stores what explains it.

`say` and `take` write book, message and outbox in the caller's transaction; nothing leaves before it commits.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from federation.delivery import RecoveringError, require_recovered
from federation.lanes import AT_ONCE
from federation.logbook import newest_ref
from federation.ports import Clock, Reader, Writer, at_least, at_most, where
from federation.rows import MessageRow, OutboxRow, ThreadRow
from node.keys import KeyRing
from protocol.encoding import Wire, decode, encode
from protocol.errors import MeshError, MissingError, UnavailableError, UnverifiedError
from protocol.handshake import TERMINAL, IllegalStepError, Side, State, Verb
from protocol.messages import Body, Message, Receipt
from protocol.offers import OrgProfile
from protocol.sealing import SealingPublicKey
from protocol.signing import SigningKey, VerifyKeys
from protocol.threads import Book, hear, heard_late, speak

from .queue import Queue

#: A thread that a person took up is erased so long after its last step, or after its session.
KEEP_S: Final = 30 * 86_400
#: The longest that one side waits for a person of the other, whatever deadline is named.
LONGEST_ANSWER_S: Final = 28 * 86_400
#: Threads that move on by the clock in one transaction.
PORTION: Final = 500
#: A message that could not be delivered for so long is a dead letter.
DELIVER_S: Final = 14 * 86_400
#: What is due in a thread that waits for a comparison after a restore is looked at again so much later.
RECOVERY_S: Final = 60


#: States of threads that ended without an agreement.
ENDED: Final = frozenset(state.value for state in TERMINAL - {State.FINALIZED})

#: Moves one thread on.
Step = Callable[[Writer, ThreadRow], Awaitable[None]]


class Own(msgspec.Struct, kw_only=True):
    """This node as its peers know it: name, keys, profile; `keys` are other ones after a change."""

    entity: str
    keys: KeyRing
    org: OrgProfile

    @property
    def message_key(self) -> SigningKey:
        """The key that signs messages now."""
        return self.keys.envelope_sign

    @property
    def messages(self) -> VerifyKeys:
        """The keys by which own messages and signatures verify, those from before a change too."""
        return self.keys.own_messages

    def open(self, sealed: bytes, info: Callable[[SealingPublicKey], bytes]) -> bytes:
        """Return what was sealed to this node, also before its key changed; `info` binds it to the key.

        Raises: UnverifiedError.
        """
        seals = (self.keys.envelope_seal, *self.keys.earlier_seal)
        for seal in seals[:-1]:
            with suppress(UnverifiedError):
                return seal.open(sealed, info(seal.public))
        return seals[-1].open(sealed, info(seals[-1].public))


class PeerKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The two keys by which messages of a peer are verified and sealed."""

    verify: VerifyKeys
    seal: SealingPublicKey


class Peers(Protocol):
    """What the handshake asks of the list of peers; this node itself is one of them."""

    async def keys(self, tx: Reader, entity: str) -> PeerKeys:
        """Return the keys of an active peer. Raises: MissingError."""
        ...

    async def learn(self, entity: str, keyids: Collection[str]) -> None:
        """Look who the peer is by now if it signs with a key that is not known, outside of any transaction."""
        ...

    async def may_learn(self, tx: Reader, entity: str, keyid: str) -> bool:
        """Tell whether a document of the peer that names this key may be on its way. Raises: RevokedKeyError."""
        ...

    async def check_may_ask(self, tx: Reader, entity: str) -> None:
        """Return if requests may go to this peer. Raises: MissingError, RefusedError."""
        ...


class ThreadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`flush_s`: messages from ACCEPTED on leave at multiples of it, so that the moment of a click stays at home."""

    flush_s: float = 60.0


class Desk:
    """Bookkeeping of threads for one node."""

    def __init__(self, own: Own, queue: Queue, clock: Clock, settings: ThreadSettings) -> None:
        self._queue: Final = queue
        self.own: Final = own
        self._clock: Final = clock
        self._settings: Final = settings

    async def find(self, tx: Reader, thread: str, side: Side, *, label: str | None = None) -> ThreadRow:
        """Return the row of a thread, if it belongs to the mailbox `label`. Raises: MissingError."""
        row = await tx.get(ThreadRow, thread, side.value)
        if row is None or (label is not None and row.label != label):
            raise MissingError("no such thread")
        return row

    def open(self, thread: str, side: Side, peer: str, *, label: str, notes: Wire, purge_at: int) -> ThreadRow:
        """Return the row of a new thread, not stored yet; it is erased at `purge_at` unless a person takes it up."""
        book = Book(thread=thread, side=side.value, peer=peer)
        return ThreadRow(
            thread=thread,
            side=side.value,
            peer=peer,
            label=label,
            state="",
            deadline=None,
            book=encode(book),
            notes=encode(notes),
            purge_at=purge_at,
        )

    async def say(
        self,
        tx: Writer,
        row: ThreadRow,
        verb: Verb,
        body: Body,
        *,
        deadline: int | None = None,
        send: bool = True,
    ) -> tuple[ThreadRow, Message]:
        """Store and queue this side's next message; return the thread after it, stored too.

        Args:
            deadline: until when this thread waits in its new state; None: it does not lapse.
            send: False when the message travels as an HTTP answer instead of through the outbox.
        Raises: IllegalStepError: the state forbids it; RecoveringError: what was said may be lost; nothing is stored.
        """
        await require_recovered(tx, row.peer)
        now_ms = self._clock.now_ms()
        book, message = speak(
            decode(row.book, Book),
            verb,
            body,
            key=self.own.message_key,
            mid=self._queue.next_id(),
            deadline=deadline if deadline is not None else now_ms // 1000 + DELIVER_S,
            checkpoint=await newest_ref(tx),
        )
        row = self._moved(row, book, deadline)
        await tx.put(row)
        await self._keep(tx, row, message)
        if send:
            await self._queue.put(tx, self._outgoing(row, message, now_ms))
        return row, message

    async def take(
        self, tx: Writer, row: ThreadRow, message: Message, *, deadline: int | None = None
    ) -> tuple[ThreadRow, bool]:
        """Store the other side's message; return the thread after it and whether it had an effect.

        A late message on an ending is kept for the order of the thread and has none.
        Raises: OutOfOrderError, ForkError, IllegalStepError, UnverifiedError: nothing is stored.
        """
        book, effective = heard(decode(row.book, Book), message)
        row = self._moved(row, book, deadline if effective else row.deadline)
        await tx.put(row)
        await self._keep(tx, row, message)
        return row, effective

    def receipt(self, row: ThreadRow, message: Message) -> Receipt:
        """Return the receipt for a message just taken: state and, if a person must answer, the deadline."""
        return Receipt(
            mid=message.head.mid,
            hash=message.hash,
            received_at=self._clock.now(),
            state=State(row.state),
            deadline=row.deadline,
        )

    async def message(self, tx: Reader, row: ThreadRow, sender: Side, seq: int) -> MessageRow:
        """Return a stored message of a thread. Raises: MissingError."""
        found = await tx.get(MessageRow, row.thread, row.side, sender.value, seq)
        if found is None:
            raise MissingError("no such message in this thread")
        return found

    async def replay(self, tx: Writer, row: OutboxRow, from_seq: int) -> Sequence[OutboxRow]:
        """Return outbox rows for the own messages of a thread from `from_seq` on; none if they are gone.

        The first message of a side travels as a request or its answer and never again.
        """
        stored = await _said(tx, row.thread, row.side, from_seq)
        if from_seq == 1 or not stored or stored[0].seq != from_seq:
            return ()
        return [replace(row, mid=one.mid, seq=one.seq, item=one.item) for one in stored]

    async def said_from(self, tx: Reader, row: ThreadRow, from_seq: int) -> Sequence[OutboxRow]:
        """Return outbox rows for the own messages of a thread from `from_seq` on, to leave at once."""
        now_ms = self._clock.now_ms()
        return [
            OutboxRow(
                peer=row.peer,
                mid=one.mid,
                thread=row.thread,
                side=row.side,
                seq=one.seq,
                item=one.item,
                created_ms=now_ms,
                due_ms=AT_ONCE,
                expires_at=now_ms // 1000 + DELIVER_S,
            )
            for one in await _said(tx, row.thread, row.side, from_seq)
        ]

    async def give_up(self, tx: Writer, row: ThreadRow) -> ThreadRow:
        """Return the thread ended on this side alone, stored; what still comes for it has no effect.

        One that has ended already stays as it is, and waits for nothing any more.
        """
        book = decode(row.book, Book)
        if book.state not in TERMINAL:
            book = replace(book, state=State.TERMINATED)
        row = self._moved(row, book, None)
        await tx.put(row)
        return row

    async def sweep(self, tx: Writer, side: Side, lapse: Step) -> int:
        """Let threads of `side` whose deadline is over move on by `lapse`; return how many."""
        due = at_most("deadline", self._clock.now())
        rows = await tx.find(ThreadRow, where(side=side.value), due, order="deadline", limit=PORTION)
        for row in rows:
            await self.attempt(tx, row, lapse)
        return len(rows)

    async def attempt(self, tx: Writer, row: ThreadRow, step: Step) -> None:
        """Do `step` with a thread, or give the thread up if it cannot be done: one never stops many."""
        try:
            async with tx.savepoint():
                await step(tx, row)
        except UnavailableError:
            raise
        except RecoveringError:
            await tx.put(replace(row, deadline=self._clock.now() + RECOVERY_S))
        except MeshError:
            await self.give_up(tx, row)

    async def forget(self, tx: Writer, row: ThreadRow) -> None:
        """Erase a thread and its messages."""
        await tx.delete(MessageRow, where(thread=row.thread, side=row.side))
        await tx.delete(ThreadRow, where(thread=row.thread, side=row.side))

    def _moved(self, row: ThreadRow, book: Book, deadline: int | None) -> ThreadRow:
        state = book.state.value if book.state else ""
        row = replace(row, book=encode(book), state=state, deadline=deadline)
        return row if is_untaken(row) else replace(row, purge_at=max(row.purge_at, self._clock.now() + KEEP_S))

    async def _keep(self, tx: Writer, row: ThreadRow, message: Message) -> None:
        await tx.insert(
            MessageRow(
                thread=row.thread,
                side=row.side,
                sender=message.head.side,
                seq=message.head.seq,
                mid=message.head.mid,
                hash=message.hash,
                item=message.item,
                at=self._clock.now(),
            )
        )

    def _outgoing(self, row: ThreadRow, message: Message, now_ms: int) -> OutboxRow:
        flush_ms = round(self._settings.flush_s * 1000)
        due_ms = -(-now_ms // flush_ms) * flush_ms if flush_ms else now_ms
        return OutboxRow(
            peer=row.peer,
            mid=message.head.mid,
            thread=row.thread,
            side=row.side,
            seq=message.head.seq,
            item=message.item,
            created_ms=now_ms,
            due_ms=due_ms,
            expires_at=now_ms // 1000 + DELIVER_S,
        )


async def _said(tx: Reader, thread: str, side: str, from_seq: int) -> list[MessageRow]:
    own = where(thread=thread, side=side, sender=side)
    return await tx.find(MessageRow, own, at_least("seq", from_seq), order="seq")


def is_untaken(row: ThreadRow) -> bool:
    """Tell whether a thread is a request that only nodes have seen: nobody has accepted a candidate in it yet."""
    book = decode(row.book, Book)
    return len(book.said if book.own_side is Side.CONSUMER else book.heard) < 2


def has_changed(before: ThreadRow, after: ThreadRow) -> bool:
    """Tell whether a step moved the thread or called off its session; a cancel that comes again does neither."""
    books = decode(before.book, Book), decode(after.book, Book)
    states = [(book.state, book.session_cancelled) for book in books]
    return states[0] != states[1]


def heard(book: Book, message: Message) -> tuple[Book, bool]:
    """Return the book after `message` and whether it moved anything. Raises as `protocol.threads.hear`."""
    try:
        return hear(book, message), True
    except IllegalStepError as error:
        if error.state not in TERMINAL:
            raise
        return heard_late(book, message), False
