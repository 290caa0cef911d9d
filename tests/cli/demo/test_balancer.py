"""The demo's balancer before real sockets: who gets a connection, and what happens when nobody takes it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cli.demo import balancer
from cli.demo.balancer import Balancer
from tests.node.running import free_port


@asynccontextmanager
async def process(name: bytes) -> AsyncIterator[int]:
    """Yield the port of something that answers each line with its name and the line."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(name + b" " + line)
            if line == b"last\n":
                break
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1")
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def said(port: int, line: bytes = b"hello\n") -> bytes:
    """Return what is answered on a connection of its own: nothing if that ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(line)
    try:
        return await reader.readline()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_processes_take_turns_and_the_connections_of_each_are_counted() -> None:
    async with process(b"1") as one, process(b"2") as two, Balancer(one, two) as front:
        assert [await said(front.port) for _ in range(4)] == [b"1 hello\n", b"2 hello\n"] * 2
        assert front.carried == {one: 2, two: 2}


async def test_a_process_that_is_away_is_passed_over_and_comes_back_by_its_new_port() -> None:
    async with process(b"1") as one, Balancer(one, free_port()) as front:
        assert {await said(front.port) for _ in range(3)} == {b"1 hello\n"}
        async with process(b"2") as two:
            front.targets = (one, two)
            assert {await said(front.port) for _ in range(2)} == {b"1 hello\n", b"2 hello\n"}


@pytest.mark.parametrize("targets", [(), (0,)])
async def test_when_no_process_takes_it_a_connection_ends(targets: tuple[int, ...]) -> None:
    async with Balancer(*(free_port() for _ in targets)) as front:
        assert await said(front.port) == b""


async def test_what_was_answered_arrives_before_the_end() -> None:
    async with process(b"x" * 300_000) as one, Balancer(one) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"last\n")
        assert len(await reader.read()) == 300_006
        writer.close()


async def test_more_connections_than_it_carries_end_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balancer, "MOST", 1)
    async with process(b"1") as one, Balancer(one) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"hello\n")
        assert await reader.readline() == b"1 hello\n"
        assert await said(front.port) == b""
        writer.close()
        assert await reader.read() == b""


async def test_its_end_ends_every_connection_also_of_who_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balancer, "FLUSH_S", 0.01)
    async with process(b"x" * 8_000_000) as one:
        async with Balancer(one) as front:
            deaf, writer = await asyncio.open_connection("127.0.0.1", front.port, limit=1)
            writer.write(b"hello\n")
            await deaf.readexactly(1)
        with pytest.raises(ConnectionRefusedError):
            await said(front.port)
        writer.close()
