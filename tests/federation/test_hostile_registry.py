"""What a registry cannot do to its members: have them attack an address, fill their stores, bring back who is out."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from federation import introductions, memberships
from federation.fellows import MAX_FELLOWS
from federation.ports import Reader, where
from federation.rows import FellowRow, MembershipRow
from node.events import Events
from node.housekeeping import refresh_documents
from node.telemetry import Metrics, make_log
from protocol.encoding import encode
from protocol.errors import MissingError, RefusedError
from protocol.members import MAX_MEMBERS, sign_notice
from protocol.peers import DOCUMENT_PATH

from .guild import Node, Town, settle
from .test_memberships import meets_with, notice, publish, stated


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
def guild(town: Town) -> Node:
    return town.guild()


@pytest.fixture
async def pair(town: Town, guild: Node) -> list[Node]:
    """Two members that have met."""
    return await town.members(guild, "birch", "cobalt")


async def test_an_address_that_failed_is_left_alone_whatever_is_stated(town: Town, guild: Node) -> None:
    (birch,) = await town.members(guild, "birch")
    dover, egret = town.node("dover"), town.node("egret")
    town.said.clear()
    for turn in range(3):
        wrong = [stated(town, guild, one, api=guild.entity, seq=town.clock.now() + turn) for one in (dover, egret)]
        shown = wrong if turn != 1 else wrong[:0]
        await publish(guild, [encode(stated(town, guild, birch)), *map(encode, shown)])
        await settle(guild, birch)
    assert [one for one in town.said if one[2] == DOCUMENT_PATH] == [(birch.entity, guild.entity, DOCUMENT_PATH)]


async def test_one_list_of_many_strangers_is_met_in_rounds(
    town: Town, guild: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memberships, "PER_ROUND", 2)
    (birch,) = await town.members(guild, "birch")
    strangers = [town.node(f"m{number}") for number in range(3)]
    await publish(guild, [encode(stated(town, guild, one)) for one in (birch, *strangers)])
    await settle(guild, birch)
    assert [birch.lets_in(one) for one in strangers].count(True) == 2
    await birch.memberships.settle()
    assert all(birch.lets_in(one) for one in strangers)


@pytest.mark.slow
async def test_no_registry_fills_the_store_with_lists(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    async with birch.store.write() as tx:
        known = await tx.get(FellowRow, guild.entity, cobalt.entity)
        assert known is not None
        for number in range(MAX_FELLOWS):
            await tx.put(replace(known, entity=f"https://m{number}.example", status="gone"))
    await publish(guild, [encode(stated(town, guild, one)) for one in pair])
    await settle(guild, birch)
    assert birch.lets_in(cobalt)
    async with birch.store.read() as rows:
        assert await rows.count(FellowRow) == MAX_FELLOWS - MAX_MEMBERS + 2


async def test_no_registry_fills_the_store_with_peers(
    town: Town, guild: Node, pair: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    birch, _ = pair
    monkeypatch.setattr(introductions, "MAX_FELLOWS", 1)
    assert await meets_with(town, guild, birch, town.node("dover")) == "too-many-members"


async def test_who_leaves_while_its_registry_is_away_is_stated_again_when_it_joins_again(
    town: Town, guild: Node, pair: list[Node]
) -> None:
    birch, cobalt = pair
    town.away.add(guild.entity)
    left = await birch.memberships.leave(guild.entity)
    assert not left.told
    with pytest.raises(MissingError):
        birch.directory.get(cobalt.entity)
    town.away.clear()
    await birch.join(guild)
    await settle(guild, birch)
    assert birch.lets_in(cobalt)


async def test_who_leaves_forgets_those_too_of_whom_the_registry_is_silent(
    town: Town, guild: Node, pair: list[Node]
) -> None:
    birch, cobalt = pair
    await publish(guild, [encode(stated(town, guild, birch))])
    await settle(guild, birch)
    async with birch.store.write() as tx:
        await tx.delete(FellowRow, where(entity=cobalt.entity))
    await birch.memberships.leave(guild.entity)
    assert [one.entity for one in birch.directory.all()] == [guild.entity]


async def test_a_notice_that_comes_while_this_node_leaves_is_not_kept(
    town: Town, guild: Node, pair: list[Node]
) -> None:
    birch, cobalt = pair
    async with birch.store.write() as tx:
        await tx.delete(MembershipRow, where(registry=guild.entity))
    before = await birch.rows()
    with pytest.raises(MissingError):
        await birch.memberships.noticed(
            guild.entity, sign_notice(notice(town, guild, cobalt), guild.keys.log), birch.spend
        )
    assert await birch.rows() == before


async def test_what_was_read_before_a_notice_is_not_seated_after_it(
    town: Town, guild: Node, pair: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    birch, cobalt = pair
    read, stopped, go_on = birch.store.read, asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def slow() -> AsyncIterator[Reader]:
        async with read() as rows:
            monkeypatch.undo()
            yield rows
            stopped.set()
            await go_on.wait()

    monkeypatch.setattr(birch.store, "read", slow)
    seating = asyncio.ensure_future(birch.memberships.start())
    await stopped.wait()
    text = sign_notice(notice(town, guild, cobalt), guild.keys.log)
    noticed = asyncio.ensure_future(birch.memberships.noticed(guild.entity, text, birch.spend))
    for _ in range(200):  # as far as it gets
        await asyncio.sleep(0)
    row = await birch.fellow(guild, cobalt)
    assert row is not None
    assert row.status == "suspended"
    go_on.set()
    await asyncio.gather(seating, noticed)
    assert not birch.lets_in(cobalt)


async def test_who_is_no_member_any_more_is_not_asked_for_its_document(
    town: Town, guild: Node, pair: list[Node]
) -> None:
    birch, cobalt = pair
    await publish(guild, [encode(stated(town, guild, birch))])
    await settle(guild, birch)
    town.said.clear()
    events = Events(make_log(town.clock, stream=io.StringIO()), Metrics())
    await refresh_documents(birch.directory, birch.discovery, events, town.clock.now())
    assert birch.directory.get(cobalt.entity).via == guild.entity
    assert town.said == [(birch.entity, guild.entity, DOCUMENT_PATH)]


async def test_a_pair_is_not_forgotten_while_a_registry_would_bring_it_back(guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    made = await birch.peering.invite()
    await cobalt.peering.accept(made.ticket)
    for entity in (cobalt.entity, guild.entity):
        with pytest.raises(RefusedError) as refusal:
            await birch.peering.remove(entity)
        assert refusal.value.code == "member"
