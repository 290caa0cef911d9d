"""The PostgreSQL store keeps the contract of every store, on a real server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from federation.ports import Store
from node.store.postgres.connection import Server
from tests.postgres import Cluster

from .sample_store import open_sample_database
from .savepoints import SavepointContract
from .store import LargeRow, PairRow, SampleRow, StoreContract


@pytest.fixture(scope="module")
def server(postgres: Cluster) -> Server:
    return Server(url=asyncio.run(postgres.fresh()))


@pytest.mark.slow
class TestPostgresStore(StoreContract, SavepointContract):
    @pytest.fixture
    async def store(self, tmp_path: Path, server: Server) -> AsyncIterator[Store]:
        async with await open_sample_database(server, tmp_path) as store:
            async with store.write() as change:
                for kind in (SampleRow, PairRow, LargeRow):
                    await change.delete(kind)
            yield store
