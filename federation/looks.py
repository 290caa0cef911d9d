"""Whose log is looked at next: who took little time before goes first, so that no slow one is waited for.

Anybody can be slow with as many logs as they can name; what that costs is their own turn.
Source: docs/protocol/53-witnesses.md §9.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from .knownlogs import KnownLog
from .ports import Clock

AT_ONCE: Final = 4
#: One place is never taken by a log that is known to be slow.
AT_ONCE_SLOW: Final = 3
#: What a log is taken to cost that was not looked at yet: more than one that answers, less than one that does not.
FIRST_S: Final = 10.0
#: Logs of which the cost is remembered.
MOST: Final = 4096


class Looks:
    """Looks at the logs of one node: several at a time, and one at a time of each node that keeps logs."""

    def __init__(self, clock: Clock, look: Callable[[KnownLog], Awaitable[None]], *, longest_s: float) -> None:
        self._clock: Final = clock
        self._look: Final = look
        self._longest_s: Final = longest_s
        self._costs: Final[dict[str, float]] = {}
        self._under_way: Final[set[str]] = set()
        #: Set whenever a look has ended.
        self.ended: Final = asyncio.Event()

    def cost(self, origin: str) -> float:
        """Return what a log has cost lately, in seconds."""
        return self._costs.get(origin, FIRST_S)

    def note(self, origin: str, *, since: int) -> None:
        """Take note that a log was waited for from `since` until now."""
        took = min(max(0, self._clock.now() - since), self._longest_s)
        cost = self._costs.pop(origin, 0.0) / 2 + took
        if len(self._costs) >= MOST:
            del self._costs[next(iter(self._costs))]
        self._costs[origin] = cost

    def begin(self, tasks: asyncio.TaskGroup, due: Sequence[KnownLog]) -> list[KnownLog]:
        """Begin to look at as many of these as there are places for; return the others."""
        left = []
        for log in sorted(due, key=lambda each: self.cost(each.origin)):
            whose = log.entity or log.origin
            places = AT_ONCE if self.cost(log.origin) <= FIRST_S else AT_ONCE_SLOW
            if len(self._under_way) >= places or whose in self._under_way:
                left.append(log)
                continue
            self._under_way.add(whose)
            tasks.create_task(self._turn(log, whose))
        return left

    async def _turn(self, log: KnownLog, whose: str) -> None:
        since = self._clock.now()
        try:
            await self._look(log)
        finally:
            self.note(log.origin, since=since)
            self._under_way.discard(whose)
            self.ended.set()

    async def all(self, due: Sequence[KnownLog]) -> None:
        """Look at each of these once."""
        left = list(due)
        async with asyncio.TaskGroup() as tasks:
            while left := self.begin(tasks, left):
                self.ended.clear()
                await self.ended.wait()
