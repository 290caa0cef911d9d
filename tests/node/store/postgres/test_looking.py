"""An administrator's look into the schema of a node, and schemas that are made and removed."""

import asyncio

import pytest

from federation.ports import where
from federation.rows import EvidenceRow
from node.store.inspection import cells, look_into
from node.store.postgres import schemas
from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from protocol.errors import RefusedError
from tests.fakes.clock import SteppedClock
from tests.postgres import Cluster

pytestmark = pytest.mark.slow

NOW = 1_800_000_000


async def test_rows_are_read_whole_beside_an_open_store(server: Server) -> None:
    # The server packs what is as long and as regular as this.
    long = b"x" * 9_000 + b"needle" + b"y" * 9_000
    row = EvidenceRow(peer="https://birch.example", hash="h", thread="t", item=long, at=NOW)
    async with await PostgresStore.open(server, clock=SteppedClock(NOW)) as store:
        async with store.write() as tx:
            await tx.insert(row)
        async with look_into(server, now=NOW) as reader:
            assert await reader.find(EvidenceRow, where(thread="t")) == [row]
            assert not hasattr(reader, "insert")
        found = await asyncio.to_thread(lambda: list(cells(server, now=NOW)))
    assert ("evidence", "item", long) in found
    assert ("evidence", "peer", b"https://birch.example") in found


async def test_a_schema_is_made_once_and_goes_with_all_that_is_in_it(postgres: Cluster) -> None:
    server = Server(url=postgres.url)
    await schemas.create(server, "of_a_demo", now=NOW)
    inside = Server(url=schemas.within(postgres.url, "of_a_demo"))
    async with await PostgresStore.open(inside, clock=SteppedClock(NOW)) as store:
        assert store.generation == 1
    for _ in range(2):
        await schemas.drop(server, "of_a_demo", now=NOW)
    with pytest.raises(RefusedError, match="search_path"):
        await PostgresStore.open(inside, clock=SteppedClock(NOW))


@pytest.mark.parametrize("name", ["", "Big", "a b", 'a"; DROP SCHEMA public; --', "1st", "a" * 64])
async def test_a_schema_with_another_name_than_ours_is_a_mistake(name: str) -> None:
    with pytest.raises(ValueError, match="small letters"):
        await schemas.create(Server(url="postgresql://nobody@127.0.0.1:1/none"), name, now=NOW)
