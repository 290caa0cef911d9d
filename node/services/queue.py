"""The way into the outbox: one row in its place, and the sender woken once the row is durable."""

from collections.abc import Callable
from typing import Final

from federation.ports import Clock, Entropy, Writer
from federation.rows import OutboxRow
from protocol.ids import message_id

#: The 12 bits that a UUIDv7 leaves beside its time count the ids of one millisecond (RFC 9562 §6.2, method 1).
_COUNTS: Final = 4096


class Queue:
    """Adds rows to the outbox; `connect` says whom to wake, because the outbox is made later."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._latest = (0, 0)
        self._wake: Callable[[str], None] | None = None
        self._wake_patiently: Callable[[str], None] | None = None

    def connect(self, wake: Callable[[str], None], wake_patiently: Callable[[str], None]) -> None:
        """Wake this sender from now on."""
        self._wake, self._wake_patiently = wake, wake_patiently

    def next_id(self) -> str:
        """Return a fresh message id; of rows that are due together, the one with the smaller id is sent first.

        Ids grow from call to call, also within a millisecond and while a clock that was set back catches up.
        """
        at_ms, count = self._latest
        now_ms = self._clock.now_ms()
        if now_ms > at_ms:
            at_ms, count = now_ms, 0
        elif count + 1 < _COUNTS:
            count += 1
        else:
            at_ms, count = at_ms + 1, 0
        self._latest = at_ms, count
        return message_id(at_ms, count.to_bytes(2, "big") + self._entropy.take(8))

    async def put(self, tx: Writer, row: OutboxRow, *, patient: bool = False) -> None:
        """Store `row` in the caller's transaction; a patient one may wait a moment for others to leave with."""
        await tx.insert(row)
        wake: Final = self._wake_patiently if patient else self._wake
        if wake is not None:
            tx.on_commit(lambda: wake(row.peer))
