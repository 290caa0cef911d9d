"""The outbox against peers that are away, slow, hostile or confused: one of them never holds up another."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import pytest
from msgspec.structs import replace

from federation.outbox import IN_FLIGHT, LINGER_S, MOST_SETTLED, PATIENCE_S, SETTLE_S, Outbox
from federation.pauses import LONGEST_WAIT_S, PeerStatus, pause
from federation.ports import Writer, where
from federation.rows import OutboxRow
from protocol.encoding import encode
from protocol.errors import (
    LimitError,
    MalformedError,
    MeshError,
    UnavailableError,
    UnverifiedError,
)
from protocol.ids import message_id
from protocol.messages import MAX_BATCH_ITEMS, Outcome, Outcomes, split_batch
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.fakes.memory_store import MemoryStore

PEER: Final = "https://cobalt.example"
OTHER: Final = "https://birch.example"
NOW: Final = 1_800_000_000
FLUSH_MS: Final = 60_000

Reply = Callable[[str], Outcome]


def mid(number: int) -> str:
    """Return the message id of a number; it grows with it."""
    return message_id(NOW * 1000 + number, bytes(10))


def stored(one: str) -> Outcome:
    """Answer that the item was stored."""
    return Outcome(mid=one, status="stored")


def row(number: int, *, thread: str = "t", peer: str = PEER, kind: int = 1, size: int = 100) -> OutboxRow:
    """Return a row whose item says its own id; `kind` 1 is a handshake message, 2 an envelope."""
    return OutboxRow(
        peer=peer,
        mid=mid(number),
        thread=thread,
        side="consumer",
        seq=number,
        item=bytes([kind]) + mid(number).encode() + bytes(size),
        created_ms=NOW * 1000,
        due_ms=0,
        expires_at=NOW + 7 * 86_400,
    )


class Peers:
    """Transport and results: `replies` says how a peer answers an item, `fails` why a transfer fails."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.fails: dict[str, Exception | None] = {}
        self.unreadable: set[str] = set()
        self.complaint: MeshError = MalformedError("an item is not in canonical form")
        self.batches: list[tuple[str, list[str]]] = []
        self.delivered: list[str] = []
        self.undelivered: list[tuple[str, str]] = []
        self.mistakes: list[Exception] = []
        self.replays: list[OutboxRow] = []
        self.on_result: Callable[[Writer, OutboxRow], Awaitable[None]] | None = None

    async def deliver(self, peer: str, batch: bytes) -> bytes:
        """Answer each item of a batch, or fail."""
        mids = [item[1:37].decode() for item in split_batch(batch)]
        self.batches.append((peer, mids))
        if error := self.fails.get(peer):
            raise error
        if self.unreadable & set(mids):
            raise self.complaint
        return encode(Outcomes(outcomes=tuple(self.replies.get(one, stored)(one) for one in mids)))

    async def on_delivered(self, tx: Writer, row: OutboxRow, _outcome: Outcome) -> None:
        """Note what arrived."""
        self.delivered.append(row.mid)
        if self.on_result:
            await self.on_result(tx, row)

    async def on_undelivered(self, tx: Writer, row: OutboxRow, code: str) -> None:
        """Note what never will; its whole thread ends with it."""
        self.undelivered.append((row.mid, code))
        await tx.delete(OutboxRow, where(thread=row.thread))

    async def replay(self, _tx: Writer, _row: OutboxRow, _from_seq: int) -> Sequence[OutboxRow]:
        """Return what the test prepared."""
        return self.replays

    def on_mistake(self, error: Exception) -> None:
        """Note a mistake of ours."""
        self.mistakes.append(error)


class Sender:
    """An outbox, its store, its clock and its peers."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = SteppedClock(NOW)
        self.peers = Peers()
        self.outbox = Outbox(self.store, self.peers, self.peers, self.clock, SeededEntropy())

    async def put(self, *rows: OutboxRow) -> None:
        """Queue rows."""
        async with self.store.write() as tx:
            await tx.put(*rows)

    async def left(self) -> list[OutboxRow]:
        """Return what still waits, by due time."""
        async with self.store.read() as tx:
            return await tx.find(OutboxRow, order="due_ms")

    async def steps(self, peer: str = PEER, *, most: int = 100) -> float | None:
        """Step until the peer's turn is over; return the wait."""
        for _ in range(most):
            wait_s = await self.outbox.step(peer)
            if wait_s != 0:
                return wait_s
        raise AssertionError("the outbox does not come to rest")


