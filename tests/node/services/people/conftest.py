"""A world over each store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.store.sqlite import SqliteStore
from tests.fakes.clock import SteppedClock
from tests.fakes.memory_store import MemoryStore

from .world import World


@pytest.fixture(params=["memory", "sqlite"])
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield World(MemoryStore())
        return
    async with SqliteStore.open(tmp_path / "node.db", clock=SteppedClock(), window_s=0) as store:
        yield World(store)
