"""Sends stored items to peers: at least once, in order within a thread, soon after a peer is back.

The item and its row are written in the transaction that explains them (`OutboxRow`); here they only travel. One
transfer carries up to 64 items under one signature, and a few transfers to one peer may be under way; a peer that does
not answer is asked again after a full-jitter pause whose cap grows with the length of the outage. What one peer or one
thread does never holds up another. Source: docs/protocol/33-delivery.md.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Final, Literal, Protocol, TypeVar

from msgspec.structs import replace

from protocol.delivery import Cursor
from protocol.envelope import KIND_SESSION
from protocol.errors import LimitError, MalformedError, MeshError, UnavailableError
from protocol.messages import MAX_BATCH_ITEMS, Outcome, join_batch

from .claims import Claim, alone
from .delivery import count_sent
from .gathering import gathered
from .inbox import read_answer
from .lanes import AT_ONCE, batch_of, due_ms, free, in_order, lane_of
from .line import Line
from .pauses import LEAST_BETWEEN_S, LONGEST_PAUSE_S, PeerStatus, note_failure
from .ports import Clock, Entropy, Store, Writer, above, is_in, where
from .rows import OutboxRow
from .waiting import sleep_or_wake

#: First pause of a thread whose item is to come again; it doubles with each try.
THREAD_PAUSE_MS: Final = 1000
#: Transfers to one peer that may be under way at once, if the configuration says nothing else.
IN_FLIGHT: Final = 4
#: Items that leave the outbox while those behind them travel; beyond that, lanes wait for the disk.
MOST_LEAVING: Final = 4 * MAX_BATCH_ITEMS
#: A peer to which another process of this node sends is asked for again after so long.
CLAIM_AGAIN_S: Final = 1.0
#: While a transfer is under way, what comes in waits so long to travel together.
LINGER_S: Final = 0.02
#: What nobody waits for leaves so much later, if nothing else takes it along before.
PATIENCE_S: Final = 0.25
#: Items that the peer has stored leave the outbox so much later, all that came to it meanwhile,
SETTLE_S: Final = 0.25
#: or as soon as they are so many: each look at the outbox meets them.
MOST_SETTLED: Final = 16

_CODE: Final = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)
#: Codes of a refused batch that may speak of an item; other codes of their kinds speak of the request.
_OF_AN_ITEM: Final = frozenset({MalformedError.code, "too-large"})
#: A transfer to send now, or the seconds until the next look, None if nothing waits.
_Found = list[OutboxRow] | float | None
#: What became of an item.
_End = Literal["stored", "dead", "again", "gone"]
T = TypeVar("T")


class Transport(Protocol):
    """Carries one batch to one peer."""

    async def deliver(self, peer: str, batch: bytes) -> bytes:
        """Return the peer's answer. Raises: MeshError: not delivered, or not known to be."""
        ...


class Results(Protocol):
    """What happens with the answers, in the transaction that removes the row from the outbox."""

    async def on_delivered(self, tx: Writer, row: OutboxRow, outcome: Outcome) -> None:
        """The peer stored the message (or had it); its receipt is still to be verified. Envelopes have none."""
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


