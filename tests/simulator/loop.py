"""An event loop in which time passes only when everybody waits, so that hours take milliseconds and repeat exactly."""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from tests.node.exchange.world import START

T = TypeVar("T")

#: Steps of the loop after which a run is taken to go round in circles.
MAX_TURNS: Final = 2_000_000


class EndlessRunError(Exception):
    """Nodes keep each other busy, or everybody waits for something that will never come."""


class Time(selectors.BaseSelector):
    """Adds what a real selector would sleep to the time; no socket is ever looked at."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self._turns = 0
        self._keys: Final[dict[int, selectors.SelectorKey]] = {}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turn()
        if timeout is None:
            raise EndlessRunError("everybody waits for ever")
        self.elapsed_s += max(0.0, timeout)
        return []

    def turn(self) -> None:
        """Count one step. Raises: EndlessRunError."""
        self._turns += 1
        if self._turns > MAX_TURNS:
            raise EndlessRunError(f"not at rest after {MAX_TURNS} steps")

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        return self._keys.setdefault(fd, selectors.SelectorKey(fileobj, fd, events, data))

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:  # noqa: ANN401
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class SteppedLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop over `Time`."""

    def __init__(self, elapsed: Time | None = None) -> None:
        self._elapsed: Final = elapsed or Time()
        super().__init__(self._elapsed)

    def time(self) -> float:
        """Return the seconds since the run began."""
        return self._elapsed.elapsed_s

    def run_in_executor(self, executor: object, func: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """Return what `func` says, at once: a thread takes no time here, and ends in the same order each time."""
        del executor
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 -- it is for whoever waits
            done.set_exception(error)
        return done


class LoopClock:
    """The `federation.ports.Clock` of all nodes: the loop's time after a Monday morning."""

    def __init__(self, loop: SteppedLoop) -> None:
        self._loop: Final = loop

    def now(self) -> int:
        """Return the Unix time in seconds."""
        return self.now_ms() // 1000

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""
        return START * 1000 + round(self._loop.time() * 1000)

    def elapsed(self) -> float:
        """Return the seconds since the run began."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)
