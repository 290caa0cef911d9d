"""A database that is really full, or has no connection free: a clear sentence, nothing half-written, back to work."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from cli.demo.cluster import unprivileged
from node.keys import operator_token
from node.store.errors import DiskFullError
from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from protocol.errors import UnavailableError
from tests.contracts.sample_store import open_sample_database
from tests.contracts.store import SampleRow, fill, stored
from tests.node.running import Running, make_directory, served, settings
from tests.postgres import Cluster, OwnCluster, script

pytestmark = pytest.mark.slow

BATCH: Final = 20


def mount(*how: str) -> None:
    subprocess.run(["/bin/mount", *how], check=True, capture_output=True)


@pytest.fixture
def small_disk(postgres: Cluster) -> Iterator[Path]:
    """Yield a file system of 3 MiB that belongs to the server."""
    if not isinstance(postgres, OwnCluster) or os.geteuid() != 0:
        pytest.skip("NOT TESTED: only root may mount a small disk")
    place = postgres.folder / "small"
    place.mkdir()
    try:
        mount("-t", "tmpfs", "-o", f"size=3m,uid={unprivileged()},mode=700", "tmpfs", str(place))
    except subprocess.CalledProcessError:
        pytest.skip("NOT TESTED: no file system may be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["/bin/umount", "--lazy", place], check=True)
        place.rmdir()


@pytest.fixture
async def there(small_disk: Path, postgres: Cluster, server: Server) -> AsyncIterator[Server]:
    """Yield a schema whose tables lie there."""
    await script(postgres.url, f"CREATE TABLESPACE small LOCATION '{small_disk}'")
    yield Server(url=f"{server.url}&default_tablespace=small")
    await script(postgres.url, f"DROP SCHEMA {server.url.rpartition('=')[2]} CASCADE")
    await script(postgres.url, "DROP TABLESPACE small")


@pytest.fixture
async def small(there: Server, tmp_path: Path) -> AsyncIterator[PostgresStore]:
    """Yield a store of these tables."""
    async with await open_sample_database(there, tmp_path) as store:
        yield store


def rows(batch: int) -> list[SampleRow]:
    """Return rows that no compression makes smaller."""
    return [SampleRow(id=BATCH * batch + one, name=os.urandom(600).hex()) for one in range(BATCH)]


async def until_full(store: PostgresStore) -> int:
    """Fill the disk and return how many rows were kept."""
    for batch in range(1000):
        try:
            await fill(store, *rows(batch))
        except DiskFullError:
            return BATCH * batch
    raise AssertionError("the disk never became full")


async def test_a_full_tablespace_keeps_what_was_there_and_works_again_once_there_is_room(
    small: PostgresStore, small_disk: Path
) -> None:
    kept = await until_full(small)
    assert [row.id for row in await stored(small)] == list(range(kept))
    with pytest.raises(DiskFullError, match="nothing of this change was kept"):
        await fill(small, *rows(kept // BATCH))
    await asyncio.to_thread(mount, "-o", "remount,size=20m", str(small_disk))
    await fill(small, *rows(kept // BATCH))
    assert len(await stored(small)) == kept + BATCH


def words(scheme: int) -> dict[str, object]:
    """Return a vocabulary to import that no compression makes much smaller."""
    lines = [f'{{"id":"ext:{os.urandom(24).hex()}","en":"{os.urandom(24).hex()}"}}' for _ in range(1000)]
    return {"scheme": f"large-{scheme}", "files": [{"name": "large.jsonl", "text": "\n".join(lines)}]}


async def test_both_processes_answer_507_while_the_tablespace_is_full_and_go_on_reading(
    there: Server, small_disk: Path, tmp_path: Path
) -> None:
    await asyncio.to_thread(mount, "-o", "remount,size=20m", str(small_disk))
    chosen = settings(store={"url": there.url, "several": True})
    directory = make_directory(tmp_path / "aurora", chosen)
    headers = {"Authorization": f"Bearer {operator_token(directory)}"}
    async with served(directory) as one, served(directory, seed=2) as other, aiohttp.ClientSession() as http:

        async def imported(process: Running, scheme: int) -> tuple[int, str]:
            address = f"{process.url}/operator/v1/operations/vocabulary.import"
            async with http.post(address, json=words(scheme), headers=headers) as answer:
                return answer.status, answer.headers.get("Retry-After", "")

        disk, scheme = os.statvfs(small_disk), 0
        nearly_full = (disk.f_blocks - disk.f_bfree) * disk.f_frsize + 256 * 1024
        await asyncio.to_thread(mount, "-o", f"remount,size={nearly_full}", str(small_disk))
        while (await imported(one, scheme))[0] == 200:
            scheme += 1
        for process in (one, other):
            status, retry = await imported(process, scheme)
            assert (status, int(retry) > 0) == (507, True)
            async with http.get(f"{process.url}/ready") as answer:
                assert answer.status == 200
        await asyncio.to_thread(mount, "-o", "remount,size=20m", str(small_disk))
        for process in (other, one):
            assert (await imported(process, scheme))[0] == 200


async def test_a_database_without_a_free_connection_is_asked_again_later(
    postgres: Cluster, server: Server, tmp_path: Path
) -> None:
    schema = server.url.rpartition("=")[2]
    await script(
        postgres.url,
        f"DROP ROLE IF EXISTS few; CREATE ROLE few LOGIN CONNECTION LIMIT 2; ALTER SCHEMA {schema} OWNER TO few",
    )
    few = Server(url=server.url.replace("//mentormesh@", "//few@"))
    async with await open_sample_database(few, tmp_path) as store:  # two: the tables are made in a session of their own
        await script(postgres.url, "ALTER ROLE few CONNECTION LIMIT 1")
        await fill(store, SampleRow(id=1))
        with pytest.raises(UnavailableError, match="no connection free") as told:
            await stored(store)
        assert told.value.retry_at is not None
        await script(postgres.url, "ALTER ROLE few CONNECTION LIMIT 5")
        assert [row.id for row in await stored(store)] == [1]
    await script(postgres.url, f"ALTER SCHEMA {schema} OWNER TO mentormesh; REASSIGN OWNED BY few TO mentormesh")
    await script(postgres.url, "DROP ROLE few")
