"""Bugs planted one at a time, to show that the simulator sees them: each must be found within a few seeds."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final
from unittest.mock import patch

import msgspec
from msgspec.structs import replace

from federation import inbox, lanes, mirror_store, outbox, witness
from federation.directory import PeerDirectory, Seat
from federation.evidence import EvidenceService
from federation.inbox import Guard, Inbox, Item
from federation.line import Line
from federation.logwatch import LogWatch
from federation.outbox import Outbox
from federation.pauses import PeerStatus
from federation.ports import Reader, Writer, where
from federation.rows import InboxRow, OutboxRow, SessionRow, ThreadRow
from node.services import places
from node.services.provider import Provider
from node.services.queue import Queue
from node.services.sessions import Sessions
from node.services.threads import Desk
from protocol import threads
from protocol.encoding import decode, encode
from protocol.envelope import Envelope
from protocol.errors import MeshError
from protocol.handshake import Side, Verb
from protocol.heads import Held, SetHead, Step, follow
from protocol.messages import Body, Message, Outcome, Outcomes, Receipt, join_batch, split_batch
from protocol.threads import Book
from protocol.tlog.checkpoint import SignedCheckpoint, open_checkpoint
from protocol.tlog.note import LogKey
from protocol.tlog.witness import AddCheckpoint

from .fleet import spread
from .run import DEFAULT_NODES, Scenario, run_seed
from .splitview import met

#: A bug that is not found within so many seeds is one that the simulator cannot see.
SEEDS: Final = 50


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """One planted bug: `plant` patches the product while it is entered."""

    name: str
    plant: Callable[[], AbstractContextManager[object]]
    scenario: Scenario = "handshake"


def hunt(*, jobs: int = 0) -> Iterator[tuple[str, int | None, str]]:
    """Yield each mutant's name, the first seed that finds it, and by which rule."""
    found = spread(_find, range(len(MUTANTS)), jobs=jobs)
    for mutant, (seed, rule) in zip(MUTANTS, found, strict=True):
        yield mutant.name, seed, rule


def _find(number: int) -> tuple[int | None, str]:
    return find(MUTANTS[number])


def find(mutant: Mutant, *, seeds: int = SEEDS) -> tuple[int | None, str]:
    """Return the first seed that finds a planted bug and the rule that is broken."""
    if mutant.scenario == "split-view":
        met(DEFAULT_NODES)  # before there is a bug, for all runs
    for seed in range(1, seeds + 1):
        with mutant.plant():
            outcome = run_seed(seed, scenario=mutant.scenario)
        if outcome.violations:
            return seed, outcome.violations[0].rule
    return None, ""


# What the planted code does instead of the product's own

_TAKE: Final = Inbox._take
_RECEIVE: Final = Inbox.receive
_SEND: Final = Outbox._send
_WAKE_ALL: Final = Outbox._wake_all
_PUT: Final = Queue.put
_SAY: Final = Desk.say
_TAKEN: Final = places.places_taken
_BATCH: Final = lanes.batch_of
_ORDER: Final = Sessions._order
_HEAR: Final = Sessions.on_envelope
_SEATS: Final = PeerDirectory.seat
_RECEIPT: Final = Desk.receipt


async def _take_again(self: Inbox, tx: Writer, peer: str, item: Item) -> Outcome:
    await tx.delete(InboxRow, where(peer=peer, mid=inbox._place(item)[0]))
    return await _TAKE(self, tx, peer, item)


async def _take_from_memory(self: Inbox, tx: Writer, peer: str, item: Item) -> Outcome:
    remembered: dict[str, Outcome] = self.__dict__.setdefault("remembered", {})
    mid = inbox._place(item)[0]
    if mid in remembered:
        return replace(remembered[mid], status="duplicate")
    outcome = await _take_again(self, tx, peer, item)
    if outcome.status == "stored":
        remembered[mid] = outcome
    return outcome


class _UndoneError(Exception):
    """Ends a transaction of which nothing is to stay."""


