"""An administrator's look into the database of a node, beside the process that serves it."""

from pathlib import Path

import pytest

from federation.ports import where
from federation.rows import EvidenceRow
from node.store.inspection import cells, look_into
from node.store.sqlite import SqliteStore
from protocol.errors import UnavailableError
from tests.fakes.clock import SteppedClock

NOW = 1_800_000_000


def evidence(item: bytes) -> EvidenceRow:
    return EvidenceRow(peer="https://birch.example", hash="h", thread="t", item=item, at=NOW)


async def test_rows_are_read_beside_an_open_store(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    async with SqliteStore.open(path, clock=SteppedClock(NOW)) as store:
        async with store.write() as tx:
            await tx.insert(evidence(b"first"))
        async with look_into(path, now=NOW) as reader:
            assert await reader.count(EvidenceRow, where(thread="t")) == 1


async def test_nothing_can_be_written_through_a_look(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    async with SqliteStore.open(path, clock=SteppedClock(NOW)), look_into(path, now=NOW) as reader:
        assert not hasattr(reader, "insert")
        assert await reader.count(EvidenceRow) == 0


async def test_cells_hold_values_that_are_longer_than_a_page(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    long = b"x" * 9_000 + b"needle" + b"y" * 9_000
    async with SqliteStore.open(path, clock=SteppedClock(NOW)) as store:
        async with store.write() as tx:
            await tx.insert(evidence(long))
        found = list(cells(path, now=NOW))
    assert ("evidence", "item", long) in found
    assert ("evidence", "peer", b"https://birch.example") in found


async def test_a_file_that_is_no_database_is_told_apart_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(UnavailableError):
        list(cells(path, now=NOW))


async def test_a_database_that_is_missing_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    with pytest.raises(UnavailableError):
        async with look_into(path, now=NOW):
            pass
    assert not path.exists()
