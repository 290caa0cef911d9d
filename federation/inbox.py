"""Takes batches of items from peers: every item once, each answered, effects and answers in one transaction.

A repeat is answered with the stored outcome; the same id with other bytes is refused and kept as evidence.
Source: docs/protocol/delivery.md.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec

from protocol.encoding import b64, decode, encode, sha256
from protocol.envelope import KIND_SESSION, Envelope, parse_envelope
from protocol.errors import MalformedError, MeshError
from protocol.handshake import IllegalStepError
from protocol.messages import (
    Message,
    Outcome,
    Outcomes,
    Receipt,
    UnopenedMessage,
    open_message,
    parse_item,
    sign_receipt,
    split_batch,
)
from protocol.signing import SigningKey, VerifyKey
from protocol.threads import ForkError, OutOfOrderError

from .ports import Clock, Store, Writer
from .rows import EvidenceRow, InboxRow

#: A repeat can come as long as a sender may try: two weeks, and some days for clocks and pauses.
KEEP_S: Final = 21 * 86_400

Guard = Callable[[Writer], Awaitable[None]]
Item = UnopenedMessage | Envelope


class Handler(Protocol):
    """The state machines behind the inbox; each checks everything before its first write."""

    async def verify_key(self, tx: Writer, peer: str) -> VerifyKey:
        """Return the key by which `peer` signs messages. Raises: MissingError."""
        ...

    async def on_message(self, tx: Writer, peer: str, message: Message) -> Receipt:
        """Take the effect of a verified message and return its receipt. Raises: MeshError before any write."""
        ...

    async def on_envelope(self, tx: Writer, peer: str, envelope: Envelope) -> None:
        """Take one session envelope. Raises: MeshError before any write."""
        ...


class Inbox:
    """Receives for one node."""

    def __init__(self, store: Store, handler: Handler, clock: Clock, *, own: str, key: SigningKey) -> None:
        self._store: Final = store
        self._handler: Final = handler
        self._clock: Final = clock
        self._own: Final = own
        self._key: Final = key

    async def receive(self, peer: str, batch: bytes, guard: Guard) -> bytes:
        """Return the canonical `Outcomes` of a batch from the authenticated `peer`, after the durable commit.

        Args:
            guard: runs first inside the transaction and may raise (the request's nonce).
        Raises: MalformedError: an item has no readable head; then nothing of the batch has happened.
        """
        items = [_parse(item) for item in split_batch(batch)]
        async with self._store.write() as tx:
            await guard(tx)
            outcomes = [await self._take(tx, peer, item) for item in items]
        return encode(Outcomes(outcomes=tuple(outcomes)))

    async def _take(self, tx: Writer, peer: str, item: Item) -> Outcome:
        mid, digest = _identity(item)
        known = await tx.get(InboxRow, peer, mid)
        if known is not None and known.hash == digest:
            return msgspec.structs.replace(decode(known.outcome, Outcome), status="duplicate")
        try:
            if isinstance(item, Envelope):
                if known is not None:
                    return Outcome(mid=mid, status="refused", code="conflict")
                outcome = await self._take_envelope(tx, peer, item)
            else:
                outcome = await self._take_message(tx, peer, item, known=known is not None)
        except MeshError as error:
            return _refusal(mid, error)
        if outcome.status == "stored":
            await tx.insert(
                InboxRow(peer=peer, mid=mid, hash=digest, outcome=encode(outcome), purge_at=self._clock.now() + KEEP_S)
            )
        return outcome

    async def _take_envelope(self, tx: Writer, peer: str, envelope: Envelope) -> Outcome:
        await self._handler.on_envelope(tx, peer, envelope)
        return Outcome(mid=envelope.header.mid, status="stored")

    async def _take_message(self, tx: Writer, peer: str, unopened: UnopenedMessage, *, known: bool) -> Outcome:
        message = open_message(unopened, await self._handler.verify_key(tx, peer), audience=self._own)
        if known:
            await self._keep_evidence(tx, peer, message)
            return Outcome(mid=message.head.mid, status="refused", code="conflict")
        try:
            receipt = await self._handler.on_message(tx, peer, message)
        except ForkError as error:
            await self._keep_evidence(tx, peer, message)
            return _refusal(message.head.mid, error)
        return Outcome(mid=message.head.mid, status="stored", receipt=sign_receipt(receipt, self._key))

    async def _keep_evidence(self, tx: Writer, peer: str, message: Message) -> None:
        await tx.put(
            EvidenceRow(
                peer=peer,
                hash=message.hash,
                thread=message.head.thread,
                item=message.item,
                at=self._clock.now(),
            )
        )


def _parse(item: bytes) -> Item:
    return parse_envelope(item) if item[:1] == bytes([KIND_SESSION]) else parse_item(item)


def _identity(item: Item) -> tuple[str, str]:
    if isinstance(item, Envelope):
        return item.header.mid, b64(sha256(encode(item.header), item.ciphertext))
    return item.claimed.mid, item.hash


def _refusal(mid: str, error: MeshError) -> Outcome:
    return Outcome(
        mid=mid,
        status="refused",
        code=error.code,
        state=error.state if isinstance(error, IllegalStepError) else None,
        expected_seq=error.expected_seq if isinstance(error, OutOfOrderError) else None,
    )


def outcomes_of(answer: bytes, mids: Sequence[str]) -> tuple[Outcome, ...]:
    """Return the outcomes of a peer's answer, one for each of `mids` in order.

    Raises: MalformedError: not an answer to this batch.
    """
    outcomes = decode(answer, Outcomes, what="answer to a batch").outcomes
    if [outcome.mid for outcome in outcomes] != list(mids):
        raise MalformedError("answer to a batch must name its items in order")
    return outcomes