@pytest.fixture
def sender() -> Sender:
    """Return a fresh outbox."""
    return Sender()


def answer(status: str, **fields: object) -> Reply:
    """Return a reply of one kind."""
    return lambda one: replace(stored(one), status=status, **fields)


async def test_rows_leave_in_the_order_they_were_made_and_in_portions(sender: Sender) -> None:
    await sender.put(*(row(number) for number in range(1, 151)))
    assert await sender.steps() is None
    assert sender.peers.delivered == [mid(number) for number in range(1, 151)]
    assert [len(mids) for _, mids in sender.peers.batches] == [64, 64, 22]


async def test_a_batch_stays_below_the_bytes_a_peer_takes(sender: Sender) -> None:
    await sender.put(*(row(number, size=90_000) for number in range(1, 65)))
    assert await sender.steps() is None
    assert [len(mids) for _, mids in sender.peers.batches] == [46, 18]


async def test_what_is_not_due_waits_and_what_is_due_does_not_wait_for_it(sender: Sender) -> None:
    flushed = replace(row(1, thread="a", kind=1), due_ms=NOW * 1000 + FLUSH_MS)
    await sender.put(flushed, row(2, thread="b"))
    assert await sender.steps() == 60.0
    assert sender.peers.delivered == [mid(2)]
    sender.clock.advance(60)
    assert await sender.steps() is None
    assert sender.peers.delivered == [mid(2), mid(1)]


async def test_a_clock_that_was_set_back_delays_nothing(sender: Sender) -> None:
    await sender.put(replace(row(1, kind=1), due_ms=NOW * 1000 + FLUSH_MS))
    sender.clock.advance(-86_400)
    assert await sender.steps() is None
    assert sender.peers.delivered == [mid(1)]


async def test_a_thread_that_is_put_off_is_not_overtaken_and_holds_up_no_other(sender: Sender) -> None:
    full = [row(number, thread="full") for number in range(1, MAX_BATCH_ITEMS * 2 + 1)]
    await sender.put(*full, row(500, thread="other"))
    sender.peers.replies = {one.mid: answer("later", code="limit") for one in full}
    assert (await sender.steps() or 0) > 0
    assert sender.peers.delivered == [mid(500)]
    assert len(sender.peers.batches) == 2, "the second half of the thread is put off without being sent"
    sender.peers.replies.clear()
    sender.clock.advance(1)
    assert await sender.steps() is None
    assert sender.peers.delivered[1:] == [one.mid for one in full]


async def test_envelopes_leave_in_order_whatever_the_clocks_that_made_their_ids(sender: Sender) -> None:
    # Two processes of the node have taken them: the clock of one is ahead.
    ahead = [replace(row(1000 + number, kind=2), seq=number) for number in (1, 3, 4)]
    await sender.put(*ahead, replace(row(2, kind=2), seq=2), row(500, thread="other", kind=2))
    await sender.steps()
    sent = [one for _, mids in sender.peers.batches for one in mids]
    assert [one for one in sent if one != mid(500)] == [mid(1001), mid(2), mid(1003), mid(1004)]
    assert await sender.left() == []


async def test_the_first_envelope_of_a_thread_leaves_first_though_more_wait_than_are_looked_at(
    sender: Sender,
) -> None:
    others = [row(number, thread=f"of {number}", kind=2) for number in range(10)]
    behind = [replace(row(100 + number, kind=2), seq=1 + number) for number in range(1, 80)]
    await sender.put(*others, *behind, replace(row(1000, kind=2), seq=1))
    await sender.steps()
    sent = [one for _, mids in sender.peers.batches for one in mids]
    assert [one for one in sent if one >= mid(100)] == [mid(1000), *(each.mid for each in behind)]
    assert await sender.left() == []


async def test_a_thread_that_is_put_off_again_and_again_is_asked_ever_more_rarely(sender: Sender) -> None:
    await sender.put(row(1))
    sender.peers.replies[mid(1)] = answer("later")
    waits = []
    for _ in range(14):
        waits.append(wait_s := await sender.steps())
        sender.clock.advance(wait_s or 0)
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-2:] == [900.0, 900.0]


async def test_a_handshake_message_does_not_wait_for_an_envelope_of_its_thread(sender: Sender) -> None:
    await sender.put(row(1, kind=2), replace(row(2), seq=2))
    sender.peers.replies[mid(1)] = answer("later")
    await sender.steps()
    assert sender.peers.delivered == [mid(2)]


async def test_a_peer_that_always_lacks_something_is_not_asked_without_end(sender: Sender) -> None:
    first = row(3, kind=1)
    await sender.put(first)
    sender.peers.replays = [row(2, kind=1), first]
    for number in (2, 3):
        sender.peers.replies[mid(number)] = answer("refused", code="out-of-order", expected_seq=2)
    assert (await sender.steps() or 0) > 0
    assert len(sender.peers.batches) <= 3
    for _ in range(20):
        sender.clock.advance(900)
        await sender.steps()
    assert len(sender.peers.batches) <= 3 + 2 * 20


async def test_what_a_peer_lacks_is_sent_again_at_once(sender: Sender) -> None:
    first = row(3, kind=1)
    await sender.put(first)
    sender.peers.replays = [row(2, kind=1), first]
    turns = [stored, answer("refused", code="out-of-order", expected_seq=2)]

    def reply(one: str) -> Outcome:
        return turns.pop()(one)

    sender.peers.replies[mid(3)] = reply
    assert await sender.steps() is None
    assert sender.peers.delivered == [mid(2), mid(3)]


async def test_after_a_refusal_the_rest_of_the_thread_in_the_batch_tells_nothing_more(sender: Sender) -> None:
    await sender.put(row(1, kind=1), row(2, kind=1), row(3, thread="other"))
    sender.peers.replies = {mid(number): answer("refused", code="missing") for number in (1, 2)}
    assert await sender.steps() is None
    assert sender.peers.undelivered == [(mid(1), "missing")]
    assert sender.peers.delivered == [mid(3)]


async def test_a_replay_does_not_bring_back_a_thread_that_ended_in_the_same_batch(sender: Sender) -> None:
    await sender.put(row(1, kind=1), row(2, kind=1))
    sender.peers.replies = {
        mid(1): answer("refused", code="missing"),
        mid(2): answer("refused", code="out-of-order", expected_seq=1),
    }
    sender.peers.replays = [row(1, kind=1)]
    assert await sender.steps() is None
    assert sender.peers.undelivered == [(mid(1), "missing")]


async def test_expired_rows_of_a_thread_are_told_once(sender: Sender) -> None:
    await sender.put(row(1), row(2), row(3, thread="other"))
    sender.clock.advance(8 * 86_400)
    assert await sender.steps() is None
    assert sender.peers.undelivered == [(mid(1), "expired"), (mid(3), "expired")]
    assert sender.peers.batches == []


@pytest.mark.parametrize("code", ["", "Not A Code", "x" * 40 + "\n", "<b>"])
async def test_a_peers_words_do_not_reach_people_or_logs(sender: Sender, code: str) -> None:
    await sender.put(row(1))
    sender.peers.replies[mid(1)] = answer("refused", code=code[:40])
    await sender.steps()
    assert sender.peers.undelivered[0][1] in ("refused", "x" * 40)


@pytest.mark.parametrize(
    "complaint",
    [MalformedError("an item is not in canonical form"), LimitError("item 3 is too long", code="too-large")],
    ids=lambda error: error.code,
)
async def test_one_item_that_a_peer_cannot_take_is_given_up_alone(sender: Sender, complaint: MeshError) -> None:
    sender.peers.complaint = complaint
    await sender.put(*(row(number, thread=f"t{number}") for number in range(1, 6)))
    sender.peers.unreadable.add(mid(3))
    assert await sender.steps() is None
    assert sender.peers.undelivered == [(mid(3), complaint.code)]
    assert sender.peers.delivered == [mid(number) for number in (1, 2, 4, 5)]
    await sender.put(row(7, thread="t7"), row(8, thread="t8"))
    await sender.steps()
    assert sender.peers.batches[-1] == (PEER, [mid(7), mid(8)]), "afterwards items travel together again"


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("away"),
        UnverifiedError("answer is not signed"),
        MalformedError("for another host", code="misdirected"),
        LimitError("slow down"),
    ],
)
async def test_a_transfer_that_fails_gives_up_nothing(sender: Sender, error: MeshError) -> None:
    await sender.put(row(1))
    sender.peers.fails[PEER] = error
    wait_s = await sender.outbox.step(PEER)
    assert wait_s is not None
    assert wait_s >= 0.25
    assert [one.mid for one in await sender.left()] == [mid(1)]
    assert sender.outbox.status[PEER].last_error == error.code


