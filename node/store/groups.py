"""What transactions of one process share that wait for each other anyway: a turn, a commit and its fate.

How the database is told differs, and stands in `node.store.groupcommit` and `node.store.postgres.commits`.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NoReturn

from protocol.errors import UnavailableError


class Effects:
    """What the other parts of a process hear of a transaction once it is durable."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []
        #: Kinds of rows that were written, also by parts that were undone.
        self.kinds: set[Hashable] = set()

    def on_commit(self, call: Callable[[], None]) -> None:
        """Run `call` once the transaction is durable."""
        self.calls.append(call)


class Group:
    """Transactions that share one commit.

    `effects` belong to the group, not to who waits for it: calls run even if all of those have been cancelled.
    """

    def __init__(self) -> None:
        self.size = 0
        self.effects: Final = Effects()
        self.failure: Exception | None = None
        self._ended = False
        self._waiting: list[asyncio.Future[None]] = []

    def add(self, effects: Effects) -> None:
        """Take over what a transaction that went well asks for."""
        self.effects.calls += effects.calls
        self.effects.kinds |= effects.kinds

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


class Line(ABC):
    """Those who write, one after the other, with at most one group open.

    Args:
        window_s: how long a group waits for more transactions when the last one had company; a lone writer never
            waits. 0 to 0.005.
        fail: raises what a caller learns about an exception of the database.
    """

    def __init__(self, *, window_s: float, fail: Callable[[Exception], NoReturn]) -> None:
        self._window_s = window_s
        self._fail = fail
        self._turn = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None
        self._group: Group | None = None
        self._committer: asyncio.Task[None] | None = None
        self._crowded = False
        self._closed = False
        self.commits = 0
        #: What commits have taken, and what writers have waited before they could begin.
        self.commit_s = 0.0
        self.turns = 0
        self.turn_s = 0.0
        #: How many commits may have changed a table, by what its users know it by.
        self.changes: Final[Counter[Hashable]] = Counter()

    def check(self, group: Group) -> None:
        """Return if statements may run in `group`; otherwise raise what has ended it.

        Without a transaction the connection would commit each further statement by itself.
        """
        if group is not self._group:
            self._fail(group.failure or RuntimeError("used after its transaction has ended"))

    @abstractmethod
    async def _finish(self, group: Group) -> None:
        """Commit what `group` has done, and `_end` it."""

    @abstractmethod
    def _roll_back(self) -> None:
        """Undo in the database what the open group has done."""

    def _took_turn(self, asked: float) -> None:
        """Note that somebody may write who asked at this time of `time.perf_counter`."""
        self.turns += 1
        self.turn_s += time.perf_counter() - asked

    def _refuse_nested(self) -> None:
        if self._holder is asyncio.current_task():
            raise RuntimeError("a transaction is already open in this task")

    def _refuse_closed(self) -> None:
        if self._closed:
            raise UnavailableError("the store is closed")

    def _started(self) -> Group:
        """Return a new group, whose transaction the database has begun."""
        group = self._group = Group()
        self._committer = asyncio.create_task(self._commit_soon(group), name="store commit")
        self._committer.add_done_callback(partial(self._abandon, group))
        return group

    @contextmanager
    def _held(self) -> Iterator[None]:
        self._holder = asyncio.current_task()
        try:
            yield
        finally:
            self._holder = None

    def _lose(self, group: Group, reason: Exception) -> None:
        """End a group without a commit."""
        self._group = None
        self._roll_back()
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

    async def _commit(self, group: Group) -> None:
        """End a group by a commit; call it with the turn held."""
        self._group = None
        self._crowded = group.size > 1
        started = time.perf_counter()
        await self._finish(group)
        self.commit_s += time.perf_counter() - started

    def _abandon(self, group: Group, _: asyncio.Task[None]) -> None:
        """End the group of a committer that was cancelled, perhaps before its first step."""
        if group is self._group:
            self._lose(group, UnavailableError("the node was stopped before the commit"))

    def _committed(self, group: Group) -> None:
        self.commits += 1
        for call in group.effects.calls:
            asyncio.get_running_loop().call_soon(call)

    def _end(self, group: Group, failure: Exception | None) -> None:
        """Let everyone know how a commit ended; what failed may have changed tables as far as we know."""
        self.changes.update(group.effects.kinds)
        group.end(failure)
