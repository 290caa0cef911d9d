"""Transactions that run one after the other on one connection and share commits.

A transaction is a savepoint; the commit, whose fsync takes most of the time, runs in a thread of its own. Who asks
meanwhile waits in line and joins the next commit. So a lone writer pays one fsync and a crowd shares it. Where the disk
has just been quick, a small commit of a lone writer is done on the spot: the way to the thread and back takes longer.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Final, NoReturn, TypeVar

from .groups import Group, Line

T = TypeVar("T")

#: A commit that took at most so long says that the next one may be done on the spot,
QUICK_S: Final = 0.005
#: if it changes at most so many rows.
FEW: Final = 64


class GroupCommit(Line):
    """The only user of the writing connection."""

    def __init__(
        self, connection: sqlite3.Connection, *, window_s: float, fail: Callable[[Exception], NoReturn]
    ) -> None:
        super().__init__(window_s=window_s, fail=fail)
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        #: How long the last commit took on the disk, and how many rows had been changed before the present group.
        self._took_s = float("inf")
        self._changes = 0

    @asynccontextmanager
    async def part(self) -> AsyncIterator[Group]:
        """Yield the group that this transaction belongs to; leave once it is durable, also by an exception.

        An exception, too, leaves only when what the transaction has seen of its group is durable: a refusal such as
        "already received" must not rest on a row that a crash could still take back.
        """
        self._refuse_nested()
        group: Group | None = None
        asked = time.perf_counter()
        try:
            async with self._turn:
                group = self._group or self._begin()
                self._took_turn(asked)
                with self._held(), self._savepoint(group):
                    yield group
                group.size += 1
        except sqlite3.Error as error:
            self._fail(error)
        except Exception:
            if group is not None and group.size:
                await self._durable(group)
            raise
        await self._durable(group)

    async def alone(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `work` returns, run in the thread while no transaction is open."""
        async with self._turn:
            if self._group is not None:
                await self._commit(self._group)
            return await self._in_thread(lambda: work(self._connection))

    async def close(self) -> None:
        """Commit what is open and close the connection."""
        if self._closed:
            return
        await self.alone(lambda connection: connection.close())
        self._closed = True
        if self._committer is not None:
            await asyncio.wait({self._committer})
        self._thread.shutdown(wait=False)

    def failed(self, group: Group, error: sqlite3.Error) -> None:
        """Take note that a statement failed: some failures make SQLite undo all transactions of the group."""
        if group is self._group and not self._connection.in_transaction:
            self._lose(group, error)

    def undo(self, group: Group, savepoint: str) -> None:
        """Go back to a savepoint of `group` and forget it, unless the group has ended anyway."""
        if group is not self._group:
            return
        try:
            self._connection.execute(f"ROLLBACK TO {savepoint}")
            self._connection.execute(f"RELEASE {savepoint}")
        except sqlite3.Error as error:
            self._lose(group, error)

    def _begin(self) -> Group:
        self._refuse_closed()
        self._connection.execute("BEGIN IMMEDIATE")
        self._changes = self._connection.total_changes
        return self._started()

    @contextmanager
    def _savepoint(self, group: Group) -> Iterator[None]:
        self._connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self.undo(group, "part")
            raise
        if group is self._group:
            self._connection.execute("RELEASE part")

    def _roll_back(self) -> None:
        self._connection.rollback()

    async def _finish(self, group: Group) -> None:
        failure: Exception | None = None
        try:
            if self._on_the_spot(group):
                self._write()
            else:
                await self._in_thread(self._write)
            self._committed(group)
        except sqlite3.Error as error:
            failure = error
            self._connection.rollback()
        finally:
            self._end(group, failure)

    def _on_the_spot(self, group: Group) -> bool:
        small = self._connection.total_changes - self._changes <= FEW
        return small and group.size <= 1 and self._took_s <= QUICK_S

    def _write(self) -> None:
        """Commit, and note how long the disk takes."""
        self._took_s = float("inf")  # should it fail
        started = time.perf_counter()
        self._connection.commit()
        self._took_s = time.perf_counter() - started

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; being cancelled waits for its end, because the connection is busy until then."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        cancelled: asyncio.CancelledError | None = None
        while not running.done():
            try:
                await asyncio.shield(running)
            except asyncio.CancelledError as error:
                cancelled = error
        result = running.result()
        if cancelled is not None:
            raise cancelled
        return result
