"""Tests of signing in, over both stores."""

import pytest
from msgspec.structs import replace

from federation.ports import where
from node.rows import MemberRow, SignInLinkRow, SignInRow
from node.services.accounts import DAY_S, MAX_SIGN_INS, OPEN_LINKS, Accounts, SignInSettings, day_of
from node.services.allowance import MAX_KEYS, Allowance
from node.services.labels import mailbox_label
from node.services.notices import SignInLink, decode_notice
from protocol.authorization import sign_in_name
from protocol.encoding import b64
from protocol.errors import LimitError, MalformedError, UnverifiedError
from tests.fakes.clock import SteppedClock

from .world import BASE, World, people_file, row, staff

HERE = "192.0.2.1"
ANA = "e1@aurora.example"


async def mailed_token(world: World) -> str:
    notice = decode_notice((await world.mails())[-1].notice)
    assert isinstance(notice, SignInLink)
    assert notice.link.startswith(f"{BASE}/sign-in#")
    return notice.link.partition("#")[2]


async def sign_ins(world: World) -> list[SignInRow]:
    async with world.store.read() as reader:
        return await reader.find(SignInRow)


async def test_a_mailed_link_signs_its_person_in_once(world: World) -> None:
    await world.add(staff(2))
    await world.accounts.request_link(" E1@Aurora.Example ", address=HERE)
    (mail,) = await world.mails()
    assert (mail.recipient, mail.expires_at - mail.due_at) == (ANA, 900)
    token = await mailed_token(world)
    redeemed = await world.accounts.redeem(token, address=HERE)
    assert redeemed.member == (await world.member("E1")).member
    assert redeemed.first_device is True
    person = await world.accounts.authenticate(redeemed.token)
    assert (person.member, person.device) == (redeemed.member, None)
    with pytest.raises(UnverifiedError, match="used or has expired"):
        await world.accounts.redeem(token, address=HERE)


@pytest.mark.parametrize(("later", "good"), [(899, True), (900, False)])
async def test_a_link_ends_after_fifteen_minutes(world: World, later: int, good: bool) -> None:
    await world.add(staff(2))
    await world.accounts.request_link(ANA, address=HERE)
    token = await mailed_token(world)
    world.clock.advance(later)
    if good:
        await world.accounts.redeem(token, address=HERE)
        return
    with pytest.raises(UnverifiedError):
        await world.accounts.redeem(token, address=HERE)


async def test_using_one_link_voids_the_others_of_the_person(world: World) -> None:
    await world.add(staff(2))
    member = (await world.member("E1")).member
    first, second = [(await world.accounts.issue_link(member)).partition("#")[2] for _ in range(2)]
    await world.accounts.redeem(first, address=HERE)
    with pytest.raises(UnverifiedError):
        await world.accounts.redeem(second, address=HERE)


async def test_an_unknown_address_takes_the_same_steps_and_its_link_opens_nothing(world: World) -> None:
    await world.add(staff(2))
    for mail in (ANA, "nobody@aurora.example"):
        await world.accounts.request_link(mail, address=HERE)
    known, unknown = sorted(await world.mails(), key=lambda mail: not mail.recipient)
    assert (unknown.recipient, unknown.member) == ("", "")
    assert len(unknown.notice) == len(known.notice)
    async with world.store.read() as reader:
        assert await reader.count(SignInLinkRow) == 2
    notice = decode_notice(unknown.notice)
    assert isinstance(notice, SignInLink)
    with pytest.raises(UnverifiedError):
        await world.accounts.redeem(notice.link.partition("#")[2], address=HERE)


async def test_somebody_who_left_gets_no_link(world: World) -> None:
    await world.add(staff(2))
    await world.add(people_file(row("E0"), row("E1", "not")))
    await world.accounts.request_link(ANA, address=HERE)
    assert [mail.recipient for mail in await world.mails()] == [""]


