"""Tests of adding and removing devices, over both stores; the devices' own side is real."""

import msgspec
import pytest

from node.rows import DeviceRow, EnrolmentRow
from node.services import devices as module
from node.services.accounts import DAY_S, Person, day_of
from node.services.devices import EnrolDevice
from node.services.labels import MAILBOX, label_for, mailbox_label, member_of
from protocol.authorization import Authorization, certificate_name
from protocol.devices import MAX_DEVICE_LIFETIME_S
from protocol.encoding import b64, decode_loose, sha256
from protocol.errors import ConflictError, LimitError, MalformedError, MissingError, RefusedError, UnverifiedError
from protocol.regain import sign_regain

from .world import AUDIENCE, Gadget, World, notices, staff

OTHER_AUDIENCE = b64(sha256(b"another audience"))


async def first(world: World, hris_id: str = "E1", *, person: int = 1) -> tuple[Person, Gadget]:
    """Return a person signed in on their first device."""
    await world.add(staff(2))
    gadget = Gadget.made(person, 1)
    signed_in = await world.sign_in(hris_id)
    view = await world.devices.enrol(signed_in, gadget.command(world.clock.now()))
    return msgspec.structs.replace(signed_in, device=view.device), gadget


async def test_the_first_device_needs_a_link_alone_and_its_owner_is_told(world: World) -> None:
    person, gadget = await first(world)
    (view,) = await world.devices.views(person)
    assert (view.device, view.hint, view.this) == (person.device, "A laptop", True)
    assert view.added_on == view.seen_on == day_of(world.clock.now())
    assert notices(await world.mails()) == ["new-device"]
    (enrolled,) = await world.devices.enrolled(person.member, AUDIENCE)
    assert enrolled.enrolment == gadget.command(world.clock.now()).enrolment
    assert enrolled.device == person.device
    assert await world.devices.enrolled(person.member, OTHER_AUDIENCE) == ()


async def test_enrolling_gives_the_account_its_labels_and_they_lead_back(world: World) -> None:
    person, gadget = await first(world)
    labels = {row.audience: row.label for row in await world.labels(person.member)}
    assert labels[AUDIENCE] == gadget.account.label(AUDIENCE)
    assert labels[MAILBOX] != labels[AUDIENCE]
    async with world.store.write() as writer:
        assert await mailbox_label(writer, person.member, world.entropy) == labels[MAILBOX]
        assert await label_for(writer, person.member, OTHER_AUDIENCE) is None
        for label in labels.values():
            found = await member_of(writer, label)
            assert found is not None
            assert found.member == person.member
        assert await member_of(writer, "nobody") is None


async def test_a_link_alone_adds_no_second_device(world: World) -> None:
    await first(world)
    later = await world.sign_in("E1")
    thief = Gadget.made(1, 2).command(world.clock.now())
    with pytest.raises(RefusedError) as caught:
        await world.devices.enrol(later, thief)
    assert caught.value.code == "needs-authorization"
    assert len(await world.devices.views(later)) == 1
    assert len(await world.mails()) == 1


async def test_a_second_device_comes_in_with_the_consent_of_the_first(world: World) -> None:
    person, gadget = await first(world)
    later = await world.sign_in("E1")
    second = Gadget.made(1, 2)
    await world.devices.enrol(later, second.command(world.clock.now(), allowed_by=gadget, person=later))
    assert len(await world.devices.views(person)) == 2
    assert len(await world.devices.enrolled(person.member, AUDIENCE)) == 2
    assert notices(await world.mails()) == ["new-device", "new-device"]
    assert len(await world.labels(person.member)) == 2


async def test_consent_counts_only_for_this_certificate_this_sign_in_and_this_account(world: World) -> None:
    person, gadget = await first(world)
    later = await world.sign_in("E1")
    good = Gadget.made(1, 2).command(world.clock.now(), allowed_by=gadget, person=later)
    other = Gadget.made(1, 3).command(world.clock.now())
    wrong: list[tuple[Person, EnrolDevice]] = [
        (later, msgspec.structs.replace(other, authorization=good.authorization)),
        (later, Gadget.made(1, 2).command(world.clock.now(), allowed_by=gadget, person=person)),
        (later, Gadget.made(1, 2).command(world.clock.now(), allowed_by=Gadget.made(1, 9), person=later)),
        (later, Gadget.made(1, 2).command(world.clock.now(), allowed_by=Gadget.made(2, 1), person=later)),
    ]
    for who, command in wrong:
        with pytest.raises(UnverifiedError) as caught:
            await world.devices.enrol(who, command)
        assert caught.value.code == "needs-authorization"
    with pytest.raises(MalformedError):
        await world.devices.enrol(later, msgspec.structs.replace(good, authorization="x.y"))
    world.clock.advance(601)
    with pytest.raises(UnverifiedError):
        await world.devices.enrol(later, good)
    assert len(await world.devices.views(person)) == 1


