"""The SQLite store keeps the contract of every store, with and without a wait for company."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from federation.ports import Store
from node.store.migrations import FOLDER
from node.store.sqlite import SqliteStore
from tests.fakes.clock import SteppedClock

from .store import SAMPLES, StoreContract


def sample_folder(tmp_path: Path) -> Path:
    """Return a folder with the store's own tables and those of the samples."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_store.sql").write_bytes((FOLDER / "0001_store.sql").read_bytes())
    (folder / "0002_samples.sql").write_text(SAMPLES)
    return folder


class TestSqliteStore(StoreContract):
    @pytest.fixture(params=[0, 0.005], ids=["at once", "window"])
    async def store(self, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
        folder = sample_folder(tmp_path)
        database = tmp_path / "node.db"
        async with SqliteStore.open(database, clock=SteppedClock(), window_s=request.param, folder=folder) as store:
            yield store