async def test_neither_link_nor_token_works_for_somebody_who_is_not_active(world: World) -> None:
    await world.add(staff(2))
    member = await world.member("E1")
    first = (await world.accounts.issue_link(member.member)).partition("#")[2]
    bearer = (await world.accounts.redeem(first, address=HERE)).token
    second = (await world.accounts.issue_link(member.member)).partition("#")[2]
    async with world.store.write() as writer:
        await writer.put(replace(member, active=False))  # even if nobody had ended the sign-ins
    with pytest.raises(UnverifiedError):
        await world.accounts.authenticate(bearer)
    with pytest.raises(UnverifiedError):
        await world.accounts.redeem(second, address=HERE)


async def test_an_address_has_at_most_three_open_links_whoever_asks(world: World) -> None:
    await world.add(staff(2))
    for mail in (ANA, "nobody@aurora.example"):
        for number in range(OPEN_LINKS + 2):
            await world.accounts.request_link(mail, address=f"192.0.2.{number}")
    recipients = [mail.recipient for mail in await world.mails()]
    assert (recipients.count(ANA), recipients.count("")) == (OPEN_LINKS, OPEN_LINKS)
    world.clock.advance(900)
    await world.accounts.request_link(ANA, address=HERE)
    assert len(await world.mails()) == 2 * OPEN_LINKS + 1
    async with world.store.read() as reader:
        assert await reader.count(SignInLinkRow) == 1


@pytest.mark.parametrize("mail", ["", "ana", "a@b c.example", "a@b@c.example", "a\n@b.example", "@b.example"])
async def test_what_is_no_address_is_refused(world: World, mail: str) -> None:
    with pytest.raises(MalformedError):
        await world.accounts.request_link(mail, address=HERE)


async def test_wishes_and_tries_from_one_network_address_are_limited(world: World) -> None:
    accounts = Accounts(world.store, world.clock, world.entropy, SignInSettings(page_base=lambda: BASE, per_address=2))
    for _ in range(2):
        await accounts.request_link("nobody@aurora.example", address=HERE)
        with pytest.raises(UnverifiedError):
            await accounts.redeem(b64(bytes(32)), address=HERE)
    with pytest.raises(LimitError) as caught:
        await accounts.request_link("nobody@aurora.example", address=HERE)
    assert caught.value.retry_at == world.clock.now() + 600
    with pytest.raises(LimitError):
        await accounts.redeem(b64(bytes(32)), address=HERE)
    await accounts.request_link("nobody@aurora.example", address="192.0.2.2")
    world.clock.advance(600)
    await accounts.request_link("nobody@aurora.example", address=HERE)


async def test_the_store_holds_no_token_in_clear(world: World) -> None:
    await world.add(staff(2))
    link = await world.accounts.issue_link((await world.member("E1")).member)
    token = link.partition("#")[2]
    async with world.store.read() as reader:
        (row_,) = await reader.find(SignInLinkRow)
    assert token not in b64(row_.token_hash)
    redeemed = await world.accounts.redeem(token, address=HERE)
    (signed,) = await sign_ins(world)
    assert b64(signed.token_hash) == sign_in_name(redeemed.token)
    assert redeemed.token != sign_in_name(redeemed.token)


async def test_an_idle_sign_in_ends_after_thirty_days_and_use_keeps_it(world: World) -> None:
    await world.add(staff(2))
    token = (await world.accounts.issue_link((await world.member("E1")).member)).partition("#")[2]
    bearer = (await world.accounts.redeem(token, address=HERE)).token
    for _ in range(3):
        world.clock.advance(30 * DAY_S)
        await world.accounts.authenticate(bearer)
    world.clock.advance(31 * DAY_S)
    with pytest.raises(UnverifiedError, match="sign in again"):
        await world.accounts.authenticate(bearer)