async def test_a_device_of_another_account_secret_is_refused_even_with_consent(world: World) -> None:
    _, gadget = await first(world)
    later = await world.sign_in("E1")
    stranger = Gadget.made(2, 1)
    with pytest.raises(UnverifiedError) as caught:
        await world.devices.enrol(later, stranger.command(world.clock.now(), allowed_by=gadget, person=later))
    assert caught.value.code == "other-account"
    assert len(await world.mails()) == 1


async def test_a_device_signs_in_again_by_its_own_consent_and_stays_one_device(world: World) -> None:
    person, gadget = await first(world)
    later = await world.sign_in("E1")
    view = await world.devices.enrol(later, gadget.command(world.clock.now(), allowed_by=gadget, person=later))
    assert view.device == person.device
    assert len(await world.mails()) == 1


async def test_a_device_enrols_for_more_audiences_as_one_device(world: World) -> None:
    person, gadget = await first(world)
    command = gadget.command(world.clock.now(), allowed_by=gadget, person=person, audience=OTHER_AUDIENCE)
    view = await world.devices.enrol(person, command)
    assert view.device == person.device
    (here,) = await world.devices.enrolled(person.member, AUDIENCE)
    (there,) = await world.devices.enrolled(person.member, OTHER_AUDIENCE)
    assert here.device == there.device
    assert here.enrolment.label != there.enrolment.label
    assert len(await world.mails()) == 1


async def test_a_client_that_is_one_device_cannot_enrol_as_another(world: World) -> None:
    person, gadget = await first(world)
    later = await world.sign_in("E1")
    second = Gadget.made(1, 2)
    await world.devices.enrol(later, second.command(world.clock.now(), allowed_by=gadget, person=later))
    with pytest.raises(RefusedError) as caught:
        await world.devices.enrol(person, second.command(world.clock.now(), allowed_by=gadget, person=person))
    assert caught.value.code == "device"


async def test_nobody_takes_another_persons_device_id_or_label(world: World) -> None:
    _, gadget = await first(world)
    stranger = await world.sign_in("E0")
    with pytest.raises(RefusedError) as caught:
        await world.devices.enrol(stranger, gadget.command(world.clock.now()))
    assert caught.value.code == "device"
    same_label = Gadget.made(1, 7).command(world.clock.now())
    with pytest.raises(ConflictError):
        await world.devices.enrol(stranger, same_label)
    assert await world.devices.views(stranger) == ()
    assert await world.labels(stranger.member) == []


async def test_a_broken_link_of_the_chain_is_refused(world: World) -> None:
    await world.add(staff(2))
    person = await world.sign_in("E1")
    good, other = (Gadget.made(1, number).command(world.clock.now()) for number in (1, 2))
    swapped = msgspec.structs.replace(good.enrolment, sealing=other.enrolment.sealing)
    foreign = msgspec.structs.replace(
        good.enrolment, identity_key=Gadget.made(2, 1).account.identity(AUDIENCE).public.text
    )
    for enrolment in (swapped, foreign):
        with pytest.raises(UnverifiedError):
            await world.devices.enrol(person, msgspec.structs.replace(good, enrolment=enrolment))
    with pytest.raises(UnverifiedError) as caught:
        await world.devices.enrol(person, msgspec.structs.replace(good, audience=OTHER_AUDIENCE))
    assert caught.value.code == "wrong-audience"
    assert await world.devices.views(person) == ()


async def test_another_label_than_the_accounts_is_refused(world: World) -> None:
    _, gadget = await first(world)
    later = await world.sign_in("E1")
    command = Gadget.made(1, 2).command(world.clock.now(), allowed_by=gadget, person=later)
    relabelled = msgspec.structs.replace(command.enrolment, label=b64(bytes(16)))
    with pytest.raises(RefusedError) as caught:
        await world.devices.enrol(later, msgspec.structs.replace(command, enrolment=relabelled))
    assert caught.value.code == "label"


async def test_two_links_race_for_the_first_device_and_one_wins(world: World) -> None:
    await world.add(staff(2))
    one, other = await world.sign_in("E1"), await world.sign_in("E1")
    await world.devices.enrol(one, Gadget.made(1, 1).command(world.clock.now()))
    with pytest.raises(RefusedError):
        await world.devices.enrol(other, Gadget.made(1, 2).command(world.clock.now()))


