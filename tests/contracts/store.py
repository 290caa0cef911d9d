"""What every store must do, as tests: a module subclasses `StoreContract` and gives it a `store` fixture.

The fixture's store has the tables of `SAMPLES`.
"""

import asyncio
from typing import ClassVar

import pytest

from federation.ports import Condition, Row, Store, above, at_least, at_most, below, is_in, where
from protocol.errors import ConflictError

SAMPLES = """
CREATE TABLE sample (
    id INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    code BLOB,
    flag INTEGER NOT NULL,
    maybe INTEGER,
    share REAL,
    UNIQUE (name, code)
) STRICT;
CREATE TABLE pair (
    first TEXT NOT NULL,
    second INTEGER NOT NULL,
    PRIMARY KEY (first, second)
) STRICT;
CREATE TABLE large (
    id INTEGER NOT NULL PRIMARY KEY,
    text TEXT NOT NULL,
    data BLOB NOT NULL
) STRICT;
"""


class SampleRow(Row, frozen=True, kw_only=True):
    table = "sample"
    key = ("id",)
    unique = (("name", "code"),)
    purpose: ClassVar = {}

    id: int
    name: str = ""
    code: bytes | None = None
    flag: bool = False
    maybe: bool | None = None
    share: float | None = None


class PairRow(Row, frozen=True, kw_only=True):
    table = "pair"
    key = ("first", "second")
    purpose: ClassVar = {}

    first: str
    second: int


class LargeRow(Row, frozen=True, kw_only=True):
    """Outside of keys and unique sets, because an index of PostgreSQL takes no more than some 2,600 bytes."""

    table = "large"
    key = ("id",)
    purpose: ClassVar = {}

    id: int
    text: str
    data: bytes


async def fill(store: Store, *rows: Row) -> None:
    async with store.write() as change:
        await change.insert(*rows)


async def stored(store: Store) -> list[SampleRow]:
    async with store.read() as view:
        return await view.find(SampleRow)


