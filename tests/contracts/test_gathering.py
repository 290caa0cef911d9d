"""A transaction that gathers what many steps change keeps the contract of every store's transaction."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest

from federation.gathering import gathered
from federation.ports import Reader, Row, Store, Writer, where
from protocol.errors import ConflictError
from tests.fakes.memory_store import MemoryStore

from .sample_store import open_sample_store
from .savepoints import SavepointContract
from .store import PairRow, SampleRow, StoreContract, fill


class GatheringStore:
    """A store all of whose transactions gather."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self) -> AbstractAsyncContextManager[Reader]:
        return self._store.read()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        async with self._store.write() as tx, gathered(tx) as rows:
            yield rows

    def changes(self, *kinds: type[Row]) -> int:
        return self._store.changes(*kinds)


class TestGatheringStore(StoreContract, SavepointContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        async with open_sample_store(tmp_path, window_s=0) as store:
            yield GatheringStore(store)


PAIR = PairRow(first="a", second=1)
OTHER = PairRow(first="b", second=2)


@pytest.fixture
def store() -> Store:
    return MemoryStore()


async def pairs(store: Store) -> list[PairRow]:
    async with store.read() as view:
        return await view.find(PairRow)


async def test_a_row_of_a_fresh_kind_that_is_not_new_fails_the_block(store: Store) -> None:
    await fill(store, PAIR)

    async def add() -> None:
        async with store.write() as tx, gathered(tx, fresh=(PairRow,)) as rows:
            await rows.insert(OTHER)
            await rows.insert(PAIR)

    with pytest.raises(ConflictError):
        await add()
    assert await pairs(store) == [PAIR]


async def test_a_row_added_twice_is_refused_at_once(store: Store) -> None:
    async with store.write() as tx, gathered(tx, fresh=(PairRow,)) as rows:
        await rows.insert(PAIR)
        with pytest.raises(ConflictError):
            await rows.insert(PAIR)
    assert await pairs(store) == [PAIR]


async def test_a_row_that_was_looked_for_in_vain_and_added_is_there(store: Store) -> None:
    async with store.write() as tx, gathered(tx) as rows:
        assert await rows.get(PairRow, "a", 1) is None
        await rows.insert(PAIR)
        assert await rows.get(PairRow, "a", 1) == PAIR
        assert await tx.get(PairRow, "a", 1) is None, "it waits"
        assert await rows.find(PairRow) == [PAIR], "a search meets it"
    assert await pairs(store) == [PAIR]


SEARCHES: dict[str, Callable[[Writer], object]] = {
    "find": lambda rows: rows.find(PairRow),
    "count": lambda rows: rows.count(PairRow),
    "delete": lambda rows: rows.delete(PairRow, where(first="nobody")),
    "insert of what is not known to be free": lambda rows: rows.insert(SampleRow(id=1)),
    "put of what has a unique set": lambda rows: rows.put(SampleRow(id=1)),
}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES.keys())
async def test_what_waited_before_a_block_that_fails_is_kept(
    store: Store, search: Callable[[Writer], AbstractAsyncContextManager[None]]
) -> None:
    async with store.write() as tx, gathered(tx, fresh=(PairRow,)) as rows:
        await rows.insert(PAIR)
        with suppress(LookupError):
            async with rows.savepoint():
                await rows.insert(OTHER)
                await search(rows)  # type: ignore[misc]
                raise LookupError
        assert await rows.get(PairRow, "b", 2) is None
    assert await pairs(store) == [PAIR]
    async with store.read() as view:
        assert await view.count(SampleRow) == 0


async def test_a_row_of_a_block_that_failed_can_be_added_after_it(store: Store) -> None:
    async with store.write() as tx, gathered(tx, fresh=(PairRow,)) as rows:
        with suppress(LookupError):
            async with rows.savepoint():
                await rows.insert(PAIR)
                raise LookupError
        await rows.insert(PAIR)
    assert await pairs(store) == [PAIR]