async def test_removing_a_device_signs_it_out_and_needs_a_device(world: World) -> None:
    person, gadget = await first(world)
    later = await world.sign_in("E1")
    assert person.device is not None
    with pytest.raises(RefusedError) as caught:
        await world.devices.remove(later, person.device)
    assert caught.value.code == "no-device"
    view = await world.devices.enrol(
        later, Gadget.made(1, 2).command(world.clock.now(), allowed_by=gadget, person=later)
    )
    now_a_device = msgspec.structs.replace(later, device=view.device)
    await world.devices.remove(now_a_device, person.device)
    assert [one.device for one in await world.devices.views(later)] == [view.device]
    assert len(await world.devices.enrolled(person.member, AUDIENCE)) == 1
    with pytest.raises(MissingError):
        await world.devices.remove(now_a_device, person.device)
    with pytest.raises(UnverifiedError, match="this device was removed") as told:
        await world.accounts.authenticate(world.tokens[person.sign_in])
    assert told.value.code == "device-removed"


async def test_a_removed_device_lets_nobody_in_any_more(world: World) -> None:
    person, gadget = await first(world)
    assert person.device is not None
    other = await world.sign_in("E1")
    second = Gadget.made(1, 2)
    await world.devices.enrol(other, second.command(world.clock.now(), allowed_by=gadget, person=other))
    await world.devices.remove(person, person.device)
    later = await world.sign_in("E1")
    with pytest.raises(UnverifiedError):
        await world.devices.enrol(later, Gadget.made(1, 3).command(world.clock.now(), allowed_by=gadget, person=later))
    await world.devices.enrol(later, Gadget.made(1, 3).command(world.clock.now(), allowed_by=second, person=later))


async def test_nobody_removes_a_strangers_device(world: World) -> None:
    person, _ = await first(world)
    stranger = await world.sign_in("E0")
    view = await world.devices.enrol(stranger, Gadget.made(2, 1).command(world.clock.now()))
    with pytest.raises(MissingError):
        await world.devices.remove(person, view.device)


async def test_after_the_last_certificate_ended_a_link_starts_anew_and_the_owner_is_told(world: World) -> None:
    person, _ = await first(world)
    world.clock.advance(MAX_DEVICE_LIFETIME_S)
    later = await world.sign_in("E1")
    assert await world.devices.enrolled(person.member, AUDIENCE) == ()
    fresh = Gadget.made(3, 1)
    await world.devices.enrol(later, fresh.command(world.clock.now()))
    assert len(await world.devices.views(later)) == 1
    assert len(await world.mails()) == 2
    assert fresh.account.label(AUDIENCE) in {row.label for row in await world.labels(person.member)}


async def test_a_device_is_seen_by_day(world: World) -> None:
    await world.add(staff(2))
    link = await world.accounts.issue_link((await world.member("E1")).member)
    redeemed = await world.accounts.redeem(link.partition("#")[2], address="192.0.2.1")
    person = await world.accounts.authenticate(redeemed.token)
    await world.devices.enrol(person, Gadget.made(1, 1).command(world.clock.now()))
    world.clock.advance(3 * DAY_S)
    again = await world.accounts.authenticate(redeemed.token)
    (view,) = await world.devices.views(again)
    assert view.this
    assert view.seen_on - view.added_on == 3 * DAY_S


async def test_devices_and_audiences_have_a_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DEVICES", 1)
    monkeypatch.setattr(module, "MAX_ENROLMENTS", 1)
    person, gadget = await first(world)
    later = await world.sign_in("E1")
    with pytest.raises(LimitError, match="devices"):
        await world.devices.enrol(later, Gadget.made(1, 2).command(world.clock.now(), allowed_by=gadget, person=later))
    with pytest.raises(LimitError, match="audiences"):
        await world.devices.enrol(
            person,
            gadget.command(world.clock.now(), allowed_by=gadget, person=person, audience=OTHER_AUDIENCE),
        )
    async with world.store.read() as reader:
        assert (await reader.count(DeviceRow), await reader.count(EnrolmentRow)) == (1, 1)


async def test_a_hint_that_would_disturb_a_terminal_is_refused(world: World) -> None:
    await world.add(staff(2))
    person = await world.sign_in("E1")
    command = Gadget.made(1, 1).command(world.clock.now())
    with pytest.raises(MalformedError, match="hint"):
        await world.devices.enrol(person, msgspec.structs.replace(command, hint="\x1b[31mred"))


def test_a_command_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(MalformedError, match="unknown field"):
        decode_loose(b'{"master_key":"x"}', EnrolDevice)


