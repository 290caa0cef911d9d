"""What a member makes of its registries' words: it meets whom they state, lets go of who is out, believes no more."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

import pytest
from msgspec.structs import replace

from federation.fellows import MAX_FELLOWS
from federation.memberships import FIRST_PAUSE_S, MAX_MEMBERSHIPS
from federation.rows import FellowRow
from protocol.addresses import audience_id
from protocol.commitments import Opening
from protocol.encoding import encode
from protocol.errors import LimitError, MeshError, MissingError, RefusedError
from protocol.jws import sign
from protocol.members import (
    NOTICE_TYP,
    MemberStatement,
    StaleNoticeError,
    SuspensionNotice,
    sign_notice,
)
from protocol.peers import sign_document
from protocol.rotation import Rotation, sign_rotation
from protocol.signing import SigningKey
from tests.patience import PATIENCE_S

from .guild import GUILD, HOUR_S, Node, Town, settle

NEW: Final = SigningKey(b"n" * 32)


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


def stated(town: Town, guild: Node, member: Node, **changes: Any) -> MemberStatement:  # noqa: ANN401 -- fields are of several types
    """Return a statement of now."""
    now = town.clock.now()
    statement = MemberStatement(
        registry=guild.entity,
        member=member.entity,
        api=member.entity,
        fingerprint=member.keys.federation.public.keyid,
        since=now,
        issued_at=now,
        expires_at=now + 48 * HOUR_S,
        status="active",
        seq=now,
    )
    return replace(statement, **changes)


async def publish(guild: Node, bodies: Iterable[bytes]) -> None:
    """Let a registry sign any list."""
    guild.town.clock.advance(1)
    openings = [Opening(salt=number.to_bytes(16, "big"), body=body) for number, body in enumerate(bodies)]
    async with guild.store.write() as tx:
        await guild.publisher.publish(tx, audience_id(guild.entity), "members", openings)


async def test_members_meet_by_the_list_alone(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    peer = birch.directory.get(cobalt.entity)
    assert (peer.via, peer.document) == (guild.entity, cobalt.own.document)
    assert peer.audiences(birch.entity, town.clock.now()) == (audience_id(guild.entity),)
    (membership,) = await birch.memberships.memberships()
    assert (membership.name, membership.standing) == ("Guild", "active")
    assert [(one.entity, one.status, one.problem) for one in membership.fellows] == [(cobalt.entity, "active", "")]
    audiences = {one.id: one.members for one in await birch.audiences.audiences()}
    assert audiences[audience_id(guild.entity)] == {birch.entity, cobalt.entity}
    assert await birch.audiences.attesters(audience_id(guild.entity)) == {birch.entity, cobalt.entity}
    assert await birch.audiences.attesters(audience_id(birch.entity, guild.entity)) == {birch.entity, guild.entity}
    assert await birch.audiences.attesters(audience_id("https://league.example")) == frozenset()


async def test_a_statement_ends_in_its_second_without_a_word(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    row = await birch.fellow(guild, cobalt)
    assert row is not None
    mine = await birch.fellow(guild, birch)
    assert mine is not None
    end = min(row.expires_at, mine.expires_at)
    town.clock.advance(end - town.clock.now() - 1)
    assert birch.lets_in(cobalt)
    town.clock.advance(1)
    assert not birch.lets_in(cobalt)
    assert [one.id for one in await birch.audiences.audiences()] == [audience_id(birch.entity, guild.entity)]
    (membership,) = await birch.memberships.memberships()
    assert (membership.standing, membership.fellows[0].status) == ("expired", "active")


async def test_a_registry_may_be_away_longer_than_its_head_lives(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    town.away.add(guild.entity)
    town.clock.advance(25 * HOUR_S)
    await birch.mirror.poll_due()
    await birch.memberships.settle()
    assert birch.lets_in(cobalt)


async def test_who_is_left_out_of_the_list_is_out(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    await publish(guild, [encode(stated(town, guild, birch))])
    await settle(guild, birch)
    assert not birch.lets_in(cobalt)
    row = await birch.fellow(guild, cobalt)
    assert row is not None
    assert row.status == "gone"


async def test_who_is_suspended_itself_meets_nobody(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    await guild.registry.suspend(birch.entity, "")
    assert not birch.lets_in(cobalt)
    assert birch.lets_in(guild)
    with pytest.raises(MissingError):
        await birch.poll(guild)
    town.clock.advance(1)
    await guild.registry.resume(birch.entity)
    await settle(guild, birch, cobalt)
    assert birch.lets_in(cobalt)


async def test_a_ticket_makes_a_pair_that_survives_its_registry(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    made = await birch.peering.invite()
    await cobalt.peering.accept(made.ticket)
    peer = birch.directory.get(cobalt.entity)
    both = (audience_id(birch.entity, cobalt.entity), audience_id(guild.entity))
    assert (peer.via, peer.audiences(birch.entity, town.clock.now())) == ("", both)
    await guild.registry.suspend(cobalt.entity, "")
    peer = birch.directory.get(cobalt.entity)
    assert peer.audiences(birch.entity, town.clock.now()) == both[:1]
    assert birch.lets_in(cobalt)
    await birch.peering.remove(cobalt.entity)
    await birch.memberships.settle()
    assert not birch.lets_in(cobalt)


async def test_joining_keeps_the_mode_of_a_pair_that_stands(town: Town, guild: Node) -> None:
    birch = town.node("birch")
    made = await guild.peering.invite()
    await birch.peering.accept(made.ticket)
    await guild.peering.set_mode(birch.entity, "no-new-requests", reason="audit")
    await birch.join(guild)
    assert (await guild.peering.show(birch.entity)).mode == "no-new-requests"
    assert (await birch.peering.show(guild.entity)).mode == "full"


async def test_tickets_of_one_kind_are_not_taken_for_the_other(town: Town, guild: Node) -> None:
    birch = town.node("birch")
    plain = await guild.peering.invite()
    with pytest.raises(RefusedError) as refusal:
        await birch.memberships.join(plain.ticket)
    assert refusal.value.code == "other-ticket"
    registry = await guild.peering.invite(consortium=GUILD)
    with pytest.raises(RefusedError) as refusal:
        await birch.peering.accept(registry.ticket)
    assert refusal.value.code == "other-ticket"
    assert await birch.memberships.memberships() == ()


@pytest.mark.slow
async def test_a_node_joins_sixteen_consortia_and_no_more(town: Town) -> None:
    birch = town.node("birch")
    for number in range(MAX_MEMBERSHIPS):
        await birch.join(town.node(f"guild{number}"))
    with pytest.raises(LimitError):
        await birch.join(town.node("another"))
    assert len(await birch.memberships.memberships()) == MAX_MEMBERSHIPS


async def test_a_seated_peer_is_not_forgotten_but_blocked(guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    with pytest.raises(RefusedError) as refusal:
        await birch.peering.remove(cobalt.entity)
    assert refusal.value.code == "member"
    await birch.peering.set_mode(cobalt.entity, "blocked", reason="audit")
    await birch.memberships.settle()
    assert not birch.lets_in(cobalt)
    audiences = {one.id: one.members for one in await birch.audiences.audiences()}
    assert audiences[audience_id(guild.entity)] == {birch.entity}
    assert [one for one in await birch.sources() if one.peer == cobalt.entity] == []


Bad = Callable[[Town, Node, Node], list[bytes]]

BAD_LISTS: Final[dict[str, Bad]] = {
    "not in form": lambda town, guild, birch: [encode(stated(town, guild, birch)), b"{}"],
    "with a space": lambda town, guild, birch: [encode(stated(town, guild, birch)).replace(b",", b", ", 1)],
    "of another registry": lambda town, guild, birch: [
        encode(stated(town, guild, birch)).replace(b"guild.example", b"league.example")
    ],
    "that says one member twice": lambda town, guild, birch: [
        encode(stated(town, guild, birch)),
        encode(stated(town, guild, birch, seq=1)),
    ],
    "of the future": lambda town, guild, birch: [
        encode(stated(town, guild, birch, issued_at=town.clock.now() + 62, expires_at=town.clock.now() + 30 * HOUR_S))
    ],
    "with a life too long": lambda town, guild, birch: [
        encode(stated(town, guild, birch)).replace(
            b'"expires_at":%d' % (town.clock.now() + 48 * HOUR_S), b'"expires_at":%d' % (town.clock.now() + 73 * HOUR_S)
        )
    ],
}
CODES = {
    "not in form": "malformed",
    "with a space": "malformed",
    "of another registry": "wrong-registry",
    "that says one member twice": "member-twice",
    "of the future": "statement-time",
    "with a life too long": "malformed",
}


@pytest.mark.parametrize("name", BAD_LISTS)
async def test_a_list_with_one_bad_statement_changes_nothing(
    town: Town, guild: Node, pair: list[Node], name: str
) -> None:
    birch, cobalt = pair
    before = await birch.rows()
    await publish(guild, BAD_LISTS[name](town, guild, birch))
    with pytest.raises(MeshError) as refusal:
        await birch.poll(guild)
    assert refusal.value.code == CODES[name]
    await birch.memberships.settle()
    assert await birch.rows() == before
    assert birch.lets_in(cobalt)


async def test_a_list_that_is_too_long_is_not_fetched(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    await publish(guild, [b"%d" % number for number in range(1025)])
    town.said.clear()
    with pytest.raises(LimitError) as refusal:
        await birch.poll(guild)
    assert refusal.value.code == "too-many-members"
    assert [target for _, _, target in town.said if "snapshots" in target] == []
    assert birch.lets_in(cobalt)


async def test_an_older_statement_does_not_undo_a_notice(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    old = stated(town, guild, cobalt)
    await guild.registry.suspend(cobalt.entity, "")
    word = await birch.fellow(guild, cobalt)
    assert word is not None
    for seq in (old.seq, word.seq):
        await publish(guild, [encode(stated(town, guild, birch)), encode(replace(old, seq=seq))])
        await settle(guild, birch)
        assert not birch.lets_in(cobalt)
    await publish(guild, [encode(stated(town, guild, birch)), encode(replace(old, seq=word.seq + 1))])
    await settle(guild, birch)
    assert birch.lets_in(cobalt)


def notice(town: Town, guild: Node, member: Node, **changes: Any) -> SuspensionNotice:  # noqa: ANN401 -- fields are of several types
    """Return a notice of now."""
    now = town.clock.now()
    made = SuspensionNotice(registry=guild.entity, member=member.entity, status="suspended", seq=now + 5, issued_at=now)
    return replace(made, **changes)


async def test_a_notice_that_is_none_changes_nothing(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    good = notice(town, guild, cobalt)
    league = town.node("league")
    cases = {
        "malformed": "hello",
        "unverified": sign_notice(good, cobalt.keys.log),
        "statement-time": sign_notice(replace(good, issued_at=town.clock.now() + 61), guild.keys.log),
        "wrong-registry": sign_notice(replace(good, registry=league.entity), guild.keys.log),
        "stale-notice": sign_notice(replace(good, seq=1), guild.keys.log),
    }
    before = await birch.rows()
    for code, text in cases.items():
        with pytest.raises(MeshError) as refusal:
            await birch.memberships.noticed(guild.entity, text, birch.spend)
        assert refusal.value.code == code
        assert await birch.rows() == before
    for body in (b'{"status":"active"}', encode(good).replace(b"suspended", b"active")):
        with pytest.raises(MeshError):
            await birch.memberships.noticed(guild.entity, sign(body, guild.keys.log, NOTICE_TYP), birch.spend)
    assert await birch.rows() == before
    assert birch.lets_in(cobalt)


async def test_a_notice_counts_from_the_registry_itself_only(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    text = sign_notice(notice(town, guild, cobalt), guild.keys.log)
    before = await birch.rows()
    for sender in (cobalt.entity, "https://league.example"):
        with pytest.raises(MissingError) as refusal:
            await birch.memberships.noticed(sender, text, birch.spend)
        assert refusal.value.code == "no-consortium"
    assert await birch.rows() == before


async def test_the_same_notice_again_changes_nothing_and_an_old_one_is_refused(
    town: Town, guild: Node, pair: list[Node]
) -> None:
    birch, cobalt = pair
    text = sign_notice(notice(town, guild, cobalt), guild.keys.log)
    await birch.memberships.noticed(guild.entity, text, birch.spend)
    once = await birch.fellow(guild, cobalt)
    await birch.memberships.noticed(guild.entity, text, birch.spend)
    assert await birch.fellow(guild, cobalt) == once
    town.clock.advance(10)
    await publish(guild, [encode(stated(town, guild, one)) for one in pair])
    await settle(guild, birch)
    assert birch.lets_in(cobalt)
    with pytest.raises(StaleNoticeError):
        await birch.memberships.noticed(guild.entity, text, birch.spend)
    assert birch.lets_in(cobalt)


async def test_a_notice_about_somebody_unknown_holds_until_older_statements_have_run_out(
    town: Town, guild: Node, pair: list[Node]
) -> None:
    birch, cobalt = pair
    dover = town.node("dover")
    old = stated(town, guild, dover)
    text = sign_notice(notice(town, guild, dover), guild.keys.log)
    await birch.memberships.noticed(guild.entity, text, birch.spend)
    await publish(guild, [*(encode(stated(town, guild, one)) for one in pair), encode(old)])
    await settle(guild, birch)
    assert not birch.lets_in(dover)
    assert birch.lets_in(cobalt)


async def test_no_registry_fills_the_store_with_notices(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, _ = pair
    async with birch.store.write() as tx:
        for number in range(MAX_FELLOWS):
            entity = f"https://m{number}.example"
            row = FellowRow(
                registry=guild.entity,
                entity=entity,
                status="gone",
                seq=1,
                api="",
                fingerprint="",
                since=0,
                expires_at=0,
            )
            await tx.put(row)
    with pytest.raises(LimitError):
        await birch.memberships.noticed(
            guild.entity, sign_notice(notice(town, guild, town.node("x")), guild.keys.log), birch.spend
        )


async def meets_with(town: Town, guild: Node, birch: Node, dover: Node, **changes: Any) -> str:  # noqa: ANN401 -- the same
    """Let Birch hear of Dover, long after the last try; return why it could not meet it, empty if it could."""
    town.clock.advance(4 * FIRST_PAUSE_S)
    await publish(guild, [encode(stated(town, guild, birch)), encode(stated(town, guild, dover, **changes))])
    await settle(guild, birch)
    row = await birch.fellow(guild, dover)
    assert row is not None
    assert birch.lets_in(dover) is not bool(row.problem)
    return row.problem


async def test_a_stranger_is_met_at_its_own_address_with_the_stated_key_only(town: Town, guild: Node) -> None:
    (birch,) = await town.members(guild, "birch")
    dover = town.node("dover")
    other = {"fingerprint": birch.keys.federation.public.keyid}
    assert await meets_with(town, guild, birch, dover, **other) == "unverified"
    assert birch.alerts == ["unverified"]
    assert await meets_with(town, guild, birch, dover, seq=town.clock.now() + 9, api=guild.entity) == "unverified"
    assert await meets_with(town, guild, birch, dover, seq=town.clock.now() + 19, connect_to="127.0.0.1:1") == (
        "development-only"
    )
    assert await meets_with(town, guild, birch, dover, seq=town.clock.now() + 29) == ""
    assert birch.directory.get(dover.entity).via == guild.entity


async def test_nobody_takes_the_transport_key_of_somebody_else(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    dover = town.node("dover")
    keys = replace(dover.own.document.keys, http=cobalt.http.public.text)
    dover.own.document = replace(dover.own.document, keys=keys)
    dover.own.text = sign_document(dover.own.document, dover.keys.federation)
    assert await meets_with(town, guild, birch, dover) == "key-not-held"
    dover.http = cobalt.http  # not even with the key itself, as long as it is another peer's
    assert await meets_with(town, guild, birch, dover, seq=town.clock.now() + 9) == "key-conflict"


async def test_who_is_away_is_met_when_it_is_back(town: Town, guild: Node) -> None:
    (birch,) = await town.members(guild, "birch")
    dover = town.node("dover")
    town.away.add(dover.entity)
    assert await meets_with(town, guild, birch, dover) == "peer-unavailable"
    assert birch.alerts == []
    town.away.clear()
    await birch.memberships.settle()
    assert not birch.lets_in(dover)  # it is not asked again at once
    town.clock.advance(FIRST_PAUSE_S)
    await birch.memberships.settle()
    assert birch.lets_in(dover)


async def test_a_slow_stranger_delays_nobodys_removal(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    dover = town.node("dover")
    answers = town.slow[dover.entity] = asyncio.Event()
    heard = asyncio.Event()

    async def hears() -> None:
        heard.set()

    birch.memberships.on_change(hears)
    await publish(guild, [encode(stated(town, guild, one)) for one in (birch, cobalt, dover)])
    await birch.poll(guild)
    async with asyncio.TaskGroup() as group:
        seats = group.create_task(birch.memberships.keep_seats())
        meeting = group.create_task(birch.memberships.settle())
        await publish(guild, [encode(stated(town, guild, one)) for one in (birch, dover)])
        await birch.poll(guild)
        await asyncio.wait_for(heard.wait(), PATIENCE_S)
        assert not birch.lets_in(cobalt)
        assert not meeting.done()
        answers.set()
        await meeting
        seats.cancel()
    assert birch.lets_in(dover)


def rotate(member: Node, *, statement: bool) -> None:
    """Let a member change its federation key, with or without a word of the old one."""
    old, now = member.keys.federation, member.town.clock.now()
    said = Rotation(entity=member.entity, number=1, old=old.public.text, new=NEW.public.text, issued_at=now)
    document = member.own.document
    keys = replace(document.keys, federation=NEW.public.text)
    rotations = (sign_rotation(said, old),) if statement else ()
    member.own.document = replace(document, keys=keys, rotations=rotations, seq=document.seq + 1)
    member.own.text = sign_document(member.own.document, NEW)


async def test_a_key_that_was_rotated_counts_before_and_after_the_registry_states_it(
    town: Town, guild: Node, pair: list[Node]
) -> None:
    birch, cobalt = pair
    rotate(cobalt, statement=True)
    town.clock.advance(61)
    await birch.discovery.refresh(cobalt.entity)
    await birch.memberships.settle()
    assert birch.lets_in(cobalt)  # the old key is stated still
    await guild.discovery.refresh(cobalt.entity)
    await guild.registry.renew()
    await settle(guild, birch)
    assert birch.lets_in(cobalt)
    row = await birch.fellow(guild, cobalt)
    assert row is not None
    assert row.fingerprint == row.met == NEW.public.keyid


async def test_a_newly_stated_key_is_taken_when_the_members_document_leads_to_it(
    town: Town, guild: Node, pair: list[Node]
) -> None:
    birch, cobalt = pair
    rotate(cobalt, statement=True)
    town.clock.advance(61)
    await guild.discovery.refresh(cobalt.entity)
    await guild.registry.renew()
    await settle(guild, birch)
    assert birch.lets_in(cobalt)
    assert birch.directory.get(cobalt.entity).document.keys.federation == NEW.public.text


async def test_a_newly_stated_key_that_nobody_vouches_for_is_an_alert_and_not_used(
    town: Town, guild: Node, pair: list[Node]
) -> None:
    birch, cobalt = pair
    rotate(cobalt, statement=False)
    town.clock.advance(61)
    said = stated(town, guild, cobalt, fingerprint=NEW.public.keyid, seq=town.clock.now() + 5)
    await publish(guild, [encode(stated(town, guild, birch)), encode(said)])
    await settle(guild, birch)
    assert not birch.lets_in(cobalt)
    assert birch.alerts == ["federation-key-changed"]
    assert birch.directory.get(cobalt.entity).document.keys.federation == cobalt.keys.federation.public.text
    await birch.memberships.settle()
    assert birch.alerts == ["federation-key-changed"]


async def test_a_peer_that_was_forgotten_and_met_anew_needs_the_key_that_is_stated(
    guild: Node, pair: list[Node]
) -> None:
    birch, cobalt = pair
    await guild.registry.suspend(cobalt.entity, "")
    await birch.peering.remove(cobalt.entity)
    row = await birch.fellow(guild, cobalt)
    assert row is not None
    assert row.met == ""


async def test_two_registries_need_one_that_says_active(town: Town, guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    league = town.node("league")
    for one in pair:
        await one.join(league)
        town.clock.advance(1)
        await league.registry.admit(one.entity)
    await settle(league, *pair)
    now = town.clock.now()
    assert birch.directory.registries(cobalt.entity, now) == (guild.entity, league.entity)
    await guild.registry.suspend(cobalt.entity, "")
    assert birch.directory.registries(cobalt.entity, now) == (league.entity,)
    await birch.memberships.leave(guild.entity)
    assert birch.lets_in(cobalt)
    await birch.memberships.leave(league.entity)
    with pytest.raises(MissingError):
        birch.directory.get(cobalt.entity)


async def test_seats_are_given_again_after_a_start(pair: list[Node]) -> None:
    birch, cobalt = pair
    birch.directory.seat({})
    assert not birch.lets_in(cobalt)
    await birch.memberships.start()
    assert birch.lets_in(cobalt)


async def test_whoever_listens_hears_of_changes_and_of_nothing_else(guild: Node, pair: list[Node]) -> None:
    birch, cobalt = pair
    heard: list[bool] = []

    async def hears() -> None:
        heard.append(birch.lets_in(cobalt))

    birch.memberships.on_change(hears)
    await birch.memberships.settle()
    assert heard == []
    await guild.registry.suspend(cobalt.entity, "")
    assert heard == [False]