async def _answer_first(self: Inbox, peer: str, batch: bytes, guard: Guard) -> bytes:
    outcomes: list[Outcome] = []
    try:
        async with self._store.write() as tx:
            outcomes += [await self._take(tx, peer, inbox._parse(item)) for item in split_batch(batch)]
            raise _UndoneError
    except _UndoneError:
        _by_itself(_take_later(self, peer, batch, guard))
    return encode(Outcomes(outcomes=tuple(outcomes)))


async def _take_later(self: Inbox, peer: str, batch: bytes, guard: Guard) -> None:
    await self._clock.sleep(1)
    await _RECEIVE(self, peer, batch, guard)


_running: Final[set[asyncio.Task[None]]] = set()


def _by_itself(work: Any) -> None:  # noqa: ANN401
    """Let something run that nobody waits for."""

    async def run() -> None:
        try:
            await work
        except MeshError:
            return

    task = asyncio.get_running_loop().create_task(run())
    _running.add(task)
    task.add_done_callback(_forgotten)


def _forgotten(task: "asyncio.Task[None]") -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()


def _sender(queue: Queue) -> Outbox:
    wake: Any = queue._wake
    sender = wake.__self__
    assert isinstance(sender, Outbox)
    return sender


async def _send_before_commit(self: Queue, tx: Writer, row: OutboxRow, *, patient: bool = False) -> None:
    _by_itself(_sender(self)._transport.deliver(row.peer, join_batch([row.item])))
    await _PUT(self, tx, row, patient=patient)


async def _queue_after_commit(self: Queue, tx: Writer, row: OutboxRow, *, patient: bool = False) -> None:
    sender = _sender(self)

    async def put() -> None:
        async with sender._store.write() as own:
            await _PUT(self, own, row, patient=patient)

    tx.on_commit(lambda: _by_itself(put()))


async def _delete_then_send(
    self: Outbox, line: Line, status: PeerStatus, rows: list[OutboxRow], release: Callable[[], None], *, linger_s: float
) -> float:
    async with self._store.write() as tx:
        for row in rows:
            await tx.delete(OutboxRow, where(peer=row.peer, mid=row.mid))
    return await _SEND(self, line, status, rows, release, linger_s=linger_s)


async def _forget_one(self: Outbox) -> None:
    async with self._store.write() as tx:
        for row in await tx.find(OutboxRow, order="due_ms", limit=1):
            await tx.delete(OutboxRow, where(peer=row.peer, mid=row.mid))
    await _WAKE_ALL(self)


def _newest_first(due: Sequence[OutboxRow], *, most: int) -> list[OutboxRow]:
    return _BATCH(due, most=most)[::-1]


_counted: Final[dict[tuple[int, str], tuple[int, int]]] = {}


async def _places_a_minute_ago(tx: Reader, label: str, now: int) -> int:
    at = id(asyncio.get_running_loop()), label
    counted = _counted.get(at)
    if counted is None or not counted[0] <= now < counted[0] + 60:
        counted = _counted[at] = now, await _TAKEN(tx, label, now)
    return counted[1]


def _everything_seen(book: Book, _seen: str | None) -> int:
    return len(book.said)


def _first_receipt(self: Desk, row: ThreadRow, message: Message) -> Receipt:
    return replace(_RECEIPT(self, row, message), hash=decode(row.book, Book).heard[0])


async def _nothing(*_args: object, **_kwargs: object) -> None:
    return None


async def _expire_quietly(
    self: Desk,
    tx: Writer,
    row: ThreadRow,
    verb: Verb,
    body: Body,
    *,
    deadline: int | None = None,
    send: bool = True,
) -> tuple[ThreadRow, Message]:
    return await _SAY(self, tx, row, verb, body, deadline=deadline, send=send and verb != "expire")


async def _order_from_memory(
    self: Sessions, tx: Writer, session: SessionRow, envelope: Envelope, *, patient: bool = False
) -> None:
    numbers: dict[str, int] = self.__dict__.setdefault("numbers", {})
    number = numbers.get(session.thread, 0)
    numbers[session.thread] = number + 1
    await _ORDER(self, tx, replace(session, number=number), envelope, patient=patient)