async def test_who_lost_every_device_comes_back_by_the_account_secret_and_everybody_else_is_signed_out(
    world: World,
) -> None:
    person, gadget = await first(world)
    before = await world.labels(person.member)
    await world.sign_in("E1")
    later = await world.sign_in("E1")
    view = await world.devices.enrol(later, Gadget.made(1, 2).regain(world.clock.now(), later))
    assert await world.signed_in(person.member) == [later.sign_in]
    back = msgspec.structs.replace(later, device=view.device)
    (lost,) = [one for one in await world.devices.views(back) if not one.this]
    await world.devices.remove(back, lost.device)
    (enrolled,) = await world.devices.enrolled(person.member, AUDIENCE)
    assert enrolled.enrolment.identity_key == gadget.account.identity(AUDIENCE).public.text
    assert await world.labels(person.member) == before
    assert len([mail for mail in await world.mails() if '"regained":true' in mail.notice]) == 1


async def test_a_word_by_the_account_secret_counts_for_one_certificate_and_sign_in_and_not_for_long(
    world: World,
) -> None:
    await first(world)
    later, other = await world.sign_in("E1"), await world.sign_in("E1")
    second, now = Gadget.made(1, 2), world.clock.now()
    for command in (
        Gadget.made(2, 2).regain(now, later),  # the secret of somebody else
        second.regain(now, later, sign_in=other.sign_in),
        second.regain(now, later, certificate=b64(sha256(b"other"))),
        second.regain(now, later, created_at=now - 601),
        second.regain(now, later, created_at=now + 301),
        msgspec.structs.replace(second.command(now), regain="x" * 200),
        msgspec.structs.replace(second.command(now, audience=OTHER_AUDIENCE), regain="x" * 200),
    ):
        with pytest.raises((UnverifiedError, MalformedError)):
            await world.devices.enrol(later, command)
    assert len(await world.devices.views(later)) == 1
    assert len(await world.signed_in(later.member)) == 3


async def test_recovery_makes_room_by_removing_the_device_seen_least_lately(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, gadget = await first(world)
    later = await world.sign_in("E1")
    world.clock.advance(DAY_S)
    await world.devices.enrol(later, Gadget.made(1, 2).command(world.clock.now(), allowed_by=gadget, person=later))
    monkeypatch.setattr(module, "MAX_DEVICES", 2)
    third = await world.sign_in("E1")
    await world.devices.enrol(third, Gadget.made(1, 3).regain(world.clock.now(), third))
    left = await world.devices.views(third)
    assert len(left) == 2
    assert person.device not in {one.device for one in left}


async def test_another_account_secret_takes_a_device_and_the_word_of_the_earlier_one(world: World) -> None:
    person, gadget = await first(world)
    later = await world.sign_in("E1")
    await world.devices.enrol(later, Gadget.made(1, 2).command(world.clock.now(), allowed_by=gadget, person=later))
    command = anew(world, person, gadget)
    for wrong in (
        msgspec.structs.replace(command, regain=None),
        msgspec.structs.replace(command, authorization=None),
        msgspec.structs.replace(command, begins_anew=False),
        msgspec.structs.replace(command, regain=anew(world, person, Gadget.made(3, 1)).regain),
    ):
        with pytest.raises((RefusedError, UnverifiedError)):
            await world.devices.enrol(person, wrong)
    by_link = await world.sign_in("E1")
    with pytest.raises((RefusedError, UnverifiedError)):
        await world.devices.enrol(by_link, anew(world, by_link, gadget))
    before = await world.labels(person.member)
    await world.devices.enrol(person, command)
    await world.devices.enrol(person, command)  # said twice, done once
    (view,) = await world.devices.views(person)
    assert view.device == person.device
    (enrolled,) = await world.devices.enrolled(person.member, AUDIENCE)
    assert enrolled.enrolment.identity_key == command.enrolment.identity_key
    after = await world.labels(person.member)
    assert after[0] == before[0]
    assert after[1].label != before[1].label
    assert await world.signed_in(person.member) == [person.sign_in]
    assert notices(await world.mails()).count("keys-changed") == 1


def anew(world: World, person: Person, gadget: Gadget) -> EnrolDevice:
    """Return the wish of a device to go on under another account secret."""
    now = world.clock.now()
    fresh = Gadget(Gadget.made(9, 1).account, gadget.secret, gadget.sealing)
    command = fresh.command(now, allowed_by=gadget, person=person)
    stated = Authorization(
        certificate=certificate_name(command.enrolment.certificate), sign_in=person.sign_in, created_at=now
    )
    return msgspec.structs.replace(
        command, regain=sign_regain(stated, gadget.account.identity(AUDIENCE)), begins_anew=True
    )
