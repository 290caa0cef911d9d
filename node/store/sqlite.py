"""The embedded store: one SQLite file, one writing connection with group commit, and a few reading connections."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NoReturn, Self

from federation.ports import Clock, Reader, Row, Writer
from node.rows import MetaRow
from protocol.errors import UnavailableError

from . import migrations
from .connection import DirectoryLock, open_reader, open_writer
from .errors import MovedError, raise_explained
from .figures import StoreFigures
from .groupcommit import GroupCommit
from .transactions import Snapshot, Transaction

WINDOW_S: Final = 0.0
IDLE_READERS: Final = 4


class SqliteStore:
    """A `federation.ports.Store` in one file; made by `open`, and closed by `close` or as an `async with` block."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        lock: DirectoryLock,
        writer: sqlite3.Connection,
        *,
        meta: MetaRow,
        window_s: float,
    ) -> None:
        self._path = path
        self._clock = clock
        self._lock = lock
        self._writer = writer
        self._commits = GroupCommit(writer, window_s=window_s, fail=self._raise)
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self.meta = meta

    @classmethod
    def open(cls, path: Path, *, clock: Clock, window_s: float = WINDOW_S, folder: Path = migrations.FOLDER) -> Self:
        """Return the store at `path`, made or brought up to this program's schema if need be.

        Args:
            window_s: longest wait for company before a commit, 0 to 0.005 s; a lone writer never waits.
            folder: the changes of the schema.

        Raises:
            DirectoryInUseError: another process has the directory of `path` open.
            SchemaError: the database is newer than this program, or one of its changes was edited later.
            UnavailableError: the directory is missing or cannot be written, or the file is damaged.
        """
        if not 0 <= window_s <= 0.005:
            raise ValueError("a commit waits 0 to 0.005 seconds for company")
        path = path.resolve()
        lock = DirectoryLock.take(path.parent)
        try:
            writer, meta = _open_current(path, now=clock.now(), folder=folder)
        except BaseException:
            lock.release()
            raise
        return cls(path, clock, lock, writer, meta=meta, window_s=window_s)

    @property
    def generation(self) -> int:
        """Return 1 for a database that was never restored, and one more for each restore."""
        return self.meta.generation

    @property
    def restored_at(self) -> int:
        """Return when the database was restored last, 0 if never."""
        return self.meta.restored_at or 0

    @property
    def history(self) -> str:
        """A file has one: nobody promotes a copy of it under a process that runs."""
        return ""

    @property
    def others(self) -> None:
        """Nobody: one process has a file."""
        return

    @property
    def commits(self) -> int:
        """Return how many durable commits there have been, each for one or more transactions."""
        return self._commits.commits

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """Yield a snapshot reader."""
        connection = self._reader()
        snapshot = Snapshot(connection, self._raise)
        try:
            connection.execute("BEGIN")
            yield snapshot
        finally:
            snapshot.open = False
            self._give_back(connection, keep=not snapshot.failed)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        """Yield a transaction; leave once it is durable."""
        async with self._commits.part() as group:
            transaction = Transaction(self._writer, self._raise, self._commits, group)
            try:
                yield transaction
            finally:
                transaction.open = False
            group.add(transaction)

    def changes(self, *kinds: type[Row]) -> int:
        """Return a number that is another one after every commit that changed rows of `kinds`."""
        changes = self._commits.changes
        return sum([changes.get(kind, 0) for kind in kinds])

    async def lost(self) -> None:
        """Never return: the lock of the directory ends with this process."""
        await asyncio.get_running_loop().create_future()

    @property
    def away_s(self) -> int:
        """Return 0: a file is there."""
        return 0

    async def size_bytes(self) -> int:
        """Return what the database file and the files beside it take."""
        return sum(file.stat().st_size for file in self._path.parent.glob(f"{self._path.name}*"))

    async def figures(self) -> StoreFigures:
        """Return what commits and waits took."""
        line = self._commits
        return StoreFigures(commits=line.commits, commit_s=line.commit_s, turns=line.turns, turn_s=line.turn_s)

    async def scrub(self) -> None:
        """Move all changes into the database file and empty the write-ahead file, which still holds erased rows.

        Raises: UnavailableError: a reader has stayed open for too long; try again.
        """
        if not await self._commits.alone(_empty_wal):
            raise UnavailableError("a reader keeps old rows in use; try again", retry_at=self._clock.now() + 1)

    async def close(self) -> None:
        """Wait for the last commit, close the file and let another process have it."""
        if self._closed:
            return
        self._closed = True
        while self._idle:
            self._idle.pop().close()
        await self._commits.close()
        self._lock.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _reader(self) -> sqlite3.Connection:
        if self._closed:
            raise UnavailableError("the store is closed")
        try:
            return self._idle.pop() if self._idle else open_reader(self._path)
        except sqlite3.Error as error:
            self._raise(error)

    def _give_back(self, connection: sqlite3.Connection, *, keep: bool) -> None:
        if keep and not self._closed and len(self._idle) < IDLE_READERS:
            connection.rollback()
            self._idle.append(connection)
        else:
            connection.close()

    def _raise(self, error: Exception) -> NoReturn:
        raise_explained(error, now=self._clock.now())


def _open_current(path: Path, *, now: int, folder: Path) -> tuple[sqlite3.Connection, MetaRow]:
    """Return the writing connection of a database that has this program's schema, and what it says of itself."""
    try:
        writer = open_writer(path)
        try:
            migrations.migrate(writer, now=now, folder=folder)
            return writer, _meta(writer, now)
        except BaseException:
            writer.close()
            raise
    except OSError as error:
        raise UnavailableError(f"cannot open {path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise_explained(error, now=now)


def _meta(writer: sqlite3.Connection, now: int) -> MetaRow:
    found = writer.execute("SELECT generation, created_at, restored_at FROM meta").fetchone()
    if found is None:
        found = (1, now, None)
        writer.execute("INSERT INTO meta (id, generation, created_at, restored_at) VALUES (1, ?, ?, ?)", found)
    if found[0] < 1:
        raise MovedError
    return MetaRow(generation=found[0], created_at=found[1], restored_at=found[2])


def _empty_wal(connection: sqlite3.Connection) -> bool:
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy
