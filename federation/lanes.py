"""Which waiting items may leave now: in order within a lane, and no more than one transfer takes.

A lane keeps an order of its own: the messages of one side of a thread, and its envelopes.
Source: docs/protocol/33-delivery.md §5.
"""

from collections.abc import Collection, Sequence
from itertools import takewhile
from typing import Final

from msgspec.structs import replace

from protocol.messages import MAX_BATCH_BYTES, MAX_BATCH_ITEMS

from .ports import Reader, where
from .rows import OutboxRow

#: `due_ms` of what waits for no beat, whatever the clock says.
AT_ONCE: Final = 0
#: A clock that goes back by less is one that is kept right.
SKEW_MS: Final = 60_000

Lane = tuple[str, str, int]


def lane_of(row: OutboxRow) -> Lane:
    """Return what keeps an order of its own: messages and envelopes of one side of a thread count apart."""
    return row.thread, row.side, row.item[0]


def due_ms(row: OutboxRow, now_ms: int) -> int:
    """Return when a row is to be sent; one from the future was made before the clock was set back."""
    return row.due_ms if row.created_ms <= now_ms + SKEW_MS else AT_ONCE


def free(waiting: Sequence[OutboxRow], busy: Collection[Lane], now_ms: int) -> list[OutboxRow]:
    """Return what is due of `waiting` and whose lane has nothing under way."""
    return [row for row in waiting if due_ms(row, now_ms) <= now_ms and lane_of(row) not in busy]


def batch_of(due: Sequence[OutboxRow], *, most: int) -> list[OutboxRow]:
    """Return what fits one transfer, in the order of `due`."""
    batch: list[OutboxRow] = []
    size = 0
    for row in due[:most]:
        size += 4 + len(row.item)
        if size > MAX_BATCH_BYTES and batch:
            break
        batch.append(row)
    return batch


async def in_order(
    tx: Reader,
    due: Sequence[OutboxRow],
    everything: Sequence[OutboxRow] | None = None,
    *,
    now_ms: int,
    gone: Collection[str] = (),
) -> tuple[list[OutboxRow], list[OutboxRow]]:
    """Return `due` with each lane in its order, and of it what is to be put off as long as an earlier item is.

    Envelopes must not overtake each other: the receiver takes them by their growing number. Their ids say little about
    that: processes with clocks of their own have made them, before and after a clock was set back.

    Args:
        everything: all rows of the peer if they have been read; otherwise the store is asked.
        gone: ids of items that the peer has: they hold up nothing.
    """
    lanes: dict[Lane, list[OutboxRow]] = {}
    for row in due:
        lanes.setdefault(lane_of(row), []).append(row)
    held: list[OutboxRow] = []
    for lane, rows in lanes.items():
        rows.sort(key=lambda row: row.seq)
        earlier = await _before(tx, rows[0], everything, gone)
        if earlier is not None and everything is None:
            lanes[lane] = await _lane_of(tx, earlier, gone)
            earlier = lanes[lane][0]
        if earlier is not None and due_ms(earlier, now_ms) > now_ms:
            held += [replace(row, due_ms=earlier.due_ms) for row in rows]
        lanes[lane] = list(takewhile(lambda row: due_ms(row, now_ms) <= now_ms, lanes[lane]))
    places = {lane: iter(rows) for lane, rows in lanes.items()}
    found = [next(places[lane_of(row)], None) for row in due]
    return [row for row in found if row is not None], held


async def _before(
    tx: Reader, first: OutboxRow, everything: Sequence[OutboxRow] | None, gone: Collection[str]
) -> OutboxRow | None:
    """Return the item right before `first` in its lane, None if it waits no more."""
    before = everything
    if before is None:
        before = await tx.find(OutboxRow, where(thread=first.thread, side=first.side, seq=first.seq - 1))
    lane = lane_of(first)
    found = [row for row in before if row.seq == first.seq - 1 and lane_of(row) == lane and row.mid not in gone]
    return found[0] if found else None


async def _lane_of(tx: Reader, one: OutboxRow, gone: Collection[str]) -> list[OutboxRow]:
    """Return the beginning of the lane of `one`, of which not everything was read."""
    mine = where(peer=one.peer, thread=one.thread, side=one.side)
    found = await tx.find(OutboxRow, mine, order="seq", limit=2 * MAX_BATCH_ITEMS + len(gone))
    return [row for row in found if lane_of(row) == lane_of(one) and row.mid not in gone] or [one]
