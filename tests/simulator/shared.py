"""Companies whose node is two processes over one PostgreSQL; requests alternate between them, and either may crash.

A process is what it is in `company.py`, but for its store, which is a `PostgresStore` with other processes beside it,
and for what the product does then: it claims peers, hears of others' commits and hints, and one process is on duty. A
crash ends its sessions at once, before or after a commit. What the database and its notifications decide is real; so a
seed draws the same people and faults each time, but need not play the same run.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from itertools import cycle
from typing import Final, TypeVar

from msgspec.structs import replace

from federation.ports import Clock, Reader, Row, Value, Writer
from federation.rows import MailboxRow, OutboxRow
from node.beside import Beside
from node.exchanging import Exchanging
from node.store.postgres import connection
from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from node.store.postgres.transactions import Transaction
from protocol.concepts import Vocabulary
from protocol.errors import UnavailableError
from tests.fakes.entropy import SeededEntropy
from tests.kept import EMPTY
from tests.node.exchange.world import Network
from tests.postgres import script

from .company import SWEEP_EVERY_S, Company
from .eye import Eye
from .faults import Faults
from .loop import LoopClock
from .process import Life, Process

T = TypeVar("T")

PROCESSES: Final = 2
#: Of each process; a run has as many processes as all its companies together.
SESSIONS: Final = 2
#: What a process hears of a peer, the others hear too.
MET: Final = "met"


class StillClock:
    """Tells the time of the run, and wakes nobody: no session is lost without a word here, so nobody looks for one."""

    def __init__(self, clock: Clock) -> None:
        self.now: Final = clock.now
        self.now_ms: Final = clock.now_ms

    async def sleep(self, _: float) -> None:
        """Never return."""
        await asyncio.get_running_loop().create_future()


class SharedStore(PostgresStore):
    """The store of one life; each side of a commit may be its last moment."""

    life: Life
    ring: Callable[[str | None], None]

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """Yield a snapshot reader."""
        self.life.require()
        async with super().read() as view:
            yield view

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        """Yield a transaction."""
        self.life.require()
        async with super().write() as tx:
            yield tx
            self.life.boundary("before a commit")
        assert isinstance(tx, Transaction)
        if MailboxRow in tx.touched:
            for label in tx.touched[MailboxRow] or (None,):
                self.ring(label)
        self.life.boundary("after a commit")

    def vanish(self) -> None:
        """End all sessions, as the death of a process does."""
        for session in list(self._door._open):
            session.drop()
        if self.others is not None and self.others._listening is not None:
            self.others._listening.cancel()


class Service(Process):
    """One of the processes of a company."""

    def __init__(self, company: "SharedCompany", number: int, faults: Faults) -> None:
        super().__init__(f"{company.name} {number}", faults)
        self.company: Final = company
        self.exchanging: Exchanging
        self.ready = asyncio.Event()
        self._number: Final = number
        self._store: SharedStore | None = None

    def start(self) -> None:
        """Begin a life on what the database holds."""
        self.lives += 1
        self.life = Life(self._crash, self._faults)
        self._own(self._open).add_done_callback(lambda _: None)

    async def _open(self) -> None:
        store = self._store = await self._opened()
        store.life, store.ring = self.life, self.company.ring
        beside = Beside(store.others, self.company.clock)
        entropy = SeededEntropy(self.company.seed + 1000 * self.lives + 500_000 * self._number)
        self.exchanging = Exchanging(replace(self.company.around, store=store, entropy=entropy, claim=beside.claim))
        # As node/freshness.py and node/hints.py do, as far as an exchange goes.
        beside.wake_by_name(self.exchanging.mailboxes.wake, MailboxRow)
        beside.keep(self.exchanging.outbox.look_again, OutboxRow)
        beside.on_hint(MET, self.exchanging.outbox.back)
        for job in (self.exchanging.outbox.run, beside.run, lambda: self._sweep(beside)):
            self._own(job).add_done_callback(lambda _: None)
        self.ready.set()

    async def _opened(self) -> SharedStore:
        company = self.company
        while True:
            try:
                return await SharedStore.open(
                    Server(url=company.url), clock=StillClock(company.clock), sessions=SESSIONS, alone=False
                )
            except UnavailableError:
                await company.clock.sleep(1)

    async def _sweep(self, beside: Beside) -> None:
        """Do what one process does for all, while it is this one."""
        while True:
            await self.company.clock.sleep(SWEEP_EVERY_S / PROCESSES)
            if await beside.seek_duty():
                await self.exchanging.sweep()

    def _crash(self, where: str) -> None:
        self.vanish()
        super()._crash(where)

    def vanish(self) -> None:
        """End the sessions with the database."""
        self.ready.clear()
        if self._store is not None:
            self._store.vanish()

    def _own(self, work: Callable[[], Awaitable[T]]) -> "asyncio.Task[T]":
        async def here() -> T:
            _HERE.set(self)
            return await work()

        return super()._own(here)


#: The process that runs the present task.
_HERE: Final[ContextVar[Service]] = ContextVar("service")


class SharedCompany(Company):
    """A node of two processes as its people and peers see it: one address."""

    #: Where each company's rows are, and who reads them while the run stands still; whoever plays sets both.
    urls: Sequence[str]
    eye: Eye

    def __init__(
        self, name: str, network: Network, vocabulary: Vocabulary, clock: LoopClock, faults: Faults, seed: int
    ) -> None:
        self._unserved: Exchanging
        super().__init__(name, network, vocabulary, clock, faults, seed)
        self.seed: Final = seed
        self.url: Final = self.urls[seed - 1]
        self.services: Final = [Service(self, number, faults) for number in range(PROCESSES)]
        self._turns: Final = cycle(self.services)
        self._resting = False

    @property
    def exchanging(self) -> Exchanging:
        """The exchange of the process that runs the present task."""
        here = _HERE.get(None)
        return here.exchanging if here is not None and here.company is self else self._unserved

    @exchanging.setter
    def exchanging(self, made: Exchanging) -> None:
        self._unserved = made

    def ring(self, label: str | None) -> None:
        """Let somebody's device hear that something arrived, or everybody's."""
        for one in self.rings if label is None else {label} & self.rings.keys():
            self.rings[one]()

    async def begin(self) -> None:
        """Lay the rows into the database and start both processes."""
        await connection.finished(script(self.url, EMPTY))
        clock = StillClock(self.clock)
        async with await PostgresStore.open(Server(url=self.url), clock=clock) as store, store.write() as tx:
            for rows in self.tables.values():
                await tx.insert(*rows.values())
        for service in self.services:
            service.start()
            await service.ready.wait()

    async def serve(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what the next process answers that lives. Raises: UnavailableError: none does, or not any more."""
        for _ in self.services:
            service = next(self._turns)
            if service.ready.is_set():
                return await service.serve(work)
        raise UnavailableError("node is down", code="node-down")

    async def rest(self) -> None:
        """End both processes and take the rows out of the database."""
        for service in self.services:
            service.life.alive = False
            for task in service.life.tasks:
                task.cancel()
            service.vanish()
            self.mistakes.extend(service.mistakes)
        await asyncio.sleep(1)
        self._resting = True
        self.tables.clear()

    def row(self, kind: type[Row], *key: Value) -> Row | None:
        """Return the committed row of a key."""
        return super().row(kind, *key) if self._loaded(kind) else self.eye.get(self.url, kind, *key)

    def rows(self, kind: type[Row]) -> list[Row]:
        """Return all committed rows of a table."""
        return super().rows(kind) if self._loaded(kind) else self.eye.all(self.url, kind)

    def _loaded(self, kind: type[Row]) -> bool:
        """Tell whether a table is in memory, where it is put for good once everything rests."""
        if self._resting and kind not in self.tables:
            rows = self.eye.all(self.url, kind)
            self.tables[kind] = {tuple(getattr(row, column) for column in kind.key): row for row in rows}
        return self._resting
