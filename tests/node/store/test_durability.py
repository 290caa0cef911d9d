"""What was acknowledged is there after the process has gone, in whatever way."""

import asyncio
import re
import signal
import sys
from pathlib import Path

import pytest

from node.store import connection
from node.store.errors import DirectoryInUseError
from node.store.sqlite import SqliteStore
from protocol.errors import UnavailableError
from tests.architecture.house import ROOT
from tests.contracts.sample_store import open_sample_store
from tests.contracts.store import PairRow, SampleRow, fill, stored
from tests.fakes.clock import SteppedClock

WRITER = """
import asyncio, sys
from pathlib import Path
from tests.contracts.sample_store import open_sample_store
from tests.contracts.store import PairRow, fill

async def write(store, first):
    for second in range(1_000_000):
        await fill(store, PairRow(first=first, second=second))
        print(first, second, flush=True)

async def main():
    store = open_sample_store(Path(sys.argv[1]))
    await asyncio.gather(*(write(store, f"writer {number}") for number in range(4)))

asyncio.run(main())
"""


async def test_rows_are_there_after_closing_and_opening(tmp_path: Path) -> None:
    async with open_sample_store(tmp_path) as store:
        await fill(store, SampleRow(id=1, name="kept", code=b"\0\xff", maybe=True))
    async with open_sample_store(tmp_path) as store:
        assert await stored(store) == [SampleRow(id=1, name="kept", code=b"\0\xff", maybe=True)]


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    acknowledged = [await process.stdout.readline() for _ in range(100)]
    process.send_signal(signal.SIGKILL)
    acknowledged += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()

    async with open_sample_store(tmp_path) as store, store.read() as view:
        kept = {f"{row.first} {row.second}\n".encode() for row in await view.find(PairRow)}
    assert kept.issuperset(line for line in acknowledged if line.endswith(b"\n"))


async def test_the_settings_that_durability_and_erasure_rest_on_are_set(store: SqliteStore) -> None:
    def setting(name: str) -> object:
        return store._writer.execute(f"PRAGMA {name}").fetchone()[0]

    assert setting("journal_mode") == "wal"
    assert setting("synchronous") == 2
    assert setting("foreign_keys") == 1
    assert setting("secure_delete") == 1
    assert setting("busy_timeout") == 5000
    assert setting("temp_store") == 2


def test_the_reference_page_lists_every_setting() -> None:
    page = (ROOT / "docs/reference/storage.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([a-z_]+ = [^`]+)`", page, flags=re.MULTILINE))
    assert {f"PRAGMA {setting}" for setting in listed} == {*connection._EVERY, *connection._WRITER, *connection._READER}


async def test_files_are_for_their_owner_only(tmp_path: Path, store: SqliteStore) -> None:
    await fill(store, SampleRow(id=1))
    for name in ("node.db", "node.db-wal", "node.db-shm", "store.lock"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


async def test_a_second_store_on_the_directory_is_refused_by_name_until_the_first_closes(tmp_path: Path) -> None:
    first = open_sample_store(tmp_path)
    with pytest.raises(DirectoryInUseError, match=str(tmp_path)):
        open_sample_store(tmp_path)
    await first.close()
    await first.close()
    await open_sample_store(tmp_path).close()


async def test_a_store_that_could_not_open_does_not_keep_the_lock(tmp_path: Path) -> None:
    (tmp_path / "node.db").write_bytes(b"no database" * 1000)
    with pytest.raises(UnavailableError, match="not a database"):
        open_sample_store(tmp_path)
    (tmp_path / "node.db").unlink()
    await open_sample_store(tmp_path).close()


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = open_sample_store(tmp_path)
    await store.close()
    with pytest.raises(UnavailableError, match="closed"):
        await fill(store, SampleRow(id=1))
    with pytest.raises(UnavailableError, match="closed"):
        await stored(store)


async def test_closing_waits_for_transactions_under_way(tmp_path: Path) -> None:
    store = open_sample_store(tmp_path)
    writing = asyncio.gather(*(fill(store, SampleRow(id=number)) for number in range(3)))
    await asyncio.sleep(0)
    await store.close()
    await writing
    async with open_sample_store(tmp_path) as again:
        assert len(await stored(again)) == 3


async def test_a_window_above_five_milliseconds_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"0\.005"):
        SqliteStore.open(tmp_path / "node.db", clock=SteppedClock(), window_s=0.006)


async def test_erased_rows_leave_no_bytes_behind(tmp_path: Path, store: SqliteStore) -> None:
    canary = "erase me entirely " * 500
    await fill(store, SampleRow(id=1, name=canary))
    async with store.write() as change:
        await change.delete(SampleRow)
    await store.scrub()
    assert (tmp_path / "node.db-wal").stat().st_size == 0
    assert b"erase me" not in (tmp_path / "node.db").read_bytes()


async def test_scrubbing_gives_up_while_a_reader_holds_old_rows(store: SqliteStore) -> None:
    store._writer.execute("PRAGMA busy_timeout = 1")
    await fill(store, SampleRow(id=1))
    async with store.read() as view:
        await view.count(SampleRow)
        await fill(store, SampleRow(id=2))
        with pytest.raises(UnavailableError, match="reader"):
            await store.scrub()
    await store.scrub()
