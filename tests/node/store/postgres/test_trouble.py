"""What an operator or a machine can do wrong: one clear sentence, nothing half-written, and back to work by itself."""

import asyncio
import os
import resource
from pathlib import Path

import pytest

from node.store.errors import DiskFullError, SchemaError
from node.store.migrations import FOLDER
from node.store.postgres import connection, readers
from node.store.postgres.commits import LOCK_CLASS
from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from protocol.errors import MeshError, RefusedError, UnavailableError
from tests.contracts.sample_store import open_sample_database, sample_folder
from tests.contracts.store import PairRow, SampleRow, fill, stored
from tests.fakes.clock import SteppedClock
from tests.postgres import Cluster, OwnCluster, script

pytestmark = pytest.mark.slow


async def refusal(url: str, *, folder: Path = FOLDER) -> MeshError:
    """Return why a store does not open."""
    with pytest.raises(MeshError) as caught:
        await PostgresStore.open(Server(url=url), clock=SteppedClock(), folder=folder)
    return caught.value


@pytest.mark.parametrize(
    ("url", "kind", "reason"),
    [
        ("postgresql://127.0.0.1:1/aurora", UnavailableError, "cannot be reached"),
        ("postgresql://127.0.0.1:port/aurora", RefusedError, "url is not understood"),
        ("postgresql://nobody.invalid/aurora", UnavailableError, "cannot be reached"),
    ],
)
async def test_a_url_that_leads_nowhere_is_one_sentence(url: str, kind: type[MeshError], reason: str) -> None:
    error = await refusal(url)
    assert isinstance(error, kind)
    assert reason in str(error)


async def test_a_database_that_does_not_exist_is_named_as_such(postgres: Cluster) -> None:
    error = await refusal(postgres.url.replace("/postgres?", "/missing?"))
    assert str(error) == "there is no such database: create it, or correct the name in [store] url"


async def test_a_schema_that_does_not_exist_is_named_as_such(postgres: Cluster) -> None:
    assert "names no schema" in str(await refusal(postgres.at("missing")))


async def test_a_user_without_rights_is_told_which_ones(postgres: Cluster, server: Server) -> None:
    await script(
        server.url, "DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN; GRANT USAGE ON SCHEMA public TO guest"
    )
    error = await refusal(postgres.at("public").replace("//mentormesh@", "//guest@"))
    assert isinstance(error, RefusedError)
    assert "lacks rights" in str(error)


async def test_a_database_in_another_encoding_is_refused(postgres: Cluster) -> None:
    await postgres.script("CREATE DATABASE latin ENCODING 'SQL_ASCII' TEMPLATE template0")
    assert "ENCODING 'UTF8'" in str(await refusal(postgres.url.replace("/postgres?", "/latin?")))


async def test_tables_of_another_program_are_left_alone(server: Server) -> None:
    await script(server.url, "CREATE TABLE customers (id INTEGER)")
    error = await refusal(server.url)
    assert isinstance(error, SchemaError)
    assert "another program" in str(error)


async def test_a_newer_schema_is_refused_and_an_older_one_completed(server: Server, tmp_path: Path) -> None:
    older = sample_folder(tmp_path)
    async with await open_sample_database(server, tmp_path) as store:
        await fill(store, SampleRow(id=1))
    (older / "0003_newer.sql").write_text("ALTER TABLE sample ADD COLUMN newer INTEGER NOT NULL DEFAULT 7;\n")
    async with await open_sample_database(server, tmp_path) as store:
        assert [row.id for row in await stored(store)] == [1]
    (older / "0003_newer.sql").unlink()
    await script(server.url, "UPDATE migration SET name = '0003_contract_0003_newer.sql' WHERE number = 3")
    error = await refusal(server.url, folder=older)
    assert isinstance(error, SchemaError)
    assert "it knows 0003_contract_0003_newer.sql" in str(error)


