"""Stores on a disk with the tables of the contract's samples."""

from pathlib import Path

from node.store.migrations import FOLDER
from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from node.store.sqlite import SqliteStore
from tests.fakes.clock import SteppedClock

from .store import SAMPLES


def sample_folder(directory: Path) -> Path:
    """Return a folder of migrations: the store's own tables and those of the samples."""
    folder = directory / "migrations"
    if not folder.exists():
        folder.mkdir()
        (folder / "0001_store.sql").write_bytes((FOLDER / "0001_store.sql").read_bytes())
        (folder / "0002_samples.sql").write_text((FOLDER / "0260_last_commit.sql").read_text() + SAMPLES)
    return folder


def open_sample_store(directory: Path, *, window_s: float = 0.0, now: int = 1_800_000_000) -> SqliteStore:
    """Return the store `node.db` in `directory`."""
    clock = SteppedClock(now)
    return SqliteStore.open(directory / "node.db", clock=clock, window_s=window_s, folder=sample_folder(directory))


async def open_sample_database(
    server: Server, directory: Path, *, window_s: float = 0.0, now: int = 1_800_000_000, alone: bool = True
) -> PostgresStore:
    """Return the store in the schema of `server`, which may be empty."""
    clock, folder = SteppedClock(now), sample_folder(directory)
    return await PostgresStore.open(server, clock=clock, window_s=window_s, folder=folder, alone=alone)
