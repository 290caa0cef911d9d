"""Where messages between nodes meet the two roles: in from the inbox, out to the outbox, both through one door.

An internal match takes the same way: the node is its own peer, and the carrier hands the bytes straight back in.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from federation.delivery import require_recovered
from federation.inbox import Guard
from federation.ports import Writer, where
from federation.returning import Post
from federation.rows import OutboxRow, ThreadRow
from node.events import Events
from protocol.bodies import RequestBody
from protocol.envelope import KIND_SESSION, Envelope
from protocol.errors import MeshError, MissingError, RefusedError
from protocol.handshake import Side, State
from protocol.messages import CheckpointRef, Message, Outcome, Receipt
from protocol.offers import OrgProfile
from protocol.signing import Signer

from .consumer import Consumer
from .places import release
from .provider import Provider
from .quotes import Quotes
from .sessions import Sessions
from .threads import Desk, Peers

#: What a person is told of a thread whose messages a restored node has lost.
LOST: Final = "lost"


class Exchange:
    """Handler of the inbox and results of the outbox for one node."""

    def __init__(
        self,
        *,
        desk: Desk,
        peers: Peers,
        consumer: Consumer,
        provider: Provider,
        sessions: Sessions,
        events: Events,
    ) -> None:
        self._events: Final = events
        self._desk: Final = desk
        self._peers: Final = peers
        self._consumer: Final = consumer
        self._provider: Final = provider
        self._sessions: Final = sessions
        self._refer: Callable[[str, CheckpointRef], None] | None = None

    def listen(self, refer: Callable[[str, CheckpointRef], None]) -> None:
        """Tell `refer` the checkpoints to which messages of peers refer."""
        self._refer = refer

    async def learn(self, peer: str, keyids: Collection[str]) -> None:
        """Look who `peer` is by now if it signs with a key that is not known."""
        await self._peers.learn(peer, keyids)

    async def verify_key(self, tx: Writer, peer: str) -> Signer:
        """Return the keys by which messages of `peer` verify. Raises: MissingError."""
        return (await self._peers.keys(tx, peer)).verify

    async def may_learn(self, tx: Writer, peer: str, keyid: str) -> bool:
        """Tell whether a document of `peer` that names this key may be on its way. Raises: RevokedKeyError: never."""
        return await self._peers.may_learn(tx, peer, keyid)

    async def on_message(self, tx: Writer, peer: str, message: Message) -> Receipt:
        """Take the effect of a verified message and return its receipt. Raises: MeshError before any write."""
        await require_recovered(tx, peer)
        if isinstance(message.body, RequestBody):
            raise RefusedError("requests are answered where quotes are asked for", code="wrong-way")
        side = message.sender.other
        row = await tx.get(ThreadRow, message.head.thread, side.value)
        if row is None or row.peer != peer:
            raise MissingError("no such thread")
        role = self._consumer if side is Side.CONSUMER else self._provider
        row = await role.on_message(tx, row, message)
        if self._refer is not None and message.head.checkpoint is not None:
            self._refer(peer, message.head.checkpoint)
        return self._desk.receipt(row, message)

    async def on_envelope(self, tx: Writer, peer: str, envelope: Envelope) -> bool:
        """Take one session envelope; return False if it was taken before. Raises: MeshError before any write."""
        return await self._sessions.on_envelope(tx, peer, envelope)

    def on_mistake(self, error: Exception) -> None:
        """Report that taking or sending an item failed by a mistake of ours."""
        self._events.item_failed(error)

    async def on_delivered(self, tx: Writer, row: OutboxRow, outcome: Outcome) -> None:
        """Take the receipt of a handshake message; one that does not verify is reported and changes nothing."""
        if row.item[0] == KIND_SESSION or row.side != Side.CONSUMER.value:
            return
        thread = await tx.get(ThreadRow, row.thread, row.side)
        if thread is None:
            return
        try:
            await self._consumer.on_delivered(tx, thread, row, outcome)
        except MeshError as error:
            self._events.receipt_refused(error.code)

    async def on_undelivered(self, tx: Writer, row: OutboxRow, code: str) -> None:
        """A message will never arrive: end the thread and tell the person."""
        self._events.dead_letter(code)
        if row.item[0] == KIND_SESSION:
            await self._sessions.on_undelivered(tx, row, code)
            return
        thread = await tx.get(ThreadRow, row.thread, row.side)
        if thread is None:
            return
        await tx.delete(OutboxRow, where(thread=row.thread, side=row.side))
        if row.side == Side.CONSUMER.value:
            await self._consumer.on_undelivered(tx, thread, code)
        else:
            await self._provider.on_undelivered(tx, thread, code)

    async def lose(self, tx: Writer, row: ThreadRow) -> None:
        """End a thread of which a restored node has lost words of its own, and tell the person if it was alive."""
        await tx.delete(OutboxRow, where(thread=row.thread, side=row.side))
        bound = row.state == State.FINALIZED.value
        if bound and not await self._sessions.is_to_come(tx, row):
            return
        await self._sessions.abandon(tx, row.thread, row.side)
        if row.side == Side.CONSUMER.value:
            await self._consumer.on_undelivered(tx, row, LOST)
        else:
            await self._provider.on_undelivered(tx, row, LOST)
            await release(tx, row.thread)

    async def replay(self, tx: Writer, row: OutboxRow, from_seq: int) -> Sequence[OutboxRow]:
        """Return the rows of the thread from `from_seq` on; a session envelope waits for those before it."""
        if row.item[0] == KIND_SESSION:
            return [row]
        return await self._desk.replay(tx, row, from_seq)


class Receive(Protocol):
    """The inbox, as the carrier sees it."""

    async def receive(self, peer: str, batch: bytes, guard: Guard) -> bytes:
        """Return the outcomes of a batch."""
        ...


BATCH_TYPE: Final = "application/vnd.mentormesh.batch"
MESSAGE_TYPE: Final = "application/vnd.mentormesh.message"
MESSAGES_PATH: Final = "/federation/v1/messages"
QUOTES_PATH: Final = "/federation/v1/quotes"


async def no_guard(_tx: Writer) -> None:
    """An item that never left this node has no request to replay."""


class Carrier:
    """Carries batches and quotes to peers, and to this node itself without leaving it."""

    def __init__(self, own: str, post: Post, org: OrgProfile) -> None:
        self._own: Final = own
        self._post: Final = post
        self._org: Final = org
        self._inbox: Receive | None = None
        self._quotes: Quotes | None = None

    def close_circle(self, inbox: Receive, quotes: Quotes) -> None:
        """Name what receives here: both are made after the carrier, because they send through it."""
        self._inbox, self._quotes = inbox, quotes

    async def deliver(self, peer: str, batch: bytes) -> bytes:
        """Return the answer of `peer` to a batch. Raises: MeshError."""
        if peer == self._own:
            assert self._inbox is not None
            return await self._inbox.receive(peer, batch, no_guard)
        return await self._post.post(peer, MESSAGES_PATH, batch, BATCH_TYPE)

    async def quote(self, peer: str, item: bytes) -> bytes:
        """Return the item by which `peer` answers a request. Raises: MeshError."""
        if peer == self._own:
            assert self._quotes is not None
            return await self._quotes.quote(peer, item, no_guard, org=self._org)
        return await self._post.post(peer, QUOTES_PATH, item, MESSAGE_TYPE)
