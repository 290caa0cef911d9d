"""Two stations that are peers: what most tests of changed keys begin with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.clock import SteppedClock

from .stations import Station, befriend, station


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def aurora(tmp_path: Path, clock: SteppedClock) -> AsyncIterator[Station]:
    async with station("aurora", tmp_path, clock) as made:
        yield made


@pytest.fixture
async def birch(tmp_path: Path, clock: SteppedClock, aurora: Station) -> AsyncIterator[Station]:
    async with station("birch", tmp_path, clock) as made:
        await befriend(aurora, made)
        yield made
