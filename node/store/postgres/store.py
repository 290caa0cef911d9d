"""A node's rows in a PostgreSQL database: one session that writes, a few that read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NoReturn, Self

import asyncpg

from federation.ports import Clock, Reader, Row, Writer
from node.rows import MetaRow
from node.store import migrations
from node.store.errors import DatabaseInUseError, TakenOverError
from node.store.figures import StoreFigures
from protocol.errors import MeshError, UnavailableError

from . import schema
from .commits import LOCK_CLASS, Commits, new_process
from .connection import Server, Session
from .door import Door
from .errors import FAILURES, raise_explained
from .others import OWN, Others, channel_of
from .readers import Readers
from .transactions import Snapshot, Transaction

#: Sessions that read, of one process.
SESSIONS: Final = 8

#: A process that lost the database finds out within so many seconds.
BEAT_S: Final = 1.0
RETRY_S: Final = 2

_SHARE: Final = f"SELECT pg_try_advisory_lock_shared({LOCK_CLASS + 1}, hashtext(current_schema()))"
_BEGIN: Final = f"BEGIN; SELECT pg_advisory_xact_lock({LOCK_CLASS}, hashtext(current_schema()))"
#: The timeline: a replica that is promoted begins another one.
_HISTORY: Final = "SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"
_SIZE: Final = (
    "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c "
    "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'"
)
# Who may not see the replicas gets their rows without what they say; so both are empty.
_REPLICAS: Final = (
    "SELECT nullif(count(state), 0), CASE WHEN count(state) > 0 "
    "THEN coalesce(extract(epoch FROM max(replay_lag)), 0)::float8 END FROM pg_stat_replication"
)


class PostgresStore:
    """A `federation.ports.Store` in one schema of a database; made by `open`, and closed by `close` or `async with`.

    As long as it is open as `alone`, no other process can open it; otherwise any number may, but none alone, and
    `others` says what they change. The lock lives in the session that writes, so a process that lost the one has lost
    the other too.
    """

    def __init__(
        self,
        door: Door,
        clock: Clock,
        writer: Session,
        *,
        meta: MetaRow,
        window_s: float,
        sessions: int,
        process: str,
        channel: str,
        history: str,
    ) -> None:
        self._door = door
        self._clock = clock
        self._alone = not channel
        self._away_since: int | None = None
        self._commits = Commits(
            writer, self._writer, window_s=window_s, fail=self._raise, process=process, channel=channel
        )
        others = Others(door, clock, self._commits, channel=channel, fail=self._raise)
        self._others: Final = None if self._alone else others
        self._readers = Readers(door, most=sessions, fail=self._raise)
        self._closed = False
        self._asked = 0
        self.meta = meta
        #: Which history the writing session writes to.
        self.history = history

    @classmethod
    async def open(
        cls,
        server: Server,
        *,
        clock: Clock,
        window_s: float = 0.0,
        sessions: int = SESSIONS,
        folder: Path = migrations.FOLDER,
        alone: bool = True,
    ) -> Self:
        """Return the store in the schema that `server` names, made or brought up to this program's if need be.

        Args:
            window_s: longest wait for company before a commit, 0 to 0.005 s; a lone writer never waits.
            sessions: how many snapshots may be open at once.
            folder: the changes of the schema.
            alone: whether to keep all other processes out, or only those that want to be alone.

        Raises:
            DatabaseInUseError: another process has it open alone.
            SchemaError: the schema is newer than this program, changed, or another program's.
            RefusedError: URL, rights, version or encoding of the database do not do.
            UnavailableError: the database cannot be reached.
        """
        if not 0 <= window_s <= 0.005:
            raise ValueError("a commit waits 0 to 0.005 seconds for company")
        door = Door(server)
        try:
            writer = await door.session()
            try:
                await schema.check_server(writer)
                await own(writer, alone=alone)
                if await schema.is_behind(writer, folder=folder):
                    await _brought_up(server, now=clock.now(), folder=folder)
                meta = await _meta(writer, now=clock.now())
                door.tables_made = True
                channel = "" if alone else await channel_of(writer)
                store = cls(
                    door,
                    clock,
                    writer,
                    meta=meta,
                    window_s=window_s,
                    sessions=sessions,
                    process=await new_process(writer),
                    channel=channel,
                    history=await _history(writer),
                )
                if store.others is not None:
                    await store.others.open()
            except BaseException:
                writer.drop()
                raise
        except FAILURES as error:
            raise_explained(error, now=clock.now())
        return store

    @property
    def generation(self) -> int:
        """Return 1 for a database that was never restored, and one more for each restore."""
        return self.meta.generation

    @property
    def others(self) -> Others | None:
        """What is known of other processes, None for one that is alone."""
        return self._others

    @property
    def restored_at(self) -> int:
        """Return when the database was restored last, 0 if never."""
        return self.meta.restored_at or 0

    @property
    def commits(self) -> int:
        """Return how many durable commits there have been, each for one or more transactions."""
        return self._commits.commits

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """Yield a snapshot reader."""
        async with self._readers.snapshot() as session:
            snapshot = Snapshot(session, self._raise)
            try:
                yield snapshot
            finally:
                snapshot.open = False

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        """Yield a transaction; leave once it is durable."""
        async with self._commits.part() as group:
            transaction = Transaction(self._raise, self._commits, group)
            try:
                yield transaction
                transaction.confirm()
            finally:
                transaction.open = False
            group.add(transaction)
            self._commits.touch(group, transaction.touched)

    def changes(self, *kinds: type[Row]) -> int:
        """Return a number that is another one after every commit that changed rows of `kinds`.

        Where another process, or a commit of unknown fate, may change rows unseen, it is another one at every call.
        """
        others = self.others
        if self._commits.in_doubt or (others is not None and not others.heard):
            self._asked += 1
            return -self._asked
        number = sum(self._commits.changes[kind] for kind in kinds)
        return number if others is None else number + others.gaps + sum(others.changes[kind.table] for kind in kinds)

    async def size_bytes(self) -> int:
        """Return what the tables and their indexes take in the database."""
        async with self._readers.snapshot() as session:
            try:
                ((size,),) = await session.rows(_SIZE)
            except FAILURES as error:
                self._raise(error)
        assert isinstance(size, int)
        return size

    async def figures(self) -> StoreFigures:
        """Return what commits and waits took, and what the server says of replicas. Raises: UnavailableError."""
        line, readers = self._commits, self._readers
        async with readers.snapshot() as session:
            try:
                ((replicas, lag_s),) = await session.rows(_REPLICAS)
            except FAILURES as error:
                self._raise(error)
        assert isinstance(replicas, int | None)
        assert isinstance(lag_s, float | None)
        return StoreFigures(
            commits=line.commits,
            commit_s=line.commit_s,
            turns=line.turns,
            turn_s=line.turn_s,
            busy=readers.busy,
            most=readers.most,
            session_wait_s=readers.wait_s,
            replicas=replicas,
            replica_lag_s=lag_s,
        )

    async def scrub(self) -> None:
        """Let the database forget the erased rows that no reader sees any more.

        Their bytes stay in its files and its write-ahead log until PostgreSQL uses the room again.
        """
        try:
            session = await self._door.server.session(patient=True)
            try:
                await session.script("VACUUM")
            finally:
                await session.close()
        except FAILURES as error:
            self._raise(error)

    async def close(self) -> None:
        """Wait for the last commit, end the sessions and let another process have the database."""
        if self._closed:
            return
        self._closed = True
        if self.others is not None:
            await self.others.close()
        await self._readers.close()
        await self._commits.close()
        await self._door.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def lost(self) -> None:
        """Return once another process has the database; asked often enough that no reader sees old rows for long.

        From the first time on the server ends a session that is not asked: a process that hangs is replaced.
        """
        while True:
            await self._clock.sleep(BEAT_S)
            try:
                await self._commits.beat()
            except TakenOverError:
                return
            except MeshError:
                # The database is away: who has it when it is back decides.
                self._away_since = self._away_since or self._clock.now()
            else:
                self._away_since = None

    @property
    def away_s(self) -> int:
        """Return for how many seconds `lost` has not heard of the database; 0: it is there."""
        return 0 if self._away_since is None else self._clock.now() - self._away_since

    async def _writer(self) -> Session:
        """Return a new writing session. Raises: TakenOverError: another process has the database by now."""
        try:
            writer = await own(await self._door.session(), alone=self._alone)
        except DatabaseInUseError:
            # Of no peer's or person's making, so they must ask again and not take it for a no.
            later = self._clock.now() + RETRY_S
            raise TakenOverError("another process serves this node now", retry_at=later) from None
        self.history = await _history(writer)
        return writer

    def _raise(self, error: Exception) -> NoReturn:
        raise_explained(error, now=self._clock.now())


async def own(session: Session, *, alone: bool) -> Session:
    """Return `session` as the one that keeps others out: all, or those that want to be alone.

    Raises: DatabaseInUseError.
    """
    try:
        if await session.rows(OWN if alone else _SHARE) != [(True,)]:
            raise DatabaseInUseError(
                "another process has this database open: several serve a node where all have [store] several = true"
                if alone
                else "another process has this database open alone"
            )
    except BaseException:
        session.drop()
        raise
    return session


async def _history(writer: Session) -> str:
    try:
        ((history,),) = await writer.rows(_HISTORY)
    except BaseException:
        writer.drop()
        raise
    return str(history)


async def _brought_up(server: Server, *, now: int, folder: Path) -> None:
    """Make or complete the tables in a session of its own, which no long change of a large table ends."""
    session = await server.session(patient=True)
    try:
        await prepare(session, now=now, folder=folder)
    finally:
        await session.close()


async def _begin(session: Session) -> None:
    """Begin the transaction that no other one of this schema stands beside. Raises: UnavailableError: one does."""
    try:
        await session.script(_BEGIN)
    except asyncpg.LockNotAvailableError:
        raise UnavailableError(
            "another process of this node is bringing the tables up to date, or hangs: try again when it has"
        ) from None


async def _meta(writer: Session, *, now: int) -> MetaRow:
    await _begin(writer)
    meta = await schema.meta(writer, now=now)
    await writer.script("COMMIT")
    return meta


async def prepare(writer: Session, *, now: int, folder: Path) -> None:
    """Bring the schema to this program's tables, in one transaction. Raises: as `schema.migrate`."""
    await _begin(writer)
    await schema.migrate(writer, now=now, folder=folder)
    await writer.script("COMMIT")
