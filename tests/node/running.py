"""A real node on a real socket in the process of the test, with a stepped clock and seeded entropy."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from federation.ports import Clock
from node import config as configuration
from node.api.app import build_app
from node.api.problems import Problem
from node.api.server import Runner, bind
from node.app import Node, open_node
from node.birth import create_node
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.kept import kept

Settings = Mapping[str, Mapping[str, Any]]

ENTITY: Final = "https://aurora.example"
BASIC: Final[Settings] = {
    "node": {"entity": ENTITY, "listen": "127.0.0.1:0"},
    "org": {"display_name": "Aurora Freight", "countries": ["DE"]},
    "development": {"enabled": True},
}


def settings(**sections: Mapping[str, Any]) -> Settings:
    """Return basic settings with these sections' values on top."""
    return {name: {**BASIC.get(name, {}), **sections.get(name, {})} for name in {**BASIC, **sections}}


def make_directory(directory: Path, chosen: Settings = BASIC, *, seed: int = 1) -> Path:
    """Make a node directory and return it."""
    create_node(directory, chosen, SeededEntropy(seed))
    return directory


class Running:
    """A node that answers."""

    def __init__(self, node: Node, port: int) -> None:
        self.node: Final = node
        self.port: Final = port
        self.url: Final = f"http://127.0.0.1:{port}"
        self.api: Final = {"Host": "aurora.example"}
        self.page: Final = {"Host": f"aurora.localhost:{port}"}

    async def raw(self, request: bytes, *, until_close: bool = True) -> bytes:
        """Send bytes as they are; return everything that comes back until the node closes, or the first answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            await writer.drain()
            return await (reader.read() if until_close else reader.read(65536))
        finally:
            writer.close()


@asynccontextmanager
async def running(
    directory: Path, chosen: Settings = BASIC, *, clock: Clock | None = None, seed: int = 1
) -> AsyncIterator[Running]:
    """Run a new node while inside; nodes with keys of their own have seeds of their own."""
    async with (
        kept.section(chosen.get("store", {})) as store,
        served(make_directory(directory, {**chosen, "store": store}, seed=seed), clock=clock, seed=seed) as node,
    ):
        yield node


@asynccontextmanager
async def served(directory: Path, *, clock: Clock | None = None, seed: int = 1) -> AsyncIterator[Running]:
    """Run the node of a directory while inside."""
    config = configuration.parse((directory / "mentormesh.toml").read_text(), {})
    with bind(config.listen_host, config.listen_port) as listening:
        port = listening.getsockname()[1]
        opened = open_node(directory, config, port=port, clock=clock or SteppedClock(), entropy=SeededEntropy(seed))
        async with opened as node:
            runner = Runner(build_app(node), limits=config.limits, gauge=node.base.events.metrics.connections)
            await runner.setup()
            try:
                await runner.listen(listening)
                yield Running(node, port)
            finally:
                await runner.cleanup()
                await node.base.jobs.stop(1)


async def problem(answer: aiohttp.ClientResponse) -> Problem:
    """Return the problem of an answer that is one."""
    assert answer.content_type == "application/problem+json"
    return msgspec.json.decode(await answer.read(), type=Problem)


def free_port() -> int:
    """Return a port that nobody uses, and that the system gives to nobody who did not ask for it.

    One that the system chose may be given to the next connection that somebody opens before we listen on it again.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
