"""Places and half hours of mentors: taken in one transaction, first come, given back when a thread ends."""

from collections.abc import Iterable

from msgspec.structs import replace

from federation.ports import Reader, Writer, above, at_most, where
from federation.rows import PlaceRow, SlotRow
from protocol.needs import Window
from protocol.vocabulary import Length

CELL_S = 1800
#: No session is agreed farther ahead.
FARTHEST_S = 60 * 86_400
#: A half hour is forgotten so long after it began: no session lasts longer.
PAST_S = 86_400


def cells(start: int, length: Length) -> range:
    """Return the half hours that a session of `length` minutes from `start` covers."""
    return range(start, start + length * 60, CELL_S)


async def taken(tx: Reader, label: str) -> list[Window]:
    """Return the half hours of a mentor that threads hold."""
    return [Window(start=row.start, end=row.start + CELL_S) for row in await tx.find(SlotRow, where(label=label))]


async def places_taken(tx: Reader, label: str, now: int) -> int:
    """Return how many places of a mentor are in use at `now`."""
    return await tx.count(PlaceRow, where(label=label), above("free_at", now))


async def take_place(tx: Writer, label: str, thread: str, *, now: int, free_at: int, capacity: int) -> bool:
    """Take one place for `thread`, or keep the one it has; False when all `capacity` places are in use."""
    held = await tx.get(PlaceRow, thread)
    if held is None and await places_taken(tx, label, now) >= capacity:
        return False
    await tx.put(PlaceRow(thread=thread, label=label, taken_at=held.taken_at if held else now, free_at=free_at))
    return True


async def keep_place(tx: Writer, thread: str, *, free_at: int) -> None:
    """Let the place of a thread come back at `free_at` instead."""
    held = await tx.get(PlaceRow, thread)
    if held is not None:
        await tx.put(replace(held, free_at=free_at))


async def free_of(
    tx: Reader, label: str, slots: Iterable[int], length: Length, *, now: int, thread: str
) -> tuple[int, ...]:
    """Return those of `slots` that are still to come and of which no other thread holds any half hour, in order."""
    held = {row.start for row in await tx.find(SlotRow, where(label=label)) if row.thread != thread}
    return tuple(slot for slot in slots if slot > now and held.isdisjoint(cells(slot, length)))


async def hold(tx: Writer, label: str, thread: str, slots: Iterable[int], length: Length) -> None:
    """Hold every half hour of `slots` for `thread`, instead of what it held before."""
    await tx.delete(SlotRow, where(thread=thread))
    starts = sorted({cell for slot in slots for cell in cells(slot, length)})
    await tx.insert(*(SlotRow(label=label, start=start, thread=thread) for start in starts))


async def release(tx: Writer, thread: str) -> None:
    """Give back the place and all half hours of a thread."""
    await tx.delete(SlotRow, where(thread=thread))
    await tx.delete(PlaceRow, where(thread=thread))


async def forget_past(tx: Writer, now: int) -> None:
    """Erase what was held in the past."""
    await tx.delete(SlotRow, at_most("start", now - PAST_S))
    await tx.delete(PlaceRow, at_most("free_at", now))
