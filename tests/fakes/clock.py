"""A clock that moves only when a test says so."""

import asyncio
import heapq
import itertools


class SteppedClock:
    """A clock that stands at `now` until `advance`."""

    def __init__(self, now: int = 1_800_000_000) -> None:
        self._now_ms = now * 1000
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._changed = asyncio.Event()

    def now(self) -> int:
        """Return the Unix time in seconds."""
        return self._now_ms // 1000

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has been advanced by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self._now_ms + round(seconds * 1000), next(self._order), woken)
        heapq.heappush(self._sleepers, entry)
        self._changed.set()
        try:
            await woken
        finally:
            if entry in self._sleepers:
                self._sleepers.remove(entry)
                heapq.heapify(self._sleepers)

    @property
    def sleeping(self) -> int:
        """Return how many sleepers wait."""
        return len(self._sleepers)

    def advance(self, seconds: float) -> None:
        """Move at once, also backwards, and wake who is due, the earliest first."""
        self._now_ms += round(seconds * 1000)
        while self._sleepers and self._sleepers[0][0] <= self._now_ms:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)

    async def elapse(self, seconds: float, *, turns: int = 20) -> None:
        """Move from one wake-up to the next, each followed by `turns` rounds of the loop, for `seconds` in all."""
        end = self._now_ms + round(seconds * 1000)
        while self._sleepers and self._sleepers[0][0] <= end:
            self.advance(max(0, self._sleepers[0][0] - self._now_ms) / 1000)
            for _ in range(turns):
                await asyncio.sleep(0)
        self.advance((end - self._now_ms) / 1000)

    async def until_sleeping(self, count: int = 1) -> None:
        """Return once at least `count` sleepers wait."""
        while len(self._sleepers) < count:
            self._changed.clear()
            await self._changed.wait()
