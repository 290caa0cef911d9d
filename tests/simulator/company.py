"""A node that crashes: what is committed stays, everything in memory is lost, and it starts anew."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from federation.delivery import begin
from federation.ports import Reader, Row, Writer
from federation.rows import MailboxHeadRow, MailboxRow
from node.sections import HandshakeSection
from protocol.concepts import Vocabulary
from protocol.errors import MeshError, UnavailableError
from protocol.signing import VerifyKey
from tests.fakes.entropy import SeededEntropy
from tests.fakes.memory_store import MemoryStore, Table, _Change
from tests.node.exchange.world import Network, TestNode

from .faults import Faults
from .loop import LoopClock

T = TypeVar("T")

SWEEP_EVERY_S: Final = 300.0
#: A crashed node is away for so many seconds.
AWAY_S: Final = (1.0, 60.0)
#: Times of a seed by which quotes, answers and both sides' patience end.
CLOCKS: Final = HandshakeSection(
    tick_ms=250, flush_s=10, quote_valid_s=300, deadline_s=900, expiry_grace_s=120, quota_least=1000
)


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


class Company(TestNode):
    """One organization's node, which serves its people and peers while it lives."""

    def __init__(
        self, name: str, network: Network, vocabulary: Vocabulary, clock: LoopClock, faults: Faults, seed: int
    ) -> None:
        self.name: Final = name
        self.tables: Final[dict[type[Row], Table]] = {}
        self.mistakes: Final[list[str]] = []
        self.rings: Final[dict[str, Callable[[], None]]] = {}
        self._faults: Final = faults
        self._lives = 0
        self._seed: Final = seed
        self.life: Life
        super().__init__(name, network, vocabulary, clock, MemoryStore(self.tables), seed, CLOCKS)

    def start(self) -> None:
        """Begin a life with what the disk holds."""
        self._lives += 1
        self.life = Life(self._crash, self._faults)
        store = Disk(self.tables, self.life, self._ring)
        self.restart(store, SeededEntropy(self._seed + self._lives * 1000))
        for job in (self.exchanging.outbox.run, self._come_back, self._sweep):
            self._own(job).add_done_callback(lambda _: None)

    def _ring(self, label: str) -> None:
        if label in self.rings:
            self.rings[label]()

    async def _come_back(self) -> None:
        await begin(self.store, self.entropy, entity=self.entity, generation=1)
        await self.exchanging.returning.run()

    async def _sweep(self) -> None:
        while True:
            await self.clock.sleep(SWEEP_EVERY_S)
            await self.exchanging.sweep()

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

    def count(self, event: str) -> int:
        """Return how often the node, over all its lives, counted an event."""
        samples = next(iter(self.around.events.metrics.events.collect())).samples
        return sum(round(one.value) for one in samples if one.name.endswith("_total") and one.labels["event"] == event)

    def peer_key(self, entity: str) -> VerifyKey:
        """Return the key by which a node signs messages."""
        if entity == self.entity:
            return self.keys.envelope_sign.public
        return VerifyKey.parse(self.directory.get(entity).document.keys.envelope_sign)

    def head(self, label: str) -> int:
        """Return the last cursor given in a mailbox."""
        row = self.tables.get(MailboxHeadRow, {}).get((label,))
        return row.cursor if isinstance(row, MailboxHeadRow) else 0

    def rows(self, kind: type[Row]) -> list[Row]:
        """Return all committed rows of a table."""
        return list(self.tables.get(kind, {}).values())
