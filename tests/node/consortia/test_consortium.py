"""A consortium of real nodes: they meet through its registry alone, hand-shake, and let go of who is suspended."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from cli.client.keychecks import NotListedYetError
from cli.client.person import Person
from cli.client.views import Arrived
from federation.ports import where
from federation.rows import FellowRow, MirrorRow, PeerRow
from protocol.addresses import audience_id
from protocol.errors import MissingError, UnavailableError
from tests.cli.client.world import PROMPTS, Company, become_mentor, happens, lists_something, meet, need
from tests.patience import comes_true

from .world import all_meet, join, meets, registry, seen, suspend, ticket_of

pytestmark = [pytest.mark.slow, pytest.mark.system]


def audience_of(person: Person, thread: str) -> str:
    """Return the audience of a thread as the person's device has it."""
    return person.state.thread(thread).audience


async def requested(person: Person) -> bool:
    """Send the request to the first person; False while the others' attestations are still on their way."""
    try:
        await person.request(1, prompts=PROMPTS)
    except NotListedYetError:
        return False
    return True


async def test_members_that_never_exchanged_a_ticket_hand_shake_in_the_consortiums_audience(
    guild: Company, members: list[Company]
) -> None:
    aurora, birch, _ = members
    audience = audience_id(guild.entity)
    peer = seen(aurora, birch)
    assert peer is not None
    assert peer.via == guild.entity
    assert peer.audiences(aurora.entity, aurora.node.base.clock.now()) == (audience,)
    async with birch.person("birch1") as ben, aurora.person("aurora1") as ana:
        await become_mentor(ben)
        await lists_something(ana)
        found = await ana.api.search(need(), ())
        assert {(one.peer, one.audience) for one in found.offers} == {(birch.entity, audience)}
        await ana.ask(need(), own=False)
        await comes_true(lambda: requested(ana))
        thread = (await happens(ben, Arrived)).thread
        assert audience_of(ben, thread) == audience_of(ana, thread) == audience
        await ben.accept(thread)
        await meet(ana, ben)


async def test_offers_stand_in_the_consortiums_set_and_in_no_pairs(guild: Company, members: list[Company]) -> None:
    aurora, birch, cobalt = members
    async with aurora.store.read() as rows:
        held = {(row.origin, row.audience, row.kind) for row in await rows.find(MirrorRow)}
    consortium = audience_id(guild.entity)
    assert {one for one in held if one[2] == "offers"} <= {
        (birch.entity, consortium, "offers"),
        (cobalt.entity, consortium, "offers"),
    }
    assert (guild.entity, consortium, "members") in held
    served = {one.id for one in await aurora.node.peering.audiences.audiences()}
    assert served == {consortium, audience_id(aurora.entity, guild.entity)}
    assert await aurora.node.peering.audiences.attesters(consortium) == {one.entity for one in members}


async def test_a_suspended_member_is_out_everywhere_within_a_minute_and_back_when_it_is_let_in(
    guild: Company, members: list[Company]
) -> None:
    aurora, birch, cobalt = members
    async with cobalt.person("cobalt1") as ben, aurora.person("aurora1") as ana:
        await become_mentor(ben)
        await lists_something(ana)
        pushed = await suspend(guild, cobalt)
        assert (pushed.told, pushed.missed) == (3, ())
        # The notice took effect before it was answered: nobody polls in between.
        assert not meets(aurora, cobalt)
        assert not meets(birch, cobalt)
        assert not meets(cobalt, aurora)
        assert meets(aurora, birch)
        assert (await ana.api.search(need(), ())).offers == ()
        assert (await aurora.node.catalog.offers.lists()).peers == ()
        for asker, asked in ((cobalt, aurora), (aurora, cobalt)):
            refused = seen(asker, asked)
            assert refused is not None
            with pytest.raises(UnavailableError) as refusal:
                await asker.node.peering.client.get(refused, "/federation/v1/hello")
            assert refusal.value.code == "peer-blocked"
        await guild.node.consortia.registry.resume(cobalt.entity)
        await all_meet(*members)
        await lists_something(ana)


