"""Sets from one node to another: published, mirrored, shown only while complete and fresh; nothing else is believed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from federation import mirror_store
from federation.mirror import MirrorService
from federation.ports import Writer, where
from federation.rows import MirrorPageRow, MirrorRow, SetHeadRow, SetPageRow, TakenHeadRow
from federation.sets import Fetched, head_path
from federation.sourcewatch import MirrorPolicy
from node.store.sqlite import SqliteStore
from protocol.commitments import Opening
from protocol.encoding import b64, encode
from protocol.errors import LimitError, MalformedError, MeshError, MissingError, UnavailableError, UnverifiedError
from protocol.heads import HeadAnswer, Nudge, SeenHead, SetHead, open_answer, open_any_head, sign_head
from protocol.pages import decode_page, snapshot
from protocol.signing import SigningKey
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.fakes.memory_store import MemoryStore

from .sets import AURORA, BIRCH, PAIR, Pair, offers, opening


@pytest.fixture
def pair() -> Pair:
    return Pair(MemoryStore(), MemoryStore())


async def row_of(pair: Pair) -> MirrorRow | None:
    async with pair.birch_store.read() as rows:
        return await rows.get(MirrorRow, AURORA, PAIR, "offers")


async def bodies_of(pair: Pair) -> list[Opening]:
    async with pair.birch_store.read() as rows:
        return [one for row in await rows.find(MirrorPageRow) for one in decode_page(row.data).entries]


async def state_of(pair: Pair) -> str:
    (status,) = await pair.mirror.status()
    return status.state


async def problem_of(pair: Pair) -> str:
    (status,) = await pair.mirror.status()
    return status.problem


async def refused(pair: Pair, kind: type[MeshError], code: str) -> None:
    with pytest.raises(kind) as refusal:
        await pair.poll()
    assert refusal.value.code == code
    assert await problem_of(pair) == code


async def test_what_one_node_publishes_the_other_shows(pair: Pair) -> None:
    await pair.publish(offers(1, 2, 3))
    await pair.poll()
    assert pair.shown() == [1, 2, 3]
    assert await state_of(pair) == "fresh"
    (status,) = await pair.mirror.status()
    assert (status.peer, status.entries, status.seq, status.problem) == (AURORA, 3, 1, "")


async def test_what_a_head_leaves_out_is_deleted_with_its_salt(pair: Pair) -> None:
    await pair.publish(offers(1, 2, 3))
    await pair.poll()
    await pair.publish_next(offers(2, 4))
    await pair.poll()
    assert pair.shown() == [2, 4]
    assert {each.salt for each in await bodies_of(pair)} == {each.salt for each in offers(2, 4)}


@pytest.fixture
async def stored_pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """The two on real databases."""
    clock = SteppedClock()
    for name in ("aurora", "birch"):
        (tmp_path / name).mkdir()
    async with (
        SqliteStore.open(tmp_path / "aurora" / "node.db", clock=clock) as aurora,
        SqliteStore.open(tmp_path / "birch" / "node.db", clock=clock) as birch,
    ):
        yield Pair(aurora, birch)


async def test_sets_live_on_a_disk_as_in_memory(stored_pair: Pair) -> None:
    pair = stored_pair
    await pair.publish(offers(*range(300)))
    await pair.poll()
    await pair.publish_next(offers(*range(200, 500)))
    await pair.poll()
    assert pair.shown() == list(range(200, 500))
    pair.mirror = pair.mirroring()
    await pair.mirror.start()
    assert pair.shown() == list(range(200, 500))
    assert len(await bodies_of(pair)) == 300
    assert await pair.mirror.reset(AURORA) == 1
    assert await bodies_of(pair) == []


async def test_large_sets_come_in_pages(pair: Pair) -> None:
    await pair.publish(offers(*range(600)))
    await pair.poll()
    assert len(pair.shown()) == 600
    assert len(pair.asked) == 1 + 3


async def test_a_head_over_the_same_set_costs_one_question_and_keeps_it_fresh(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.poll()
    pair.clock.advance(900)
    assert (await pair.publish(offers(1))).outcome == "renewed"
    pair.asked.clear()
    await pair.poll()
    assert len(pair.asked) == 1
    pair.clock.advance(86_399)
    assert pair.shown() == [1]
    pair.clock.advance(1)
    assert pair.shown() == []


async def test_nothing_new_is_said_without_a_body(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.poll()
    before = await row_of(pair)
    statuses: list[int] = []

    def watch(_path: str, answer: Fetched) -> Fetched:
        statuses.append(answer.status)
        return answer

    pair.bend = watch
    await pair.poll()
    assert statuses == [304]
    assert await row_of(pair) == before


async def test_a_set_is_hidden_from_the_second_its_head_runs_out(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.poll()
    pair.clock.advance(86_399)
    assert pair.shown() == [1]
    pair.clock.advance(1)
    assert pair.shown() == []
    assert await state_of(pair) == "stale"
    await pair.publish(offers(1))
    await pair.poll()
    assert pair.shown() == [1]


async def test_a_frozen_answer_is_refused_once_it_has_run_out(pair: Pair) -> None:
    await pair.publish(offers(1))
    reply = await pair.aurora.head_answer(PAIR, "offers", BIRCH)
    pair.clock.advance(86_400)
    pair.bend = lambda path, answer: (
        Fetched(status=200, body=reply.body, etag=reply.etag) if path.endswith("/head") else answer
    )
    await refused(pair, UnverifiedError, "stale")


async def test_entries_that_could_not_be_shown_for_a_day_are_deleted_and_fetched_anew_later(pair: Pair) -> None:
    await pair.publish(offers(1, 2))
    await pair.mirror.poll_due()
    pair.down = UnavailableError("away")
    pair.clock.advance(86_400 + 86_399)
    await pair.mirror.poll_due()
    assert len(await bodies_of(pair)) == 2
    pair.clock.advance(1)
    await pair.mirror.poll_due()
    assert await bodies_of(pair) == []
    pair.down = None
    pair.clock.advance(7200)
    await pair.publish(offers(1, 2))
    await pair.mirror.poll_due()
    assert pair.shown() == [1, 2]


async def test_every_head_taken_is_looked_for_in_the_log_and_a_mirror_stops_while_too_many_are_not_found(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_store, "MOST_UNLISTED", 3)
    for numbers in ((1,), (1, 2), (1, 2)):
        await pair.publish_next(offers(*numbers))
        await pair.poll()
    pair.clock.advance(901)
    await pair.publish(offers(1, 2))
    await pair.poll()
    await pair.poll()
    async with pair.birch_store.read() as rows:
        assert [row.seq for row in await rows.find(TakenHeadRow)] == [1, 2, 3]
    await pair.publish_next(offers(3))
    await refused(pair, LimitError, "not-listed")
    assert pair.shown() == [1, 2]
    async with pair.birch_store.write() as tx:
        await tx.delete(TakenHeadRow, where(seq=1))
    await pair.poll()
    assert pair.shown() == [3]
    assert await pair.mirror.reset(AURORA) == 1
    async with pair.birch_store.read() as rows:
        assert await rows.count(TakenHeadRow) == 0


async def test_an_older_head_is_refused_and_what_is_held_stays(pair: Pair) -> None:
    await pair.publish(offers(1))
    old = await pair.aurora.head_answer(PAIR, "offers", BIRCH)
    await pair.publish_next(offers(2))
    await pair.poll()
    pair.bend = lambda path, answer: Fetched(status=200, body=old.body) if path.endswith("/head") else answer
    await refused(pair, UnverifiedError, "rollback")
    assert pair.shown() == [2]
    pair.bend = lambda _path, answer: answer
    await pair.poll()
    assert await problem_of(pair) == ""


def twin(pair: Pair, answer: bytes, **changes: object) -> bytes:
    """Return the answer with a head that says something else under the same key."""
    opened = open_answer(answer)
    head = open_any_head(opened.head, pair.aurora_key.public)
    return encode(HeadAnswer(head=sign_head(msgspec.structs.replace(head, **changes), pair.aurora_key)))


async def test_a_second_head_of_one_number_ends_all_trust_and_both_are_kept(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.poll()
    made = snapshot("offers", offers(7))

    def fork(_path: str, answer: Fetched) -> Fetched:
        return Fetched(status=200, body=twin(pair, answer.body, shards=made.shards), etag="other")

    pair.clock.advance(1)
    held = await row_of(pair)
    assert held
    reply = await pair.aurora.head_answer(PAIR, "offers", BIRCH)
    pair.bend = lambda path, _: fork(path, Fetched(status=200, body=reply.body))
    await refused(pair, UnverifiedError, "fork")
    assert pair.shown() == []
    row = await row_of(pair)
    assert row
    assert row.state == "forked"
    assert row.head == held.head
    assert row.evidence not in {"", held.head}
    pair.bend = lambda _path, answer: answer
    pair.asked.clear()
    with pytest.raises(MeshError, match="two contradicting heads"):
        await pair.poll()
    assert pair.asked == []
    assert await state_of(pair) == "forked"
    assert await pair.mirror.reset(AURORA) == 1
    await pair.poll()
    assert pair.shown() == [1]


async def test_a_next_head_that_does_not_name_the_one_held_is_a_fork(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.poll()
    await pair.publish_next(offers(2))

    def bend(path: str, answer: Fetched) -> Fetched:
        if not path.endswith("/head"):
            return answer
        return Fetched(status=200, body=twin(pair, answer.body, prev=b64(b"x" * 32)))

    pair.bend = bend
    await refused(pair, UnverifiedError, "fork")


async def test_heads_that_were_missed_are_no_contradiction(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.poll()
    for number in range(2, 6):
        await pair.publish_next(offers(number))
    await pair.poll()
    assert pair.shown() == [5]
    row = await row_of(pair)
    assert row
    assert row.seq == 5


def lose_page(path: str, answer: Fetched) -> Fetched:
    if "/snapshots/" in path:
        raise MissingError("no such page")
    return answer


def empty_page(path: str, answer: Fetched) -> Fetched:
    return Fetched(status=200, body=snapshot("offers", ()).pages[0]) if "/snapshots/" in path else answer


def damaged_page(path: str, answer: Fetched) -> Fetched:
    return Fetched(status=200, body=answer.body[:-5]) if "/snapshots/" in path else answer


@pytest.mark.parametrize("bend", [lose_page, empty_page, damaged_page])
async def test_an_incomplete_set_is_shown_not_even_in_part(pair: Pair, bend: object) -> None:
    await pair.publish(offers(1, 2))
    await pair.poll()
    await pair.publish_next(offers(2, 3))
    pair.bend = bend  # type: ignore[assignment]
    pair.asked.clear()
    await refused(pair, UnverifiedError, "incomplete")
    assert [path.endswith("/head") for path in pair.asked].count(True) == 2  # looked once more
    assert pair.shown() == []
    assert await state_of(pair) == "incomplete"
    pair.bend = lambda _path, answer: answer
    await pair.poll()
    assert pair.shown() == [2, 3]
    assert await state_of(pair) == "fresh"


async def test_a_set_that_moves_on_between_head_and_pages_is_caught_up_with(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.publish_next(offers(2))
    late: list[str] = []

    def race(path: str, answer: Fetched) -> Fetched:
        if "/snapshots/" in path and not late:
            late.append(path)
            raise MissingError("too old")
        return answer

    pair.bend = race
    await pair.poll()
    assert pair.shown() == [2]


async def test_a_first_set_that_is_incomplete_is_told_as_such(pair: Pair) -> None:
    await pair.publish(offers(1))
    pair.bend = lose_page
    await refused(pair, UnverifiedError, "incomplete")
    assert await state_of(pair) == "incomplete"
    assert await row_of(pair) is None


async def test_more_pages_than_the_size_needs_are_not_fetched(pair: Pair) -> None:
    await pair.publish(offers(*range(300)))
    small = snapshot("offers", offers(1))

    def bend(path: str, answer: Fetched) -> Fetched:
        if not path.endswith("/head"):
            return answer
        return Fetched(status=200, body=twin(pair, answer.body, shards=small.shards, size_bucket=1))

    pair.bend = bend
    await refused(pair, UnverifiedError, "incomplete")
    assert len(pair.asked) == 4


@pytest.mark.parametrize(
    "openings",
    [
        (Opening(salt=bytes(16), body=b'{"anything":1}'),),
        (opening(1), opening(1, salt=1)),
    ],
    ids=["a body that is no offer", "one id twice"],
)
async def test_a_set_with_what_is_no_offer_is_refused_whole(pair: Pair, openings: Sequence[Opening]) -> None:
    await pair.publish((*offers(5), *openings))
    await refused(pair, UnverifiedError, "incomplete")
    assert pair.shown() == []
    assert await bodies_of(pair) == []


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        ({"origin": BIRCH}, UnverifiedError, "unverified"),
        ({"audience": b64(b"x" * 32)}, UnverifiedError, "unverified"),
        ({"kind": "keys"}, UnverifiedError, "unverified"),
        ({"issued_at": 1_800_000_061, "not_after": 1_800_000_070}, UnverifiedError, "stale"),
    ],
)
async def test_a_head_about_something_else_or_from_the_future_is_refused(
    pair: Pair, change: dict[str, object], kind: type[MeshError], code: str
) -> None:
    await pair.publish(offers(1))
    pair.bend = lambda _path, answer: Fetched(status=200, body=twin(pair, answer.body, **change))
    await refused(pair, kind, code)
    assert await row_of(pair) is None


async def test_a_head_of_another_key_is_refused(pair: Pair) -> None:
    await pair.publish(offers(1))
    pair.aurora_key = SigningKey(b"o" * 32)
    pair.birch_book.listed = [msgspec.structs.replace(pair.source, key=pair.aurora_key.public)]
    await refused(pair, UnverifiedError, "unverified")


async def test_an_answer_that_is_no_answer_is_refused(pair: Pair) -> None:
    await pair.publish(offers(1))
    pair.bend = lambda _path, _answer: Fetched(status=200, body=b"{}")
    await refused(pair, MalformedError, "malformed")


@pytest.mark.slow
async def test_a_peer_that_is_away_is_asked_less_and_less_often_and_its_set_stays(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.mirror.poll_due()
    pair.down = UnavailableError("away")
    times = []
    for _ in range(40_000):
        pair.clock.advance(1)
        pair.asked.clear()
        await pair.mirror.poll_due()
        if pair.asked:
            times.append(pair.clock.now())
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert 240 <= waits[0] <= 361
    assert max(waits) <= 3600 * 1.2 + 1
    assert waits[-1] > 2000
    assert pair.shown() == [1]
    assert await problem_of(pair) == "unavailable"


async def test_a_peer_that_names_a_time_is_not_asked_before_it(pair: Pair) -> None:
    pair.down = LimitError("slower", retry_at=pair.clock.now() + 1000)
    await pair.mirror.poll_due()
    pair.asked.clear()
    pair.clock.advance(999)
    await pair.mirror.poll_due()
    assert pair.asked == []
    pair.clock.advance(1)
    await pair.mirror.poll_due()
    assert len(pair.asked) == 1


async def test_a_peer_cannot_name_a_time_in_the_far_future(pair: Pair) -> None:
    pair.down = UnavailableError("later", retry_at=pair.clock.now() + 10**9)
    await pair.mirror.poll_due()
    pair.asked.clear()
    pair.clock.advance(3600)
    await pair.mirror.poll_due()
    assert len(pair.asked) == 1


async def test_a_nudge_has_the_peer_asked_at_once_but_no_more_often_than_allowed(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.mirror.poll_due()
    published = await pair.publish_next(offers(2))
    assert await pair.aurora.nudge(pair.post, PAIR, "offers", published.seq) == ()
    await pair.mirror.poll_due()
    assert pair.shown() == [2]
    pair.asked.clear()
    await pair.mirror.nudged(AURORA, encode(Nudge(audience=PAIR, kind="offers", seq=99)))
    await pair.mirror.poll_due()
    assert pair.asked == []
    pair.clock.advance(1)
    await pair.mirror.poll_due()
    assert len(pair.asked) == 1


async def test_a_nudge_about_what_is_held_already_changes_nothing(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.mirror.poll_due()
    pair.asked.clear()
    pair.clock.advance(5)
    await pair.mirror.nudged(AURORA, encode(Nudge(audience=PAIR, kind="offers", seq=1)))
    await pair.mirror.poll_due()
    assert pair.asked == []


async def test_a_nudge_about_a_set_that_is_not_mirrored_is_refused(pair: Pair) -> None:
    for nudge in (
        Nudge(audience=PAIR, kind="keys", seq=1),
        Nudge(audience=b64(b"x" * 32), kind="offers", seq=1),
    ):
        with pytest.raises(MissingError):
            await pair.mirror.nudged(AURORA, encode(nudge))
    with pytest.raises(MissingError):
        await pair.mirror.nudged(BIRCH, encode(Nudge(audience=PAIR, kind="offers", seq=1)))
    with pytest.raises(MalformedError):
        await pair.mirror.nudged(AURORA, b"{}")


async def test_who_cannot_be_nudged_polls(pair: Pair) -> None:
    published = await pair.publish(offers(1))
    pair.down = UnavailableError("away")
    assert await pair.aurora.nudge(pair.post, PAIR, "offers", published.seq) == (BIRCH,)


async def test_the_loop_polls_at_its_time_and_on_a_nudge(pair: Pair) -> None:
    await pair.publish(offers(1))
    running = asyncio.ensure_future(pair.mirror.run())
    await pair.clock.until_sleeping()
    for _ in range(50):
        await asyncio.sleep(0)
    assert pair.shown() == [1]
    published = await pair.publish_next(offers(2))
    await pair.aurora.nudge(pair.post, PAIR, "offers", published.seq)
    await asyncio.sleep(0)
    await pair.clock.until_sleeping()
    for _ in range(50):
        await asyncio.sleep(0)
    assert pair.shown() == [2]
    await pair.publish_next(offers(3))
    await pair.clock.elapse(361)
    assert pair.shown() == [3]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_mirror_that_starts_again_shows_what_was_complete(pair: Pair) -> None:
    await pair.publish(offers(1, 2))
    await pair.poll()
    pair.mirror = pair.mirroring()
    assert pair.shown() == []
    await pair.mirror.start()
    assert pair.shown() == [1, 2]
    pair.birch_book.listed = []
    pair.mirror = pair.mirroring()
    await pair.mirror.start()  # in a process that is not on duty, nothing else would hide it for a minute
    assert pair.shown() == []


async def test_a_set_that_is_renewed_while_old_ones_are_forgotten_stays(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.publish(offers(1, 2))
    await pair.poll()
    write = pair.birch_store.write

    @asynccontextmanager
    async def late() -> AsyncIterator[Writer]:
        monkeypatch.undo()
        await pair.publish_next(offers(3))
        await pair.poll()
        async with write() as tx:
            yield tx

    monkeypatch.setattr(pair.birch_store, "write", late)
    assert await mirror_store.MirrorStore(pair.birch_store).forget_before(2**40) == ()
    assert (await state_of(pair), len(await bodies_of(pair))) == ("fresh", 1)


async def test_a_peer_that_is_no_longer_mirrored_is_hidden_at_once(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.mirror.poll_due()
    pair.birch_book.listed = []
    await pair.mirror.poll_due()
    assert pair.shown() == []
    assert await pair.mirror.status() == ()


async def test_gossip_shows_two_stories_told_to_two_peers(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.poll()
    held = await row_of(pair)
    assert held

    def bend(_path: str, answer: Fetched) -> Fetched:
        opened = open_answer(answer.body)
        seen = (
            SeenHead(origin=AURORA, seq=held.seq, head_hash=b64(b"x" * 32)),
            SeenHead(origin=BIRCH, seq=4, head_hash=b64(b"y" * 32)),
        )
        return Fetched(status=200, body=encode(HeadAnswer(head=opened.head, seen=seen)), etag="new")

    reply = await pair.aurora.head_answer(PAIR, "offers", BIRCH)
    pair.bend = lambda path, _: bend(path, Fetched(status=200, body=reply.body))
    await pair.poll()
    (status,) = await pair.mirror.status()
    assert status.contradicted == (AURORA,)
    assert pair.shown() == [1]  # a hint, not a proof


async def test_gossip_about_our_own_heads_is_compared_with_what_we_signed(pair: Pair) -> None:
    async with pair.birch_store.write() as tx:
        await pair.birch.publish(tx, PAIR, "offers", offers(9))
    await pair.publish(offers(1))
    opened = open_answer((await pair.aurora.head_answer(PAIR, "offers", BIRCH)).body)
    seen = (SeenHead(origin=BIRCH, seq=1, head_hash=b64(b"y" * 32)),)
    pair.bend = lambda path, answer: (
        Fetched(status=200, body=encode(HeadAnswer(head=opened.head, seen=seen))) if path.endswith("/head") else answer
    )
    await pair.poll()
    (status,) = await pair.mirror.status()
    assert status.contradicted == (BIRCH,)


# The publishing side


async def test_strangers_and_members_of_other_audiences_see_no_set(pair: Pair) -> None:
    await pair.publish(offers(1))
    for audience, kind, who in (
        (PAIR, "offers", "https://cobalt.example"),
        (b64(b"x" * 32), "offers", BIRCH),
        (PAIR, "people", BIRCH),
        (PAIR, "keys", BIRCH),
    ):
        with pytest.raises(MissingError, match="no such set"):
            await pair.aurora.head_answer(audience, kind, who)
    with pytest.raises(MissingError, match="no such set"):
        await pair.aurora.page(PAIR, "offers", 1, 0, "https://cobalt.example")
    for seq, page in ((1, 1), (2, 0), (-1, 0)):
        with pytest.raises(MissingError, match="no such page"):
            await pair.aurora.page(PAIR, "offers", seq, page, BIRCH)


async def test_heads_are_signed_on_a_schedule_even_when_nothing_changed(pair: Pair) -> None:
    assert (await pair.publish(offers(1))).outcome == "changed"
    pair.clock.advance(899)
    assert (await pair.publish(offers(1))).outcome == "kept"
    pair.clock.advance(1)
    renewed = await pair.publish(offers(1))
    assert (renewed.outcome, renewed.seq) == ("renewed", 2)
    async with pair.aurora_store.read() as rows:
        heads = await rows.find(SetHeadRow, order="seq")
        assert [each.pages_of for each in heads] == [1, 1]
        assert await rows.count(SetPageRow) == 1


async def test_at_most_one_head_a_second_is_signed(pair: Pair) -> None:
    await pair.publish(offers(1))
    assert (await pair.publish(offers(2))).outcome == "kept"
    pair.clock.advance(-5)
    assert (await pair.publish(offers(2))).outcome == "kept"
    pair.clock.advance(6)
    assert (await pair.publish(offers(2))).outcome == "changed"


async def test_an_empty_set_is_published_too(pair: Pair) -> None:
    assert (await pair.publish(())).outcome == "changed"
    await pair.poll()
    assert pair.shown() == []
    assert await state_of(pair) == "fresh"


async def test_pages_of_recent_heads_are_served_and_older_ones_are_gone_with_their_salts(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.publish_next(offers(2))
    assert await pair.aurora.page(PAIR, "offers", 1, 0, BIRCH)
    pair.clock.advance(3601)
    await pair.publish(offers(3))
    with pytest.raises(MissingError):
        await pair.aurora.page(PAIR, "offers", 1, 0, BIRCH)
    async with pair.aurora_store.read() as rows:
        assert {each.seq for each in await rows.find(SetPageRow)} == {3}
        assert {each.seq for each in await rows.find(SetHeadRow)} == {3}


async def test_a_database_that_came_back_from_a_backup_never_signs_a_number_twice(pair: Pair) -> None:
    await pair.publish(offers(1))
    async with pair.aurora_store.read() as rows:
        (kept,) = await rows.find(SetHeadRow)
    for number in range(2, 20):
        await pair.publish_next(offers(number))
    await pair.poll()
    async with pair.aurora_store.write() as tx:
        await tx.delete(SetHeadRow)
        await tx.insert(kept)
    pair.clock.advance(1)
    pair.aurora = pair.publisher(pair.aurora_store, pair.aurora_book, AURORA, pair.aurora_key, generation=2)
    await pair.publish(offers(30))
    await pair.poll()
    assert pair.shown() == [30]
    assert (await pair.publish_next(offers(31))).outcome == "changed"
    await pair.poll()
    assert pair.shown() == [31]


async def test_a_chain_that_a_restored_database_forgot_whole_goes_on_beyond_it(pair: Pair) -> None:
    for number in range(1, 5):
        await pair.publish_next(offers(number))
    await pair.poll()
    for generation in (2, 3):
        pair.aurora_store = MemoryStore()
        pair.clock.advance(1000)
        pair.aurora = pair.publisher(
            pair.aurora_store, pair.aurora_book, AURORA, pair.aurora_key, generation=generation
        )
        for number in range(10 * generation, 10 * generation + 3):
            await pair.publish_next(offers(number))
            await pair.poll()
            assert pair.shown() == [number]


async def test_the_answer_to_a_head_tells_what_is_held_of_others(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.poll()
    async with pair.birch_store.write() as tx:
        await pair.birch.publish(tx, PAIR, "offers", offers(9))
    reply = await pair.birch.head_answer(PAIR, "offers", AURORA)
    (seen,) = open_answer(reply.body).seen
    row = await row_of(pair)
    assert row
    assert (seen.origin, seen.seq, seen.head_hash) == (AURORA, row.seq, row.head_hash)


async def test_sets_of_other_kinds_take_the_same_way() -> None:
    pair = Pair(MemoryStore(), MemoryStore(), kinds=("keys",))
    await pair.publish((Opening(salt=bytes(16), body=b'{"label":"x"}'),), kind="keys")
    await pair.poll()
    assert [each.body for each in await bodies_of(pair)] == [b'{"label":"x"}']
    assert pair.mirror.index.sets(pair.clock.now()) == ()
    assert pair.asked[0] == head_path(PAIR, "keys")


async def test_heads_of_one_set_follow_each_other(pair: Pair) -> None:
    heads: list[SetHead] = []
    hashes: list[str] = []
    for number in range(1, 5):
        await pair.publish_next(offers(number))
        async with pair.aurora_store.read() as rows:
            newest = (await rows.find(SetHeadRow, order="-seq", limit=1))[0]
        heads.append(open_any_head(newest.head, pair.aurora_key.public))
        hashes.append(newest.head_hash)
    assert [each.prev for each in heads] == [None, *hashes[:-1]]
    assert [each.seq for each in heads] == [1, 2, 3, 4]


async def test_a_policy_with_short_times_is_obeyed(pair: Pair) -> None:
    pair.mirror = pair.mirroring(MirrorPolicy(poll_s=1, nudge_gap_s=0))
    await pair.publish(offers(1))
    await pair.mirror.poll_due()
    await pair.publish_next(offers(2))
    pair.clock.advance(1)
    await pair.mirror.poll_due()
    assert pair.shown() == [2]


async def test_a_head_by_a_changed_key_is_believed_once_the_document_says_so(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.poll()
    new = SigningKey(b"n" * 32)
    asked: list[str] = []

    async def refetch(peer: str) -> None:
        asked.append(peer)
        pair.birch_book.listed = [replace(pair.source, key=new.public)]

    mirror = MirrorService(
        pair.birch_store,
        pair.clock,
        SeededEntropy(),
        pair.birch_book,
        pair.fetch,
        own=BIRCH,
        policy=MirrorPolicy(),
        refetch=refetch,
    )
    before = pair.source
    await mirror.poll(before)
    assert asked == []  # nothing is asked while the known key signs
    pair.aurora.rekey(new)
    published = await pair.publish_next(offers(1))
    assert published.outcome == "renewed"  # the same set, signed anew because of the key alone
    assert (await pair.publish_next(offers(1))).outcome == "kept"
    await mirror.poll(before)
    assert asked == [AURORA]
    (status,) = await mirror.status()
    assert (status.state, status.seq, status.problem) == ("fresh", published.seq, "")


async def test_a_head_by_a_key_that_no_document_names_is_not_believed(pair: Pair) -> None:
    async def refetch(_peer: str) -> None:
        raise UnavailableError("the document cannot be had")

    await pair.publish(offers(1))
    mirror = MirrorService(
        pair.birch_store,
        pair.clock,
        SeededEntropy(),
        pair.birch_book,
        pair.fetch,
        own=BIRCH,
        policy=MirrorPolicy(),
        refetch=refetch,
    )
    pair.aurora.rekey(SigningKey(b"n" * 32))
    await pair.publish_next(offers(2))
    with pytest.raises(UnverifiedError):
        await mirror.poll(pair.source)
