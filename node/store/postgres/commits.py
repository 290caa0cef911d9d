"""Transactions that run one after the other, in all processes of a node, and share commits within each.

The rule of the embedded store holds here too: a transaction sees all that came before it and nothing else happens while
it is open, so that whoever reads, decides and writes in one block is right. A lock in the database, taken before the
first statement and given back by the commit itself, makes it hold between processes. Transactions of one process that
wait for each other anyway share one commit: each is a savepoint, as in `node.store.groupcommit`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, NoReturn

from federation.ports import Row
from node.store.groups import Group, Line
from protocol.errors import MeshError

from .connection import WATCHED, Session, finished
from .errors import FAILURES, CommitUnknownError
from .news import Touched, render_change

#: PostgreSQL remembers so many parts of a transaction where others can look them up quickly; more make readers slow.
MOST: Final = 60
#: First key of our advisory locks; the second one is the schema, so that nodes may share a database.
LOCK_CLASS: Final = 0x4D4D

_TAKE_TURN: Final = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({LOCK_CLASS}, hashtext(current_schema()))"
)
_BEGIN: Final = f"{_TAKE_TURN}; SAVEPOINT part"
# The number of a transaction will not do: after a crash, or on a new primary, the server may give it again.
_MARK: Final = (
    "INSERT INTO last_commit (process, number, at) VALUES ($1, $2, extract(epoch FROM now())::bigint) "
    "ON CONFLICT (process) DO UPDATE SET number = excluded.number, at = excluded.at"
)
_MARK_AND_TELL: Final = f"WITH mark AS ({_MARK} RETURNING 1) SELECT pg_notify($3, $4)::text FROM mark"  # noqa: S608
_MARKED: Final = "SELECT number FROM last_commit WHERE process = $1"
_FORGET: Final = "DELETE FROM last_commit WHERE at < extract(epoch FROM now())::bigint - 86400"
_NAME: Final = "SELECT gen_random_uuid()::text"
#: Seconds before each question about the fate of a commit.
_ASK_AFTER: Final = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)


class Commits(Line):
    """The only user of the writing session.

    Args:
        connect: opens the session; may raise what `fail` takes, or a MeshError.
        process: what `last_commit` calls this process.
        channel: where other processes hear of each commit; empty: there are none.
    """

    def __init__(
        self,
        session: Session,
        connect: Callable[[], Awaitable[Session]],
        *,
        window_s: float,
        fail: Callable[[Exception], NoReturn],
        process: str,
        channel: str = "",
    ) -> None:
        super().__init__(window_s=window_s, fail=fail)
        self.session = session
        #: Whether the last commit failed, perhaps only as far as we know.
        self.in_doubt = False
        self._connect = connect
        self._channel = channel
        self._process = process
        self._number = 0
        self._touched: dict[type[Row], set[str] | None] = {}
        #: Whether nothing has been written since the savepoint `part`.
        self._clean = False

    @asynccontextmanager
    async def part(self) -> AsyncIterator[Group]:
        """Yield the group that this transaction belongs to; leave once it is durable, also by an exception.

        As with the embedded store, a refusal leaves only when what the transaction has seen of its group is durable.
        """
        self._refuse_nested()
        group: Group | None = None
        asked = time.perf_counter()
        try:
            async with self._turn:
                group = await self._joined()
                self._took_turn(asked)
                with self._held():
                    try:
                        yield group
                    except BaseException:
                        await self.undo(group, "ROLLBACK TO part")
                        self._clean = True
                        raise
                self._clean = False
                group.size += 1
                if group.size >= MOST:
                    await self._commit(group)
        except Exception:
            if group is not None and group.size:
                await self._durable(group)
            raise
        await self._durable(group)

    def touch(self, group: Group, touched: Touched) -> None:
        """Note what a part of `group` has written."""
        if group is not self._group:
            return
        for kind, values in touched.items():
            known = self._touched.setdefault(kind, set())
            self._touched[kind] = None if known is None or values is None else known | values

    def failed(self, group: Group, error: Exception) -> None:
        """Take note that a statement failed, perhaps because the session is gone and the group with it."""
        if group is self._group and self.session.lost:
            self._lose(group, error)

    async def undo(self, group: Group, text: str) -> None:
        """Run the statements that go back to a savepoint of `group`, unless the group has ended anyway."""
        if group is not self._group:
            return
        try:
            await self.session.script(text)
        except FAILURES as error:
            self._lose(group, error)

    async def beat(self) -> None:
        """Return if the session that writes lives, or lives again; without another beat soon the server ends it."""
        await self.ask(WATCHED)

    async def ask(self, text: str) -> tuple[Session, bool]:
        """Return the session that writes, and whether it says yes to a question. Raises: MeshError, as `fail`."""
        async with self.part() as group:
            session = self.session
            try:
                return session, await session.rows(text) == [(True,)]
            except FAILURES as error:
                self.failed(group, error)
                self._fail(error)

    async def close(self) -> None:
        """Commit what is open and end the session."""
        if self._closed:
            return
        async with self._turn:
            if self._group is not None:
                await self._commit(self._group)
            self._closed = True
            await self.session.close()
        if self._committer is not None:
            await asyncio.wait({self._committer})

    async def _joined(self) -> Group:
        """Return the present group, at a savepoint of its own for the part that begins."""
        self._refuse_closed()
        if self._group is None:
            return await finished(self._begin())
        group = self._group
        if not self._clean:
            try:
                await self.session.script("RELEASE part; SAVEPOINT part")
            except FAILURES as error:
                self._lose(group, error)
                self._fail(error)
        return group

    async def _begin(self) -> Group:
        try:
            await self._open()
        except FAILURES as error:
            self.session.drop()
            self._fail(error)
        self._clean = True
        self._touched = {}
        return self._started()

    async def _open(self) -> None:
        """Begin a transaction; on a session that was lost while nobody used it, begin anew."""
        if not self.session.lost:
            try:
                await self.session.script(_BEGIN)
                return
            except FAILURES:
                if not self.session.lost:
                    raise
        self.session = await self._connect()
        await self.session.script(_BEGIN)

    def _roll_back(self) -> None:
        self.session.drop()  # which makes the server undo it

    async def _finish(self, group: Group) -> None:
        await finished(self._write(group))

    async def _write(self, group: Group) -> None:
        failure: Exception | None = None
        try:
            await self._write_or_ask()
            self.in_doubt = False
            self._committed(group)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the group must hear of it
            failure = error
            self.in_doubt = True
            self.session.drop()
        finally:
            self._end(group, failure)

    async def _write_or_ask(self) -> None:
        """Return once the transaction is durable; when the connection breaks meanwhile, the next one tells.

        Raises: one of FAILURES: it is undone. CommitUnknownError: nobody can tell.
        """
        if self._touched:
            await self._mark()
        try:
            said = await self.session.commit()
        except FAILURES:
            if not (self.session.lost and self._touched and await self._was_kept()):
                raise
        else:
            if said != "COMMIT":
                raise AssertionError("a transaction with a failed statement came to its commit")

    async def _mark(self) -> None:
        """Leave in the transaction by what it is known later; others hear what it changed once it is committed."""
        self._number += 1
        mark = self._process, self._number
        if self._channel:
            await self.session.rows(_MARK_AND_TELL, (*mark, self._channel, render_change(self._touched)))
        else:
            await self.session.run(_MARK, mark)

    async def _was_kept(self) -> bool:
        """Return whether the transaction that was marked last is durable. Raises: CommitUnknownError."""
        for wait_s in _ASK_AFTER:
            await asyncio.sleep(wait_s)
            try:
                self.session = await self._connect()
                return await self._is_marked()
            except (*FAILURES, MeshError):
                self.session.drop()
        raise CommitUnknownError

    async def _is_marked(self) -> bool:
        """Return whether the database holds the last mark, in turn: behind the old session, if that still lives."""
        await self.session.script(_TAKE_TURN)
        found = await self.session.rows(_MARKED, (self._process,))
        await self.session.script("ROLLBACK")
        return found == [(self._number,)]


async def new_process(session: Session) -> str:
    """Return what `last_commit` calls a process that starts; those of long ago are forgotten.

    Raises: one of FAILURES.
    """
    await session.script(_FORGET)
    ((name,),) = await session.rows(_NAME)
    return str(name)
