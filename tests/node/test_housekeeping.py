"""Steps by the clock: in order, after each pause, and none of them stands in the way of another."""

import asyncio
import io

from msgspec.json import decode

from node.events import Events
from node.housekeeping import every
from node.telemetry import Metrics, make_log
from tests.fakes.clock import SteppedClock


class Steps:
    """Two steps that note when they were done; the first may raise."""

    def __init__(self, *, fails: bool) -> None:
        self.clock = SteppedClock()
        self.fails = fails
        self.done: list[tuple[str, int]] = []
        self.lines = io.StringIO()
        self.metrics = Metrics()
        self.begin = self.clock.now()

    async def first(self) -> None:
        self._note("first")
        if self.fails:
            raise ValueError("what a person wrote")

    async def second(self) -> None:
        self._note("second")

    def _note(self, name: str) -> None:
        self.done.append((name, self.clock.now() - self.begin))

    async def run(self, *, at_once: bool = False) -> list[tuple[str, int]]:
        """Return what was done within 25 seconds, in turns of 10."""
        events = Events(make_log(self.clock, stream=self.lines), self.metrics)
        steps = {"first": self.first, "second": self.second}
        task = asyncio.create_task(every(self.clock, events, 10, steps, at_once=at_once))
        await self.clock.until_sleeping()
        await self.clock.elapse(25)
        task.cancel()
        return self.done


async def test_steps_are_done_in_order_after_each_pause() -> None:
    steps = Steps(fails=False)
    assert await steps.run() == [("first", 10), ("second", 10), ("first", 20), ("second", 20)]
    assert steps.lines.getvalue() == ""


async def test_steps_may_be_done_before_the_first_pause_too() -> None:
    done = await Steps(fails=False).run(at_once=True)
    assert done[:3] == [("first", 0), ("second", 0), ("first", 10)]


async def test_a_step_that_always_raises_keeps_no_later_one_from_its_turn_and_is_named() -> None:
    steps = Steps(fails=True)
    assert await steps.run() == [("first", 10), ("second", 10), ("first", 20), ("second", 20)]
    lines = [decode(line) for line in steps.lines.getvalue().splitlines()]
    assert [(line["event"], line["step"], line["error"]) for line in lines] == [
        ("step-failed", "first", "ValueError"),
        ("step-failed", "first", "ValueError"),
    ]
    assert "person" not in steps.lines.getvalue()
    assert 'mentormesh_step_failures_total{step="first"} 2.0' in steps.metrics.text().decode()
