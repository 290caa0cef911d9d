"""A URL of several hosts: whichever takes writes is found, also when a machine is gone without a word."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from node.store.postgres import connection, hosts
from node.store.postgres.connection import Server
from node.store.postgres.hosts import split_hosts
from tests.contracts.sample_store import open_sample_database
from tests.contracts.store import SampleRow, fill, stored
from tests.lines import Line
from tests.node.running import free_port
from tests.patience import PATIENCE_S
from tests.postgres import own_cluster


@pytest.mark.parametrize(
    ("url", "each"),
    [
        ("postgresql://n@a/d?sslmode=require", ["postgresql://n@a/d?sslmode=require"]),
        ("postgresql://n@a:1,b:2/d?x=y", ["postgresql://n@a:1/d?x=y", "postgresql://n@b:2/d?x=y"]),
        ("postgresql://[::1]:1,b/d", ["postgresql://[::1]:1/d", "postgresql://b/d"]),
        ("postgresql:///d?host=/run/a", ["postgresql:///d?host=/run/a"]),
        ("postgresql://n@/d?host=a,b&port=1", ["postgresql://n@/d?host=a&port=1", "postgresql://n@/d?host=b&port=1"]),
        ("postgresql://n@/d?host=a,b&port=1,2", ["postgresql://n@/d?host=a&port=1", "postgresql://n@/d?host=b&port=2"]),
        ("postgresql://n@/d?host=a,b", ["postgresql://n@/d?host=a&port=", "postgresql://n@/d?host=b&port="]),
        ("postgresql://n@/d?host=a,b,c&port=1,2", ["postgresql://n@/d?host=a,b,c&port=1,2"]),
        ("postgresql://n@/d", ["postgresql://n@/d"]),
    ],
)
def test_each_host_has_a_url_of_its_own(url: str, each: list[str]) -> None:
    assert list(split_hosts(url)) == each


@pytest.mark.parametrize("url", ["postgresql://n@a,/d", "postgresql://n@,a/d", "postgresql://n@/d?host=a,"])
async def test_a_list_of_hosts_with_an_empty_place_is_refused(url: str) -> None:
    with pytest.raises(asyncpg.ClientConfigurationError):
        await Server(url=url).session()


class Opened:
    def __init__(self) -> None:
        self.ended = False

    def terminate(self) -> None:
        self.ended = True


async def test_the_first_host_that_takes_us_wins_and_a_late_one_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "HEAD_START_S", 0.01)
    late, asked = Opened(), list[str]()

    async def connect(url: str) -> Opened:
        asked.append(url)
        if url == "refuses":
            raise ConnectionRefusedError
        if url == "silent":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return late
        return Opened()

    assert await hosts.first_open(["refuses", "silent", "takes us", "never asked"], connect) is not late
    assert asked == ["refuses", "silent", "takes us"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert late.ended


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([ConnectionRefusedError(), TimeoutError("silent"), asyncpg.InterfaceError("standby")], TimeoutError),
        ([ConnectionRefusedError(), asyncpg.InterfaceError("standby")], asyncpg.InterfaceError),
    ],
)
async def test_one_that_does_not_answer_at_all_counts_more_than_those_that_refuse(
    said: list[Exception], told: type[Exception]
) -> None:
    answers = iter(said)

    async def connect(_: str) -> Opened:
        raise next(answers)

    with pytest.raises(told):
        await hosts.first_open(["a"] * len(said), connect)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Yield the port of a server."""
    found = free_port()
    with own_cluster(port=found):
        yield found


@pytest_asyncio.fixture
async def lines(port: int) -> AsyncIterator[tuple[Line, Line]]:
    """Yield two ways to the server, as if they were two machines."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(Line(port)), await stack.enter_async_context(Line(port))


def through(lines: tuple[Line, Line]) -> Server:
    one, other = lines
    return Server(url=f"postgresql://mentormesh@127.0.0.1:{one.port},127.0.0.1:{other.port}/postgres")


@pytest.mark.slow
async def test_a_machine_that_is_gone_keeps_nobody_from_the_next_one(
    lines: tuple[Line, Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_S", PATIENCE_S)
    lines[0].cut()
    async with asyncio.timeout(PATIENCE_S / 2):  # before the one that is gone is given up
        session = await through(lines).session()
    await session.close()
    lines[1].cut()
    monkeypatch.setattr(connection, "CONNECT_S", 1.0)
    with pytest.raises(TimeoutError):
        await through(lines).session()


@pytest.mark.slow
async def test_sessions_with_a_machine_that_is_gone_end_once_another_one_takes_writes(
    lines: tuple[Line, Line], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "_LINE", ())  # the line itself is never given up
    async with await open_sample_database(through(lines), tmp_path) as store:
        await fill(store, SampleRow(id=1))
        assert len(await stored(store)) == 1
        writer = store._commits.session
        lines[0].cut()
        monkeypatch.setattr(connection, "DOUBT_S", 0.1)
        async with asyncio.timeout(connection.SILENCE_S / 2):  # before an answer is given up
            assert len(await stored(store)) == 1
        assert writer.lost
