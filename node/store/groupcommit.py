"""Transactions that run one after the other on one connection and share commits.

A transaction is a savepoint; the commit, whose fsync takes most of the time, runs in a thread of its own. Who asks
meanwhile waits in line and joins the next commit. So a lone writer pays one fsync and a crowd shares it. Where the disk
has just been quick, a small commit of a lone writer is done on the spot: the way to the thread and back takes longer.
"""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

from protocol.errors import UnavailableError

T = TypeVar("T")

#: A commit that took at most so long says that the next one may be done on the spot,
QUICK_S: Final = 0.005
#: if it changes at most so many rows.
FEW: Final = 64


class Group:
    """Transactions that share one commit.

    `calls` belong to the group, not to who waits for it: they run even if all of those have been cancelled. `kinds` are
    the tables that it changes, by whatever its users know them by.
    """

    def __init__(self) -> None:
        self.size = 0
        self.kinds: set[Hashable] = set()
        self.calls: list[Callable[[], None]] = []
        self.failure: Exception | None = None
        self._ended = False
        self._waiting: list[asyncio.Future[None]] = []

    def end(self, failure: Exception | None) -> None:
        """Tell everyone who waits: None if the group is durable, or what made it fail."""
        self._ended = True
        self.failure = failure
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def ended(self) -> None:
        """Return once the group has ended; being cancelled takes the news from nobody else."""
        if not self._ended:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter


class GroupCommit:
    """The only user of the writing connection.

    Args:
        window_s: how long a group waits for more transactions when the last one had company; a lone writer never
            waits. 0 to 0.005.
        fail: raises what a caller learns about an exception of the database.
    """

    def __init__(
        self, connection: sqlite3.Connection, *, window_s: float, fail: Callable[[Exception], NoReturn]
    ) -> None:
        self._connection = connection
        self._window_s = window_s
        self._fail = fail
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._turn = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None
        self._group: Group | None = None
        self._committer: asyncio.Task[None] | None = None
        self._crowded = False
        self._closed = False
        #: How long the last commit took on the disk, and how many rows had been changed before the present group.
        self._took_s = float("inf")
        self._changes = 0
        self.commits = 0
        #: How many commits have changed a table, or have failed to.
        self.changes: Final[Counter[Hashable]] = Counter()

    @asynccontextmanager
    async def part(self) -> AsyncIterator[Group]:
        """Yield the group that this transaction belongs to; leave once it is durable, also by an exception.

        An exception, too, leaves only when what the transaction has seen of its group is durable: a refusal such as
        "already received" must not rest on a row that a crash could still take back.
        """
        if self._holder is asyncio.current_task():
            raise RuntimeError("a transaction is already open in this task")
        group: Group | None = None
        try:
            async with self._turn:
                group = self._group or self._begin()
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

    def check(self, group: Group) -> None:
        """Return if statements may run in `group`; otherwise raise what has ended it.

        Without a transaction the connection would commit each further statement by itself.
        """
        if group is not self._group:
            self._fail(group.failure or RuntimeError("used after its transaction has ended"))

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
        if self._closed:
            raise UnavailableError("the store is closed")
        self._connection.execute("BEGIN IMMEDIATE")
        self._changes = self._connection.total_changes
        self._group = Group()
        self._committer = asyncio.create_task(self._commit_soon(self._group), name="store commit")
        self._committer.add_done_callback(partial(self._abandon, self._group))
        return self._group

    @contextmanager
    def _held(self) -> Iterator[None]:
        self._holder = asyncio.current_task()
        try:
            yield
        finally:
            self._holder = None

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

    def _lose(self, group: Group, reason: Exception) -> None:
        """End a group without a commit."""
        self._group = None
        self._connection.rollback()
        group.end(reason)

    async def _durable(self, group: Group) -> None:
        await group.ended()
        if group.failure is not None:
            self._fail(group.failure)

    async def _commit_soon(self, group: Group) -> None:
        # Those whom the last commit woke get in line first; then the commit is one more in the same line.
        await asyncio.sleep(self._window_s if self._crowded else 0)
        async with self._turn:
            if group is self._group:
                await self._commit(group)

    def _abandon(self, group: Group, _: asyncio.Task[None]) -> None:
        """End the group of a committer that was cancelled, perhaps before its first step."""
        if group is self._group:
            self._lose(group, UnavailableError("the node was stopped before the commit"))

    async def _commit(self, group: Group) -> None:
        """End a group by a commit; call it with the turn held."""
        self._group = None
        self._crowded = group.size > 1
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
            self.changes.update(group.kinds)
            group.end(failure)

    def _on_the_spot(self, group: Group) -> bool:
        small = self._connection.total_changes - self._changes <= FEW
        return small and group.size <= 1 and self._took_s <= QUICK_S

    def _write(self) -> None:
        """Commit, and note how long the disk takes."""
        self._took_s = float("inf")  # should it fail
        started = time.perf_counter()
        self._connection.commit()
        self._took_s = time.perf_counter() - started

    def _committed(self, group: Group) -> None:
        self.commits += 1
        for call in group.calls:
            asyncio.get_running_loop().call_soon(call)

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
