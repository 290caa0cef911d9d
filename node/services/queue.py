"""The way into the outbox: one row, and the sender woken once the row is durable."""

from collections.abc import Callable
from typing import Final

from federation.ports import Writer
from federation.rows import OutboxRow


class Queue:
    """Adds rows to the outbox; `connect` says whom to wake, because the outbox is made later."""

    def __init__(self) -> None:
        self._wake: Callable[[str], None] | None = None

    def connect(self, wake: Callable[[str], None]) -> None:
        """Wake this sender from now on."""
        self._wake = wake

    async def put(self, tx: Writer, row: OutboxRow) -> None:
        """Store `row` in the caller's transaction."""
        await tx.insert(row)
        wake: Final = self._wake
        if wake is not None:
            tx.on_commit(lambda: wake(row.peer))