class StoreContract:
    """Inherited by one test class a store."""

    @pytest.mark.parametrize(
        "row",
        [
            SampleRow(id=1),
            SampleRow(id=-(2**63), name="smallest"),
            SampleRow(id=2**63 - 1, name="largest"),
            SampleRow(id=2, name="Zoë 中 🌱\n'\"\\%_", code=bytes(range(256)), flag=True, maybe=False, share=-0.125),
            SampleRow(id=3, name="n" * 1000, code=b"\0" * 1000, maybe=True),
            SampleRow(id=4, code=b""),
        ],
        ids=lambda row: f"id {row.id}",
    )
    async def test_a_row_comes_back_as_it_was(self, store: Store, row: SampleRow) -> None:
        await fill(store, row)
        async with store.read() as view:
            back = await view.get(SampleRow, row.id)
        assert back == row
        assert back is not None
        assert type(back.flag) is bool
        assert type(back.maybe) is type(row.maybe)

    async def test_a_large_row_comes_back_as_it_was(self, store: Store) -> None:
        row = LargeRow(id=1, text="large " * 200_000, data=b"\0\xff" * 500_000)
        await fill(store, row)
        async with store.read() as view:
            assert await view.get(LargeRow, 1) == row

    async def test_the_number_of_changes_moves_with_commits_to_the_tables_asked_for(self, store: Store) -> None:
        await fill(store, SampleRow(id=1))
        samples, both = store.changes(SampleRow), store.changes(SampleRow, PairRow)
        await fill(store, PairRow(first="a", second=1))
        assert store.changes(SampleRow) == samples
        assert store.changes(SampleRow, PairRow) != both
        async with store.write() as change:
            await change.put(SampleRow(id=1, name="b"))
            assert store.changes(SampleRow) == samples, "nobody else sees the row before the commit"
        put = store.changes(SampleRow)
        async with store.write() as change:
            await change.delete(SampleRow, where(id=1))
        assert len({samples, put, store.changes(SampleRow)}) == 3

    async def test_a_key_of_two_columns_is_asked_in_their_order(self, store: Store) -> None:
        await fill(store, PairRow(first="a", second=1), PairRow(first="a", second=2))
        async with store.read() as view:
            assert await view.get(PairRow, "a", 2) == PairRow(first="a", second=2)
            assert await view.get(PairRow, "b", 1) is None

    @pytest.mark.parametrize(
        ("conditions", "ids"),
        [
            ([], [1, 2, 3, 4]),
            ([where(name="b")], [2]),
            ([where(code=None)], [1, 4]),
            ([where(code=b"y", name="c")], [3]),
            ([where(code=b"y", name="b")], []),
            ([where(flag=True)], [2, 4]),
            ([where(maybe=False)], [2]),
            ([at_most("id", 2)], [1, 2]),
            ([below("id", 2)], [1]),
            ([at_least("id", 3)], [3, 4]),
            ([above("id", 3)], [4]),
            ([above("id", 1), below("id", 4)], [2, 3]),
            ([at_least("share", 0.0)], [2, 3]),
            ([above("name", "a"), where(flag=False)], [3]),
            ([at_least("code", b"x\0")], [3]),
            ([is_in("id", (4, 1, 1, 9))], [1, 4]),
            ([is_in("id", ())], []),
            ([is_in("code", [b"x"])], [2]),
            ([is_in("id", range(2, 4000)), where(flag=True)], [2, 4]),
        ],
    )
    async def test_conditions_choose_rows(self, store: Store, conditions: list[Condition], ids: list[int]) -> None:
        await fill(
            store,
            SampleRow(id=4, name="d", flag=True),
            SampleRow(id=2, name="b", code=b"x", flag=True, maybe=False, share=0.5),
            SampleRow(id=3, name="c", code=b"y", share=0.0, maybe=True),
            SampleRow(id=1, name="a"),
        )
        async with store.read() as view:
            assert [row.id for row in await view.find(SampleRow, *conditions)] == ids
            assert await view.count(SampleRow, *conditions) == len(ids)
        async with store.write() as change:
            assert await change.delete(SampleRow, *conditions) == len(ids)
        assert [row.id for row in await stored(store)] == [number for number in (1, 2, 3, 4) if number not in ids]

    @pytest.mark.parametrize(
        ("order", "ids"),
        [
            (None, [1, 2, 3, 4, 5]),
            ("id", [1, 2, 3, 4, 5]),
            ("-id", [5, 4, 3, 2, 1]),
            ("name", [3, 2, 4, 1, 5]),
            ("-name", [5, 1, 2, 4, 3]),
            ("code", [1, 4, 5, 3, 2]),
            ("-code", [2, 3, 1, 4, 5]),
        ],
    )
    async def test_order_goes_by_code_point_then_key_with_empty_columns_first(
        self, store: Store, order: str | None, ids: list[int]
    ) -> None:
        await fill(
            store,
            SampleRow(id=5, name="é"),
            SampleRow(id=1, name="b"),
            SampleRow(id=2, name="a", code=b"\xff"),
            SampleRow(id=3, name="B", code=b"\x00\x01"),
            SampleRow(id=4, name="a"),
        )
        async with store.read() as view:
            assert [row.id for row in await view.find(SampleRow, order=order)] == ids
            assert [row.id for row in await view.find(SampleRow, order=order, limit=2)] == ids[:2]
            assert await view.find(SampleRow, order=order, limit=0) == []

    async def test_many_rows_are_all_found_in_order(self, store: Store) -> None:
        await fill(store, *(PairRow(first="many", second=number) for number in range(1024)))
        async with store.read() as view:
            assert [row.second for row in await view.find(PairRow)] == list(range(1024))

    async def test_insert_refuses_an_existing_key_and_inserts_nothing_of_the_call(self, store: Store) -> None:
        await fill(store, SampleRow(id=1, name="first"))
        async with store.write() as change:
            with pytest.raises(ConflictError, match="sample"):
                await change.insert(SampleRow(id=2), PairRow(first="p", second=1), SampleRow(id=1, name="second"))
            await change.insert(SampleRow(id=3, name="after"))
        assert [(row.id, row.name) for row in await stored(store)] == [(1, "first"), (3, "after")]
        async with store.read() as view:
            assert await view.count(PairRow) == 0

    async def test_insert_refuses_a_doubled_row_of_one_call(self, store: Store) -> None:
        with pytest.raises(ConflictError):
            await fill(store, SampleRow(id=1), SampleRow(id=1))
        assert await stored(store) == []

    async def test_insert_refuses_a_doubled_unique_set(self, store: Store) -> None:
        with pytest.raises(ConflictError, match="name"):
            await fill(store, SampleRow(id=1, name="n", code=b"c"), SampleRow(id=2, name="n", code=b"c"))

    async def test_a_unique_set_with_an_empty_column_is_never_doubled(self, store: Store) -> None:
        await fill(store, SampleRow(id=1, name="n"), SampleRow(id=2, name="n"))
        assert len(await stored(store)) == 2

    async def test_put_replaces_by_key_and_adds_what_is_new(self, store: Store) -> None:
        await fill(store, SampleRow(id=1, name="old", code=b"c", share=1.5), PairRow(first="p", second=1))
        async with store.write() as change:
            await change.put(SampleRow(id=1, name="new"), SampleRow(id=2), PairRow(first="p", second=1))
        assert await stored(store) == [SampleRow(id=1, name="new"), SampleRow(id=2)]

    async def test_put_refuses_what_another_row_holds_and_changes_nothing(self, store: Store) -> None:
        await fill(store, SampleRow(id=1, name="n", code=b"c"), SampleRow(id=2))
        async with store.write() as change:
            with pytest.raises(ConflictError):
                await change.put(SampleRow(id=3), SampleRow(id=2, name="n", code=b"c"))
        assert await stored(store) == [SampleRow(id=1, name="n", code=b"c"), SampleRow(id=2)]

    async def test_a_transaction_sees_its_own_changes(self, store: Store) -> None:
        async with store.write() as change:
            await change.insert(SampleRow(id=1), SampleRow(id=2))
            assert await change.delete(SampleRow, where(id=1)) == 1
            assert await change.get(SampleRow, 1) is None
            assert await change.find(SampleRow) == [SampleRow(id=2)]
            assert await change.count(SampleRow) == 1

    async def test_an_exception_undoes_its_transaction_alone(self, store: Store) -> None:
        async def good(number: int) -> None:
            await fill(store, SampleRow(id=number))

        async def bad(number: int) -> None:
            async with store.write() as change:
                await change.insert(SampleRow(id=number))
                await change.delete(SampleRow, where(id=1))
                raise LookupError

        results = await asyncio.gather(good(1), bad(2), good(3), bad(4), good(5), return_exceptions=True)
        assert [type(result) for result in results] == [type(None), LookupError] * 2 + [type(None)]
        assert [row.id for row in await stored(store)] == [1, 3, 5]

    async def test_a_reader_keeps_its_snapshot(self, store: Store) -> None:
        await fill(store, SampleRow(id=1))
        async with store.read() as view:
            assert await view.count(SampleRow) == 1
            await fill(store, SampleRow(id=2))
            assert await view.find(SampleRow) == [SampleRow(id=1)]
        assert len(await stored(store)) == 2

    async def test_a_reader_sees_nothing_of_an_open_transaction(self, store: Store) -> None:
        async with store.write() as change:
            await change.insert(SampleRow(id=1))
            assert await stored(store) == []
        assert len(await stored(store)) == 1

    async def test_a_reader_cannot_write(self, store: Store) -> None:
        async with store.read() as view:
            assert not hasattr(view, "insert")
            assert not hasattr(view, "put")
            assert not hasattr(view, "delete")

    async def test_concurrent_read_modify_write_loses_nothing(self, store: Store) -> None:
        await fill(store, PairRow(first="counter", second=0))

        async def increment() -> None:
            async with store.write() as change:
                (row,) = await change.find(PairRow)
                await asyncio.sleep(0)
                await change.delete(PairRow)
                await change.insert(PairRow(first="counter", second=row.second + 1))

        await asyncio.gather(*(increment() for _ in range(100)))
        async with store.read() as view:
            assert await view.find(PairRow) == [PairRow(first="counter", second=100)]

    async def test_cancelling_inside_a_transaction_undoes_it(self, store: Store) -> None:
        inside = asyncio.Event()

        async def hang() -> None:
            async with store.write() as change:
                await change.insert(SampleRow(id=1))
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hang())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await fill(store, SampleRow(id=2))
        assert await stored(store) == [SampleRow(id=2)]

    async def test_cancelling_who_waits_for_a_turn_keeps_the_line_moving(self, store: Store) -> None:
        release = asyncio.Event()

        async def hold() -> None:
            async with store.write() as change:
                await change.insert(SampleRow(id=1))
                await release.wait()

        tasks = [asyncio.create_task(hold())]
        tasks += [asyncio.create_task(fill(store, SampleRow(id=number))) for number in (2, 3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        release.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [row.id for row in await stored(store)] == [1, 3]

    async def test_cancelling_at_any_moment_leaves_all_or_nothing(self, store: Store) -> None:
        for turns in range(12):
            pair = (PairRow(first="p", second=turns), SampleRow(id=turns))
            task = asyncio.create_task(fill(store, *pair))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await fill(store, SampleRow(id=99))
        async with store.read() as view:
            pairs = [row.second for row in await view.find(PairRow)]
            assert [row.id for row in await view.find(SampleRow)] == [*pairs, 99]

    async def test_a_call_on_commit_runs_after_the_commit_and_only_then(self, store: Store) -> None:
        heard: list[str] = []
        async with store.write() as change:
            change.on_commit(lambda: heard.append("first"))
            change.on_commit(lambda: heard.append("second"))
            await change.insert(SampleRow(id=1))
            assert heard == []
        assert heard == ["first", "second"]

        async def conflict() -> None:
            async with store.write() as change:
                change.on_commit(lambda: heard.append("undone"))
                await change.insert(SampleRow(id=1))

        with pytest.raises(ConflictError):
            await conflict()
        await fill(store, SampleRow(id=2))
        assert heard == ["first", "second"]

    async def test_cancelling_who_waits_for_the_commit_keeps_its_calls(self, store: Store) -> None:
        left, heard = asyncio.Event(), asyncio.Event()

        async def leave() -> None:
            async with store.write() as change:
                change.on_commit(heard.set)
                await change.insert(SampleRow(id=1))
                left.set()

        task = asyncio.create_task(leave())
        await left.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await heard.wait()
        assert await stored(store) == [SampleRow(id=1)]

    async def test_a_nested_write_is_a_mistake(self, store: Store) -> None:
        async with store.write():
            with pytest.raises(RuntimeError, match="already open"):
                await fill(store, SampleRow(id=2))
        await fill(store, SampleRow(id=1))

    async def test_a_writer_and_a_reader_end_with_their_block(self, store: Store) -> None:
        async with store.write() as change:
            pass
        async with store.read() as view:
            pass
        with pytest.raises(RuntimeError, match="ended"):
            await change.insert(SampleRow(id=1))
        with pytest.raises(RuntimeError, match="ended"):
            await view.find(SampleRow)
        assert await stored(store) == []

    async def test_an_unknown_column_is_a_mistake(self, store: Store) -> None:
        async with store.write() as change:
            for query in (where(nome="x"), at_most("nome", 1), is_in("nome", [])):
                with pytest.raises(TypeError, match="nome"):
                    await change.find(SampleRow, query)
                with pytest.raises(TypeError, match="nome"):
                    await change.count(SampleRow, query)
                with pytest.raises(TypeError, match="nome"):
                    await change.delete(SampleRow, query)
            with pytest.raises(TypeError, match="nome"):
                await change.find(SampleRow, order="-nome")

    @pytest.mark.parametrize(
        "row",
        [
            SampleRow(id=True),
            SampleRow(id=1, flag=1),  # type: ignore[arg-type]
            SampleRow(id=1, name=b"x"),  # type: ignore[arg-type]
            SampleRow(id=1, name=None),  # type: ignore[arg-type]
            SampleRow(id=1, code="x"),  # type: ignore[arg-type]
            SampleRow(id=1, code=bytearray(b"x")),  # type: ignore[arg-type]
            SampleRow(id=1, share=1),
            SampleRow(id=1, share=float("nan")),
            SampleRow(id=2**63),
            SampleRow(id=-(2**63) - 1),
        ],
        ids=repr,
    )
    async def test_a_value_that_does_not_fit_its_column_is_a_mistake(self, store: Store, row: SampleRow) -> None:
        async with store.write() as change:
            with pytest.raises((TypeError, ValueError)):
                await change.insert(row)
            with pytest.raises((TypeError, ValueError)):
                await change.put(SampleRow(id=7), row)
        assert await stored(store) == []

    async def test_a_question_that_does_not_fit_its_column_is_a_mistake(self, store: Store) -> None:
        async with store.read() as view:
            for query in (where(name=1), where(name=None), at_most("share", None), is_in("code", [None])):
                with pytest.raises(TypeError):
                    await view.find(SampleRow, query)
            with pytest.raises(TypeError, match="first, second"):
                await view.get(PairRow, "first")
            with pytest.raises(TypeError):
                await view.get(SampleRow, None)
            with pytest.raises(ValueError, match="limit"):
                await view.find(SampleRow, limit=-1)
            with pytest.raises(ValueError, match="4096"):
                await view.find(SampleRow, is_in("id", range(4097)))