async def test_an_answer_about_other_items_settles_nothing(sender: Sender) -> None:
    await sender.put(row(1))
    sender.peers.replies[mid(1)] = lambda _: stored(mid(2))
    assert (await sender.outbox.step(PEER) or 0) >= 0.25
    assert len(await sender.left()) == 1


@pytest.mark.parametrize(("asked_s", "waited_s"), [(30, 30), (86_400 * 365, LONGEST_WAIT_S)])
async def test_a_peer_is_left_alone_as_long_as_it_asks_within_reason(
    sender: Sender, asked_s: int, waited_s: float
) -> None:
    await sender.put(row(1))
    sender.peers.fails[PEER] = LimitError("slow down", retry_at=NOW + asked_s)
    assert await sender.outbox.step(PEER) == waited_s


async def test_a_mistake_with_one_answer_holds_up_neither_the_others_nor_itself_for_ever(sender: Sender) -> None:
    broken = True

    async def stumble(_tx: Writer, row: OutboxRow) -> None:
        if broken and row.mid == mid(1):
            raise TypeError("ours")

    sender.peers.on_result = stumble
    await sender.put(row(1, thread="a"), row(2, thread="b"))
    assert await sender.steps() == 1.0
    assert [one.mid for one in await sender.left()] == [mid(1)]
    assert len(sender.peers.mistakes) == 1
    broken = False
    sender.clock.advance(1)
    assert await sender.steps() is None


# The running job


async def _turns(count: int = 60) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
async def running(sender: Sender) -> Sender:
    """Return an outbox with two peers' rows whose job runs."""
    await sender.put(row(1), row(2, peer=OTHER, thread="o"))
    return sender


async def _run(sender: Sender) -> asyncio.Task[None]:
    task = asyncio.create_task(sender.outbox.run())
    await _turns()
    return task


async def _stop(task: asyncio.Task[None]) -> None:
    assert not task.done()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_one_peer_that_raises_does_not_stop_the_others(running: Sender) -> None:
    running.peers.fails[PEER] = TypeError("ours")
    task = await _run(running)
    assert running.peers.delivered == [mid(2)]
    assert [type(one) for one in running.peers.mistakes] == [TypeError]
    running.peers.fails[PEER] = None
    await running.clock.elapse(5)
    await _turns()
    assert running.peers.delivered == [mid(2), mid(1)]
    await _stop(task)


async def test_new_rows_do_not_hammer_a_peer_that_is_away(running: Sender) -> None:
    running.peers.fails[PEER] = UnavailableError("away")
    task = await _run(running)
    for number in range(10, 60):
        await running.put(row(number))
        running.outbox.wake(PEER)
        await _turns(5)
    assert [peer for peer, _ in running.peers.batches].count(PEER) == 1
    await _stop(task)


async def test_a_peer_that_is_back_gets_what_waited_at_once(running: Sender) -> None:
    running.peers.fails[PEER] = LimitError("slow down", retry_at=NOW + 3600)
    task = await _run(running)
    running.peers.fails[PEER] = None
    running.outbox.back(PEER)
    await running.clock.elapse(1)
    await _turns()
    assert mid(1) in running.peers.delivered
    await _stop(task)


async def test_a_peer_that_says_it_is_back_without_end_is_tried_once_a_second(running: Sender) -> None:
    running.peers.fails[PEER] = LimitError("slow down", retry_at=NOW + 3600)
    task = await _run(running)
    for _ in range(100):
        running.outbox.back(PEER)
        await running.clock.elapse(0.1)
    assert [peer for peer, _ in running.peers.batches].count(PEER) <= 11
    await _stop(task)


