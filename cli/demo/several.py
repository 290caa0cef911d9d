"""A node of the demo that two processes serve together, behind a balancer and on one PostgreSQL."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING, Any, Final, TypeVar

from node.health import Readiness
from node.operations import Command
from node.store.inspection import Where
from protocol.encoding import decode_loose
from protocol.errors import RefusedError, UnavailableError

from .balancer import Balancer
from .companies import Company
from .database import SESSIONS, Database
from .events import ProcessServed
from .nodes import NodeProcess, Settings
from .patience import waiting
from .process import ServeProcess

if TYPE_CHECKING:
    from node.store.postgres.connection import Server

T = TypeVar("T")

#: Processes of a node.
PROCESSES: Final = 2
LOOK_EVERY_S: Final = 0.05


class SeveralProcesses(NodeProcess):
    """One node in a schema of its own; people, peers and its operator reach it through the balancer alone."""

    def __init__(self, company: Company, folder: Path, database: Database, changes: Settings | None = None) -> None:
        super().__init__(company, folder, changes)
        self._database: Final = database
        self._balancer: Final = Balancer()
        self._schema: Server | None = None

    def _planned(self) -> tuple[ServeProcess, ...]:
        return tuple(ServeProcess(self.folder, f"serve-{number}.log") for number in range(1, PROCESSES + 1))

    @property
    def database(self) -> Where:
        """Where its schema is."""
        assert self._schema is not None
        return self._schema

    @property
    def url(self) -> str:
        """Where the balancer takes connections."""
        return f"http://127.0.0.1:{self._balancer.port}"

    async def open(self) -> None:
        """Make the schema, and listen. Raises: MeshError: the database does not let us."""
        self._schema = await self._database.schema(self.plan.name)
        await self._balancer.open()

    def _settings(self) -> Iterable[tuple[str, Mapping[str, Any]]]:
        assert self._schema is not None
        yield from super()._settings()
        yield "store", {"url": self._schema.url, "several": True, "sessions": SESSIONS}
        yield "development", {"port": self._balancer.port}

    async def start(self) -> None:
        """Start the processes one after the other: the first one makes the tables."""
        await super().start()
        self._balancer.targets = tuple(process.port for process in self.processes)

    async def close(self) -> None:
        """End the balancer."""
        await self._balancer.close()

    async def ask(self, name: str, command: Command, kind: type[T]) -> T:
        """Return the result of an operator's operation, of the process on duty if it must be that one."""
        try:
            return await super().ask(name, command, kind)
        except RefusedError as error:
            if error.code != "not-on-duty":
                raise
        return await (await self._on_duty()).access.call(name, command, kind)

    async def kill(self) -> ProcessServed:
        """End the process on duty as a power button would, and return what it was. Raises: UnavailableError: none."""
        process = await self._on_duty()
        process.signal(SIGKILL)
        await process.ended()
        return self._served(process, on_duty=True)

    async def served(self) -> tuple[ProcessServed, ...]:
        """Return what each process has done so far, once one is on duty. Raises: UnavailableError: none is."""
        on_duty = await self._on_duty()
        return tuple(self._served(one, on_duty=one is on_duty) for one in self.processes)

    def _served(self, process: ServeProcess, *, on_duty: bool) -> ProcessServed:
        return ProcessServed(
            company=self.plan.name,
            pid=process.pid,
            connections=self._balancer.carried[process.port],
            on_duty=on_duty,
            killed=not process.is_there,
        )

    async def _on_duty(self) -> ServeProcess:
        """Return the process that does what one does for all, once there is one."""
        async with waiting(f"no process of {self.plan.display_name} goes on duty"):
            while True:
                for process in self.processes:
                    if process.is_there and await _is_on_duty(process):
                        return process
                await asyncio.sleep(LOOK_EVERY_S)


def planned(company: Company, folder: Path, database: Database | None, changes: Settings | None = None) -> NodeProcess:
    """Return a node that lives in `folder`: of several processes in a database, of one in a file."""
    if database is None:
        return NodeProcess(company, folder, changes)
    return SeveralProcesses(company, folder, database, changes)


async def _is_on_duty(process: ServeProcess) -> bool:
    try:
        answer = await asyncio.to_thread(process.access.ask, "GET", "/ready")
    except UnavailableError:  # it is not ready for anything at this moment
        return False
    return decode_loose(answer, Readiness, what="answer of the node").on_duty
