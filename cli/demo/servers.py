"""What the companies' servers know, read from their databases as an administrator could: nothing here is made up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from federation.ports import Reader, where
from federation.rows import (
    CandidateRow,
    MailboxRow,
    MessageRow,
    OwnDocumentRow,
    SessionRow,
    ThreadRow,
)
from node.services.consumer import ConsumerNotes
from node.services.mentor_side import ProviderNotes
from protocol.agreement import agreement_hash, open_agreement
from protocol.encoding import decode
from protocol.envelope import Envelope, parse_envelope
from protocol.handshake import Handshake, Side, State, Verb, advance, may_move
from protocol.messages import open_message, parse_item
from protocol.peers import open_document
from protocol.signing import VerifyKey
from protocol.threads import Book

from .nodes import NodeProcess
from .patience import waiting

R = TypeVar("R")

LOOK_EVERY_S: Final = 0.02


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One signed message of a handshake: who said what, the state after it, and whether both servers hold these bytes.

    `size` is in bytes on the wire, `hash` the message's identity.
    """

    verb: Verb
    side: str
    state: State
    size: int
    hash: str
    on_both: bool


class Handled(msgspec.Struct, frozen=True, kw_only=True):
    """A handshake as both servers hold it, every signature checked again here; `agreement` is the document's hash."""

    steps: tuple[Step, ...]
    agreement: str

    @property
    def states(self) -> tuple[str, ...]:
        """The states that were reached, each once, in order."""
        return tuple(dict.fromkeys(step.state.value for step in self.steps))


class Ciphertext(msgspec.Struct, frozen=True, kw_only=True):
    """One envelope as it lay in a server's database; `sample` is its last 48 bytes in hex, behind all headers."""

    node: str
    size: int
    sample: str


class Meeting(msgspec.Struct, frozen=True, kw_only=True):
    """One session as a server knows it: with whom its own person has it, and how many sealed envelopes passed."""

    side: str
    peer: str
    envelopes: int


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of one server say about matching: company identifiers, topics of requests to it, and counts.

    `asked` are entities that its people asked; `asked_by` entity and topic of each request that came to its matcher,
    without a topic where the row keeps none; `proposed` how many of its people were; `turned_away` requests that found
    no place; `waiting` those that wait for an answer.
    """

    asked: tuple[str, ...]
    asked_by: tuple[tuple[str, str], ...]
    proposed: int
    turned_away: int
    waiting: int
    meetings: tuple[Meeting, ...]


async def _patiently(node: NodeProcess, look: Callable[[Reader], Awaitable[R | None]]) -> R:
    """Return what `look` finds in a node's database, as soon as it does. Raises: UnavailableError: it never does."""
    async with waiting(f"the server of {node.plan.display_name} did not get as far as the story"):
        while True:
            async with node.look() as reader:
                found = await look(reader)
            if found is not None:
                return found
            await asyncio.sleep(LOOK_EVERY_S)


async def finalized(node: NodeProcess, thread: str, side: Side) -> None:
    """Return once this side's row says FINALIZED."""

    async def look(reader: Reader) -> ThreadRow | None:
        row = await reader.get(ThreadRow, thread, side.value)
        return row if row is not None and row.state == State.FINALIZED.value else None

    await _patiently(node, look)


async def closed(node: NodeProcess, thread: str, side: Side) -> None:
    """Return once this side's server knows that both people have closed."""

    async def look(reader: Reader) -> SessionRow | None:
        row = await reader.get(SessionRow, thread, side.value)
        return row if row is not None and row.closed_own and row.closed_their else None

    await _patiently(node, look)


async def handled(consumer: NodeProcess, provider: NodeProcess, thread: str) -> Handled:
    """Return the handshake that both servers hold, read from their stored messages."""
    mine, key, document = await _side(consumer, thread, Side.CONSUMER)
    theirs, other_key, _ = await _side(provider, thread, Side.PROVIDER)
    keys = {Side.CONSUMER: key, Side.PROVIDER: other_key}
    audiences = {Side.CONSUMER: provider.plan.entity, Side.PROVIDER: consumer.plan.entity}
    both = {row.hash for row in mine} & {row.hash for row in theirs}
    waiting = {(row.sender, row.seq): row for row in mine}
    said = {Side.CONSUMER: 0, Side.PROVIDER: 0}
    steps: list[Step] = []
    handshake: Handshake | None = None
    mover: Side | None = Side.CONSUMER
    while mover is not None and (row := waiting.get((mover.value, said[mover] + 1))):
        message = open_message(parse_item(row.item), keys[mover], audience=audiences[mover])
        handshake = advance(handshake, mover, message.head.type)
        said[mover] += 1
        steps.append(
            Step(
                verb=message.head.type,
                side=mover.value,
                state=handshake.state,
                size=len(row.item),
                hash=message.hash,
                on_both=message.hash in both,
            )
        )
        mover = may_move(handshake.state)
    open_agreement(document, other_key, key)
    return Handled(steps=tuple(steps), agreement=agreement_hash(document))


async def _side(node: NodeProcess, thread: str, side: Side) -> tuple[list[MessageRow], VerifyKey, str]:
    """Return one side's messages, its node's message key, and the agreement it holds."""
    async with node.look() as reader:
        rows = await reader.find(MessageRow, where(thread=thread, side=side.value), order="seq")
        (own,) = await reader.find(OwnDocumentRow)
        row = await reader.get(ThreadRow, thread, side.value)
    assert row is not None
    agreement = (
        decode(row.notes, ConsumerNotes).agreement
        if side is Side.CONSUMER
        else decode(row.notes, ProviderNotes).agreement
    )
    key = open_document(own.document.decode("ascii")).keys.envelope_sign
    return rows, VerifyKey.parse(key), agreement


async def ciphertext(node: NodeProcess, thread: str, side: Side, envelope: str) -> Ciphertext:
    """Return an envelope, by the id that its device gave it, as it waits in a mailbox of this server."""

    async def look(reader: Reader) -> Envelope | None:
        rows = await reader.find(MailboxRow, where(thread=thread, side=side.value, kind="envelope"))
        return next((one for row in rows if (one := parse_envelope(row.data)).header.id == envelope), None)

    found = (await _patiently(node, look)).ciphertext
    return Ciphertext(node=node.plan.name, size=len(found), sample=found[-48:].hex(" ", 2))


async def ledger(node: NodeProcess) -> Ledger:
    """Return what this server knows now."""
    async with node.look() as reader:
        asking = await reader.find(ThreadRow, where(side=Side.CONSUMER.value))
        answering = await reader.find(ThreadRow, where(side=Side.PROVIDER.value))
        proposed = {row.label for row in await reader.find(CandidateRow)}
        sessions = await reader.find(SessionRow)
    return Ledger(
        asked=tuple(sorted({row.peer for row in asking})),
        asked_by=tuple(sorted({(row.peer, _topic(row)) for row in answering})),
        proposed=len(proposed),
        # A request that was refused only after somebody was chosen had been heard twice.
        turned_away=sum(
            row.state == State.TERMINATED.value and len(decode(row.book, Book).heard) > 1 for row in answering
        ),
        waiting=sum(row.state == State.ACCEPTED.value for row in answering),
        meetings=tuple(
            Meeting(side=row.side, peer=row.peer, envelopes=row.number or row.heard)
            for row in sorted(sessions, key=lambda row: row.side)
        ),
    )


def _topic(row: ThreadRow) -> str:
    asked = decode(row.notes, ProviderNotes).asked
    return asked.topic if asked else ""
