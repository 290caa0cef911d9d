"""Threads as the person in them sees them, from what the node knows: states, times and the other organization."""

from typing import Final, Literal

import msgspec

from federation.ports import Store, is_in, where
from federation.rows import SessionRow, ThreadRow
from protocol.encoding import decode
from protocol.errors import MissingError
from protocol.ids import Entity, RandomId, Seconds
from protocol.threads import Book

from .sessions import Sessions

SideName = Literal["consumer", "provider"]
#: Threads shown at most; older ones are gone by retention long before.
MAX_THREADS: Final = 500


class ThreadView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thread. `peer` is the other organization; `deadline` says until when the side whose turn it is may move."""

    thread: RandomId
    side: SideName
    peer: Entity
    state: str
    deadline: Seconds | None = None
    counters: int = 0
    session: str | None = None
    slot: Seconds | None = None
    ends_at: Seconds | None = None


class ThreadViews:
    """Reads threads for their owners."""

    def __init__(self, store: Store, sessions: Sessions) -> None:
        self._store: Final = store
        self._sessions: Final = sessions

    async def all(self, label: str) -> tuple[ThreadView, ...]:
        """Return a person's threads, by id."""
        async with self._store.read() as tx:
            rows = await tx.find(ThreadRow, where(label=label), limit=MAX_THREADS)
            sessions = await tx.find(SessionRow, is_in("thread", [row.thread for row in rows]))
        by_key = {(one.thread, one.side): one for one in sessions}
        return tuple(self._view(row, by_key.get((row.thread, row.side))) for row in rows)

    async def one(self, label: str, thread: str, side: SideName) -> ThreadView:
        """Return one of a person's threads. Raises: MissingError."""
        async with self._store.read() as tx:
            row = await tx.get(ThreadRow, thread, side)
            if row is None or row.label != label:
                raise MissingError("no such thread")
            return self._view(row, await tx.get(SessionRow, thread, side))

    def _view(self, row: ThreadRow, session: SessionRow | None) -> ThreadView:
        book = decode(row.book, Book)
        return ThreadView(
            thread=row.thread,
            side=book.side,
            peer=row.peer,
            state=row.state,
            deadline=row.deadline,
            counters=book.counters,
            session=self._sessions.state_of(session).value if session else None,
            slot=session.slot if session else None,
            ends_at=session.ends_at if session else None,
        )
