"""Background work with an owner: started by name, restarted after a failure with growing pauses, reported, stopped."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final, Literal

import msgspec

from federation.ports import Clock

from .events import Events

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
#: A job that ran this long without failing starts again with the first pause.
SOUND_S: Final = 300

State = Literal["running", "waiting", "finished", "stopped"]


class JobReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one job is: `waiting` means it failed and starts again soon."""

    job: str
    state: State
    failures: int
    last_error: str = ""


class _Job:
    def __init__(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        self.name: Final = name
        self.run: Final = run
        self.state: State = "running"
        self.failures = 0
        self.last_error = ""


class Jobs:
    """All background work of one node."""

    def __init__(self, clock: Clock, events: Events) -> None:
        self._clock = clock
        self._events = events
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._jobs: dict[str, _Job] = {}
        self._stopping = False

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Keep `run` going until it returns or `stop` is called; it must be safe to cancel at any await."""
        if name in self._jobs:
            raise ValueError(f"two jobs are called {name}")
        job = self._jobs[name] = _Job(name, run)
        self._tasks[name] = asyncio.create_task(self._supervise(job), name=name)

    async def _supervise(self, job: _Job) -> None:
        pause = FIRST_PAUSE_S
        while True:
            started = self._clock.now()
            job.state = "running"
            try:
                await job.run()
            except Exception as error:  # noqa: BLE001 -- the outermost loop of a job
                pause = FIRST_PAUSE_S if self._clock.now() - started >= SOUND_S else pause
                job.state, job.last_error = "waiting", type(error).__name__
                job.failures += 1
                if self._stopping:
                    return
                self._events.job_failed(job.name, error, again_in_s=pause)
                await self._clock.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
            else:
                job.state = "finished"
                return

    @property
    def names(self) -> frozenset[str]:
        """The names of all jobs that were started and not ended."""
        return frozenset(self._jobs)

    async def end(self, names: Collection[str]) -> None:
        """End these jobs and forget them; they may be started anew."""
        ended = [self._tasks.pop(name) for name in names]
        for name in names:
            del self._jobs[name]
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)

    def report(self) -> tuple[JobReport, ...]:
        """Return how every job is, by name."""
        return tuple(
            JobReport(job=job.name, state=job.state, failures=job.failures, last_error=job.last_error)
            for _, job in sorted(self._jobs.items())
        )

    async def stop(self, timeout_s: float) -> tuple[str, ...]:
        """End all jobs; return the names of those that did not end within `timeout_s`."""
        self._stopping = True
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=timeout_s)
        for name, task in self._tasks.items():
            if task.done():
                self._jobs[name].state = "finished" if self._jobs[name].state == "finished" else "stopped"
        return tuple(sorted(name for name, task in self._tasks.items() if not task.done()))
