"""Transactions share commits, come one after the other in all processes, and none is told more than what is durable."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from node.store.errors import DatabaseInUseError, TakenOverError
from node.store.postgres import commits, connection
from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from protocol.errors import ConflictError, MalformedError, UnavailableError
from tests.contracts.sample_store import open_sample_database
from tests.contracts.store import PairRow, SampleRow, fill, stored
from tests.fakes.clock import SteppedClock
from tests.patience import comes_true
from tests.postgres import Cluster, OwnCluster

pytestmark = pytest.mark.slow


async def test_a_lone_writer_has_one_commit_for_each_transaction(store: PostgresStore) -> None:
    for number in range(3):
        await fill(store, SampleRow(id=number))
    assert store.commits == 3


@pytest.mark.parametrize("window_s", [0, 0.005])
async def test_a_crowd_shares_commits_of_a_bounded_size(server: Server, tmp_path: Path, window_s: float) -> None:
    async with await open_sample_database(server, tmp_path, window_s=window_s) as store:
        await asyncio.gather(*(fill(store, SampleRow(id=number)) for number in range(2 * commits.MOST)))
        assert store.commits == 2
        assert len(await stored(store)) == 2 * commits.MOST


async def test_two_processes_lose_nothing_of_a_read_modify_write(server: Server, tmp_path: Path) -> None:
    async def increment(store: PostgresStore) -> None:
        async with store.write() as change:
            (row,) = await change.find(PairRow)
            await change.delete(PairRow)
            await change.insert(PairRow(first="counter", second=row.second + 1))

    async with (
        await open_sample_database(server, tmp_path, alone=False) as one,
        await open_sample_database(server, tmp_path, alone=False) as other,
    ):
        await fill(one, PairRow(first="counter", second=0))
        await asyncio.gather(*(increment(store) for store in (one, other) for _ in range(20)))
        async with other.read() as view:
            assert await view.find(PairRow) == [PairRow(first="counter", second=40)]


async def test_two_processes_may_make_the_tables_at_the_same_time(server: Server, tmp_path: Path) -> None:
    one, other = await asyncio.gather(*(open_sample_database(server, tmp_path, alone=False) for _ in range(2)))
    await fill(one, SampleRow(id=1))
    assert await stored(other) == [SampleRow(id=1)]
    await asyncio.gather(one.close(), other.close())


async def test_a_second_process_is_told_that_the_database_is_in_use(
    store: PostgresStore, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(DatabaseInUseError, match="another process"):
        await open_sample_database(server, tmp_path)
    await store.close()
    async with await open_sample_database(server, tmp_path) as again:
        assert await stored(again) == []


async def test_a_process_that_lost_the_database_to_another_one_writes_no_more(
    store: PostgresStore, server: Server, tmp_path: Path
) -> None:
    store._commits.session.drop()
    async with await _once_free(lambda: open_sample_database(server, tmp_path)) as other:
        with pytest.raises(TakenOverError) as caught:  # which peers take for "later", not for "no"
            await fill(store, SampleRow(id=1))
        assert isinstance(caught.value, UnavailableError)
        assert isinstance(store._clock, SteppedClock)
        noticed = asyncio.create_task(store.lost())
        await store._clock.until_sleeping()
        store._clock.advance(2)
        await noticed
        await fill(other, SampleRow(id=2))
    assert [row.id for row in await stored(store)] == [2]


async def _once_free(take: Callable[[], Awaitable[PostgresStore]]) -> PostgresStore:
    """Return the store once the server has noticed that the other session is gone."""
    while True:
        try:
            return await take()
        except DatabaseInUseError:
            await asyncio.sleep(0.01)


async def test_a_refusal_leaves_only_when_what_it_rests_on_is_durable(store: PostgresStore) -> None:
    seen: list[int] = []

    async def doubled() -> None:
        with pytest.raises(ConflictError, match=r"sample\.id"):
            await fill(store, SampleRow(id=1))
        seen.append(store.commits)

    await asyncio.gather(fill(store, SampleRow(id=1)), doubled())
    assert seen == [1]


async def swallow(store: PostgresStore) -> None:
    """Go on after a statement that the database refuses, as if nothing had been."""
    async with store.write() as change:
        await change.insert(SampleRow(id=2))
        with pytest.raises(MalformedError, match="zero character"):
            await change.insert(SampleRow(id=3, name="\0"))


async def test_a_failed_statement_that_somebody_swallowed_fails_its_transaction_alone(store: PostgresStore) -> None:
    good, bad = await asyncio.gather(fill(store, SampleRow(id=1)), swallow(store), return_exceptions=True)
    assert good is None
    assert isinstance(bad, MalformedError)
    assert [row.id for row in await stored(store)] == [1]


class Line:
    """The session that commits, whose connection breaks before or after the server has heard of it."""

    def __init__(self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch, *, heard: bool) -> None:
        self._session = store._commits.session
        self._commit = self._session.commit
        self._heard = heard
        monkeypatch.setattr(self._session, "commit", self.commit)

    async def commit(self) -> str:
        if self._heard:
            await self._commit()
        await self.meanwhile()
        self._session.drop()
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    async def meanwhile(self) -> None:
        """Do nothing before the line breaks."""


async def test_a_commit_that_was_heard_before_the_line_broke_counts(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    Line(store, monkeypatch, heard=True)
    told: list[str] = []
    async with store.write() as change:
        await change.insert(SampleRow(id=1))
        change.on_commit(lambda: told.append("durable"))
    assert told == ["durable"]
    assert [row.id for row in await stored(store)] == [1]


async def test_a_commit_that_was_not_heard_is_undone_and_fails(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    Line(store, monkeypatch, heard=False)
    with pytest.raises(UnavailableError):
        await fill(store, SampleRow(id=1))
    assert await stored(store) == []
    await fill(store, SampleRow(id=2))
    assert [row.id for row in await stored(store)] == [2]


async def test_a_commit_whose_fate_nobody_can_tell_says_so(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise ConnectionRefusedError

    Line(store, monkeypatch, heard=True)
    monkeypatch.setattr(store._commits, "_connect", away)
    monkeypatch.setattr(commits, "_ASK_AFTER", (0.0, 0.0))
    with pytest.raises(UnavailableError, match="whether the change was kept") as caught:
        await fill(store, SampleRow(id=1))
    assert caught.value.code == "commit-unknown"


class Crash(Line):
    """The server crashes before it has heard, and another process writes first once it is back."""

    def __init__(
        self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch, *, server: OwnCluster, other: PostgresStore
    ) -> None:
        super().__init__(store, monkeypatch, heard=False)
        self._server = server
        self._other = other

    async def meanwhile(self) -> None:
        await asyncio.to_thread(self._server.crash)
        await asyncio.to_thread(self._server.start)
        await fill(self._other, SampleRow(id=2))


async def test_a_commit_that_a_crash_of_the_server_undid_fails_although_its_number_was_given_again(
    server: Server, tmp_path: Path, postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that had not reached the disk is unknown to the server, which gives its number to the next one."""
    if not isinstance(postgres, OwnCluster):
        pytest.skip("the server is not ours to stop")
    async with (
        await open_sample_database(server, tmp_path, alone=False) as one,
        await open_sample_database(server, tmp_path, alone=False) as other,
    ):
        await fill(one, PairRow(first="before", second=1))
        Crash(one, monkeypatch, server=postgres, other=other)
        with pytest.raises(UnavailableError):
            await fill(one, SampleRow(id=1))
        assert [row.id for row in await stored(other)] == [2]


async def is_never_told(store: PostgresStore, numbers: Iterator[int]) -> bool:
    """Tell whether a next commit is one whose fate nobody can tell."""
    try:
        await fill(store, SampleRow(id=next(numbers)))
    except UnavailableError as error:
        return error.code == "commit-unknown"
    return False


async def test_a_commit_that_waits_for_a_replica_is_never_told_to_do_without_it(
    store: PostgresStore, postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is told to give up waiting commits by itself, and the next primary does not have it."""
    if not isinstance(postgres, OwnCluster):
        pytest.skip("the server is not ours to configure")
    monkeypatch.setattr(commits, "_ASK_AFTER", (0.0,))
    await postgres.configure("synchronous_standby_names = 'away'")
    try:
        monkeypatch.setattr(connection, "SILENCE_S", 0.2)
        await comes_true(partial(is_never_told, store, itertools.count()))  # once the server has taken that over
    finally:
        await postgres.configure("synchronous_standby_names = ''")
