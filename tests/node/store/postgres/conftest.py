"""Schemas of their own for the tests of this folder."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from tests.contracts.sample_store import open_sample_database
from tests.postgres import Cluster


@pytest.fixture
def server(postgres: Cluster) -> Server:
    """Return a database with an empty schema."""
    return Server(url=asyncio.run(postgres.fresh()))


@pytest.fixture
async def store(server: Server, tmp_path: Path) -> AsyncIterator[PostgresStore]:
    """Yield a store with the sample tables."""
    async with await open_sample_database(server, tmp_path) as opened:
        yield opened
