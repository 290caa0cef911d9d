"""A registry states its members for a while at a time, and says at once who is out."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from federation.registry import AGAIN_FOR_S, OWN_CHANGES_S
from federation.rows import RegistrationRow
from protocol.addresses import audience_id
from protocol.encoding import decode, encode
from protocol.errors import MalformedError, MeshError, MissingError, RefusedError
from protocol.members import MAX_MEMBERS, NOTICES_PATH, Departure, MemberStatement
from protocol.peers import sign_document
from protocol.signing import SigningKey

from .guild import HOUR_S, Node, Town, settle


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
def guild(town: Town) -> Node:
    return town.guild()


async def statement(guild: Node, member: Node) -> MemberStatement:
    return decode((await guild.registration(member)).body, MemberStatement)


async def test_an_admitted_member_is_stated_for_two_days(town: Town, guild: Node) -> None:
    (birch,) = await town.members(guild, "birch")
    said, now = await statement(guild, birch), town.clock.now()
    assert (said.member, said.api, said.status) == (birch.entity, birch.entity, "active")
    assert said.fingerprint == birch.keys.federation.public.keyid
    assert (said.issued_at, said.since, said.seq) == (now, now, now)
    assert said.expires_at - now == 48 * HOUR_S
    assert said.connect_to == ""


async def test_statements_are_renewed_when_half_of_their_life_is_over(town: Town, guild: Node) -> None:
    (birch,) = await town.members(guild, "birch")
    first = await statement(guild, birch)
    town.clock.advance(24 * HOUR_S - 1)
    await guild.registry.renew()
    assert await statement(guild, birch) == first
    town.clock.advance(1)
    await guild.registry.renew()
    second = await statement(guild, birch)
    assert second == replace(
        first, seq=first.seq + 24 * HOUR_S, issued_at=town.clock.now(), expires_at=first.expires_at + 24 * HOUR_S
    )


async def test_a_member_that_moves_is_stated_anew(town: Town, guild: Node) -> None:
    (birch,) = await town.members(guild, "birch")
    town.clock.advance(61)
    document = replace(birch.own.document, api="https://new.birch.example", seq=2)
    birch.own.document, birch.own.text = document, sign_document(document, birch.keys.federation)
    town.nodes["https://new.birch.example"] = birch
    await guild.discovery.refresh(birch.entity)
    await guild.registry.renew()
    assert (await statement(guild, birch)).api == "https://new.birch.example"


@pytest.mark.slow
async def test_members_that_keep_changing_cause_one_list_a_minute(town: Town, guild: Node) -> None:
    birch, cobalt = await town.members(guild, "birch", "cobalt")
    now, lists = town.clock.now(), []
    for second in range(OWN_CHANGES_S):
        town.clock.advance(1)
        one = (birch, cobalt)[second % 2]
        api = f"https://{second}.{one.entity.partition('://')[2]}"
        one.own.document = replace(one.own.document, api=api, seq=2 + second)
        await guild.discovery.learn(one.entity, sign_document(one.own.document, one.keys.federation))
        await guild.registry.renew()
        lists.append((await statement(guild, one)).issued_at)
    assert sorted({at for at in lists if at > now}) == [now + 1]
    await guild.registry.suspend(cobalt.entity, "")  # what the registry says waits for nobody
    assert (await statement(guild, cobalt)).issued_at == town.clock.now()
    town.clock.advance(OWN_CHANGES_S)
    await guild.registry.renew()
    assert (await statement(guild, birch)).api == birch.own.document.api


@pytest.mark.slow
async def test_the_seven_that_are_active_longest_attest(town: Town, guild: Node) -> None:
    made = await town.members(guild, *(f"m{number}" for number in range(8)))

    async def attesters() -> list[str]:
        return sorted([one.entity for one in made if (await statement(guild, one)).attester])

    assert await attesters() == [one.entity for one in made[:7]]
    town.clock.advance(1)
    await guild.registry.suspend(made[0].entity, "")
    assert await attesters() == [one.entity for one in made[1:]]


async def test_a_suspension_is_told_to_all_members_and_to_the_one_concerned(town: Town, guild: Node) -> None:
    birch, cobalt = await town.members(guild, "birch", "cobalt")
    town.said.clear()
    pushed = await guild.registry.suspend(cobalt.entity, "late")
    assert (pushed.registration.status, pushed.told, pushed.missed) == ("suspended", 2, ())
    told = [to for _, to, target in town.said if target == NOTICES_PATH]
    assert told == [birch.entity, cobalt.entity]
    assert not birch.lets_in(cobalt)
    assert not cobalt.lets_in(birch)
    members = next(
        one.members
        for one in await guild.audiences.audiences()
        if one.id == audience_id(guild.entity) and "members" in one.kinds
    )
    assert members == {guild.entity, birch.entity}
    assert "late" not in str(await birch.rows())


async def test_two_changes_within_a_second_are_both_signed(town: Town, guild: Node) -> None:
    birch, cobalt = town.node("birch"), town.node("cobalt")
    for one in (birch, cobalt):
        await one.join(guild)
        await guild.registry.admit(one.entity)
    town.clock.advance(1)
    await guild.registry.renew()
    await settle(guild, birch, cobalt)
    assert birch.lets_in(cobalt)
    assert cobalt.lets_in(birch)


async def test_a_notice_that_this_node_may_not_send_counts_as_missed(town: Town, guild: Node) -> None:
    birch, cobalt = await town.members(guild, "birch", "cobalt")
    town.forbidden.add(birch.entity)  # such as by one wrong answer about its name
    pushed = await guild.registry.suspend(cobalt.entity, "")
    assert pushed.missed == (birch.entity,)
    town.forbidden.clear()
    await guild.registry.tell_again()
    assert not birch.lets_in(cobalt)


async def test_who_missed_a_notice_is_told_again_for_an_hour(town: Town, guild: Node) -> None:
    birch, cobalt = await town.members(guild, "birch", "cobalt")
    town.away.add(birch.entity)
    pushed = await guild.registry.suspend(cobalt.entity, "")
    assert pushed.missed == (birch.entity,)
    await guild.registry.tell_again()
    assert birch.lets_in(cobalt)
    town.away.clear()
    await guild.registry.tell_again()
    assert not birch.lets_in(cobalt)
    town.said.clear()
    await guild.registry.tell_again()
    assert town.said == []


async def test_after_an_hour_or_a_return_nobody_is_told_again(town: Town, guild: Node) -> None:
    birch, cobalt = await town.members(guild, "birch", "cobalt")
    town.away.add(birch.entity)
    await guild.registry.suspend(cobalt.entity, "")
    town.clock.advance(AGAIN_FOR_S)
    town.said.clear()
    await guild.registry.tell_again()
    await guild.registry.tell_again()
    assert town.said == []
    await guild.registry.resume(cobalt.entity)
    town.clock.advance(1)
    await guild.registry.suspend(cobalt.entity, "")
    await guild.registry.resume(cobalt.entity)
    town.said.clear()
    await guild.registry.tell_again()
    assert town.said == []


async def test_a_registry_that_stopped_while_telling_goes_on_at_its_start(town: Town, guild: Node) -> None:
    birch, cobalt = await town.members(guild, "birch", "cobalt")
    town.away.add(birch.entity)
    await guild.registry.suspend(cobalt.entity, "")
    town.away.clear()
    await guild.registry.start()
    await guild.registry.tell_again()
    assert not birch.lets_in(cobalt)


async def test_all_statements_can_be_made_anew(town: Town, guild: Node) -> None:
    made = await town.members(guild, "birch", "cobalt")
    before = [await statement(guild, one) for one in made]
    town.clock.advance(5)
    assert await guild.registry.rotate() == 2
    after = [await statement(guild, one) for one in made]
    assert all(new.seq > old.seq and new.issued_at > old.issued_at for new, old in zip(after, before, strict=True))


async def test_notices_are_signed_with_the_key_of_now(town: Town, guild: Node) -> None:
    birch, cobalt = await town.members(guild, "birch", "cobalt")
    guild.registry.rekey(SigningKey(b"n" * 32))
    pushed = await guild.registry.suspend(cobalt.entity, "")
    assert pushed.missed == (birch.entity, cobalt.entity)  # they do not know that key
    assert birch.lets_in(cobalt)


Step = Callable[[Node], Awaitable[object]]


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        pytest.param(lambda guild: guild.registry.admit("https://nobody.example"), MissingError, id="admit a stranger"),
        pytest.param(lambda guild: guild.registry.admit("https://birch.example"), RefusedError, id="admit a member"),
        pytest.param(lambda guild: guild.registry.resume("https://birch.example"), RefusedError, id="resume a member"),
        pytest.param(lambda guild: guild.registry.resume("https://applied.example"), RefusedError, id="resume nobody"),
        pytest.param(
            lambda guild: guild.registry.suspend("https://applied.example", ""), RefusedError, id="suspend an applicant"
        ),
        pytest.param(
            lambda guild: guild.registry.suspend("https://birch.example", "x" * 201), MalformedError, id="long reason"
        ),
        pytest.param(
            lambda guild: guild.registry.remove("https://nobody.example", ""), MissingError, id="remove nobody"
        ),
        pytest.param(lambda guild: guild.peering.remove("https://birch.example"), RefusedError, id="forget a member"),
    ],
)
async def test_a_step_that_makes_no_sense_is_refused_and_changes_nothing(
    town: Town, guild: Node, step: Step, kind: type[MeshError]
) -> None:
    await town.members(guild, "birch")
    await town.node("applied").join(guild)
    before = await guild.rows()
    with pytest.raises(kind):
        await step(guild)
    assert await guild.rows() == before


async def test_a_consortium_has_an_end(town: Town, guild: Node) -> None:
    await town.members(guild, "birch")
    async with guild.store.write() as tx:
        for number in range(MAX_MEMBERS - 1):
            entity = f"https://m{number}.example"
            await tx.insert(RegistrationRow(entity=entity, status="suspended", applied_at=0, since=0))
    await town.node("last").join(guild)
    with pytest.raises(MeshError) as refusal:
        await guild.registry.admit("https://last.example")
    assert refusal.value.code == "too-many-members"


async def test_a_member_that_leaves_is_removed_and_the_others_hear_of_it(town: Town, guild: Node) -> None:
    birch, cobalt = await town.members(guild, "birch", "cobalt")
    left = await cobalt.memberships.leave(guild.entity)
    assert left.told
    assert (await guild.registration(cobalt)).status == "removed"
    assert not birch.lets_in(cobalt)
    with pytest.raises(MissingError):
        cobalt.directory.get(birch.entity)
    assert cobalt.lets_in(guild)


async def test_nobody_hears_of_an_applicant_that_changes_its_mind(town: Town, guild: Node) -> None:
    (birch,) = await town.members(guild, "birch")
    cobalt = town.node("cobalt")
    await cobalt.join(guild)
    town.said.clear()
    await cobalt.memberships.leave(guild.entity)
    assert [target for sender, _, target in town.said if sender == guild.entity] == []
    assert await birch.fellow(guild, cobalt) is None


async def test_a_member_leaves_although_its_registry_is_away(town: Town, guild: Node) -> None:
    _, cobalt = await town.members(guild, "birch", "cobalt")
    town.away.add(guild.entity)
    left = await cobalt.memberships.leave(guild.entity)
    assert not left.told
    assert await cobalt.memberships.memberships() == ()


@pytest.mark.parametrize(
    ("sender", "body", "kind"),
    [
        ("birch", b"", MalformedError),
        ("birch", b'{"registry": "https://guild.example"}', MalformedError),
        ("birch", encode(Departure(registry="https://league.example")), MissingError),
        ("stranger", encode(Departure(registry="https://guild.example")), MissingError),
    ],
)
async def test_a_departure_that_is_none_changes_nothing(
    town: Town, guild: Node, sender: str, body: bytes, kind: type[MeshError]
) -> None:
    await town.members(guild, "birch")
    before = await guild.rows()
    with pytest.raises(kind):
        await guild.registry.depart(f"https://{sender}.example", body, guild.spend)
    assert await guild.rows() == before


async def test_the_job_signs_in_the_next_second_what_one_second_did_not_hold(town: Town, guild: Node) -> None:
    birch, cobalt = town.node("birch"), town.node("cobalt")
    job = asyncio.create_task(guild.registry.run())
    for one in (birch, cobalt):
        await one.join(guild)
        await guild.registry.admit(one.entity)
    for _ in range(20):
        await asyncio.sleep(0)
    await town.clock.elapse(1)
    await settle(guild, birch, cobalt)
    assert birch.lets_in(cobalt)
    job.cancel()
