"""Sets that mean something to a node: looked at before they are stored, taken over with them; who is shown what."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from federation.ports import Writer
from federation.rows import MirrorPageRow, MirrorRow
from federation.sets import TOLD_AT_ONCE, Audience, Source, tell
from protocol.commitments import Opening
from protocol.errors import LimitError, MalformedError, MissingError, UnavailableError
from tests.fakes.memory_store import MemoryStore

from .sets import BIRCH, PAIR, Pair, offers


@pytest.fixture
def pair() -> Pair:
    return Pair(MemoryStore(), MemoryStore())


class Strict:
    """Contents that refuse what they are told to, and note what they take."""

    def __init__(self) -> None:
        self.most, self.refused = 1024, b""
        self.taken: list[tuple[bytes, ...]] = []

    def check_size(self, bucket: int) -> None:
        if bucket > self.most:
            raise LimitError("too many", code="too-many")

    def check(self, source: Source, bodies: Sequence[bytes]) -> None:  # noqa: ARG002 -- as the port says
        if self.refused in bodies:
            raise MalformedError("not in form", code="not-in-form")

    async def take(self, tx: Writer, source: Source, bodies: Sequence[bytes]) -> None:  # noqa: ARG002
        self.taken.append(tuple(sorted(bodies)))


@pytest.fixture
def strict(pair: Pair) -> Strict:
    contents = Strict()
    pair.mirror = pair.mirroring(contents={"members": contents})
    return contents


def _members(pair: Pair) -> Source:
    return msgspec.structs.replace(pair.source, kind="members")


async def test_a_set_with_contents_is_handed_over_when_it_changed_and_only_then(pair: Pair, strict: Strict) -> None:
    await pair.publish([Opening(salt=bytes(16), body=b"one")], "members")
    for _ in range(2):
        await pair.mirror.poll(_members(pair))
    assert strict.taken == [(b"one",)]
    pair.clock.advance(1)
    await pair.publish([Opening(salt=bytes(16), body=b"two")], "members")
    await pair.mirror.poll(_members(pair))
    assert strict.taken == [(b"one",), (b"two",)]


async def _held(pair: Pair) -> object:
    async with pair.birch_store.read() as rows:
        return await rows.find(MirrorRow), await rows.find(MirrorPageRow)


async def test_contents_that_are_refused_change_nothing(pair: Pair, strict: Strict) -> None:
    await pair.publish([Opening(salt=bytes(16), body=b"one")], "members")
    await pair.mirror.poll(_members(pair))
    before = await _held(pair)
    strict.refused = b"bad"
    pair.clock.advance(1)
    await pair.publish([Opening(salt=bytes(16), body=b"bad")], "members")
    with pytest.raises(MalformedError, match="form") as refusal:
        await pair.mirror.poll(_members(pair))
    assert refusal.value.code == "not-in-form"
    assert strict.taken == [(b"one",)]
    assert await _held(pair) == before


async def test_a_set_that_is_too_large_is_not_fetched(pair: Pair, strict: Strict) -> None:
    strict.most = 1
    await pair.publish([Opening(salt=bytes(16), body=b"%d" % one) for one in range(3)], "members")
    with pytest.raises(LimitError):
        await pair.mirror.poll(_members(pair))
    assert [path for path in pair.asked if "snapshots" in path] == []


async def test_a_set_is_shown_to_its_kinds_audience_only(pair: Pair) -> None:
    await pair.publish(offers(1))
    await pair.publish([Opening(salt=bytes(16), body=b"one")], "members")

    async def books() -> list[Audience]:
        everybody = frozenset({BIRCH})
        return [
            Audience(id=PAIR, members=frozenset()),
            Audience(id=PAIR, members=everybody, kinds=frozenset({"members"})),
        ]

    pair.aurora_book.audiences = books  # type: ignore[method-assign]
    assert (await pair.aurora.head_answer(PAIR, "members", BIRCH)).body
    for kind in ("offers", "keys", "nothing"):
        with pytest.raises(MissingError):
            await pair.aurora.head_answer(PAIR, kind, BIRCH)


async def test_a_set_dropped_while_it_is_fetched_is_not_shown(pair: Pair) -> None:
    await pair.publish(offers(1))
    fetch = pair.fetch

    async def suspended_meanwhile() -> None:
        pair.birch_book.listed, listed = [], pair.birch_book.listed
        await pair.mirror.drop()
        pair.birch_book.listed = listed

    dropped: list[str] = []

    async def slow(peer: str, path: str, etag: str, *, limit: int, signed: bool) -> object:
        answer = await fetch(peer, path, etag, limit=limit, signed=signed)
        if "snapshots" in path and not dropped:
            dropped.append(path)
            await suspended_meanwhile()
        return answer

    pair.fetch = slow  # type: ignore[method-assign, assignment]
    pair.mirror = pair.mirroring()
    await pair.poll()
    assert pair.shown() == []


async def test_a_peer_that_is_back_is_asked_at_once_for_what_failed(pair: Pair) -> None:
    await pair.publish(offers(1))
    pair.down = UnavailableError("away")
    await pair.mirror.poll_due()
    pair.down = None
    pair.clock.advance(2)
    pair.mirror.back("https://cobalt.example")
    await pair.mirror.poll_due()
    assert pair.shown() == []
    pair.mirror.back(pair.source.peer)
    await pair.mirror.poll_due()
    assert pair.shown() == [1]
    asked = len(pair.asked)
    pair.mirror.back(pair.source.peer)
    await pair.mirror.poll_due()
    assert len(pair.asked) == asked


async def test_many_are_told_at_once_and_those_that_miss_it_are_named() -> None:
    under_way, most = 0, 0

    async def say(peer: str) -> None:
        nonlocal under_way, most
        under_way, most = under_way + 1, max(most, under_way + 1)
        await asyncio.sleep(0)
        under_way -= 1
        if peer == "7":
            raise UnavailableError("away")

    assert await tell(map(str, range(300)), say) == ("7",)
    assert most == TOLD_AT_ONCE


async def test_a_source_that_is_one_again_is_shown_again_although_its_set_is_the_same(pair: Pair) -> None:
    await pair.publish(offers(1, 2))
    await pair.poll()
    pair.birch_book.listed, listed = [], pair.birch_book.listed
    await pair.mirror.drop()
    assert pair.shown() == []
    pair.birch_book.listed = listed
    await pair.poll()
    assert pair.shown() == [1, 2]
    pair.asked.clear()
    await pair.poll()
    assert len(pair.asked) == 1
