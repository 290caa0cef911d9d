"""Sends stored items to peers: at least once, in order within a thread, soon after a peer is back.

The item and its row are written in the transaction that explains them (`OutboxRow`); here they only travel. One
transfer carries up to 64 items under one signature; a peer that does not answer is asked again after a full-jitter
pause whose cap grows with the length of the outage. Source: docs/protocol/delivery.md.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from protocol.errors import LimitError, MeshError, UnavailableError
from protocol.messages import MAX_BATCH_BYTES, MAX_BATCH_ITEMS, Outcome, join_batch

from .inbox import outcomes_of
from .ports import Clock, Entropy, Store, Writer, where
from .rows import OutboxRow

#: Longest pause in seconds between two tries, by seconds since the peer last answered (federation.md, Delivery).
PAUSES: Final = ((900, 5.0), (86_400, 60.0))
LONGEST_PAUSE_S: Final = 900.0
SHORTEST_PAUSE_S: Final = 0.25


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


class PeerStatus(msgspec.Struct, kw_only=True):
    """How sending to one peer goes; kept in memory only."""

    failures: int = 0
    down_since: int | None = None
    last_error: str = ""


def pause(status: PeerStatus, *, now: int, jitter: float) -> float:
    """Return the seconds to wait after a failure, between 0.25 and the cap of the outage so far.

    Args:
        jitter: uniform in [0, 1).
    """
    away = now - (status.down_since if status.down_since is not None else now)
    cap = next((longest for until, longest in PAUSES if away < until), LONGEST_PAUSE_S)
    longest = min(cap, SHORTEST_PAUSE_S * 2.0 ** min(status.failures, 20))
    return max(SHORTEST_PAUSE_S, jitter * longest)


class Outbox:
    """Sends for one node; `run` is one long job, `wake` says that there is something new."""

    def __init__(self, store: Store, transport: Transport, results: Results, clock: Clock, entropy: Entropy) -> None:
        self._store: Final = store
        self._transport: Final = transport
        self._results: Final = results
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._events: Final[dict[str, asyncio.Event]] = {}
        self._new_peer: Final = asyncio.Event()
        self.status: Final[dict[str, PeerStatus]] = {}

    def wake(self, peer: str) -> None:
        """Look at the rows for `peer` now; also ends its pause (it may have said that it is back)."""
        event = self._events.get(peer)
        if event is None:
            self._events[peer] = event = asyncio.Event()
            self._new_peer.set()
        event.set()

    async def run(self) -> None:
        """Send until cancelled, each peer on its own."""
        async with self._store.read() as tx:
            for row in await tx.find(OutboxRow):
                self.wake(row.peer)
        async with asyncio.TaskGroup() as group:
            served: set[str] = set()
            while True:
                for peer in self._events.keys() - served:
                    served.add(peer)
                    group.create_task(self._serve(peer), name=f"outbox {peer}")
                self._new_peer.clear()
                await self._new_peer.wait()

    async def _serve(self, peer: str) -> None:
        event = self._events[peer]
        while True:
            event.clear()
            wait_s = await self.step(peer)
            if wait_s is None:
                await event.wait()
            elif wait_s > 0:
                await self._sleep_or_wake(event, wait_s)

    async def _sleep_or_wake(self, event: asyncio.Event, seconds: float) -> None:
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
        async with self._store.read() as tx:
            waiting = await tx.find(OutboxRow, where(peer=peer), order="due_ms", limit=4 * MAX_BATCH_ITEMS)
        if not waiting:
            return None
        due = [row for row in waiting if row.due_ms <= now_ms]
        if not due:
            return (waiting[0].due_ms - now_ms) / 1000.0
        expired = [row for row in due if row.expires_at <= self._clock.now()]
        if expired:
            await self._give_up(expired)
            return 0
        return await self._send(peer, _batch(due))

    async def _give_up(self, rows: Sequence[OutboxRow]) -> None:
        async with self._store.write() as tx:
            for row in rows:
                await tx.delete(OutboxRow, where(peer=row.peer, mid=row.mid))
                await self._results.on_undelivered(tx, row, "expired")

    async def _send(self, peer: str, rows: list[OutboxRow]) -> float:
        status = self.status.setdefault(peer, PeerStatus())
        try:
            answer = await self._transport.deliver(peer, join_batch([row.item for row in rows]))
            outcomes = outcomes_of(answer, [row.mid for row in rows])
        except MeshError as error:
            status.failures += 1
            status.last_error = error.code
            now = self._clock.now()
            status.down_since = now if status.down_since is None else status.down_since
            retry_at = error.retry_at if isinstance(error, LimitError | UnavailableError) else None
            jitter = int.from_bytes(self._entropy.take(4), "big") / 2**32
            return max(pause(status, now=now, jitter=jitter), (retry_at - now) if retry_at else 0.0)
        self.status[peer] = PeerStatus()
        async with self._store.write() as tx:
            for row, outcome in zip(rows, outcomes, strict=True):
                await self._settle(tx, row, outcome)
        return 0

    async def _settle(self, tx: Writer, row: OutboxRow, outcome: Outcome) -> None:
        if outcome.status in ("stored", "duplicate"):
            await tx.delete(OutboxRow, where(peer=row.peer, mid=row.mid))
            await self._results.on_delivered(tx, row, outcome)
        elif outcome.status == "later" or outcome.expected_seq is not None:
            await self._again(tx, row, outcome.expected_seq)
        else:
            await tx.delete(OutboxRow, where(peer=row.peer, mid=row.mid))
            await self._results.on_undelivered(tx, row, outcome.code)

    async def _again(self, tx: Writer, row: OutboxRow, from_seq: int | None) -> None:
        later = replace(row, attempts=row.attempts + 1, due_ms=self._clock.now_ms() + 1000)
        if from_seq is None:
            await tx.put(later)
            return
        missing = await self._results.replay(tx, row, from_seq)
        if not missing:
            await tx.delete(OutboxRow, where(peer=row.peer, mid=row.mid))
            await self._results.on_undelivered(tx, row, "out-of-order")
            return
        await tx.put(*missing)


def _batch(due: list[OutboxRow]) -> list[OutboxRow]:
    """Return what fits one transfer: oldest threads first, each thread in its own order."""
    first: dict[tuple[str, str], int] = {}
    for row in due:
        key = (row.thread, row.side)
        first[key] = min(first.get(key, row.created_ms), row.created_ms)
    ordered = sorted(due, key=lambda row: (first[row.thread, row.side], row.thread, row.side, row.seq))
    batch: list[OutboxRow] = []
    size = 0
    for row in ordered[:MAX_BATCH_ITEMS]:
        size += 4 + len(row.item)
        if size > MAX_BATCH_BYTES and batch:
            break
        batch.append(row)
    return batch
