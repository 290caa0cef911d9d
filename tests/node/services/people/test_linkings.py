"""The meeting place of two devices at their node: bounded for each person, and for devices of the account alone."""

import pytest

from federation.ports import where
from node.rows import DeviceRow
from node.services import linking
from node.services.accounts import Person
from node.services.linking import Linkings, OpenLinking, SayLinking
from protocol.encoding import b64
from protocol.errors import LimitError, RefusedError

from .world import World

OPENING = OpenLinking(message=b64(b"opening"))


@pytest.fixture
def linkings(world: World) -> Linkings:
    return Linkings(world.store, world.clock, world.entropy)


async def test_so_many_linkings_are_begun_in_ten_minutes_and_no_more(
    world: World, person: Person, linkings: Linkings
) -> None:
    new = await world.sign_in("E0")
    for _ in range(linking.MOST_BEGUN):
        await linkings.open(new, OPENING)
    with pytest.raises(LimitError, match="linkings begun"):
        await linkings.open(new, OPENING)
    await linkings.open(await world.sign_in("E1"), OPENING)
    world.clock.advance(linking.LIFE_S)
    await linkings.open(new, OPENING)
    assert person.member == new.member


async def test_so_many_messages_are_said_and_no_more(
    world: World, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking, "MOST_SAID", 1)
    linkings = Linkings(world.store, world.clock, world.entropy)
    view = await linkings.open(await world.sign_in("E0"), OPENING)
    await linkings.say(person, view.linking, SayLinking(number=2, message=b64(b"reply")))
    with pytest.raises(LimitError, match="messages of linkings"):
        await linkings.say(person, view.linking, SayLinking(number=2, message=b64(b"reply")))
    with pytest.raises(LimitError, match="messages of linkings"):
        await linkings.end(person, view.linking, "cancelled")


async def test_a_device_that_is_removed_while_it_answers_lets_nobody_in(
    world: World, person: Person, linkings: Linkings
) -> None:
    view = await linkings.open(await world.sign_in("E0"), OPENING)
    async with world.store.write() as tx:
        await tx.delete(DeviceRow, where(member=person.member))
    with pytest.raises(RefusedError, match="only a device"):
        await linkings.say(person, view.linking, SayLinking(number=2, message=b64(b"reply")))


async def test_an_operator_is_not_shown_what_devices_say_to_each_other(
    world: World, person: Person, linkings: Linkings
) -> None:
    await linkings.open(await world.sign_in("E0"), OPENING)
    own = await world.erasure.export(person.member, for_owner=True)
    shown = await world.erasure.export(person.member, for_owner=False)
    assert "linking" in {section.table for section in own.sections}
    assert not {"linking", "safe", "safe_use"} & {section.table for section in shown.sections}
