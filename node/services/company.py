"""Requests of one kind that come at the same time share one transaction; each of them succeeds or fails by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final, Generic, TypeVar

from federation.gathering import gathered
from federation.ports import Row, Store, Writer
from protocol.errors import UnavailableError

A = TypeVar("A")

#: Requests that share a transaction, at most,
MOST: Final = 64
#: and those that are taken at a stretch.
BREATH: Final = 8


class Company(Generic[A]):
    """Takes requests; a lone one has its transaction at once.

    Args:
        take: has the effect of one request, and raises what its caller is to learn.
        fresh: kinds of rows that requests add under keys made for them.
    """

    def __init__(
        self, store: Store, take: Callable[[Writer, A], Awaitable[None]], *, fresh: Collection[type[Row]]
    ) -> None:
        self._store: Final = store
        self._fresh: Final = fresh
        self._take: Final = take
        self._waiting: list[tuple[A, asyncio.Future[None]]] = []
        self._working: asyncio.Task[None] | None = None

    async def join(self, asked: A) -> None:
        """Return once the effect of `asked` is durable; being cancelled leaves it to be taken.

        Raises: as `take` does; UnavailableError: the disk is full or failing.
        """
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, told))
        if self._working is None:
            self._working = asyncio.create_task(self._work(), name="company")
        await told

    async def _work(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                try:
                    errors = await self._take_all([asked for asked, _ in some])
                except asyncio.CancelledError:
                    for _, told in some:
                        told.cancel()
                    raise
                for (_, told), error in zip(some, errors, strict=True):
                    _tell(told, error)
        finally:
            self._working = None

    async def _take_all(self, some: list[A]) -> list[Exception | None]:
        """Return what each request raised, after the durable commit."""
        try:
            async with self._store.write() as tx, gathered(tx, fresh=self._fresh) as rows:
                if len(some) == 1:  # its transaction fails with it
                    await self._take(rows, some[0])
                    return [None]
                errors = []
                for number, asked in enumerate(some, 1):
                    errors.append(await self._apart(rows, asked))
                    if number % BREATH == 0:
                        await asyncio.sleep(0)  # others go on meanwhile
        except Exception as error:  # noqa: BLE001 -- each caller learns it
            return [error] * len(some)
        return errors

    async def _apart(self, rows: Writer, asked: A) -> Exception | None:
        try:
            async with rows.savepoint():
                await self._take(rows, asked)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 -- the caller learns it, and the others go on
            return error
        return None


def _tell(told: "asyncio.Future[None]", error: Exception | None) -> None:
    if told.done():  # nobody waits any more
        return
    if error is None:
        told.set_result(None)
    else:
        told.set_exception(error)
