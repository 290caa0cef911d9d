"""A node's process that crashes: what is committed stays, everything in memory is lost, and it starts anew."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from federation.ports import Reader, Row, Value, Writer
from federation.rows import MailboxRow
from protocol.errors import MeshError, UnavailableError
from tests.fakes.memory_store import MemoryStore, Table, _Change

from .faults import Faults

T = TypeVar("T")

#: A crashed node is away for so many seconds.
AWAY_S: Final = (1.0, 60.0)


class CrashError(BaseException):
    """The process is gone; no `except Exception` of the node sees it."""


class Life:
    """One run of a node's process."""

    def __init__(self, crash: Callable[[str], None], faults: Faults) -> None:
        self._crash: Final = crash
        self._faults: Final = faults
        self.alive = True
        self.tasks: Final[dict[asyncio.Task[object], None]] = {}

    def require(self) -> None:
        """Return if the process still runs. Raises: CrashError."""
        if not self.alive:
            raise CrashError

    def boundary(self, where: str) -> None:
        """Perhaps crash here. Raises: CrashError."""
        self.require()
        if self._faults.hits("crash"):
            self._crash(where)
            raise CrashError


class Disk(MemoryStore):
    """The store of one life over the tables that outlive it; each side of a commit may be the last moment."""

    #: No database here ever comes back from a backup, or is a promoted replica.
    generation: Final = 1
    history: Final = ""

    def __init__(self, tables: dict[type[Row], Table], life: Life, ring: Callable[[str], None]) -> None:
        super().__init__(tables)
        self._life: Final = life
        self._ring: Final = ring

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """Yield a reader."""
        self._life.require()
        async with super().read() as view:
            yield view

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        """Yield a transaction."""
        self._life.require()
        async with super().write() as tx:
            yield tx
            self._life.boundary("before a commit")
        self._life.boundary("after a commit")

    def _commit(self, change: _Change) -> None:
        super()._commit(change)
        for row in change.overlays.get(MailboxRow, {}).values():
            if isinstance(row, MailboxRow):
                self._ring(row.label)


class Process(ABC):
    """One node's process: it serves, crashes and starts again on the rows that outlive it."""

    def __init__(self, name: str, faults: Faults) -> None:
        self.name: Final = name
        self.tables: Final[dict[type[Row], Table]] = {}
        self.mistakes: Final[list[str]] = []
        self.rings: Final[dict[str, Callable[[], None]]] = {}
        self.lives = 0
        self.life: Life
        self._faults: Final = faults

    @abstractmethod
    def start(self) -> None:
        """Begin a life with what the disk holds."""

    def open_disk(self) -> Disk:
        """Begin a life and return its store."""
        self.lives += 1
        self.life = Life(self._crash, self._faults)
        return Disk(self.tables, self.life, self._ring)

    def _ring(self, label: str) -> None:
        if label in self.rings:
            self.rings[label]()

    def _crash(self, where: str) -> None:
        self._faults.note(self.elapsed(), self.name, f"crashes {where}")
        self.life.alive = False
        for task in self.life.tasks:
            if task is not asyncio.current_task():
                task.cancel()
        away_s = self._faults.dice.uniform(*AWAY_S)
        asyncio.get_running_loop().call_later(away_s, self.start)

    def elapsed(self) -> float:
        """Return the seconds since the run began."""
        return asyncio.get_running_loop().time()

    def _own(self, work: Callable[[], Awaitable[T]]) -> "asyncio.Task[T]":
        life = self.life

        async def run() -> T:
            return await work()

        task = asyncio.get_running_loop().create_task(run())
        life.tasks[task] = None
        task.add_done_callback(lambda done: self._ended(life, done))
        return task

    def _ended(self, life: Life, task: "asyncio.Task[T]") -> None:
        life.tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None and life.alive and not isinstance(error, MeshError):
            self.mistakes.append(f"{self.name}: {error!r}")

    async def serve(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what the node answers. Raises: UnavailableError: it is down, or was before it answered."""
        if not self.life.alive:
            raise UnavailableError("node is down", code="node-down")
        task = self._own(work)
        await asyncio.wait((task,))
        if task.cancelled() or isinstance(task.exception(), CrashError):
            raise UnavailableError("node is down", code="node-down")
        return task.result()

    def row(self, kind: type[Row], *key: Value) -> Row | None:
        """Return the committed row of a key."""
        return self.tables.get(kind, {}).get(key)

    def rows(self, kind: type[Row]) -> list[Row]:
        """Return all committed rows of a table."""
        return list(self.tables.get(kind, {}).values())
