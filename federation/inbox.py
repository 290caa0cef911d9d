"""Takes batches of items from peers: every item once, each answered, effects and answers in one transaction.

An item is taken whole or not at all. A repeat is answered with the stored outcome; the same id with other bytes is
refused and kept as evidence. Source: docs/protocol/33-delivery.md.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, Protocol

import msgspec

from protocol.encoding import decode, encode
from protocol.envelope import KIND_SESSION, Envelope, parse_envelope
from protocol.errors import (
    LimitError,
    MalformedError,
    MeshError,
    UnavailableError,
    UnverifiedError,
)
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
from protocol.signing import Signer, SigningKey
from protocol.threads import ForkError, OutOfOrderError

from .breaker import MALFORMED_FAULTS, Breaker
from .delivery import count_received, life_of
from .gathering import gathered
from .ports import Clock, Store, Writer, where
from .rows import EvidenceRow, InboxRow, MailboxRow, OutboxRow

#: A repeat can come as long as a sender may try: two weeks, and some days for clocks and pauses.
KEEP_S: Final = 21 * 86_400
#: Contradictory messages kept of one peer: one pair proves enough.
MAX_EVIDENCE: Final = 16
#: What an item brings under a key that is made for it.
ITEMS: Final = (MailboxRow, OutboxRow)
#: Items that are taken at a stretch.
BREATH: Final = 8

Guard = Callable[[Writer], Awaitable[None]]
Item = UnopenedMessage | Envelope


class Handler(Protocol):
    """The state machines behind the inbox; an item that one of them refuses leaves nothing behind."""

    async def learn(self, peer: str, keyids: Collection[str]) -> None:
        """Look who `peer` is by now if it signs with a key that is not known, outside of any transaction."""
        ...

    async def verify_key(self, tx: Writer, peer: str) -> Signer:
        """Return the keys by which messages of `peer` verify. Raises: MissingError."""
        ...

    async def may_learn(self, tx: Writer, peer: str, keyid: str) -> bool:
        """Tell whether a document of `peer` that names this key may be on its way. Raises: RevokedKeyError: never."""
        ...

    async def on_message(self, tx: Writer, peer: str, message: Message) -> Receipt:
        """Take the effect of a verified message and return its receipt.

        Raises: LimitError: there is no room now, the item may come again; another MeshError: refused for good.
        """
        ...

    async def on_envelope(self, tx: Writer, peer: str, envelope: Envelope) -> bool:
        """Take one session envelope; return False if it was taken before. Raises: as `on_message`."""
        ...

    def on_mistake(self, error: Exception) -> None:
        """Report that taking an item failed by a mistake of ours."""
        ...


class UnknownSignerError(LimitError):
    """The key of a message is not known, perhaps because the peer's new document is not here yet: it may come again."""

    code = "unknown-key"


class _ContradictionError(UnverifiedError):
    """The peer signed two different messages that cannot both stand; `message` is the second."""

    def __init__(self, message: Message, code: str) -> None:
        super().__init__("two different messages stand in one place", code=code)
        self.message: Final = message


