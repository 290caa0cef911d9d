"""The SQLite store keeps the contract of every store, with and without a wait for company."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from federation.ports import Store

from .sample_store import open_sample_store
from .savepoints import SavepointContract
from .store import StoreContract


class TestSqliteStore(StoreContract, SavepointContract):
    @pytest.fixture(params=[0, 0.005], ids=["at once", "window"])
    async def store(self, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
        async with open_sample_store(tmp_path, window_s=request.param) as store:
            yield store
