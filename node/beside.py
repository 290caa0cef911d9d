"""What a process does because others serve the same node: it keeps its memory fresh, and takes its part of the work.

Where one process serves a node nothing of this happens. docs/adr/0023 lists what each process remembers, and what
keeps it right.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final

from federation.ports import Clock, Row
from protocol.errors import MeshError, RefusedError, UnavailableError

from .jobs import Jobs
from .operations import Operation
from .store.processes import Changed, Others, Process

#: So often a process looks whether it is on duty, or should be: the longest wait after the last one's end.
DUTY_EVERY_S: Final = 0.5
#: What depends on the hour, such as a seat that ends, is looked at so often.
LOOK_EVERY_S: Final = 60.0
#: What could not be read while the database was away is read again after so long.
AGAIN_S: Final = 1.0

Names = frozenset[str] | None
#: Reads again what it is about: the rows of these names, None: all.
Refresh = Callable[[Names], Awaitable[None]]
#: Looks again soon.
Wake = Callable[[], None]


class _Kept:
    """One thing that is kept in memory, and what is known to have changed of it."""

    def __init__(self, tables: frozenset[str], refresh: Refresh) -> None:
        self.tables: Final = tables
        self.refresh: Final = refresh
        self.stale: set[str] | None = set()

    def hear(self, changed: Changed) -> None:
        for names in _names(changed, self.tables):
            self.stale = None if names is None or self.stale is None else self.stale | names

    def take(self) -> Names:
        stale, self.stale = self.stale, set()
        return None if stale is None else frozenset(stale)


class Beside:
    """What one process keeps, and who keeps it fresh; `others` is None for one that is alone."""

    def __init__(self, others: Others | None, clock: Clock) -> None:
        self._others: Final = others
        self._clock: Final = clock
        self._kept: Final[list[_Kept]] = []
        self._wakes: Final[list[tuple[frozenset[str], Callable[[Names], None]]]] = []
        self._looks: Final[list[Callable[[], Awaitable[None]]]] = []
        self._stale: Final = asyncio.Event()
        if others is not None:
            others.watch(self._hear)

    @property
    def several(self) -> bool:
        """Whether other processes may serve the same node."""
        return self._others is not None

    @property
    def on_duty(self) -> bool:
        """Whether this process does what one alone does for all; inside a transaction it holds to its commit."""
        return self._others is None or self._others.on_duty

    async def seek_duty(self) -> bool:
        """Go on duty if nobody is; return whether this process is on duty. Raises: UnavailableError."""
        return self._others is None or await self._others.seek_duty()

    @asynccontextmanager
    async def permit(self, operation: Operation) -> AsyncIterator[None]:
        """Stay inside while an operation is done, if it can be done in this process now.

        Raises: RefusedError; UnavailableError: the database is away.
        """
        if operation.needs == "duty" and not await self.seek_duty():
            raise RefusedError(
                "another process of this node does that: `mentormesh status` names the one on duty", code="not-on-duty"
            )
        if operation.needs != "alone" or self._others is None:
            yield
            return
        async with self._others.alone() as alone:
            if not (alone and await self.seek_duty()):  # whoever is alone is free to do what one does for all
                raise RefusedError(
                    "stop the other processes of this node first, and give them the new keys before they start again",
                    code="several",
                )
            yield

    async def processes(self) -> tuple[Process, ...]:
        """Return all processes of this node, the oldest first; none where one process serves a node."""
        return tuple(await self._others.processes()) if self._others is not None else ()

    async def claim(self, name: str) -> bool:
        """Tell whether this process has `name` to itself."""
        return self._others is None or await self._others.claim(name)

    def keep(self, refresh: Refresh, *kinds: type[Row]) -> None:
        """Have `refresh` called soon after another process changed rows of `kinds`."""
        self._kept.append(_Kept(_tables(kinds), refresh))

    def wake(self, wake: Wake, *kinds: type[Row]) -> None:
        """Have `wake` called at once when another process changed rows of `kinds`."""
        self.wake_by_name(lambda _: wake(), *kinds)

    def wake_by_name(self, wake: Callable[[Names], None], *kinds: type[Row]) -> None:
        """Do the same with the names of whose rows."""
        self._wakes.append((_tables(kinds), wake))

    def look(self, look: Callable[[], Awaitable[None]]) -> None:
        """Have `look` called every minute."""
        self._looks.append(look)

    def on_hint(self, what: str, call: Callable[[str], None]) -> None:
        """Call `call` with the text of each hint of this name that another process gives."""
        if self._others is not None:
            self._others.on_hint(what, call)

    def hint(self, what: str, text: str) -> None:
        """Give the others a hint, soon; it may be lost."""
        if self._others is not None:
            self._others.hint(what, text)

    def _hear(self, changed: Changed) -> None:
        for tables, wake in self._wakes:
            for names in _names(changed, tables):
                wake(names)
        for kept in self._kept:
            kept.hear(changed)
        self._stale.set()

    async def run(self) -> None:
        """Keep fresh for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._refresh())
            group.create_task(self._look())

    async def _refresh(self) -> None:
        while True:
            self._stale.clear()
            done = [await self._refreshed(kept) for kept in self._kept]
            if all(done):
                await self._stale.wait()
            else:
                await self._clock.sleep(AGAIN_S)

    async def _refreshed(self, kept: _Kept) -> bool:
        """Read again what is stale; tell whether that went well, or the database is away."""
        names = kept.take()
        if names is not None and not names:
            return True
        try:
            await kept.refresh(names)
        except BaseException as error:
            kept.stale = None if names is None or kept.stale is None else kept.stale | names
            if not isinstance(error, UnavailableError):
                raise
            return False
        return True

    async def _look(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            with suppress(UnavailableError):  # what could not be looked at is looked at in a minute
                for look in self._looks:
                    await look()

    async def serve(self, jobs: Jobs, start: Wake) -> None:
        """Have `start` start the jobs of the process on duty while this one is, and end them when it is no more."""
        before, running = jobs.names, False
        try:
            while True:
                on_duty = await self._is_mine()
                if on_duty and not running:
                    start()
                elif running and not on_duty:
                    await jobs.end(jobs.names - before)
                running = on_duty
                await self._clock.sleep(DUTY_EVERY_S)
        except Exception:
            await jobs.end(jobs.names - before)  # they are started anew with this one
            raise

    async def _is_mine(self) -> bool:
        try:
            return await self.seek_duty()
        except MeshError:
            return self.on_duty


def _names(changed: Changed, tables: frozenset[str]) -> list[Names]:
    """Return what changed of some tables, an item each."""
    return [None] if changed is None else [changed[table] for table in changed.keys() & tables]


def _tables(kinds: Iterable[type[Row]]) -> frozenset[str]:
    return frozenset(kind.table for kind in kinds)
