"""What a node does to its store all day, in transactions that share commits, while a recorder looks on.

The store, its statements, group commit and migrations are the real ones. Commits run in the same thread as everything
else, so that the same seed is the same sequence of writes; only the salts that SQLite draws for itself differ.
"""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar
from unittest.mock import patch

import msgspec

from federation.logbook import FIRST_LOG, Logbook
from federation.ports import Reader, Row, Writer, at_most, where
from federation.rows import (
    InboxRow,
    LogCheckpointRow,
    LogEntryRow,
    LogStatedRow,
    LogTileRow,
    MailboxHeadRow,
    MailboxRow,
    NonceRow,
    OutboxRow,
    SetPageRow,
)
from federation.sequencer import Sequencer
from node.store import groupcommit
from node.store.sqlite import SqliteStore
from protocol.encoding import b64
from protocol.errors import ConflictError, MissingError
from protocol.logleaves import AgreementsLeaf
from protocol.signing import SigningKey
from tests.fakes.clock import SteppedClock

from .connection import recorded
from .recorder import Acknowledged, Recorder, Served

T = TypeVar("T")

START: Final = 1_800_000_000
OWN: Final = "https://aurora.example"
KEY: Final = SigningKey(b"\x17" * 32)
#: Tables that the workload writes.
KINDS: Final[tuple[type[Row], ...]] = (
    InboxRow,
    LogCheckpointRow,
    LogEntryRow,
    LogStatedRow,
    LogTileRow,
    MailboxHeadRow,
    MailboxRow,
    NonceRow,
    OutboxRow,
    SetPageRow,
)
#: Pages after which the log of SQLite moves into the database: few, so that power is often cut meanwhile.
CHECKPOINT_PAGES: Final = 50
WRITERS: Final = 6


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded workload: its steps, and the hash of all rows before any and after each transaction."""

    recorder: Recorder
    states: tuple[bytes, ...]
    commits: int


async def state_of(rows: Reader) -> bytes:
    """Return the hash of everything that the workload's tables hold."""
    hashed = hashlib.sha256()
    for kind in KINDS:
        hashed.update(kind.table.encode() + msgspec.json.encode(await rows.find(kind)))
    return hashed.digest()


