"""What every store's transactions must do with a part that fails by itself, as tests like those of `store.py`."""

import asyncio
from contextlib import suppress

import pytest

from federation.ports import Store, where
from protocol.errors import ConflictError

from .store import PairRow, SampleRow, fill, stored


class SavepointContract:
    """Inherited by one test class a store."""

    async def test_a_savepoint_that_fails_undoes_its_own_writes_and_calls_alone(self, store: Store) -> None:
        heard: list[str] = []
        async with store.write() as change:
            change.on_commit(lambda: heard.append("before"))
            await change.insert(SampleRow(id=1, name="before"), SampleRow(id=2))
            with suppress(LookupError):
                async with change.savepoint():
                    change.on_commit(lambda: heard.append("undone"))
                    await change.put(SampleRow(id=1, name="undone"))
                    await change.insert(PairRow(first="undone", second=1))
                    await change.delete(SampleRow, where(id=2))
                    raise LookupError
            await change.insert(SampleRow(id=3, name="after"))
            change.on_commit(lambda: heard.append("after"))
        assert [(row.id, row.name) for row in await stored(store)] == [(1, "before"), (2, ""), (3, "after")]
        async with store.read() as view:
            assert await view.count(PairRow) == 0
        assert heard == ["before", "after"]

    async def test_a_savepoint_lets_its_exception_through(self, store: Store) -> None:
        async with store.write() as change:
            with pytest.raises(LookupError):
                async with change.savepoint():
                    raise LookupError

    async def test_a_savepoint_that_ends_well_is_undone_with_its_transaction(self, store: Store) -> None:
        async with store.write() as change, change.savepoint():
            await change.insert(SampleRow(id=1))
        with suppress(LookupError):
            async with store.write() as change:
                async with change.savepoint():
                    await change.insert(SampleRow(id=2))
                raise LookupError
        assert [row.id for row in await stored(store)] == [1]

    async def test_a_savepoint_inside_another_fails_alone(self, store: Store) -> None:
        async with store.write() as change, change.savepoint():
            await change.insert(SampleRow(id=1))
            with suppress(ConflictError):
                async with change.savepoint():
                    await change.insert(SampleRow(id=2))
                    await change.insert(SampleRow(id=1))
            await change.insert(SampleRow(id=3))
        assert [row.id for row in await stored(store)] == [1, 3]

    async def test_cancelling_inside_a_savepoint_undoes_the_transaction(self, store: Store) -> None:
        inside = asyncio.Event()

        async def hang() -> None:
            async with store.write() as change, change.savepoint():
                await change.insert(SampleRow(id=1))
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hang())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await fill(store, SampleRow(id=2))
        assert [row.id for row in await stored(store)] == [2]
