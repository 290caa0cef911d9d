"""A consortium of three companies and its registry, all running."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.cli.client.world import Company, company

from .world import all_meet, join, registry


@pytest.fixture
async def guild(tmp_path: Path) -> AsyncIterator[Company]:
    """The registry `https://guild.example`."""
    async with registry(tmp_path, "guild") as made:
        yield made


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[list[Company]]:
    """Three companies that know nobody."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(company(tmp_path, name)) for name in ("aurora", "birch", "cobalt")]


@pytest.fixture
async def members(guild: Company, three: list[Company]) -> list[Company]:
    """The three, admitted and met."""
    await join(guild, *three)
    await all_meet(*three)
    return three
