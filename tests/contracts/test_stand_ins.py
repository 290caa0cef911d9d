"""The stand-ins for clock and entropy do what tests rely on."""

import asyncio

import pytest

from federation.ports import Clock, Entropy
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy


async def test_a_sleeper_wakes_exactly_when_its_time_has_come() -> None:
    clock = SteppedClock(100)
    sleeper = asyncio.create_task(clock.sleep(2.5))
    await clock.until_sleeping()
    clock.advance(2.499)
    await asyncio.sleep(0)
    assert not sleeper.done()
    clock.advance(0.001)
    await sleeper
    assert (clock.now(), clock.now_ms(), clock.sleeping) == (102, 102_500, 0)


async def test_elapsing_goes_from_one_waking_to_the_next() -> None:
    clock = SteppedClock(0)
    any_clock: Clock = clock
    woken: list[int] = []

    async def tick() -> None:
        while True:
            await any_clock.sleep(10)
            woken.append(clock.now())

    ticking = asyncio.create_task(tick())
    await clock.until_sleeping()
    await clock.elapse(35)
    assert woken == [10, 20, 30]
    assert clock.now() == 35
    ticking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ticking
    assert clock.sleeping == 0


async def test_a_clock_may_go_backwards() -> None:
    clock = SteppedClock(100)
    clock.advance(-60)
    assert clock.now() == 40
    await clock.sleep(0)


def test_seeded_entropy_repeats_in_another_run_and_not_in_the_same() -> None:
    first: Entropy = SeededEntropy(7)
    again: Entropy = SeededEntropy(7)
    stream = [first.take(16), first.take(16)]
    assert stream == [again.take(16), again.take(16)]
    assert stream[0] != stream[1]
    assert SeededEntropy(8).take(16) != stream[0]
