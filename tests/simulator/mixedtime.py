"""An event loop in which time passes only when everybody waits, and nobody for a database that is really there.

While a question to the database is on its way, the time of the run stands still and the loop waits for real. Which of
two answers comes first is decided by the database and the machine, so a seed does not repeat exactly.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from unittest.mock import patch

from node.store.postgres import connection
from node.store.postgres.connection import Server

from .loop import EndlessRunError, SteppedLoop, Time

T = TypeVar("T")

#: Longer than every statement may take.
STUCK_S: Final = 60.0
#: What the database tells of a commit is heard within so long after its answer, on any machine that is not asleep.
NEWS_S: Final = 0.002


class MixedTime(Time):
    """Looks at real sockets, and lets time pass when no answer is due."""

    def __init__(self) -> None:
        super().__init__()
        self._real: Final = selectors.DefaultSelector()
        self._due = 0
        self._told = False

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what is on its way to a database, or back, while inside."""
        finished, connected = connection.finished, Server._connected

        async def awaited(work: Coroutine[Any, Any, T]) -> T:
            self._due += 1
            try:
                return await work
            finally:
                self._due -= 1
                self._told = True

        def counted(work: Coroutine[Any, Any, T], doubt: Callable[[], None] | None = None) -> Coroutine[Any, Any, T]:
            del doubt  # nobody waits long here
            return awaited(finished(work))

        def connecting(server: Server, more: dict[str, str]) -> Coroutine[Any, Any, connection.Connection]:
            return awaited(connected(server, more))

        with patch.object(connection, "finished", counted), patch.object(Server, "_connected", connecting):
            yield

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turn()
        if timeout is not None and timeout <= 0:
            return self._real.select(0)
        events = self._real.select(STUCK_S if self._due else NEWS_S if self._told else 0)
        if events or self._due:
            if not events:
                raise EndlessRunError("the database does not answer")
            return events
        if timeout is None:
            raise EndlessRunError("everybody waits for ever")
        self._told = False
        self.elapsed_s += timeout
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:  # noqa: ANN401
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


@contextmanager
def mixed_loop() -> Iterator[tuple[asyncio.Runner, SteppedLoop]]:
    """Yield a loop and who runs it."""
    time = MixedTime()
    loop = SteppedLoop(time)
    with time.counting(), asyncio.Runner(loop_factory=lambda: loop) as runner:
        yield runner, loop
