"""When an envelope may leave, and whether too many wait: known without a look for most envelopes of a session.

Every envelope makes at most one more wait, so whoever has looked knows how many may come before the next look.
"""

from typing import Final

from federation.lanes import AT_ONCE
from federation.ports import Reader, at_most, where
from federation.rows import OutboxRow, SessionRow, ThreadRow
from protocol.errors import LimitError
from protocol.handshake import State
from protocol.messages import KIND_HANDSHAKE
from protocol.threads import MAX_MESSAGES

#: Envelopes of one side of a session that may wait on the way to the other, those that the hub sends back included.
MAX_WAITING: Final = 2000
#: Sides of sessions that are remembered; the one looked at longest ago is forgotten first.
_REMEMBERED: Final = 10_000


class Pace:
    """Says of one side of a session how its envelopes leave."""

    def __init__(self) -> None:
        #: Thread and side → the number of envelopes sent up to which there is room, and no agreement to wait for.
        self._clear: Final[dict[tuple[str, str], int]] = {}

    async def require_room(self, tx: Reader, session: SessionRow) -> None:
        """Return if one more envelope may wait on the way to the other side. Raises: LimitError."""
        if not self._is_clear(session) and await _waiting(tx, session) >= MAX_WAITING:
            raise LimitError(f"{MAX_WAITING} messages wait for the other organization; try again later")

    async def due_ms(self, tx: Reader, session: SessionRow) -> int:
        """Return when the envelope that `session` counts as sent may leave, before it is queued.

        That is at once, but not before the agreement, which waits for its beat.
        """
        if self._is_clear(session):
            return AT_ONCE
        mine = where(thread=session.thread, side=session.side)
        first = await tx.find(OutboxRow, mine, at_most("seq", MAX_MESSAGES), order="seq")
        beats = [row.due_ms for row in first if row.item[0] == KIND_HANDSHAKE]
        if not beats:
            self._remember(session, room=MAX_WAITING - 1 - await _waiting(tx, session))
            return AT_ONCE
        thread = await tx.get(ThreadRow, session.thread, session.side)
        return max(beats) if thread is not None and thread.state == State.AGREED.value else AT_ONCE

    def _is_clear(self, session: SessionRow) -> bool:
        return session.sent < self._clear.get((session.thread, session.side), 0)

    def _remember(self, session: SessionRow, *, room: int) -> None:
        place = session.thread, session.side
        self._clear.pop(place, None)
        if len(self._clear) >= _REMEMBERED:
            del self._clear[next(iter(self._clear))]
        self._clear[place] = session.sent + room


async def _waiting(tx: Reader, session: SessionRow) -> int:
    return await tx.count(OutboxRow, where(thread=session.thread, side=session.side))
