"""One side's book of a thread: its handshake, and the two hash chains that make order, gaps and forks visible.

`speak` makes the next own message, `hear` takes the next one of the other side; both return a new book and leave the
old one as it was. Source: docs/protocol/30-messages.md §6.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec.structs import replace

from .encoding import Wire
from .errors import MalformedError, RefusedError, UnverifiedError
from .handshake import MAX_COUNTERS, Handshake, Side, State, Verb, advance, handshake_stands
from .ids import Bytes32, Entity, RandomId
from .messages import Body, CheckpointRef, Message, MessageHead, body_hash, sign_message
from .signing import SigningKey

#: A thread with three counters, an agreement and a cancel from both sides needs far fewer.
MAX_MESSAGES: Final = 32

_Chain = Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=MAX_MESSAGES)]


class OutOfOrderError(RefusedError):
    """An earlier message of the thread is missing: send again from `expected_seq`."""

    code = "out-of-order"

    def __init__(self, message: str, expected_seq: int) -> None:
        super().__init__(message)
        self.expected_seq = expected_seq


class ForkError(UnverifiedError):
    """Two different messages stand for one (thread, sender, seq): keep both as evidence."""

    code = "fork"


class Book(Wire, frozen=True, kw_only=True):
    """What one side knows of a thread; stored as canonical JSON.

    `said` and `heard` hold the hashes of all messages of this side and of the other, in order. `moved` is the sequence
    number of this side's last message that changed the state.
    """

    thread: RandomId
    side: Literal["consumer", "provider"]
    peer: Entity
    state: State | None = None
    counters: Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNTERS)] = 0
    session_cancelled: bool = False
    said: _Chain = ()
    heard: _Chain = ()
    moved: Annotated[int, msgspec.Meta(ge=0, le=MAX_MESSAGES)] = 0

    @property
    def own_side(self) -> Side:
        """This side's role."""
        return Side(self.side)

    @property
    def handshake(self) -> Handshake | None:
        """The machine's value, None before the first message."""
        if self.state is None:
            return None
        return Handshake(state=self.state, counters=self.counters, session_cancelled=self.session_cancelled)


def speak(
    book: Book,
    verb: Verb,
    body: Body,
    *,
    key: SigningKey,
    mid: str,
    deadline: int,
    checkpoint: CheckpointRef | None = None,
) -> tuple[Book, Message]:
    """Return the book after this side said `verb`, and the signed message to store and send.

    Raises: IllegalStepError: the table forbids it; MalformedError: the message does not fit or the thread is full.
    """
    after = advance(book.handshake, book.own_side, verb)
    if len(book.said) == MAX_MESSAGES:
        raise MalformedError(f"thread holds {MAX_MESSAGES} messages of one side already")
    head = MessageHead(
        mid=mid,
        aud=book.peer,
        thread=book.thread,
        side=book.side,
        seq=len(book.said) + 1,
        prev=book.said[-1] if book.said else None,
        seen=book.heard[-1] if book.heard else None,
        deadline=deadline,
        type=verb,
        body_hash=body_hash(body),
        checkpoint=checkpoint,
    )
    message = sign_message(head, body, key)
    moved = book.moved if handshake_stands(book.handshake, after) else head.seq
    return replace(_with(book, after), said=(*book.said, message.hash), moved=moved), message


def hear(book: Book, message: Message) -> Book:
    """Return the book after the other side's `message`.

    Raises: OutOfOrderError: one is missing before it; ForkError: it contradicts one heard before; RefusedError: exactly
    this one was heard before; IllegalStepError: the table forbids it (a late message on an ending); UnverifiedError: it
    belongs to another thread or side, or claims to have seen what was never said.
    """
    head = message.head
    if head.thread != book.thread or head.side != book.own_side.other.value:
        raise UnverifiedError("message belongs to another thread or side", code="wrong-thread")
    _check_place(book, message)
    crossing = book.moved > _seen_seq(book, head.seen)
    after = advance(book.handshake, book.own_side.other, head.type, crossing=crossing)
    return replace(_with(book, after), heard=(*book.heard, message.hash))


def heard_late(book: Book, message: Message) -> Book:
    """Return the book with `message` in its place but without effect: a late word on an ending, kept for the order."""
    _check_place(book, message)
    return replace(book, heard=(*book.heard, message.hash))


def is_repeat(book: Book, message: Message) -> bool:
    """Tell whether exactly this message was heard before. Raises: ForkError: another one was, in its place."""
    seq = message.head.seq
    if seq > len(book.heard):
        return False
    if book.heard[seq - 1] != message.hash:
        raise ForkError(f"two different messages {seq} in one thread")
    return True


def _check_place(book: Book, message: Message) -> None:
    expected = len(book.heard) + 1
    if is_repeat(book, message):
        raise RefusedError(f"message {message.head.seq} of this thread was heard before", code="repeat")
    if message.head.seq > expected:
        raise OutOfOrderError(f"message {expected} of this thread is missing", expected)
    if message.head.prev != (book.heard[-1] if book.heard else None):
        raise ForkError("message does not follow the one before it")
    if expected > MAX_MESSAGES:
        raise MalformedError(f"thread takes at most {MAX_MESSAGES} messages of one side")


def _seen_seq(book: Book, seen: str | None) -> int:
    if seen is None:
        return 0
    if seen not in book.said:
        raise UnverifiedError("message claims to have seen one that was never sent", code="wrong-seen")
    return book.said.index(seen) + 1


def _with(book: Book, after: Handshake) -> Book:
    return replace(book, state=after.state, counters=after.counters, session_cancelled=after.session_cancelled)
