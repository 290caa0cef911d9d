"""The floor of delivery: a trivial relay of two nodes that lies beside this repository and is measured in the same run.

It is looked for where `MENTORMESH_SHARED` says, else in a folder `shared` beside the repository's; it is only run.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

from tests.node.running import free_port
from tests.system.two_nodes import cpu_seconds, resident_mib

ROOT: Final = Path(__file__).parents[2]
#: As its README says.
PROGRAM: Final = Path("bench", "relay-floor", "floor_server.py")


def floor_program() -> Path | None:
    """Return the floor's program, None where there is none."""
    folder = Path(os.environ.get("MENTORMESH_SHARED", ROOT.parent / "shared"))
    return path if (path := folder / PROGRAM).is_file() else None


class FloorNode:
    """One process of the floor."""

    def __init__(self, folder: Path, name: str) -> None:
        self.port: Final = free_port()
        self.url: Final = f"http://127.0.0.1:{self.port}"
        self.database: Final = folder / f"{name}.db"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, program: Path, peer: "FloorNode", http: aiohttp.ClientSession) -> None:
        """Return once it answers."""
        words = ("durable", "127.0.0.1", str(self.port), peer.url, str(self.database))
        self._process = await asyncio.create_subprocess_exec(sys.executable, str(program), *words)
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"{self.url}/ready"):
                    return
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()

    @property
    def cpu_s(self) -> float:
        """Processor seconds that the process has used."""
        assert self._process is not None
        return cpu_seconds(self._process.pid)

    @property
    def resident_mib(self) -> float:
        """Resident memory of the process."""
        assert self._process is not None
        return resident_mib(self._process.pid)


class Floor:
    """Two of them; messages go from the first to the second."""

    def __init__(self, nodes: tuple[FloorNode, FloorNode], http: aiohttp.ClientSession) -> None:
        self.nodes: Final = nodes
        self.read: Final[list[float]] = []
        self._http: Final = http
        self._since = 0
        self._news: Final = asyncio.Event()
        self._number = 0

    async def send(self, text: str) -> None:
        """Hand one message to the first node."""
        self._number += 1
        message = {"id": f"{os.urandom(8).hex()}{self._number}", "body": text}
        async with self._http.post(f"{self.nodes[0].url}/send", json=message) as answer:
            assert answer.status == 202

    async def listen(self) -> None:
        """Read for ever at the second node."""
        while True:
            async with self._http.get(f"{self.nodes[1].url}/poll", params={"since": str(self._since)}) as answer:
                page = await answer.json()
            self._since = page["next"]
            self.read.extend([time.perf_counter()] * len(page["rows"]))
            self._news.set()

    async def until(self, count: int) -> None:
        """Return once so many messages were read."""
        while len(self.read) < count:
            self._news.clear()
            await self._news.wait()


@asynccontextmanager
async def floor(folder: Path, program: Path) -> AsyncIterator[Floor]:
    """Yield a running floor whose second node is listened to."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        nodes = FloorNode(folder, "one"), FloorNode(folder, "two")
        try:
            await asyncio.gather(nodes[0].start(program, nodes[1], http), nodes[1].start(program, nodes[0], http))
            made = Floor(nodes, http)
            listening = asyncio.create_task(made.listen())
            yield made
            listening.cancel()
        finally:
            for node in nodes:
                await node.stop()
