"""A transaction for many steps alike: what several of them read is read once, what they change is written once.

The steps see a `Writer` like any other. A row that one of them has put, or added under a key that is known to be free,
waits in memory until the end, or until a search could meet it.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from operator import attrgetter
from types import TracebackType
from typing import Final, TypeVar, cast

from protocol.errors import ConflictError

from .ports import Condition, Row, Value, Writer
from .shapes import check_rows

R = TypeVar("R", bound=Row)
_Place = tuple[type[Row], tuple[Value, ...]]


@asynccontextmanager
async def gathered(tx: Writer, *, fresh: Collection[type[Row]] = ()) -> AsyncIterator[Writer]:
    """Yield a writer on `tx` for many steps; what it has gathered is written at the end of the block.

    Args:
        fresh: kinds of rows whose keys are new whenever one is added; one that is not fails the whole block.
    """
    gathering = _Gathering(tx, fresh)
    yield gathering
    await gathering.finish()


class _Gathering:
    def __init__(self, tx: Writer, fresh: Collection[type[Row]]) -> None:
        self.tx: Final = tx
        self._fresh: Final = fresh
        #: What is known of places, None of those that are free.
        self.known: dict[_Place, Row | None] = {}
        #: Places whose rows wait to be added or put, and what is to be called after the commit.
        self.added: dict[_Place, None] = {}
        self.changed: dict[_Place, None] = {}
        self.calls: list[Callable[[], None]] = []
        self.block: _Block | None = None

    async def get(self, kind: type[R], *key: Value) -> R | None:
        place = kind, key
        if place not in self.known:
            self.known[place] = await self.tx.get(kind, *key)
        return cast("R | None", self.known[place])

    async def find(
        self, kind: type[R], *conditions: Condition, order: str | None = None, limit: int | None = None
    ) -> list[R]:
        await self._write_before(kind)
        return await self.tx.find(kind, *conditions, order=order, limit=limit)

    async def count(self, kind: type[R], *conditions: Condition) -> int:
        await self._write_before(kind)
        return await self.tx.count(kind, *conditions)

    async def insert(self, *rows: Row) -> None:
        check_rows(rows)
        places = {_place(row): row for row in rows}
        if len(places) < len(rows) or [place for place in places if self.known.get(place) is not None]:
            raise ConflictError(f"there is a row of {rows[0].table} with the same key already")
        if all(map(self._is_free, places)):
            self.added.update(dict.fromkeys(places))
        else:
            await self._begin()
            await self.tx.insert(*rows)
        self.known.update(places)

    async def put(self, *rows: Row) -> None:
        check_rows(rows)
        if [row for row in rows if type(row).unique]:
            await self._write()
            await self._begin()
            await self.tx.put(*rows)
            self.known.update({_place(row): row for row in rows})
            return
        for row in rows:
            place = _place(row)
            if place not in self.added:
                self.changed[place] = None
            self.known[place] = row

    async def delete(self, kind: type[Row], *conditions: Condition) -> int:
        await self._write_before(kind)
        await self._begin()
        gone = await self.tx.delete(kind, *conditions)
        self.known = {place: row for place, row in self.known.items() if place[0] is not kind}
        return gone

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        return _Block(self)

    def on_commit(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    async def finish(self) -> None:
        await self._write()
        for call in self.calls:
            self.tx.on_commit(call)

    def _is_free(self, place: _Place) -> bool:
        return not place[0].unique and (place in self.known or place[0] in self._fresh)

    async def _begin(self) -> None:
        """Have the store undo what it gets now, if the block that is open fails."""
        if self.block is not None:
            await self.block.begin()

    async def _write(self) -> None:
        if not self.added and not self.changed:
            return
        await self._begin()
        for rows in self._by_kind(self.added):
            await self.tx.insert(*rows)
        for rows in self._by_kind(self.changed):
            await self.tx.put(*rows)
        self.added, self.changed = {}, {}

    async def _write_before(self, kind: type[Row]) -> None:
        if any(place[0] is kind for waiting in (self.added, self.changed) for place in waiting):
            await self._write()

    def _by_kind(self, places: Iterable[_Place]) -> list[list[Row]]:
        found: dict[type[Row], list[Row]] = {}
        for place in places:
            row = self.known[place]
            assert row is not None, "what waits is known"
            found.setdefault(place[0], []).append(row)
        return list(found.values())


class _Block:
    """A part that may fail by itself; the store hears of it only if something must be written meanwhile."""

    def __init__(self, gathering: _Gathering) -> None:
        self._gathering: Final = gathering
        self._outer: _Block | None = None
        self._store: AbstractAsyncContextManager[None] | None = None

    async def begin(self) -> None:
        if self._store is None:
            if self._outer is not None:
                await self._outer.begin()
            self._store = self._gathering.tx.savepoint()
            await self._store.__aenter__()

    async def __aenter__(self) -> None:
        found = self._gathering
        self._outer, found.block = found.block, self
        self._before = dict(found.known), dict(found.added), dict(found.changed), list(found.calls)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        found = self._gathering
        found.block = self._outer
        if error is not None:
            found.known, found.added, found.changed, found.calls = self._before
        if self._store is not None:
            await self._store.__aexit__(kind, error, trace)


def _place(row: Row) -> _Place:
    kind = type(row)
    return kind, _key_of(kind)(row)


@cache
def _key_of(kind: type[Row]) -> Callable[[Row], tuple[Value, ...]]:
    """Return what takes the key out of a row."""
    if len(kind.key) > 1:
        return attrgetter(*kind.key)
    (name,) = kind.key
    return lambda row: (getattr(row, name),)
