"""Requests that come together share a transaction, and none of them suffers by another."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from federation.ports import Writer
from node.services.company import MOST, Company
from node.store.sqlite import SqliteStore
from protocol.errors import RefusedError, UnavailableError
from tests.contracts.sample_store import open_sample_store
from tests.contracts.store import PairRow


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_sample_store(tmp_path, window_s=0) as store:
        yield store


async def add(tx: Writer, number: int) -> None:
    """Add a row; what is refused, or goes wrong, has added its row before."""
    await tx.insert(PairRow(first="a", second=number))
    if number == 13:
        raise RefusedError("not that one")
    if number == 14:
        raise ArithmeticError
    if number == 15:
        raise UnavailableError("the disk is full")


async def numbers(store: SqliteStore) -> list[int]:
    async with store.read() as view:
        return [row.second for row in await view.find(PairRow)]


async def test_requests_of_one_moment_share_a_commit_and_keep_their_order(store: SqliteStore) -> None:
    order: list[int] = []

    async def take(tx: Writer, number: int) -> None:
        order.append(number)
        await add(tx, number)

    company = Company(store, take, fresh=(PairRow,))
    before = store.commits
    await asyncio.gather(*(company.join(number) for number in range(100, 100 + MOST + 5)))
    assert store.commits == before + 2
    assert order == await numbers(store) == list(range(100, 100 + MOST + 5))


async def test_one_that_fails_leaves_nothing_and_the_others_go_on(store: SqliteStore) -> None:
    company = Company(store, add, fresh=(PairRow,))
    ends = await asyncio.gather(*(company.join(number) for number in (1, 13, 2, 14, 3)), return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), RefusedError, type(None), ArithmeticError, type(None)]
    assert await numbers(store) == [1, 2, 3]


async def test_a_lone_one_that_fails_leaves_nothing(store: SqliteStore) -> None:
    company = Company(store, add, fresh=(PairRow,))
    with pytest.raises(RefusedError):
        await company.join(13)
    assert await numbers(store) == []


async def test_a_disk_that_fails_is_told_to_all_and_the_next_are_taken(store: SqliteStore) -> None:
    company = Company(store, add, fresh=(PairRow,))
    ends = await asyncio.gather(*(company.join(number) for number in (1, 15, 2)), return_exceptions=True)
    assert [type(end) for end in ends] == [UnavailableError] * 3
    assert await numbers(store) == []
    await company.join(4)
    assert await numbers(store) == [4]


async def test_being_cancelled_takes_nothing_from_the_others(store: SqliteStore) -> None:
    company = Company(store, add, fresh=(PairRow,))
    waiting = [asyncio.create_task(company.join(number)) for number in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait(waiting)
    assert waiting[0].cancelled()
    assert await numbers(store) == [0, 1, 2]
