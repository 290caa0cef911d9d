"""A world over each store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.services.accounts import Person
from tests.fakes.clock import SteppedClock
from tests.fakes.memory_store import MemoryStore
from tests.kept import opened

from .world import Gadget, World, staff


@pytest.fixture(params=["memory", "kept"])
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield World(MemoryStore())
        return
    async with opened(tmp_path, clock=SteppedClock()) as store:
        yield World(store)


@pytest.fixture
async def person(world: World) -> Person:
    """Somebody signed in on a device of theirs; there is one more member."""
    await world.add(staff(2))
    signed_in = await world.sign_in("E0")
    await world.devices.enrol(signed_in, Gadget.made(1, 1).command(world.clock.now()))
    return await world.refreshed(signed_in)
