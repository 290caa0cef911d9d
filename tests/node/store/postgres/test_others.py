"""Several processes on one database: each hears what the others commit, and one alone is on duty."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from federation.ports import where
from node.store.errors import DatabaseInUseError
from node.store.postgres import commits
from node.store.postgres import others as others_module
from node.store.postgres.connection import WATCHED, Server
from node.store.postgres.news import MOST_BYTES, News, parse_news, render_change, render_hint
from node.store.postgres.others import PLACES, Others
from node.store.postgres.store import PostgresStore
from protocol.errors import UnavailableError
from tests.contracts.sample_store import open_sample_database
from tests.contracts.store import LargeRow, PairRow, SampleRow, fill, stored
from tests.fakes.clock import SteppedClock
from tests.patience import PATIENCE_S, comes_true

pytestmark = pytest.mark.slow


def others(store: PostgresStore) -> Others:
    assert store.others is not None
    return store.others


@asynccontextmanager
async def pair(server: Server, tmp_path: Path) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    async with (
        await open_sample_database(server, tmp_path, alone=False) as one,
        await open_sample_database(server, tmp_path, alone=False) as other,
    ):
        yield one, other


async def barrier(store: PostgresStore) -> None:
    """Return once a process has heard of every commit that was acknowledged before."""
    session = others(store)._session
    assert session is not None
    await session.rows("SELECT 1")
    await asyncio.sleep(0)


async def test_the_number_of_changes_moves_with_the_commits_of_another_process(server: Server, tmp_path: Path) -> None:
    async with pair(server, tmp_path) as (one, other):
        samples, pairs = one.changes(SampleRow), one.changes(PairRow)
        await fill(other, SampleRow(id=1))
        await barrier(one)
        assert one.changes(SampleRow) != samples
        assert one.changes(PairRow) == pairs
        samples = one.changes(SampleRow)
        async with other.write() as change:
            await change.delete(SampleRow, where(id=1))
        await barrier(one)
        assert one.changes(SampleRow) != samples


async def test_a_process_that_stands_still_in_a_transaction_keeps_nobody_for_long(
    server: Server, tmp_path: Path
) -> None:
    # The figure itself: five seconds are promised until another one is on duty.
    watched = await server.session()
    await watched.rows(WATCHED)
    ((seconds,),) = await watched.rows("SELECT current_setting('idle_in_transaction_session_timeout')")
    assert seconds == "4s"
    await watched.close()
    async with pair(server, tmp_path) as (one, other):
        assert await others(one).seek_duty()
        assert await others(one).seek_duty()  # from its second look on it promises to go on asking
        with pytest.raises(UnavailableError):
            await _overtaken(one, other)
        assert not others(one).on_duty
        assert [row.id for row in await stored(other)] == [2]


async def _overtaken(one: PostgresStore, other: PostgresStore) -> None:
    """Let `other` go on duty and write while a transaction of `one` is open."""
    async with one.write() as change:
        await change.insert(SampleRow(id=1))
        await comes_true(partial(_goes_on_duty, others(other)))
        await fill(other, SampleRow(id=2))


async def _goes_on_duty(process: Others) -> bool:
    """Seek duty; whoever waits as long as a session is kept may be told so just before it has its turn."""
    with suppress(UnavailableError):
        return await process.seek_duty()
    return False


async def test_own_commits_count_once_and_are_told_to_nobody_here(server: Server, tmp_path: Path) -> None:
    async with pair(server, tmp_path) as (one, _):
        heard: list[object] = []
        others(one).watch(heard.append)
        before = one.changes(SampleRow)
        await fill(one, SampleRow(id=1))
        await barrier(one)
        assert one.changes(SampleRow) == before + 1
        assert heard == []


async def test_whoever_watches_hears_whose_rows_changed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PairRow, "named_by", "first")
    async with pair(server, tmp_path) as (one, other):
        heard: list[object] = []
        others(one).watch(heard.append)
        await fill(other, PairRow(first="a", second=1), PairRow(first="b", second=1), SampleRow(id=1))
        async with other.write() as change:
            await change.delete(PairRow, where(first="a"))
        async with other.write() as change:
            await change.delete(PairRow)
        await barrier(one)
        assert heard == [
            {"pair": frozenset({"a", "b"}), "sample": None},
            {"pair": frozenset({"a"})},
            {"pair": None},
        ]


async def test_what_was_undone_is_told_to_nobody(server: Server, tmp_path: Path) -> None:
    async def fails(store: PostgresStore) -> None:
        async with store.write() as change:
            await change.insert(SampleRow(id=1))
            raise LookupError

    async with pair(server, tmp_path) as (one, other):
        heard: list[object] = []
        others(one).watch(heard.append)
        with pytest.raises(LookupError):
            await fails(other)
        async with other.write():
            pass
        await barrier(one)
        assert heard == []


async def test_while_nobody_listens_everything_may_have_changed(server: Server, tmp_path: Path) -> None:
    async with pair(server, tmp_path) as (one, other):
        heard: list[object] = []
        others(one).watch(heard.append)
        known = one.changes(SampleRow)
        lost = others(one)._session
        assert lost is not None
        lost.drop()
        await asyncio.sleep(0)
        assert not others(one).heard
        assert len({known, one.changes(SampleRow), one.changes(SampleRow)}) == 3
        await fill(other, SampleRow(id=1))
        await others(one)._listen()
        assert heard == [None]
        again = one.changes(SampleRow)
        assert again != known
        assert one.changes(SampleRow) == again


async def test_what_others_commit_is_heard_while_the_own_writing_session_is_lost(
    server: Server, tmp_path: Path
) -> None:
    async with pair(server, tmp_path) as (one, other):
        heard: list[object] = []
        others(one).watch(heard.append)
        one._commits.session.drop()
        await fill(other, SampleRow(id=1))
        await barrier(one)
        assert heard == [{"sample": None}]


async def test_a_line_that_broke_is_noticed_and_mended(server: Server, tmp_path: Path) -> None:
    async with pair(server, tmp_path) as (one, _):
        clock = one._clock
        assert isinstance(clock, SteppedClock)
        missed = asyncio.Event()
        others(one).watch(lambda _: missed.set())
        lost = others(one)._session
        assert lost is not None
        lost.drop()
        await clock.until_sleeping()
        clock.advance(2)
        await missed.wait()
        assert others(one).heard


@pytest.mark.usefixtures("unwatched")
async def test_one_process_is_on_duty_and_another_takes_over_when_its_session_ends(
    server: Server, tmp_path: Path
) -> None:
    async with pair(server, tmp_path) as (one, other):
        assert await others(one).seek_duty()
        assert await others(one).seek_duty()
        assert not await others(other).seek_duty()
        assert [each.on_duty for each in await others(other).processes()] == [True, False]
        assert [each.here for each in await others(other).processes()] == [False, True]
        one._commits.session.drop()
        assert not others(one).on_duty
        await comes_true(others(other).seek_duty)
        assert not await others(one).seek_duty()


async def test_a_transaction_of_the_one_on_duty_never_commits_once_it_lost_its_duty(
    server: Server, tmp_path: Path
) -> None:
    """As after a cut in the network: the old process believes itself on duty until it is told otherwise."""

    async def cut_off(store: PostgresStore, successor: Others) -> None:
        async with store.write() as change:
            assert others(store).on_duty
            await change.insert(SampleRow(id=1))
            admin = await server.session()
            await admin.rows("SELECT pg_terminate_backend($1)", (store._commits.session.pid,))
            await admin.close()
            await comes_true(successor.seek_duty)
            await change.insert(SampleRow(id=2))

    async with pair(server, tmp_path) as (one, other):
        assert await others(one).seek_duty()
        with pytest.raises(UnavailableError, match="database"):
            await cut_off(one, others(other))
        assert not others(one).on_duty
        assert await stored(other) == []


async def test_a_claim_belongs_to_one_process_until_it_is_gone(server: Server, tmp_path: Path) -> None:
    async with await open_sample_database(server, tmp_path, alone=False) as other:
        async with await open_sample_database(server, tmp_path, alone=False) as one:
            assert await others(one).claim("peer")
            assert await others(one).claim("peer")
            assert not await others(other).claim("peer")
            assert await others(other).claim("another")
        await comes_true(lambda: others(other).claim("peer"))


async def test_claims_of_any_number_of_peers_take_few_locks_of_the_server(server: Server, tmp_path: Path) -> None:
    async with pair(server, tmp_path) as (one, other):
        assert all([await others(one).claim(f"https://{number}.example") for number in range(5 * PLACES)])
        assert not await others(other).claim("https://1.example")
        session = others(one)._session
        assert session is not None
        ((held,),) = await session.rows("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND granted")
        assert isinstance(held, int)
        assert held < PLACES + 10


async def test_a_hint_reaches_the_others_alone(server: Server, tmp_path: Path) -> None:
    async with pair(server, tmp_path) as (one, other):
        heard: list[str] = []
        arrived = asyncio.Event()
        others(one).on_hint("back", lambda text: heard.append(f"one {text}"))
        others(other).on_hint("back", lambda text: heard.append(f"other {text}"))
        others(other).on_hint("end", lambda _: arrived.set())
        others(one).hint("unknown", "x")
        others(one).hint("back", "aurora")
        others(one).hint("back", "long" * MOST_BYTES)
        others(one).hint("end", "")
        await arrived.wait()
        await barrier(one)
        assert heard == ["other aurora"]


async def test_who_wants_the_database_alone_and_who_shares_it_keep_each_other_out(
    server: Server, tmp_path: Path
) -> None:
    async with await open_sample_database(server, tmp_path, alone=False):
        with pytest.raises(DatabaseInUseError, match="several = true"):
            await open_sample_database(server, tmp_path)
    async with await open_sample_database(server, tmp_path):
        with pytest.raises(DatabaseInUseError, match="alone"):
            await open_sample_database(server, tmp_path, alone=False)


def test_news_that_are_too_long_say_less_and_news_that_cannot_be_read_mean_anything() -> None:
    names = {f"label {number}" for number in range(1000)}
    assert parse_news(render_change({PairRow: {"ä"}})) == News(changed={"pair": frozenset({"ä"})})
    long = render_change({PairRow: names, LargeRow: None})
    assert parse_news(long) == News(changed={"pair": None, "large": None})
    assert render_hint("back", "x" * MOST_BYTES) is None
    for text in ("", "{", '{"changed":[1]}', '{"changed":{"pair":1}}', '{"hint":["a"]}'):
        assert parse_news(text) is None


async def test_a_process_that_asks_nothing_any_more_loses_duty_and_claims_while_its_machine_lives(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (commits, others_module):
        monkeypatch.setattr(module, "WATCHED", "SELECT set_config('idle_session_timeout', '50ms', false)")
    monkeypatch.setattr(others_module, "SILENT_S", PATIENCE_S)
    async with pair(server, tmp_path) as (one, other):
        assert await others(one).seek_duty()
        assert await others(one).claim("peer")
        assert await others(one)._answers()
        await one._commits.beat()
        await comes_true(others(other).seek_duty)
        await comes_true(lambda: others(other).claim("peer"))
        assert not others(one).on_duty
        assert not others(one).heard
        await fill(one, SampleRow(id=1))
        assert not others(one).on_duty


async def test_a_process_knows_whether_it_is_alone_also_while_it_hears_nothing_and_keeps_it_so(
    server: Server, tmp_path: Path
) -> None:
    async with pair(server, tmp_path) as (one, other):
        await others(one).close()
        others(one)._session = None
        async with others(one).alone() as alone:
            assert not alone
        with pytest.raises(UnavailableError, match="hear"):
            await others(one).processes()
        await other.close()
        async with others(one).alone() as alone:
            assert alone
            await fill(one, SampleRow(id=1))
            with pytest.raises(DatabaseInUseError):
                await open_sample_database(server, tmp_path, alone=False)
        async with await open_sample_database(server, tmp_path, alone=False) as third:
            assert await stored(third) == [SampleRow(id=1)]


async def test_who_gives_up_waiting_for_a_session_leaves_none_behind(server: Server) -> None:
    impatient = replace(server, name="impatient")
    for rounds in range(20):
        opening = asyncio.create_task(impatient.session())
        for _ in range(rounds):
            await asyncio.sleep(0.0005)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        if not opening.cancelled():
            opening.result().drop()
    session = await server.session()

    async def gone() -> bool:
        found = await session.rows("SELECT 1 FROM pg_stat_activity WHERE application_name = 'impatient'")
        return not found

    gc.disable()
    try:
        await comes_true(gone)
    finally:
        gc.enable()
        await session.close()
