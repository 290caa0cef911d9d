"""Looks at committed rows at once, while everything else stands still: in a thread with a loop of its own."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final, NoReturn, Self, TypeVar

from federation.ports import Row, Value
from node.store.postgres.connection import Server
from node.store.postgres.door import Door
from node.store.postgres.readers import Readers
from node.store.postgres.transactions import Snapshot

T = TypeVar("T")

PATIENCE_S: Final = 60.0


class Eye:
    """Reads in any number of schemas; its methods block."""

    def __init__(self) -> None:
        self._loop: Final = asyncio.new_event_loop()
        self._thread: Final = threading.Thread(target=self._loop.run_forever, name="eye", daemon=True)
        self._readers: Final[dict[str, Readers]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for readers in self._readers.values():
            self._wait(readers.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def get(self, url: str, kind: type[Row], *key: Value) -> Row | None:
        """Return the row of a key."""
        return self._wait(self._get(url, kind, key))

    def all(self, url: str, kind: type[Row]) -> list[Row]:
        """Return all rows of a table."""
        return self._wait(self._all(url, kind))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _get(self, url: str, kind: type[Row], key: tuple[Value, ...]) -> Row | None:
        async with self._of(url).snapshot() as session:
            return await Snapshot(session, _fail).get(kind, *key)

    async def _all(self, url: str, kind: type[Row]) -> list[Row]:
        async with self._of(url).snapshot() as session:
            found: list[Row] = await Snapshot(session, _fail).find(kind)
            return found

    def _of(self, url: str) -> Readers:
        if url not in self._readers:
            self._readers[url] = Readers(Door(Server(url=url)), most=1, fail=_fail)
        return self._readers[url]


def _fail(error: Exception) -> NoReturn:
    raise error