class Held:
    """Keeps every transfer under way until it is let go."""

    def __init__(self, sender: Sender) -> None:
        self.gates: list[asyncio.Event] = []
        self._deliver = sender.peers.deliver
        sender.peers.deliver = self.deliver  # type: ignore[method-assign]

    async def deliver(self, peer: str, batch: bytes) -> bytes:
        """Wait for the gate of this transfer."""
        self.gates.append(gate := asyncio.Event())
        await gate.wait()
        return await self._deliver(peer, batch)


async def test_a_few_transfers_are_under_way_at_once_and_a_thread_is_in_one_of_them_only(sender: Sender) -> None:
    rows = [row(number, thread=f"t{number % 300}") for number in range(1, 601)]
    await sender.put(*rows)
    held = Held(sender)
    task = await _run(sender)
    assert len(held.gates) == IN_FLIGHT
    for _ in range(20):
        for gate in held.gates[::-1]:  # the last one first
            gate.set()
            await _turns(8)
    assert sorted(sender.peers.delivered) == sorted(one.mid for one in rows)
    for thread in range(300):
        own = [one.mid for one in rows if one.thread == f"t{thread}"]
        assert [one for one in sender.peers.delivered if one in own] == own
    await _stop(task)


async def test_what_comes_while_a_transfer_is_under_way_waits_a_little_for_company(sender: Sender) -> None:
    await sender.put(row(1, thread="a"))
    held = Held(sender)
    task = await _run(sender)
    for number in (2, 3):
        await sender.put(row(number, thread=f"t{number}"))
        sender.outbox.wake(PEER)
        await _turns(5)
    assert len(held.gates) == 1
    await sender.clock.elapse(LINGER_S)
    await _turns()
    assert len(held.gates) == 2
    held.gates[1].set()
    await _turns()
    assert sender.peers.batches == [(PEER, [mid(2), mid(3)])]
    held.gates[0].set()
    await _turns()
    assert sender.peers.delivered == [mid(2), mid(3), mid(1)]
    await _stop(task)


async def test_the_answer_to_one_transfer_ends_the_pause_after_another(sender: Sender) -> None:
    await sender.put(row(1, thread="a"))
    held = Held(sender)
    task = await _run(sender)
    await sender.put(row(2, thread="b"))
    sender.outbox.wake(PEER)
    await _turns()
    await sender.clock.elapse(LINGER_S)
    await _turns()
    sender.peers.fails[PEER] = LimitError("slow down", retry_at=NOW + 3600)
    held.gates[0].set()
    await _turns()
    assert sender.outbox.status[PEER].pausing
    sender.peers.fails[PEER] = None
    held.gates[1].set()
    await _turns()
    await sender.clock.elapse(1)
    await _turns()
    held.gates[-1].set()
    await _turns()
    assert sender.peers.delivered == [mid(2), mid(1)]
    await _stop(task)


async def test_a_poisoned_item_is_found_though_others_go_well_meanwhile(sender: Sender) -> None:
    await sender.put(*(row(number, thread=f"t{number}") for number in range(1, 200)))
    sender.peers.unreadable.add(mid(100))
    task = await _run(sender)
    await _turns(4000)
    assert sender.peers.undelivered == [(mid(100), "malformed")]
    assert len(sender.peers.delivered) == 198
    await _stop(task)


async def test_a_row_that_comes_later_wakes_the_job(running: Sender) -> None:
    task = await _run(running)
    await running.put(row(5), row(6, peer="https://dune.example", thread="d"))
    running.outbox.wake(PEER)
    running.outbox.wake("https://dune.example")
    await _turns()
    assert {mid(5), mid(6)} <= set(running.peers.delivered)
    await _stop(task)


def test_word_of_a_peer_without_rows_changes_nothing(sender: Sender) -> None:
    sender.outbox.back("https://dune.example")
    assert sender.outbox.status == {}