async def test_a_bilateral_pin_survives_in_its_own_pair(guild: Company, members: list[Company]) -> None:
    aurora, birch, cobalt = members
    invitation = await aurora.node.peering.service.invite()
    await cobalt.node.peering.service.accept(invitation.ticket)
    pair, consortium = audience_id(aurora.entity, cobalt.entity), audience_id(guild.entity)
    now = aurora.node.base.clock.now
    peer = seen(aurora, cobalt)
    assert peer is not None
    assert peer.audiences(aurora.entity, now()) == (pair, consortium)
    async with cobalt.person("cobalt1") as ben, aurora.person("aurora1") as ana:
        await become_mentor(ben)

        async def shown_by_the_pair() -> bool:
            offers = (await ana.api.search(need(), ())).offers
            return bool(offers) and {one.audience for one in offers} == {pair}

        async def mirrors_both() -> bool:
            shown = aurora.node.catalog.mirror.index.sets(now())
            return {one.audience for one in shown if one.offers} == {pair, consortium}

        await comes_true(mirrors_both)
        await comes_true(shown_by_the_pair)
        await suspend(guild, cobalt)
        peer = seen(aurora, cobalt)
        assert peer is not None
        assert peer.audiences(aurora.entity, now()) == (pair,)
        assert meets(aurora, cobalt)
        assert not meets(birch, cobalt)
        assert await shown_by_the_pair()
        await ana.ask(need(), own=False)
        await comes_true(lambda: requested(ana))
        thread = (await happens(ben, Arrived)).thread
        await ben.accept(thread)
        await meet(ana, ben)
        assert audience_of(ben, thread) == audience_of(ana, thread) == pair


async def test_with_two_registries_one_that_says_active_is_enough(
    guild: Company, members: list[Company], tmp_path: Path
) -> None:
    aurora, birch, _ = members
    async with registry(tmp_path, "league") as league:
        await join(league, aurora, birch)
        now = aurora.node.base.clock.now

        def seats() -> tuple[str, ...]:
            peer = seen(aurora, birch)
            return peer.registries(now()) if peer else ()

        await comes_true(lambda: seats() == (guild.entity, league.entity))
        await suspend(guild, birch)
        assert seats() == (league.entity,)
        assert meets(aurora, birch)
        served = {one.id for one in await aurora.node.peering.audiences.audiences() if birch.entity in one.members}
        assert served == {audience_id(league.entity)}
        await suspend(league, birch)
        assert seats() == ()
        assert not meets(aurora, birch)


async def test_who_leaves_is_a_stranger_to_those_it_met_through_the_registry_alone(
    guild: Company, members: list[Company]
) -> None:
    aurora, birch, cobalt = members
    left = await cobalt.node.consortia.memberships.leave(guild.entity)
    assert left.told
    assert seen(cobalt, aurora) is None
    assert seen(cobalt, guild) is not None
    assert not meets(aurora, cobalt)
    assert not meets(birch, cobalt)
    found = {one.entity: one.status for one in await guild.node.consortia.registry.registrations()}
    assert found == {aurora.entity: "active", birch.entity: "active", cobalt.entity: "removed"}
    await join(guild, cobalt)
    await all_meet(*members)


async def test_an_applicant_is_nobody_until_it_is_admitted(guild: Company, three: list[Company]) -> None:
    aurora, birch, _ = three
    await join(guild, aurora)
    await birch.node.consortia.memberships.join(await ticket_of(guild))
    (membership,) = await birch.node.consortia.memberships.memberships()
    assert (membership.name, membership.standing, membership.fellows) == ("Guild consortium", "waiting", ())
    with pytest.raises(MissingError):
        await birch.node.peering.client.get(
            birch.node.peering.directory.get(guild.entity),
            f"/federation/v1/sets/{audience_id(guild.entity)}/members/head",
        )
    assert seen(aurora, birch) is None
    await guild.node.consortia.registry.admit(birch.entity)
    await all_meet(aurora, birch)


async def test_a_statement_that_names_another_key_than_the_pinned_one_is_not_used(
    guild: Company, members: list[Company]
) -> None:
    aurora, birch, _ = members
    service = aurora.node.consortia.memberships
    async with aurora.store.write() as tx:
        row = await tx.get(FellowRow, guild.entity, birch.entity)
        assert row is not None
        before = await tx.get(PeerRow, birch.entity)
        await tx.put(replace(row, fingerprint="A" * 43, seq=row.seq + 1))
    await service.settle()
    assert not meets(aurora, birch)
    async with aurora.store.read() as rows:
        (told,) = await rows.find(FellowRow, where(entity=birch.entity))
        assert told.problem == "key-conflict"
        after = await rows.get(PeerRow, birch.entity)
    assert before is not None
    assert after == replace(before, fetched_at=after.fetched_at if after else 0)
    alerts = await aurora.node.consortia.alerts()
    assert [birch.entity in one.detail for one in alerts] == [True]


async def test_a_member_that_is_away_finds_out_when_it_is_back(guild: Company, members: list[Company]) -> None:
    aurora, birch, cobalt = members
    directory = guild.node.peering.directory
    async with guild.store.read() as rows:
        row = await rows.get(PeerRow, birch.entity)
    assert row is not None
    directory.put(replace(row, connect_to="127.0.0.1:1"))
    pushed = await suspend(guild, cobalt)
    assert pushed.missed == (birch.entity,)
    assert not meets(aurora, cobalt)
    directory.put(row)
    await guild.node.consortia.registry.tell_again()
    assert not meets(birch, cobalt)