async def test_a_change_of_the_schema_that_fails_leaves_nothing(server: Server, tmp_path: Path) -> None:
    folder = sample_folder(tmp_path)
    (folder / "0003_broken.sql").write_text("CREATE TABLE half (id INTEGER);\nCREATE TABLE half (id INTEGER);\n")
    with pytest.raises(Exception, match="already exists"):
        await open_sample_database(server, tmp_path)
    (folder / "0003_broken.sql").unlink()
    async with await open_sample_database(server, tmp_path) as store:
        assert await stored(store) == []


async def test_a_change_of_the_schema_may_take_longer_than_any_statement_of_a_node(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await open_sample_database(server, tmp_path)).close()
    monkeypatch.setitem(connection.SETTINGS, "statement_timeout", "2s")
    (tmp_path / "migrations" / "0003_long.sql").write_text("CREATE TABLE long (id INTEGER);\nSELECT pg_sleep(2.5);\n")
    await (await open_sample_database(server, tmp_path)).close()


async def test_who_starts_while_the_tables_are_changed_is_told_so(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.SETTINGS, "lock_timeout", "100ms")
    changing = await server.session()
    await changing.script(f"BEGIN; SELECT pg_advisory_xact_lock({LOCK_CLASS}, hashtext(current_schema()))")
    with pytest.raises(UnavailableError, match="bringing the tables up to date"):
        await open_sample_database(server, tmp_path, alone=False)
    await changing.close()
    await (await open_sample_database(server, tmp_path)).close()


async def test_a_full_disk_keeps_nothing_of_the_change_and_reading_goes_on(
    store: PostgresStore, server: Server
) -> None:
    await fill(store, SampleRow(id=1))
    await script(
        server.url,
        "CREATE FUNCTION full_disk() RETURNS trigger AS $$ BEGIN RAISE 'full' USING ERRCODE = 'disk_full'; END $$ "
        "LANGUAGE plpgsql; CREATE TRIGGER t BEFORE INSERT ON pair EXECUTE FUNCTION full_disk()",
    )
    with pytest.raises(DiskFullError, match="nothing of this change was kept"):
        await fill(store, SampleRow(id=2), PairRow(first="a", second=1))
    assert [row.id for row in await stored(store)] == [1]
    await fill(store, SampleRow(id=3))


async def test_more_readers_than_sessions_wait_and_are_then_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "PATIENCE_S", 0.01)
    clock, folder = SteppedClock(), sample_folder(tmp_path)
    async with await PostgresStore.open(server, clock=clock, folder=folder, sessions=1) as store, store.read() as view:
        assert await view.count(SampleRow) == 0
        with pytest.raises(UnavailableError, match="sessions"):
            await stored(store)


async def write_while_it_dies(store: PostgresStore, postgres: OwnCluster) -> None:
    async with store.write() as change:
        await change.insert(SampleRow(id=2))
        await asyncio.to_thread(postgres.stop)
        await change.insert(SampleRow(id=3))


async def test_a_database_that_goes_away_and_comes_back_is_found_again(store: PostgresStore, postgres: Cluster) -> None:
    if not isinstance(postgres, OwnCluster):
        pytest.skip("the server is not ours to stop")
    await fill(store, SampleRow(id=1))
    await stored(store)  # so that a session for reading lies ready, too
    try:
        with pytest.raises(UnavailableError, match="cannot be reached"):
            await write_while_it_dies(store, postgres)
        for action in (fill(store, SampleRow(id=4)), stored(store)):
            with pytest.raises(UnavailableError, match="cannot be reached"):
                await action
    finally:
        await asyncio.to_thread(postgres.start)
    assert [row.id for row in await stored(store)] == [1]
    await fill(store, SampleRow(id=5))
    assert [row.id for row in await stored(store)] == [1, 5]


async def test_a_process_without_a_free_descriptor_ends_no_session_for_it(store: PostgresStore) -> None:
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        store._door._doubt()
        await store._door.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not store._commits.session.lost
