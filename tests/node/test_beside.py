"""What a process does beside others: it reads again what is stale, whatever fails meanwhile, and takes its duty."""

import asyncio
import io
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import pytest

from federation.rows import OutboxRow, PeerRow
from node.beside import Beside
from node.events import Events
from node.jobs import Jobs
from node.store.processes import Changed, Process
from node.telemetry import Metrics, make_log
from protocol.errors import UnavailableError
from tests.fakes.clock import SteppedClock


class Fellows:
    """Other processes, of which the database says what the test wants."""

    def __init__(self, *duty: bool | Exception) -> None:
        self.calls: list[Callable[[Changed], None]] = []
        self.on_duty = False
        self._answers = list(duty)

    def watch(self, call: Callable[[Changed], None]) -> None:
        self.calls.append(call)

    def on_hint(self, what: str, call: Callable[[str], None]) -> None:
        raise NotImplementedError

    def hint(self, what: str, text: str) -> None:
        raise NotImplementedError

    async def claim(self, name: str) -> bool:
        raise NotImplementedError

    def alone(self) -> AbstractAsyncContextManager[bool]:
        raise NotImplementedError

    async def processes(self) -> Sequence[Process]:
        raise NotImplementedError

    async def seek_duty(self) -> bool:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


async def test_what_could_not_be_read_is_read_again_soon_and_keeps_nothing_else_stale(clock: SteppedClock) -> None:
    read: list[str] = []
    again = asyncio.Event()
    answers: list[Exception | None] = [UnavailableError("the database is away"), None]

    async def peers(names: frozenset[str] | None) -> None:
        read.append(f"peers {sorted(names or ())}")
        if (error := answers.pop(0)) is not None:
            raise error
        again.set()

    async def outbox(names: frozenset[str] | None) -> None:
        read.append(f"outbox {sorted(names or ())}")

    fellows = Fellows()
    beside = Beside(fellows, clock)
    beside.keep(peers, PeerRow)
    beside.keep(outbox, OutboxRow)
    running = asyncio.create_task(beside.run())
    fellows.calls[0]({"peer": frozenset({"a"}), "outbox": frozenset({"b"})})
    await clock.until_sleeping(2)
    clock.advance(1)
    await again.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert read == ["peers ['a']", "outbox ['b']", "peers ['a']"]


async def test_a_process_on_duty_starts_its_jobs_again_after_a_mistake(clock: SteppedClock) -> None:
    jobs = Jobs(clock, Events(make_log(clock, stream=io.StringIO()), Metrics()))
    beside = Beside(Fellows(True, LookupError(), True, False), clock)
    started: list[str] = []

    ended = asyncio.Event()

    async def forever() -> None:
        ended.clear()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    def start() -> None:
        started.append("log")
        jobs.start("log", forever)

    jobs.start("duty", lambda: beside.serve(jobs, start))
    for _ in range(2):
        await clock.until_sleeping()
        clock.advance(1)
    await clock.until_sleeping()
    assert started == ["log", "log"]
    clock.advance(1)
    await ended.wait()
    assert await jobs.stop(1) == ()
