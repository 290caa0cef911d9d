"""Schemas of their own for the tests of this folder."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.store.postgres import commits, others
from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from tests.contracts.sample_store import open_sample_database
from tests.postgres import Cluster


@pytest.fixture
def server(postgres: Cluster) -> Server:
    """Return a database with an empty schema."""
    return Server(url=asyncio.run(postgres.fresh()))


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a process stay on duty though nothing happens for seconds, as in a test whose clock stands."""
    for module in (commits, others):
        monkeypatch.setattr(module, "WATCHED", "SELECT set_config('idle_session_timeout', '0', false)")


@pytest.fixture
async def store(server: Server, tmp_path: Path) -> AsyncIterator[PostgresStore]:
    """Yield a store with the sample tables."""
    async with await open_sample_database(server, tmp_path) as opened:
        yield opened