class Outbox:
    """Sends for one node; `run` is one long job, `wake` says that there is something new."""

    def __init__(
        self,
        store: Store,
        transport: Transport,
        results: Results,
        clock: Clock,
        entropy: Entropy,
        *,
        in_flight: int = IN_FLIGHT,
        claim: Claim = alone,
    ) -> None:
        self._store: Final = store
        self._transport: Final = transport
        self._results: Final = results
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._in_flight: Final = in_flight
        self._claim: Final = claim
        self._lines: Final = defaultdict[str, Line](Line)
        self._new_peer: Final = asyncio.Event()
        self.status: Final[dict[str, PeerStatus]] = {}
        #: When each peer last answered us or asked us something.
        self.contacts: Final[dict[str, int]] = {}

    def wake(self, peer: str) -> None:
        """Look at the rows for `peer` soon; a pause after a failure goes on."""
        self._known(peer)
        self._look_again(peer)

    def wake_patiently(self, peer: str) -> None:
        """Look at the rows for `peer` when there is another reason to, or else a moment later."""
        line = self._known(peer)
        if not line.patient:
            line.patient = True
            line.stir.set()

    def _known(self, peer: str) -> Line:
        if peer not in self._lines:
            self._new_peer.set()
        return self._lines[peer]

    def _look_again(self, peer: str) -> None:
        line = self._lines[peer]
        line.unseen = True
        line.stir.set()

    def back(self, peer: str) -> None:
        """End the pause of a peer that showed that it is there."""
        self.contacts[peer] = self._clock.now()
        if peer in self._lines:
            self._lines[peer].back.set()

    async def run(self) -> None:
        """Send until cancelled, each peer on its own."""
        await self._wake_all()
        async with asyncio.TaskGroup() as group:
            served: set[str] = set()
            while True:
                for peer in sorted(self._lines.keys() - served):
                    served.add(peer)
                    group.create_task(self._serve(peer), name=f"outbox {peer}")
                self._new_peer.clear()
                await self._new_peer.wait()

    async def look_again(self, peers: Collection[str] | None) -> None:
        """Look at the rows of these peers soon, which another process may have written; None: of all that have any."""
        if peers is None:
            await self._wake_all()
        for peer in peers or ():
            self.wake(peer)

    async def _wake_all(self) -> None:
        """Wake every peer that has rows, without reading them all."""
        async with self._store.read() as tx:
            last = ""
            while found := await tx.find(OutboxRow, above("peer", last), order="peer", limit=1):
                last = found[0].peer
                self.wake(last)

    async def _serve(self, peer: str) -> None:
        """Send to one peer, a few transfers at a time."""
        line = self._lines[peer]
        async with asyncio.TaskGroup() as transfers:
            while True:
                line.stir.clear()
                line.back.clear()
                line.landed.clear()
                status = self._status(peer)
                if status.pausing:
                    await self._sit_out(line, status)
                elif line.under_way >= (1 if status.singly else self._in_flight):
                    await line.landed.wait()
                elif line.unseen or line.more:
                    if await self._claim(peer):
                        await self._launch(peer, line, transfers)
                    else:
                        await self._guarded(peer, self._leave_to_others(peer, line))
                elif line.patient:
                    await self._until(line.stir, PATIENCE_S)
                    line.unseen = True
                else:
                    await line.stir.wait()

    async def _leave_to_others(self, peer: str, line: Line) -> None:
        """Wait while another process sends to this peer, which may end before all has been sent."""
        await self._clock.sleep(CLAIM_AGAIN_S)
        line.more = line.unseen = False
        async with self._store.read() as tx:
            if await tx.find(OutboxRow, where(peer=peer), limit=1):
                line.unseen = True

    async def _launch(self, peer: str, line: Line, transfers: asyncio.TaskGroup) -> None:
        found = await self._guarded(peer, self._look(peer, line))
        if isinstance(found, list):
            transfers.create_task(self._carry(peer, line, found))
            await asyncio.sleep(0)  # it marks its lanes first
            if not line.more:
                await self._gather(line)
        elif found is None:
            await line.stir.wait()
        elif found > 0 and not self._status(peer).pausing:
            await self._until(line.stir, found)

    async def _gather(self, line: Line) -> None:
        """Wait until the transfer has ended, or for something new and then a little longer for its company."""
        if line.under_way:
            await line.stir.wait()
        if line.under_way:
            await self._until(line.landed, LINGER_S)

    async def _sit_out(self, line: Line, status: PeerStatus) -> None:
        # Whoever asks us something and never takes our items must not set the pace of our tries.
        await self._clock.sleep(min(status.wait_s, LEAST_BETWEEN_S))
        await self._until(line.back, status.wait_s - LEAST_BETWEEN_S)
        status.pausing, line.unseen = False, True

    async def _until(self, event: asyncio.Event, seconds: float) -> None:
        if seconds > 0:
            await sleep_or_wake(self._clock, seconds, event)

    async def step(self, peer: str) -> float | None:
        """Send what is due for `peer` once; return the seconds until the next look, None if nothing waits."""
        line, status = self._lines[peer], self._status(peer)
        status.pausing = False
        found = await self._look(peer, line)
        if not isinstance(found, list):
            return found
        with line.carrying(found) as release:
            return await self._send(line, status, found, release, linger_s=0)

    async def _carry(self, peer: str, line: Line, rows: list[OutboxRow]) -> None:
        with line.carrying(rows) as release:
            await self._guarded(peer, self._send(line, self._status(peer), rows, release, linger_s=SETTLE_S))

    async def _guarded(self, peer: str, work: Coroutine[Any, Any, T]) -> T | float:
        """Return what `work` returns, or how long to wait after a mistake: the other peers go on."""
        try:
            return await work
        except Exception as error:  # noqa: BLE001 -- the outermost loop of this peer
            self._results.on_mistake(error)
            return self._paused(self._status(peer), error)

    async def _look(self, peer: str, line: Line) -> _Found:
        """Return the next transfer to `peer`, after what is due for other reasons was done."""
        now_ms = self._clock.now_ms()
        line.unseen = line.patient = False
        gone = set(line.leaving)
        async with self._store.read() as tx:
            most = MAX_BATCH_ITEMS * (1 + line.under_way) + len(gone)
            found = await tx.find(OutboxRow, where(peer=peer), order="due_ms", limit=most)
            gone |= line.leaving  # some may have begun to leave while the rows were read, and some may have left
            waiting = [row for row in found if row.mid not in gone]
            ready, everything = free(waiting, line.busy, now_ms), waiting if len(found) < most else None
            due, held = await in_order(tx, ready, everything, now_ms=now_ms, gone=gone)
        line.unseen = line.unseen or len(due) < len(waiting)
        idle = [row for row in waiting if lane_of(row) not in line.busy]
        line.more = False
        expired = [row for row in due if row.expires_at <= self._clock.now()]
        line.unseen = line.unseen or bool(expired or held)
        if expired:
            await self._give_up(peer, expired)
        elif held:
            await self._put_off(held)
        elif not due:
            return (due_ms(idle[0], now_ms) - now_ms) / 1000.0 if idle else None
        else:
            batch = batch_of(due, most=1 if self._status(peer).singly else MAX_BATCH_ITEMS)
            line.more = len(batch) < len(due) or len(found) == most
            return batch
        return 0

    async def _give_up(self, peer: str, rows: Sequence[OutboxRow]) -> None:
        async with self._store.write() as tx:
            await self._settle_all(tx, peer, [(row, _given_up(row, "expired")) for row in rows], cursor=None)

    async def _put_off(self, rows: Sequence[OutboxRow]) -> None:
        async with self._store.write() as tx:
            await tx.put(*[row for row in rows if await tx.get(OutboxRow, row.peer, row.mid) is not None])

    async def _send(
        self, line: Line, status: PeerStatus, rows: list[OutboxRow], release: Callable[[], None], *, linger_s: float
    ) -> float:
        peer = rows[0].peer
        try:
            sent = await self._transport.deliver(peer, join_batch([row.item for row in rows]))
        except MeshError as error:
            if error.code in _OF_AN_ITEM and isinstance(error, MalformedError | LimitError):
                return await self._not_taken(status, rows, error)
            return self._paused(status, error)
        try:
            answer = read_answer(sent, [row.mid for row in rows])
        except MalformedError as error:
            return self._paused(status, error)
        self._answered(peer, status, len(rows))
        settled = list(zip(rows, answer.outcomes, strict=True))
        line.answered.append((settled, answer.cursor))
        line.leaving.update(row.mid for row in rows)
        if all(_is_plain(row, outcome) for row, outcome in settled):
            if len(line.leaving) <= MOST_LEAVING:
                release()
            if linger_s and len(line.leaving) < MOST_SETTLED:
                if len(line.answered) > 1:
                    return 0  # the first one's turn is not over
                await self._clock.sleep(linger_s)
        await self._settle_answered(peer, line)
        return 0

    async def _settle_answered(self, peer: str, line: Line) -> None:
        """Do what all answers of this moment ask for, unless somebody else has just taken them along."""
        answered, line.answered = line.answered, []
        if not answered:
            return
        with line.settling([row for settled, _ in answered for row, _ in settled]):
            async with self._store.write() as tx, gathered(tx) as rows:
                for settled, cursor in answered:
                    await self._settle_all(rows, peer, settled, cursor=cursor)

    def _answered(self, peer: str, status: PeerStatus, items: int) -> None:
        """Forget the peer's failures; only what left one at a time brings nearer that items travel together again."""
        alone = status.singly and items == 1
        self.status[peer] = PeerStatus(singly=status.singly - 1 if alone else status.singly)
        self.back(peer)

    async def _not_taken(self, status: PeerStatus, rows: list[OutboxRow], error: MeshError) -> float:
        """Find the item that the peer cannot read or that is too large for it, by sending one at a time.

        It alone is given up.
        """
        if len(rows) > 1:
            status.singly = len(rows)
            self._look_again(rows[0].peer)
            return 0
        status.singly = max(0, status.singly - 1)
        async with self._store.write() as tx:
            await self._settle_all(tx, rows[0].peer, [(rows[0], _given_up(rows[0], error.code))], cursor=None)
        return 0

    def _status(self, peer: str) -> PeerStatus:
        return self.status.setdefault(peer, PeerStatus())

    def _paused(self, status: PeerStatus, error: Exception) -> float:
        """Note a failure; return how long to wait."""
        return note_failure(status, error, now=self._clock.now(), entropy=self._entropy.take(4))

    async def _settle_all(
        self, tx: Writer, peer: str, settled: Sequence[tuple[OutboxRow, Outcome]], *, cursor: Cursor | None
    ) -> None:
        """Do what the outcomes ask for, and count them."""
        plain = [row.mid for row, outcome in settled if _is_plain(row, outcome)]
        stored = await tx.delete(OutboxRow, where(peer=peer), is_in("mid", plain)) if plain else 0
        others = [(row, outcome) for row, outcome in settled if not _is_plain(row, outcome)]
        ends = [await self._settle(tx, row, outcome) for row, outcome in others]
        stored, dead = stored + ends.count("stored"), ends.count("dead")
        await count_sent(tx, peer, stored=stored, dead=dead, cursor=cursor, now=self._clock.now())

    async def _settle(self, tx: Writer, row: OutboxRow, outcome: Outcome) -> _End:
        """Do what the outcome of one item asks for; a mistake of ours puts off its thread alone."""
        try:
            async with tx.savepoint():
                return await self._done(tx, row, outcome)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 -- one item's outcome must not hold up those of all others
            self._results.on_mistake(error)
            return await self._postpone(tx, row)

    async def _postpone(self, tx: Writer, row: OutboxRow) -> _End:
        if await tx.get(OutboxRow, row.peer, row.mid) is None:
            return "gone"
        await tx.put(self._later(row))
        tx.on_commit(lambda: self._look_again(row.peer))
        return "again"

    async def _done(self, tx: Writer, row: OutboxRow, outcome: Outcome) -> _End:
        if outcome.status == "later":
            return await self._postpone(tx, row)
        if not await tx.delete(OutboxRow, where(peer=row.peer, mid=row.mid)):
            return "gone"  # its thread has ended meanwhile, perhaps by an earlier item of this batch
        if outcome.status in ("stored", "duplicate"):
            await self._results.on_delivered(tx, row, outcome)
            return "stored"
        if outcome.expected_seq is not None and await self._again(tx, row, outcome.expected_seq):
            return "again"
        code = "out-of-order" if outcome.expected_seq is not None else outcome.code
        await self._results.on_undelivered(tx, row, code if _CODE.fullmatch(code) else "refused")
        return "dead"

    async def _again(self, tx: Writer, row: OutboxRow, from_seq: int) -> bool:
        """Queue what the peer lacks, if we have it; the first time at once, and ever later if that does not help."""
        missing = await self._results.replay(tx, row, from_seq)
        later = self._later(row)
        at_ms = later.due_ms if row.attempts else AT_ONCE
        await tx.put(*(replace(one, attempts=later.attempts, due_ms=at_ms) for one in missing))
        tx.on_commit(lambda: self._look_again(row.peer))
        return bool(missing)

    def _later(self, row: OutboxRow) -> OutboxRow:
        wait_ms = min(THREAD_PAUSE_MS * 2 ** min(row.attempts, 20), round(LONGEST_PAUSE_S * 1000))
        return replace(row, attempts=row.attempts + 1, due_ms=self._clock.now_ms() + wait_ms)


def _is_plain(row: OutboxRow, outcome: Outcome) -> bool:
    """Return whether nothing is left to do but to take the item off: an envelope that the peer has."""
    return row.item[0] == KIND_SESSION and outcome.status in ("stored", "duplicate")


def _given_up(row: OutboxRow, code: str) -> Outcome:
    return Outcome(mid=row.mid, status="refused", code=code)
