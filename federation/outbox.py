"""Sends stored items to peers: at least once, in order within a thread, soon after a peer is back.

The item and its row are written in the transaction that explains them (`OutboxRow`); here they only travel. One
transfer carries up to 64 items under one signature; a peer that does not answer is asked again after a full-jitter
pause whose cap grows with the length of the outage. What one peer or one thread does never holds up another.
Source: docs/protocol/33-delivery.md.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final, Protocol

from msgspec.structs import replace

from protocol.errors import MalformedError, MeshError, UnavailableError
from protocol.messages import MAX_BATCH_BYTES, MAX_BATCH_ITEMS, Outcome, join_batch

from .inbox import outcomes_of
from .pauses import LEAST_BETWEEN_S, LONGEST_PAUSE_S, PeerStatus, note_failure
from .ports import Clock, Entropy, Reader, Store, Writer, above, where
from .rows import OutboxRow

#: First pause of a thread whose item is to come again; it doubles with each try.
THREAD_PAUSE_MS: Final = 1000

#: `due_ms` of what waits for no beat, whatever the clock says.
AT_ONCE: Final = 0
#: A clock that goes back by less is one that is kept right.
SKEW_MS: Final = 60_000

_CODE: Final = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)
_Lane = tuple[str, str, int]


class Transport(Protocol):
    """Carries one batch to one peer."""

    async def deliver(self, peer: str, batch: bytes) -> bytes:
        """Return the peer's answer. Raises: MeshError: not delivered, or not known to be."""
        ...


class Results(Protocol):
    """What happens with the answers, in the transaction that removes the row from the outbox."""

    async def on_delivered(self, tx: Writer, row: OutboxRow, outcome: Outcome) -> None:
        """The peer stored the item (or had it); the outcome's receipt is still to be verified."""
        ...

    async def on_undelivered(self, tx: Writer, row: OutboxRow, code: str) -> None:
        """The peer refused the item for good, or its time is over: tell the person."""
        ...

    async def replay(self, tx: Writer, row: OutboxRow, from_seq: int) -> Sequence[OutboxRow]:
        """Return the rows of the thread from `from_seq` on, because the peer lacks them; none if it cannot be."""
        ...

    def on_mistake(self, error: Exception) -> None:
        """Report that sending failed by a mistake of ours; it is tried again."""
        ...


class _Signals:
    """What the sender to one peer waits for: something new to send, or word that the peer is back."""

    def __init__(self) -> None:
        self.new: Final = asyncio.Event()
        self.back: Final = asyncio.Event()