async def _hear_again(self: Sessions, tx: Writer, peer: str, envelope: Envelope) -> bool:
    side = Side.PROVIDER if envelope.header.number is None else Side.CONSUMER
    session = await tx.get(SessionRow, envelope.header.thread, side.value)
    if session is not None:
        await tx.put(replace(session, heard=min(session.heard, envelope.header.seq - 1), recent=""))
    return await _HEAR(self, tx, peer, envelope)


def _cosign_anything(_: object, request: AddCheckpoint, keys: Sequence[LogKey]) -> SignedCheckpoint:
    return open_checkpoint(request.checkpoint, keys)


def _any_prev(head: SetHead, hashed: str, held: Held | None) -> Step:
    return "next" if held is not None and head.seq == held.seq + 1 else follow(head, hashed, held)


def _keep_seats(self: PeerDirectory, seats: Mapping[str, tuple[Seat, ...]]) -> bool:
    return _SEATS(self, {**self._seats, **seats})


def _instead(target: Any, name: str, planted: object) -> Callable[[], AbstractContextManager[object]]:  # noqa: ANN401
    return lambda: patch.object(target, name, planted)


MUTANTS: Final = (
    Mutant(name="a repeat is taken again", plant=_instead(Inbox, "_take", _take_again)),
    Mutant(name="repeats are known in memory only", plant=_instead(Inbox, "_take", _take_from_memory)),
    Mutant(name="the answer leaves before the commit", plant=_instead(Inbox, "receive", _answer_first)),
    Mutant(name="a message leaves before the commit", plant=_instead(Queue, "put", _send_before_commit)),
    Mutant(name="the outbox is written after the commit", plant=_instead(Queue, "put", _queue_after_commit)),
    Mutant(name="a row is deleted before the answer", plant=_instead(Outbox, "_send", _delete_then_send)),
    Mutant(name="a row is forgotten at a restart", plant=_instead(Outbox, "_wake_all", _forget_one)),
    Mutant(name="the newest is sent first", plant=_instead(outbox, "batch_of", _newest_first), scenario="delivery"),
    Mutant(name="places are checked, then booked", plant=_instead(places, "places_taken", _places_a_minute_ago)),
    Mutant(name="what the sender had seen is ignored", plant=_instead(threads, "_seen_seq", _everything_seen)),
    Mutant(name="a receipt is for another message", plant=_instead(Desk, "receipt", _first_receipt)),
    Mutant(name="a place is not given back", plant=_instead(places, "release", _nothing)),
    Mutant(name="half hours are not held", plant=_instead(places, "hold", _nothing)),
    Mutant(name="a cancel gives nothing back", plant=_instead(Provider, "_released", _nothing)),
    Mutant(name="an expiry is not sent", plant=_instead(Desk, "say", _expire_quietly)),
    Mutant(
        name="the hub counts in memory", plant=_instead(Sessions, "_order", _order_from_memory), scenario="delivery"
    ),
    Mutant(
        name="an envelope is taken again", plant=_instead(Sessions, "on_envelope", _hear_again), scenario="delivery"
    ),
    Mutant(name="evidence is not kept", plant=_instead(EvidenceService, "record", _nothing), scenario="split-view"),
    Mutant(name="evidence freezes nobody", plant=_instead(EvidenceService, "load", _nothing), scenario="split-view"),
    Mutant(
        name="a witness cosigns anything", plant=_instead(witness, "advance", _cosign_anything), scenario="split-view"
    ),
    Mutant(name="prev is not compared", plant=_instead(mirror_store, "follow", _any_prev), scenario="split-view"),
    Mutant(
        name="what others hold of a log is not compared",
        plant=_instead(LogWatch, "consider", _nothing),
        scenario="split-view",
    ),
    Mutant(
        name="a suspended member is still served",
        plant=_instead(PeerDirectory, "seat", _keep_seats),
        scenario="split-view",
    ),
)