class Inbox:
    """Receives for one node."""

    def __init__(self, store: Store, handler: Handler, clock: Clock, *, own: str, key: SigningKey) -> None:
        self._store: Final = store
        self._handler: Final = handler
        self._clock: Final = clock
        self._own: Final = own
        self._key = key
        self.breaker: Final = Breaker()
        #: Of the database; it changes only before a process takes its first item.
        self._life = ""

    def rekey(self, key: SigningKey) -> None:
        """Sign receipts with this key from now on."""
        self._key = key

    async def receive(self, peer: str, batch: bytes, guard: Guard) -> bytes:
        """Return the canonical `Outcomes` of a batch from the authenticated `peer`, after the durable commit.

        Args:
            guard: runs first inside the transaction and may raise (the request's nonce).
        Raises: MalformedError: an item has no readable head; LimitError: an item is too long, or the peer has sent too
            much that cannot be taken; UnavailableError: the disk fails. Nothing of the batch has happened then.
        """
        now = self._clock.now()
        self.breaker.check(peer, now=now)
        try:
            items = [_parse(item) for item in split_batch(batch)]
        except (MalformedError, LimitError):
            self.breaker.fault(peer, MALFORMED_FAULTS, now=now)
            raise
        if keyids := {item.keyid for item in items if not isinstance(item, Envelope)}:
            await self._handler.learn(peer, keyids)
        put_off: dict[str, str] = {}
        async with self._store.write() as tx, gathered(tx, fresh=ITEMS) as rows:
            await guard(tx)
            outcomes: list[Outcome] = []
            for item in items:
                outcomes.append(await self._answered(rows, peer, item, put_off))
                if len(outcomes) % BREATH == 0:
                    await asyncio.sleep(0)  # others go on meanwhile: a batch is long
            answer = await self._counted(rows, peer, outcomes, now)
        self.breaker.fault(peer, _refused(outcomes), now=now)
        return encode(answer)

    async def _counted(self, tx: Writer, peer: str, outcomes: Sequence[Outcome], now: int) -> Outcomes:
        """Return the answer to a batch, with what is stored of the peer after it."""
        if peer == self._own:
            return Outcomes(outcomes=tuple(outcomes))
        stored = sum(one.status == "stored" for one in outcomes)
        self._life = self._life or await life_of(tx, self._own)
        cursor = await count_received(tx, peer, life=self._life, stored=stored, refused=_refused(outcomes), now=now)
        return Outcomes(outcomes=tuple(outcomes), cursor=cursor)

    async def _answered(self, tx: Writer, peer: str, item: Item, put_off: dict[str, str]) -> Outcome:
        """Return the outcome of one item; in a thread of `put_off` nothing overtakes what is to come again."""
        mid, thread = _place(item)
        if thread in put_off:
            return Outcome(mid=mid, status="later", code=put_off[thread])
        outcome = await self._take(tx, peer, item)
        if outcome.status == "later":
            put_off[thread] = outcome.code
        return outcome

    async def _take(self, tx: Writer, peer: str, item: Item) -> Outcome:
        mid = _place(item)[0]
        try:
            async with tx.savepoint():
                if isinstance(item, Envelope):
                    # Its session remembers it: a row for each could fill the disk, and envelopes have their order.
                    new = await self._handler.on_envelope(tx, peer, item)
                    return Outcome(mid=mid, status="stored" if new else "duplicate")
                return await self._take_message(tx, peer, item)
        except UnavailableError:
            raise  # the disk, not the item: the whole batch comes again
        except LimitError as error:
            return Outcome(mid=mid, status="later", code=error.code)
        except _ContradictionError as error:
            await self._keep_evidence(tx, peer, error.message)
            return _refusal(mid, error)
        except MeshError as error:
            return _refusal(mid, error)
        except Exception as error:  # noqa: BLE001 -- an item is a request of its own: the others of the batch go on
            self._handler.on_mistake(error)
            return Outcome(mid=mid, status="later", code="internal")

    async def _take_message(self, tx: Writer, peer: str, unopened: UnopenedMessage) -> Outcome:
        mid = unopened.claimed.mid
        known = await tx.get(InboxRow, peer, mid)
        if known is not None and known.hash == unopened.hash:
            return msgspec.structs.replace(decode(known.outcome, Outcome), status="duplicate")
        signer = await self._handler.verify_key(tx, peer)
        named = any(key.keyid == unopened.keyid for key in signer.every)
        if not named and await self._handler.may_learn(tx, peer, unopened.keyid):
            raise UnknownSignerError("message is signed by a key that the peer's document does not name")
        message = open_message(unopened, signer, audience=self._own)
        if known is not None:
            raise _ContradictionError(message, "conflict")
        try:
            receipt = await self._handler.on_message(tx, peer, message)
        except ForkError as error:
            raise _ContradictionError(message, error.code) from error
        outcome = Outcome(mid=mid, status="stored", receipt=sign_receipt(receipt, self._key))
        purge_at = self._clock.now() + KEEP_S
        await tx.insert(InboxRow(peer=peer, mid=mid, hash=message.hash, outcome=encode(outcome), purge_at=purge_at))
        return outcome

    async def _keep_evidence(self, tx: Writer, peer: str, message: Message) -> None:
        """Keep the message beside the one it contradicts; a peer that goes on proves nothing more."""
        if await tx.count(EvidenceRow, where(peer=peer)) >= MAX_EVIDENCE:
            return
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


def _place(item: Item) -> tuple[str, str]:
    """Return the message id and the thread that an item claims."""
    head = item.header if isinstance(item, Envelope) else item.claimed
    return head.mid, head.thread


def _refused(outcomes: Sequence[Outcome]) -> int:
    return sum(one.status == "refused" for one in outcomes)


def _refusal(mid: str, error: MeshError) -> Outcome:
    return Outcome(
        mid=mid,
        status="refused",
        code=error.code,
        state=error.state if isinstance(error, IllegalStepError) else None,
        expected_seq=error.expected_seq if isinstance(error, OutOfOrderError) else None,
    )


def read_answer(answer: bytes, mids: Sequence[str]) -> Outcomes:
    """Return a peer's answer, which has one outcome for each of `mids` in order.

    Raises: MalformedError: not an answer to this batch.
    """
    outcomes = decode(answer, Outcomes, what="answer to a batch")
    if [outcome.mid for outcome in outcomes.outcomes] != list(mids):
        raise MalformedError("answer to a batch must name its items in order")
    return outcomes


def outcomes_of(answer: bytes, mids: Sequence[str]) -> tuple[Outcome, ...]:
    """Return the outcomes of a peer's answer. Raises: MalformedError: not an answer to this batch."""
    return read_answer(answer, mids).outcomes
