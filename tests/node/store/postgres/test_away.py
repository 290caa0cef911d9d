"""While the database is away: what cannot be wrong is answered, everything else is 503, and nobody waits long."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from federation.sets import BASE
from node.api.federation import BELIEVED_S
from node.api.routes import Route
from node.api.table import ALL_ROUTES
from node.store.postgres import connection
from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from protocol.errors import UnavailableError
from protocol.keydirectory import DIRECTORY_PATH
from protocol.peers import DOCUMENT_PATH
from tests.attacks.world import HOST, World, filled, world
from tests.contracts.sample_store import open_sample_database
from tests.contracts.store import SampleRow, fill, stored
from tests.federation.stations import RawAnswer
from tests.node.pairing import grow
from tests.postgres import OwnCluster, own_cluster

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

TILE: Final = "/log/tile/0/000.p/3"
#: What is answered without the database, and not because something is wrong with the question.
ANSWERED: Final = frozenset(
    {
        "/health",
        "/version",
        "/openapi.json",
        "/metrics",
        "/operator/v1/operations",
        "/sign-in",
        "/api/v1/consents",
        DOCUMENT_PATH,
        DIRECTORY_PATH,
    }
)
#: Far below the minute for which a session may say nothing.
SOON_S: Final = 40.0


@pytest.fixture(scope="module")
def own() -> Iterator[OwnCluster]:
    """Yield a server that may be stopped."""
    with own_cluster() as cluster:
        yield cluster


@contextmanager
def hanging(server: OwnCluster) -> Iterator[None]:
    """Let the server hang, and everybody doubt soon that it is there."""
    with server.frozen(), pytest.MonkeyPatch.context() as hurry:
        hurry.setattr(connection, "DOUBT_S", 0.2)
        hurry.setattr(connection, "CONNECT_S", 1.0)
        yield


async def in_mid_transaction(store: PostgresStore, begun: asyncio.Event, frozen: asyncio.Event) -> None:
    async with store.write() as change:
        await change.insert(SampleRow(id=2))
        begun.set()
        await frozen.wait()
        await change.insert(SampleRow(id=3))


async def test_a_database_that_hangs_is_found_out_and_everybody_is_told(own: OwnCluster, tmp_path: Path) -> None:
    async with await open_sample_database(Server(url=await own.fresh()), tmp_path) as store:
        await fill(store, SampleRow(id=1))
        await stored(store)
        begun, frozen = asyncio.Event(), asyncio.Event()
        waiting: list[asyncio.Task[object]] = [asyncio.create_task(in_mid_transaction(store, begun, frozen))]
        await begun.wait()
        with hanging(own):
            frozen.set()
            waiting += [asyncio.create_task(fill(store, SampleRow(id=10 + one))) for one in range(20)]
            waiting += [asyncio.create_task(stored(store)) for _ in range(20)]
            done, late = await asyncio.wait(waiting, timeout=SOON_S)
            assert late == set()
            assert {type(one.exception()) for one in done} == {UnavailableError}
            async with asyncio.timeout(SOON_S):
                for _ in range(5):
                    with pytest.raises(UnavailableError):
                        await stored(store)
        await back(store)


async def back(store: PostgresStore) -> None:
    """Return once the store finds the database again; nothing of what was refused is there."""
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                assert [row.id for row in await stored(store)] == [1]
                break
            except UnavailableError:
                await asyncio.sleep(0.05)
    await fill(store, SampleRow(id=4))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def aurora(own: OwnCluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Yield a node with a log of some entries, one of whose tiles was read, and then its database goes away."""
    store = {"url": await own.fresh(), "several": True, "sessions": 2}
    async with world(tmp_path_factory.mktemp("away") / "aurora", store=store) as made:
        node = made.node.node
        assert await node.base.beside.seek_duty()
        await node.log.announce()
        await grow(node, 3)
        assert (await made.send("GET", TILE)).status == 200
        own.stop()
        try:
            yield made
        finally:
            own.start()


async def ask(made: World, route: Route) -> RawAnswer:
    """Ask as somebody who may."""
    path, body = filled(route), b"" if route.method in {"GET", "DELETE"} else b"{}"
    kind = route.request_content_type if body else None
    if route.auth == "peer":
        return await made.ask(made.birch, route.method, path, body, kind)
    headers = [("Host", f"127.0.0.1:{made.node.port}") if route.auth in {"operator", "local"} else HOST]
    headers += [("Content-Type", kind)] if kind else []
    if route.auth == "device":
        headers.append(("Authorization", f"Bearer {'A' * 43}"))
    if route.auth in {"operator", "local"}:
        headers.append(("Authorization", made.operator))
    return await made.send(route.method, path, headers, body)


async def test_every_route_answers_without_the_database_refuses_the_question_or_says_when_to_come_back(
    aurora: World,
) -> None:
    away, answered = set(), set()
    for route in ALL_ROUTES:
        answer = await ask(aurora, route)
        if answer.status == 200:
            answered.add(route.path)
        elif answer.status == 503 and route.path != "/ready":
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert b"the database cannot be reached" in answer.body
            assert int(answer.headers["retry-after"]) >= 1
            away.add(route.auth)
        else:
            assert 400 <= answer.status < 500 or route.path == "/ready", (route, answer)
        if route.auth == "device" or (route.auth == "peer" and route.method == "GET"):
            assert answer.status == 503, "who asks is decided by the database"
    assert answered == ANSWERED
    assert away == {"public", "page", "device", "peer", "operator"}


async def test_a_tile_that_was_read_is_given_and_a_checkpoint_is_not(aurora: World) -> None:
    assert (await aurora.send("GET", TILE)).status == 200
    assert (await aurora.send("GET", "/log/tile/0/000.p/2")).status == 503
    assert (await aurora.send("GET", "/log/checkpoint")).status == 503


async def test_a_page_of_a_set_is_given_to_nobody_whose_right_to_it_cannot_be_looked_up(aurora: World) -> None:
    answer = await aurora.ask(aurora.birch, "GET", f"{BASE}/sets/x/catalog/snapshots/1/0")
    assert answer.status == 503


async def test_who_the_node_is_is_said_for_a_while_only(aurora: World) -> None:
    asleep = aurora.clock.sleeping + 1
    watch = asyncio.create_task(aurora.node.node.base.store.lost())
    try:
        await aurora.clock.until_sleeping(asleep)
        for seconds, status in ((2, 200), (BELIEVED_S, 200), (2, 503)):
            aurora.clock.advance(seconds)
            await aurora.clock.until_sleeping(asleep)
            for path in (DOCUMENT_PATH, DIRECTORY_PATH):
                assert (await aurora.send("GET", path)).status == status
    finally:
        watch.cancel()
