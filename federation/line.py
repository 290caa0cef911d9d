"""What a sender knows of the way to one peer: what wakes it, which lanes are taken, which items are about to leave."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from protocol.delivery import Cursor
from protocol.messages import Outcome

from .lanes import Lane, lane_of
from .rows import OutboxRow

#: What a peer answered to a transfer: the outcome of each item, and its cursor.
Answered = tuple[Sequence[tuple[OutboxRow, Outcome]], Cursor | None]


class Line:
    """The way to one peer: what wakes its sender, and which lanes have an item under way."""

    def __init__(self) -> None:
        #: Something to send, or a transfer has ended; and the latter alone.
        self.stir: Final = asyncio.Event()
        self.landed: Final = asyncio.Event()
        self.back: Final = asyncio.Event()
        self.busy: Final[set[Lane]] = set()
        self.under_way = 0
        #: Items that the peer has stored and that leave the outbox just now: their lanes go on meanwhile.
        self.leaving: Final[set[str]] = set()
        #: Answers whose items are to leave together.
        self.answered: list[Answered] = []
        #: The last look found more than one transfer takes.
        self.more = False
        #: There may be something to send that the last look did not take.
        self.unseen = True
        #: There is something that can wait a moment for company.
        self.patient = False

    @contextmanager
    def carrying(self, rows: Sequence[OutboxRow]) -> Iterator[Callable[[], None]]:
        """Keep the lanes of `rows` for one transfer; yield what lets them go before its end."""
        lanes = {lane_of(row) for row in rows}
        self.busy.update(lanes)
        self.under_way += 1
        with ExitStack() as landing:
            landing.callback(self._landed, lanes)
            yield landing.close

    def _landed(self, lanes: set[Lane]) -> None:
        self.busy.difference_update(lanes)
        self.under_way -= 1
        self.landed.set()
        self.stir.set()

    @contextmanager
    def settling(self, rows: Sequence[OutboxRow]) -> Iterator[None]:
        """Keep `rows` from being sent again until they have left the outbox."""
        mids = {row.mid for row in rows}
        self.leaving.update(mids)
        try:
            yield
        except BaseException:
            self.unseen = True
            self.stir.set()
            raise
        finally:
            self.leaving.difference_update(mids)