async def test_the_store_knows_the_day_of_use_and_not_the_time(world: World) -> None:
    await world.add(staff(2))
    token = (await world.accounts.issue_link((await world.member("E1")).member)).partition("#")[2]
    bearer = (await world.accounts.redeem(token, address=HERE)).token
    before = await sign_ins(world)
    world.clock.advance(3600)
    await world.accounts.authenticate(bearer)
    assert await sign_ins(world) == before
    world.clock.advance(DAY_S)
    await world.accounts.authenticate(bearer)
    (after,) = await sign_ins(world)
    assert after.expires_at == day_of(world.clock.now()) + 31 * DAY_S


async def test_what_changes_of_an_account_is_noticed_at_the_next_request(world: World) -> None:
    await world.add(staff(2))
    member = (await world.member("E1")).member
    link = (await world.accounts.issue_link(member)).partition("#")[2]
    bearer = (await world.accounts.redeem(link, address=HERE)).token
    before = await world.accounts.authenticate(bearer)
    assert (await world.accounts.authenticate(bearer)) == before
    async with world.store.write() as writer:
        label = await mailbox_label(writer, member, world.entropy)
        (row,) = await writer.find(SignInRow)
        await writer.put(replace(row, device="device"))
        known = await writer.get(MemberRow, member)
    after = await world.accounts.authenticate(bearer)
    assert (before.mailbox, before.device, after.mailbox, after.device) == (None, None, label, "device")
    assert known is not None
    for row_to_put, works in ((replace(known, active=False), False), (known, True)):
        async with world.store.write() as writer:
            await writer.put(row_to_put)
        if works:
            assert await world.accounts.authenticate(bearer) == after
        else:
            with pytest.raises(UnverifiedError):
                await world.accounts.authenticate(bearer)
    await world.accounts.sign_out(after)
    with pytest.raises(UnverifiedError):
        await world.accounts.authenticate(bearer)


async def test_signing_out_ends_this_client_only(world: World) -> None:
    await world.add(staff(2))
    one, other = await world.sign_in("E1"), await world.sign_in("E1")
    await world.accounts.sign_out(one)
    (left,) = await sign_ins(world)
    assert b64(left.token_hash) == other.sign_in


async def test_one_sign_in_too_many_ends_the_oldest(world: World) -> None:
    await world.add(staff(2))
    first = await world.sign_in("E1")
    others = []
    for _ in range(MAX_SIGN_INS):
        world.clock.advance(1)
        others.append(await world.sign_in("E1"))
    names = {b64(one.token_hash) for one in await sign_ins(world)}
    assert names == {person.sign_in for person in others}
    assert first.sign_in not in names


@pytest.mark.parametrize("token", ["", "x", "=" * 43, b64(bytes(31)), b64(bytes(32)), "é" * 43])
async def test_a_token_that_is_none_is_refused_alike(world: World, token: str) -> None:
    with pytest.raises(UnverifiedError) as caught:
        await world.accounts.authenticate(token)
    assert caught.value.code == "token"


async def test_the_sweep_deletes_what_is_over(world: World) -> None:
    await world.add(staff(2))
    await world.sign_in("E1")
    await world.accounts.issue_link((await world.member("E1")).member)
    world.clock.advance(40 * DAY_S)
    await world.accounts.sweep()
    async with world.store.read() as reader:
        assert await reader.count(SignInLinkRow, where()) == 0
    assert await sign_ins(world) == []


def test_an_allowance_forgets_the_oldest_key_when_there_are_too_many() -> None:
    allowance = Allowance(SteppedClock(), most=1, per_s=60)
    for number in range(MAX_KEYS + 1):
        allowance.use(str(number), what="uses")
    allowance.use("0", what="uses")
    with pytest.raises(LimitError, match="too many uses from here"):
        allowance.use(str(MAX_KEYS), what="uses")


def test_an_allowance_survives_a_clock_that_jumps_back() -> None:
    clock = SteppedClock()
    allowance = Allowance(clock, most=1, per_s=60)
    allowance.use("a", what="uses")
    clock.advance(-1000)
    allowance.use("a", what="uses")
    with pytest.raises(LimitError):
        allowance.use("a", what="uses")
