"""A store with sample tables for the tests of this folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.store.sqlite import SqliteStore
from tests.contracts.sample_store import open_sample_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """Yield the store `node.db` in `tmp_path`."""
    async with open_sample_store(tmp_path) as opened:
        yield opened