@pytest.mark.parametrize(
    ("failures", "away_s", "longest"),
    [(1, 0, 0.5), (3, 10, 2.0), (30, 10, 5.0), (30, 899, 5.0), (30, 900, 60.0), (30, 86_400, 900.0)],
)
def test_the_pause_after_a_failure_is_jittered_below_a_cap_that_grows(
    failures: int, away_s: int, longest: float
) -> None:
    status = PeerStatus(failures=failures, down_since=1000)
    assert pause(status, now=1000 + away_s, jitter=0.0) == 0.25
    assert longest * 0.9 < pause(status, now=1000 + away_s, jitter=0.999) <= longest


@pytest.mark.parametrize(("kind", "transfers"), [(2, 2), (1, 1)], ids=["envelopes", "messages"])
async def test_what_has_no_receipt_is_followed_before_it_has_left_the_outbox(
    sender: Sender, kind: int, transfers: int
) -> None:
    await sender.put(row(1, kind=kind))
    held = Held(sender)
    task = await _run(sender)
    await sender.put(row(2, kind=kind))
    sender.outbox.wake(PEER)
    async with sender.store.write():  # nobody else writes meanwhile
        held.gates[0].set()
        await _turns()
        assert len(held.gates) == transfers
    await _turns()
    assert len(held.gates) == 2
    held.gates[1].set()
    await _turns()
    assert sender.peers.batches == [(PEER, [mid(1)]), (PEER, [mid(2)])]
    await sender.clock.elapse(SETTLE_S)
    await _turns()
    assert await sender.left() == []
    await _stop(task)


async def test_envelopes_of_one_moment_leave_the_outbox_together_and_are_not_sent_again(sender: Sender) -> None:
    task = await _run(sender)
    commits = sender.store.changes(OutboxRow)
    for number in range(1, 4):
        await sender.put(row(number, kind=2))
        sender.outbox.wake(PEER)
        await _turns()
    assert sender.peers.batches == [(PEER, [mid(1)]), (PEER, [mid(2)]), (PEER, [mid(3)])]
    assert len(await sender.left()) == 3
    await sender.clock.elapse(SETTLE_S)
    await _turns()
    assert await sender.left() == []
    assert sender.store.changes(OutboxRow) == commits + 3 + 1
    await _stop(task)


async def test_many_envelopes_leave_the_outbox_at_once(sender: Sender) -> None:
    await sender.put(*(row(number, kind=2) for number in range(1, MOST_SETTLED + 1)))
    task = await _run(sender)
    assert await sender.left() == []
    await _stop(task)


async def test_what_nobody_waits_for_leaves_a_moment_later(sender: Sender) -> None:
    task = await _run(sender)
    sender.outbox.wake(PEER)  # the first look at a peer waits for nothing
    await _turns()
    await sender.put(row(1, kind=2))
    sender.outbox.wake_patiently(PEER)
    await _turns()
    assert sender.peers.batches == []
    await sender.clock.elapse(PATIENCE_S)
    await _turns()
    assert sender.peers.batches == [(PEER, [mid(1)])]
    await _stop(task)


async def test_what_nobody_waits_for_leaves_with_the_next_that_somebody_waits_for(sender: Sender) -> None:
    task = await _run(sender)
    sender.outbox.wake(PEER)  # the first look at a peer waits for nothing
    await _turns()
    for number in (1, 2):
        await sender.put(row(number, kind=2))
        sender.outbox.wake_patiently(PEER)
        await _turns()
    await sender.put(row(3, thread="other"))
    sender.outbox.wake(PEER)
    await _turns()
    assert sender.peers.batches == [(PEER, [mid(1), mid(2), mid(3)])]
    await _stop(task)


async def test_an_envelope_that_could_not_leave_the_outbox_is_sent_again(sender: Sender) -> None:
    await sender.put(row(1, kind=2))
    commit = sender.store._commit

    def fail(_change: object) -> None:
        sender.store._commit = commit  # type: ignore[method-assign]
        raise UnavailableError("the disk is full")

    sender.store._commit = fail  # type: ignore[method-assign, assignment]
    task = await _run(sender)
    assert sender.peers.batches == [(PEER, [mid(1)])]
    assert len(await sender.left()) == 1
    sender.peers.replies[mid(1)] = answer("duplicate")
    await sender.clock.elapse(5)
    await _turns()
    assert sender.peers.batches == [(PEER, [mid(1)])] * 2
    assert await sender.left() == []
    await _stop(task)