class Outbox:
    """Sends for one node; `run` is one long job, `wake` says that there is something new."""

    def __init__(self, store: Store, transport: Transport, results: Results, clock: Clock, entropy: Entropy) -> None:
        self._store: Final = store
        self._transport: Final = transport
        self._results: Final = results
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._signals: Final[dict[str, _Signals]] = {}
        self._new_peer: Final = asyncio.Event()
        self.status: Final[dict[str, PeerStatus]] = {}

    def wake(self, peer: str) -> None:
        """Look at the rows for `peer` soon; a pause after a failure goes on."""
        signals = self._signals.get(peer)
        if signals is None:
            self._signals[peer] = signals = _Signals()
            self._new_peer.set()
        signals.new.set()

    def back(self, peer: str) -> None:
        """End the pause of a peer that showed that it is there."""
        if peer in self._signals:
            self._signals[peer].back.set()

    async def run(self) -> None:
        """Send until cancelled, each peer on its own."""
        await self._wake_all()
        async with asyncio.TaskGroup() as group:
            served: set[str] = set()
            while True:
                for peer in sorted(self._signals.keys() - served):
                    served.add(peer)
                    group.create_task(self._serve(peer), name=f"outbox {peer}")
                self._new_peer.clear()
                await self._new_peer.wait()

    async def _wake_all(self) -> None:
        """Wake every peer that has rows, without reading them all."""
        async with self._store.read() as tx:
            last = ""
            while found := await tx.find(OutboxRow, above("peer", last), order="peer", limit=1):
                last = found[0].peer
                self.wake(last)

    async def _serve(self, peer: str) -> None:
        signals = self._signals[peer]
        while True:
            signals.new.clear()
            signals.back.clear()
            try:
                wait_s = await self.step(peer)
            except Exception as error:  # noqa: BLE001 -- the outermost loop of this peer: the others go on
                self._results.on_mistake(error)
                wait_s = self._paused(self._status(peer), error)
            if wait_s is None:
                await signals.new.wait()
            elif self._status(peer).pausing:
                # Whoever asks us something and never takes our items must not set the pace of our tries.
                await self._clock.sleep(min(wait_s, LEAST_BETWEEN_S))
                await self._sleep_or_wake(signals.back, wait_s - LEAST_BETWEEN_S)
            elif wait_s > 0:
                await self._sleep_or_wake(signals.new, wait_s)

    async def _sleep_or_wake(self, event: asyncio.Event, seconds: float) -> None:
        if seconds <= 0:
            return
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        woken = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait({timer, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in (timer, woken):
                future.cancel()

    async def step(self, peer: str) -> float | None:
        """Send what is due for `peer` once; return the seconds until the next look, None if nothing waits."""
        now_ms = self._clock.now_ms()
        status = self._status(peer)
        status.pausing = False
        async with self._store.read() as tx:
            waiting = await tx.find(OutboxRow, where(peer=peer), order="due_ms", limit=MAX_BATCH_ITEMS)
            due = [row for row in waiting if _due_ms(row, now_ms) <= now_ms]
            overtaking = await _overtaking(tx, due)
        if not due:
            return (_due_ms(waiting[0], now_ms) - now_ms) / 1000.0 if waiting else None
        expired = [row for row in due if row.expires_at <= self._clock.now()]
        if expired:
            await self._give_up(expired)
        elif overtaking:
            await self._put_off(overtaking)
        else:
            return await self._send(peer, status, _batch(due, most=1 if status.singly else MAX_BATCH_ITEMS))
        return 0

    async def _give_up(self, rows: Sequence[OutboxRow]) -> None:
        async with self._store.write() as tx:
            for row in rows:
                await self._settle(tx, row, Outcome(mid=row.mid, status="refused", code="expired"))

    async def _put_off(self, rows: Sequence[OutboxRow]) -> None:
        async with self._store.write() as tx:
            await tx.put(*[row for row in rows if await tx.get(OutboxRow, row.peer, row.mid) is not None])

    async def _send(self, peer: str, status: PeerStatus, rows: list[OutboxRow]) -> float:
        try:
            answer = await self._transport.deliver(peer, join_batch([row.item for row in rows]))
        except MalformedError as error:
            return await self._not_understood(status, rows, error)
        except MeshError as error:
            return self._paused(status, error)
        try:
            outcomes = outcomes_of(answer, [row.mid for row in rows])
        except MalformedError as error:
            return self._paused(status, error)
        self.status[peer] = PeerStatus(singly=max(0, status.singly - len(rows)))
        async with self._store.write() as tx:
            for row, outcome in zip(rows, outcomes, strict=True):
                await self._settle(tx, row, outcome)
        return 0

    async def _not_understood(self, status: PeerStatus, rows: list[OutboxRow], error: MalformedError) -> float:
        """Find the item that the peer cannot read, by sending one at a time; it alone is given up.

        Other codes of this kind speak of the request, not of an item.
        """
        if error.code != MalformedError.code:
            return self._paused(status, error)
        if len(rows) > 1:
            status.singly = len(rows)
            return 0
        status.singly = max(0, status.singly - 1)
        async with self._store.write() as tx:
            await self._settle(tx, rows[0], Outcome(mid=rows[0].mid, status="refused", code=error.code))
        return 0

    def _status(self, peer: str) -> PeerStatus:
        return self.status.setdefault(peer, PeerStatus())

    def _paused(self, status: PeerStatus, error: Exception) -> float:
        """Note a failure; return how long to wait."""
        return note_failure(status, error, now=self._clock.now(), entropy=self._entropy.take(4))

    async def _settle(self, tx: Writer, row: OutboxRow, outcome: Outcome) -> None:
        """Do what the outcome of one item asks for; a mistake of ours puts off its thread alone."""
        if await tx.get(OutboxRow, row.peer, row.mid) is None:
            return  # its thread has ended meanwhile, perhaps by an earlier item of this batch
        try:
            async with tx.savepoint():
                await self._done(tx, row, outcome)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 -- one item's outcome must not hold up those of all others
            self._results.on_mistake(error)
            await tx.put(self._later(row))

    async def _done(self, tx: Writer, row: OutboxRow, outcome: Outcome) -> None:
        if outcome.status == "later":
            await tx.put(self._later(row))
            return
        await tx.delete(OutboxRow, where(peer=row.peer, mid=row.mid))
        if outcome.status in ("stored", "duplicate"):
            await self._results.on_delivered(tx, row, outcome)
        elif outcome.expected_seq is not None:
            await self._again(tx, row, outcome.expected_seq)
        else:
            code = outcome.code if _CODE.fullmatch(outcome.code) else "refused"
            await self._results.on_undelivered(tx, row, code)

    async def _again(self, tx: Writer, row: OutboxRow, from_seq: int) -> None:
        """Queue what the peer lacks; the first time at once, and ever later if that does not help."""
        missing = await self._results.replay(tx, row, from_seq)
        if not missing:
            await self._results.on_undelivered(tx, row, "out-of-order")
            return
        later = self._later(row)
        due_ms = later.due_ms if row.attempts else AT_ONCE
        await tx.put(*(replace(one, attempts=later.attempts, due_ms=due_ms) for one in missing))

    def _later(self, row: OutboxRow) -> OutboxRow:
        wait_ms = min(THREAD_PAUSE_MS * 2 ** min(row.attempts, 20), round(LONGEST_PAUSE_S * 1000))
        return replace(row, attempts=row.attempts + 1, due_ms=self._clock.now_ms() + wait_ms)


def _due_ms(row: OutboxRow, now_ms: int) -> int:
    """Return when a row is to be sent; one from the future was made before the clock was set back."""
    return row.due_ms if row.created_ms <= now_ms + SKEW_MS else AT_ONCE


async def _overtaking(tx: Reader, due: Sequence[OutboxRow]) -> list[OutboxRow]:
    """Return those of `due` whose thread has an earlier item that was put off, to be put off as long.

    Envelopes must not overtake each other: the receiver takes them by their growing number.
    """
    lanes: dict[_Lane, OutboxRow] = {}
    for row in due:
        first = lanes.setdefault(_lane(row), row)
        if row.seq < first.seq:
            lanes[_lane(row)] = row
    held: list[OutboxRow] = []
    for lane, first in lanes.items():
        before = await tx.find(OutboxRow, where(thread=first.thread, side=first.side, seq=first.seq - 1))
        until = [row.due_ms for row in before if _lane(row) == lane]
        if until:
            held += [replace(row, due_ms=until[0]) for row in due if _lane(row) == lane]
    return held


def _lane(row: OutboxRow) -> _Lane:
    """Return what keeps an order of its own: messages and envelopes of one side of a thread count apart."""
    return row.thread, row.side, row.item[0]


def _batch(due: Sequence[OutboxRow], *, most: int) -> list[OutboxRow]:
    """Return what fits one transfer, in the order of `due`."""
    batch: list[OutboxRow] = []
    size = 0
    for row in due[:most]:
        size += 4 + len(row.item)
        if size > MAX_BATCH_BYTES and batch:
            break
        batch.append(row)
    return batch
