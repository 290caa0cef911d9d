"""Two nodes with one thread between them, and every message that its signer can make, allowed or not."""

from typing import Any, Final

from msgspec.structs import replace

from protocol.bodies import (
    BOX_CHARACTERS,
    AcceptedBody,
    AgreedBody,
    CancelledBody,
    DeclinedBody,
    ExpiredBody,
    FinalizedBody,
    OfferedBody,
    RefusedBody,
    RequestBody,
    SealedBrief,
    VerifiedBody,
    Wrapped,
)
from protocol.encoding import b64, sha256
from protocol.handshake import Side, State, Verb
from protocol.ids import message_id
from protocol.messages import Body, Message, MessageHead, body_hash, sign_message
from protocol.signing import SigningKey
from protocol.threads import Book, hear, speak

NOW: Final = 1_767_000_000
NODES: Final = {Side.CONSUMER: "https://aurora.example", Side.PROVIDER: "https://cobalt.example"}
KEYS: Final = {side: SigningKey(sha256(node.encode())) for side, node in NODES.items()}
THREAD: Final = b64(sha256(b"thread")[:16])
HASH: Final = b64(sha256(b"some hash"))
SEALED: Final = "A" * 1516
BODIES: Final[dict[Verb, Body]] = {
    "request": RequestBody(request=SEALED),
    "offer": OfferedBody(quote=SEALED),
    "refuse": RefusedBody(reason="no-capacity"),
    "accept": AcceptedBody(
        choice=SEALED, brief=SealedBrief(wrapped=(Wrapped(key=HASH, sealed="A" * 1558),), box="A" * BOX_CHARACTERS)
    ),
    "counter": OfferedBody(quote=SEALED),
    "redirect": OfferedBody(quote=SEALED),
    "agree": AgreedBody(agreement="{}", private=SEALED),
    "decline": DeclinedBody(reason="no-time"),
    "expire": ExpiredBody(deadline=NOW),
    "verify": VerifiedBody(agreement="{}"),
    "finalize": FinalizedBody(agreement_hash=HASH),
    "cancel": CancelledBody(reason="not-needed"),
}
#: The way to an agreement.
PATH: Final[tuple[tuple[Side, Verb], ...]] = (
    (Side.CONSUMER, "request"),
    (Side.PROVIDER, "offer"),
    (Side.CONSUMER, "accept"),
    (Side.PROVIDER, "agree"),
    (Side.CONSUMER, "verify"),
    (Side.PROVIDER, "finalize"),
)


class Pair:
    """Both books of one thread and the messages on their way."""

    def __init__(self) -> None:
        self.books = {
            side: Book(thread=THREAD, side="consumer" if side is Side.CONSUMER else "provider", peer=NODES[side.other])
            for side in Side
        }
        self.waiting: dict[Side, list[Message]] = {side: [] for side in Side}
        self._made = 0

    def say(self, side: Side, verb: Verb) -> Message:
        """Let `side` say `verb`; the message waits for the other one."""
        self.books[side], message = speak(
            self.books[side], verb, BODIES[verb], key=KEYS[side], mid=self._mid(), deadline=NOW
        )
        self.waiting[side.other].append(message)
        return message

    def hear(self, side: Side) -> Message:
        """Let `side` hear what waits for it."""
        message = self.waiting[side].pop(0)
        self.books[side] = hear(self.books[side], message)
        return message

    def exchange(self, *steps: tuple[Side, Verb]) -> "Pair":
        """Let each step be said and heard."""
        for side, verb in steps:
            self.say(side, verb)
            self.hear(side.other)
        return self

    def forge(self, by: Side, verb: Verb, **changed: Any) -> Message:  # noqa: ANN401 -- any field of a head
        """Return the next message of `by` as a node that keeps no rules would sign it."""
        book = self.books[by]
        head = MessageHead(
            mid=self._mid(),
            aud=book.peer,
            thread=THREAD,
            side=book.side,
            seq=len(book.said) + 1,
            prev=book.said[-1] if book.said else None,
            seen=book.heard[-1] if book.heard else None,
            deadline=NOW,
            type=verb,
            body_hash=body_hash(BODIES[verb]),
        )
        return sign_message(replace(head, **changed), BODIES[verb], KEYS[by])

    @property
    def states(self) -> tuple[State | None, State | None]:
        """The consumer's state and the provider's."""
        return self.books[Side.CONSUMER].state, self.books[Side.PROVIDER].state

    def _mid(self) -> str:
        self._made += 1
        return message_id(NOW * 1000 + self._made, bytes(10))


def pair_after(count: int) -> Pair:
    """Return a pair that has gone `count` steps of the way to an agreement."""
    return Pair().exchange(*PATH[:count])
