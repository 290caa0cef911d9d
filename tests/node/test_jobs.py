"""Background jobs: restarted with growing pauses, reported, stopped in time."""

import asyncio
import io

import pytest

from node.beside import Beside
from node.events import Events
from node.health import Health, is_down
from node.jobs import Jobs
from node.telemetry import Metrics, make_log
from tests.fakes.clock import SteppedClock
from tests.fakes.memory_store import MemoryStore


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def jobs(clock: SteppedClock) -> Jobs:
    return Jobs(clock, Events(make_log(clock, stream=io.StringIO()), Metrics()))


async def test_a_job_that_fails_starts_again_after_growing_pauses(jobs: Jobs, clock: SteppedClock) -> None:
    starts: list[int] = []

    async def fail() -> None:
        starts.append(clock.now())
        raise ValueError

    begin = clock.now()
    jobs.start("mirror", fail)
    for pause in (1, 2, 4, 8, 16, 32, 60, 60):
        await clock.until_sleeping()
        clock.advance(pause)
    await clock.until_sleeping()
    assert [at - begin for at in starts] == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    (report,) = jobs.report()
    assert (report.state, report.failures, report.last_error) == ("waiting", 9, "ValueError")
    assert is_down(report)
    assert await jobs.stop(1) == ()


async def test_a_job_that_worked_long_begins_with_the_first_pause_again(jobs: Jobs, clock: SteppedClock) -> None:
    starts: list[int] = []

    async def fail_late() -> None:
        starts.append(clock.now())
        await clock.sleep(400 if len(starts) == 3 else 0)
        raise ValueError

    begin = clock.now()
    jobs.start("mirror", fail_late)
    for step in (1, 2, 400, 1):
        await clock.until_sleeping()
        clock.advance(step)
    await clock.until_sleeping()
    assert [at - begin for at in starts] == [0, 1, 3, 404]
    await jobs.stop(1)


async def test_a_job_that_returns_is_finished(jobs: Jobs) -> None:
    done = asyncio.Event()

    async def once() -> None:
        done.set()

    jobs.start("once", once)
    await done.wait()
    await asyncio.sleep(0)
    assert jobs.report()[0].state == "finished"
    assert await jobs.stop(1) == ()
    assert jobs.report()[0].state == "finished"


async def test_a_stop_ends_running_and_waiting_jobs(jobs: Jobs, clock: SteppedClock) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    async def fail() -> None:
        raise ValueError

    jobs.start("forever", forever)
    jobs.start("fail", fail)
    await clock.until_sleeping()
    assert await jobs.stop(1) == ()
    assert [report.state for report in jobs.report()] == ["stopped", "stopped"]


async def test_a_job_that_fails_while_it_is_stopped_does_not_start_again(jobs: Jobs) -> None:
    async def fail_at_the_end() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError from None

    jobs.start("stubborn", fail_at_the_end)
    await asyncio.sleep(0)
    assert await jobs.stop(1) == ()


async def test_a_job_that_does_not_end_is_named(jobs: Jobs) -> None:
    release = asyncio.Event()

    async def deaf() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    jobs.start("deaf", deaf)
    await asyncio.sleep(0)
    assert await jobs.stop(0.01) == ("deaf",)
    release.set()


async def test_two_jobs_of_one_name_are_a_mistake(jobs: Jobs) -> None:
    async def nothing() -> None:
        return

    jobs.start("one", nothing)
    with pytest.raises(ValueError, match="one"):
        jobs.start("one", nothing)
    await jobs.stop(1)


async def test_a_node_is_ready_until_a_job_fails_again_and_again(jobs: Jobs, clock: SteppedClock) -> None:
    health = Health(MemoryStore(), jobs, Beside(None, clock))

    async def fail() -> None:
        raise ValueError

    jobs.start("mirror", fail)
    for pause in (1, 2):
        await clock.until_sleeping()
        assert (await health.readiness()).ready
        clock.advance(pause)
    await clock.until_sleeping()
    readiness = await health.readiness()
    assert (readiness.ready, readiness.store, readiness.jobs) == (False, "ok", "failing")
    await jobs.stop(1)
