"""A company whose node several processes serve from one PostgreSQL, reached through a balancer; each may be killed."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from cli.demo.balancer import Balancer
from federation.ports import Reader
from node.clock import SystemClock
from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from tests.node.running import free_port
from tests.patience import PATIENCE_S
from tests.postgres import OwnCluster

from .two_nodes import NodeProcess, cpu_seconds, resident_mib


class Served:
    """One process of a company."""

    def __init__(self, company: "Company") -> None:
        self.port: Final = free_port()
        self.process: asyncio.subprocess.Process | None = None
        self._company: Final = company

    async def start(self) -> None:
        """Return once it answers."""
        self.process = await self._company.serve(self.port)

    async def kill(self) -> None:
        """End it as a power button would."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """End it properly."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await asyncio.wait_for(self.process.wait(), PATIENCE_S)


class Company(NodeProcess):
    """One node of several processes: a `NodeProcess` whose address is a balancer's."""

    def __init__(self, folder: Path, name: str, url: str, *, processes: int = 2) -> None:
        super().__init__(folder, name)
        self.sections = {"store": {"url": url, "several": True}, "development": {"port": self.port}}
        self.processes: Final[Sequence[Served]] = [Served(self) for _ in range(processes)]
        self._url: Final = url
        self._front: Final = Balancer(*(each.port for each in self.processes), port=self.port)
        self._open: Final = AsyncExitStack()
        self._variables: Mapping[str, str] = {}

    async def serve(self, port: int) -> asyncio.subprocess.Process:
        """Return a new process that answers at a port of its own, once it does."""
        return await self.started({**self._variables, "MENTORMESH_NODE_LISTEN": f"127.0.0.1:{port}"})

    async def start(self, variables: Mapping[str, str] | None = None) -> None:
        """Open the balancer and start all processes."""
        self._variables = variables or {}
        await self._open.enter_async_context(self._front)
        await asyncio.gather(*(each.start() for each in self.processes))

    async def stop(self) -> None:
        """End all processes properly, and the balancer."""
        await asyncio.gather(*(each.stop() for each in self.processes))
        await self._open.aclose()

    @asynccontextmanager
    async def rows(self) -> AsyncIterator[Reader]:
        """Yield a reader of what the node holds, also while it runs."""
        async with (
            await PostgresStore.open(Server(url=self._url), clock=SystemClock(), alone=False) as store,
            store.read() as reader,
        ):
            yield reader

    @property
    def _pids(self) -> list[int]:
        return [each.process.pid for each in self.processes if each.process is not None]

    @property
    def cpu_s(self) -> float:
        """Processor seconds that the processes have used."""
        return sum(map(cpu_seconds, self._pids))

    @property
    def resident_mib(self) -> float:
        """Resident memory of the processes."""
        return sum(map(resident_mib, self._pids))


class Database:
    """The server of everybody, which may be stopped and started again."""

    def __init__(self, cluster: OwnCluster) -> None:
        self._cluster: Final = cluster

    async def kill(self) -> None:
        """End it at once; every session breaks."""
        await asyncio.to_thread(self._cluster.stop)

    async def start(self) -> None:
        """Return once it answers."""
        await asyncio.to_thread(self._cluster.start)
