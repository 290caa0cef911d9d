"""One attacked node for all tests of a module: nothing that is refused changes it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .world import World
from .world import world as running_world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Run the attacked node."""
    async with running_world(tmp_path_factory.mktemp("attacked") / "aurora") as made:
        yield made
