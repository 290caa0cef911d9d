"""Which waiting items may leave now: in order within a lane, and no more than one transfer takes.

A lane keeps an order of its own: the messages of one side of a thread, and its envelopes.
Source: docs/protocol/33-delivery.md §5.
"""

from collections.abc import Collection, Sequence
from typing import Final

from msgspec.structs import replace

from protocol.messages import MAX_BATCH_BYTES

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


async def overtaking(
    tx: Reader,
    due: Sequence[OutboxRow],
    everything: Sequence[OutboxRow] | None = None,
    *,
    gone: Collection[str] = (),
) -> list[OutboxRow]:
    """Return those of `due` whose lane has an earlier item that was put off, to be put off as long.

    Envelopes must not overtake each other: the receiver takes them by their growing number.

    Args:
        everything: all rows of the peer if they have been read; otherwise the store is asked.
        gone: ids of items that the peer has: they hold up nothing.
    """
    lanes: dict[Lane, OutboxRow] = {}
    for row in due:
        first = lanes.setdefault(lane_of(row), row)
        if row.seq < first.seq:
            lanes[lane_of(row)] = row
    held: list[OutboxRow] = []
    for lane, first in lanes.items():
        before = everything
        if before is None:
            before = await tx.find(OutboxRow, where(thread=first.thread, side=first.side, seq=first.seq - 1))
        earlier = [row for row in before if row.seq == first.seq - 1 and lane_of(row) == lane]
        until = [row.due_ms for row in earlier if row.mid not in gone]
        if until:
            held += [replace(row, due_ms=until[0]) for row in due if lane_of(row) == lane]
    return held