async def live(folder: Path, seed: int, *, transactions: int) -> Life:
    """Return what happens to a new database in `folder`: some lives of a node, each begun by opening the store."""
    recorder = Recorder()
    work = _Work(recorder, random.Random(f"power cut {seed}"))
    with recorded(recorder), patch.object(groupcommit, "ThreadPoolExecutor", _SameThread):
        while len(work.states) <= transactions:
            store = SqliteStore.open(folder / "node.db", clock=work.clock)
            store._writer.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            await work.day(store, min(transactions, len(work.states) + transactions // 3))
            work.commits += store.commits
            await store.close()
    return Life(recorder=recorder, states=tuple(work.states), commits=work.commits)


class _SameThread(Executor):
    """Runs what it is given at once."""

    def __init__(self, *_: object, **__: object) -> None:
        """Take what a pool of threads takes."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":  # noqa: ANN401
        """Return what `fn` came to."""
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 -- handed to whoever waits
            done.set_exception(error)
        return done


class _Work:
    """Six writers who do one thing after the other."""

    def __init__(self, recorder: Recorder, dice: random.Random) -> None:
        self.recorder: Final = recorder
        self.dice: Final = dice
        self.clock: Final = SteppedClock(START)
        self.states: Final[list[bytes]] = []
        self.commits = 0
        self._numbers = 0

    async def day(self, store: SqliteStore, until: int) -> None:
        """Go on until there were so many transactions; now and then the log of SQLite is emptied."""
        if not self.states:
            async with store.read() as rows:
                self.states.append(await state_of(rows))
        told = _Told(store, self)
        sequencer = Sequencer(told, self.clock, own=OWN, key=KEY, generation=store.generation)
        while len(self.states) <= until:
            await asyncio.gather(*(self._something(told, sequencer) for _ in range(WRITERS)))
            self.clock.advance(60)
            if self.dice.random() < 0.1:
                await store.scrub()

    async def _something(self, store: "_Told", sequencer: Sequencer) -> None:
        work = self.dice.choice(
            (self._receive, self._send, self._hear, self._page, self._clean, self._fail, self._log, self._log)
        )
        for _ in range(self.dice.randint(1, 3)):
            await work(store, sequencer)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _some_bytes(self, most: int) -> bytes:
        return self.dice.randbytes(self.dice.randint(1, most))

    async def _receive(self, store: "_Told", _: Sequencer) -> None:
        number, label = self._number(), f"label {self.dice.randrange(3)}"
        data = self._some_bytes(6000)
        async with store.write() as tx:
            head = await tx.get(MailboxHeadRow, label) or MailboxHeadRow(label=label, cursor=0)
            cursor = head.cursor + 1
            await tx.insert(
                NonceRow(keyid="key", nonce=str(number), expires_at=self.clock.now() + 300),
                InboxRow(peer="peer", mid=str(number), hash="", outcome=b"stored", purge_at=self.clock.now()),
                MailboxRow(
                    label=label, cursor=cursor, thread=str(number), side="provider", kind="message", data=data, at=0
                ),
            )
            await tx.put(MailboxHeadRow(label=label, cursor=cursor, total=len(data)))

    async def _send(self, store: "_Told", _: Sequencer) -> None:
        number, now = self._number(), self.clock.now()
        row = OutboxRow(
            peer=f"peer {number % 4}",
            mid=str(number),
            thread="thread",
            side="consumer",
            seq=1,
            item=self._some_bytes(3000),
            created_ms=now * 1000,
            due_ms=now * 1000,
            expires_at=now,
        )
        async with store.write() as tx:
            await tx.insert(row)

    async def _hear(self, store: "_Told", _: Sequencer) -> None:
        async with store.write() as tx:
            rows = await tx.find(OutboxRow, where(peer=f"peer {self.dice.randrange(4)}"), limit=8)
            for row in rows:
                await tx.delete(OutboxRow, where(peer=row.peer, mid=row.mid))
            await tx.insert(NonceRow(keyid="heard", nonce=str(self._number()), expires_at=self.clock.now() + 300))

    async def _page(self, store: "_Told", _: Sequencer) -> None:
        number = self._number()
        pages = [
            SetPageRow(audience="all", kind="offers", seq=number, page=at, data=self._some_bytes(40_000))
            for at in range(self.dice.randint(1, 3))
        ]
        async with store.write() as tx:
            await tx.delete(SetPageRow, where(audience="all"), at_most("seq", number - 60))
            await tx.insert(*pages)

    async def _clean(self, store: "_Told", _: Sequencer) -> None:
        async with store.write() as tx:
            await tx.delete(NonceRow, at_most("expires_at", self.clock.now()))
            await tx.delete(InboxRow, at_most("purge_at", self.clock.now() - 600))
            await tx.insert(NonceRow(keyid="clean", nonce=str(self._number()), expires_at=self.clock.now() + 300))

    async def _fail(self, store: "_Told", _: Sequencer) -> None:
        """Write something and then something that exists: nothing of it stays."""
        row = MailboxHeadRow(label="never", cursor=self._number())
        try:
            async with store.write() as tx:
                await tx.put(row)
                await tx.insert(row)
        except ConflictError:
            return
        raise AssertionError("a row was inserted twice")

    async def _log(self, store: "_Told", sequencer: Sequencer) -> None:
        root = b64(hashlib.sha256(str(self._number()).encode()).digest())
        async with store.write() as tx:
            await sequencer.append(tx, AgreementsLeaf(root=root, until=self.clock.now()))
        await sequencer.sequence()
        with suppress(MissingError):  # a store that acknowledges too early may not have it yet
            self.recorder.steps.append(Served(await Logbook(store).checkpoint(FIRST_LOG)))


class _Told:
    """The store, and a line in the recorder whenever a transaction is acknowledged."""

    def __init__(self, store: SqliteStore, work: _Work) -> None:
        self._store: Final = store
        self._work: Final = work

    def read(self) -> Any:  # noqa: ANN401 -- as the store
        """Return a reader."""
        return self._store.read()

    def changes(self, *kinds: type[Row]) -> int:
        """Return what the store says."""
        return self._store.changes(*kinds)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        """Yield a transaction; what it leaves is the state of its number."""
        states = self._work.states
        number = 0
        async with self._store.write() as tx:
            yield tx
            state = await state_of(tx)
            if state != states[-1]:
                states.append(state)
                number = len(states) - 1
        if number:
            self._work.recorder.steps.append(Acknowledged(number))
