"""The safe: sealed things of one person, bounded, compared on change, and changed by devices only."""

import pytest
from msgspec.structs import replace

from federation.ports import where
from node.rows import DeviceRow, SafeRow, SafeUseRow
from node.services import safe
from node.services.accounts import Person
from node.services.contacts import ContactTokens, GiveToken
from node.services.safe import StoreSealed
from protocol.encoding import b64, sha256
from protocol.errors import ConflictError, LimitError, MissingError, RefusedError, UnverifiedError
from protocol.recoverylocator import locator_commitment

from .world import World, staff


def sealed(data: bytes, *, version: int = 0) -> StoreSealed:
    return StoreSealed(version=version, data=b64(data))


async def test_what_was_put_comes_back_and_a_change_names_what_it_replaces(world: World, person: Person) -> None:
    assert (await world.safe.put(person, "recovery", sealed(b"one"))).version == 1
    for version in (0, 2):
        with pytest.raises(ConflictError):
            await world.safe.put(person, "recovery", sealed(b"other", version=version))
    assert (await world.safe.put(person, "recovery", sealed(b"two", version=1))).version == 2
    found = await world.safe.get(person, "recovery")
    assert (found.version, found.data) == (2, b64(b"two"))
    (view,) = await world.safe.views(person)
    assert (view.name, view.size, view.stored_on % 86_400) == ("recovery", 3, 0)


async def test_a_sign_in_by_link_reads_and_changes_nothing(world: World, person: Person) -> None:
    await world.safe.put(person, "recovery", sealed(b"one"))
    later = await world.sign_in("E0")
    assert (await world.safe.get(later, "recovery")).data == b64(b"one")
    with pytest.raises(RefusedError, match="only a device"):
        await world.safe.put(later, "recovery", sealed(b"planted", version=1))
    with pytest.raises(RefusedError, match="only a device"):
        await world.safe.delete(later, "recovery")


async def test_nobody_reads_the_safe_of_somebody_else(world: World, person: Person) -> None:
    await world.safe.put(person, "recovery", sealed(b"one"))
    other = await world.sign_in("E1")
    assert await world.safe.views(other) == ()
    with pytest.raises(MissingError):
        await world.safe.get(other, "recovery")


async def test_a_safe_is_bounded(world: World, person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LimitError, match="16384 bytes"):
        await world.safe.put(person, "recovery", sealed(bytes(safe.MAX_RECOVERY_BYTES + 1)))
    with pytest.raises(LimitError, match="bytes"):
        await world.safe.put(person, "archive", sealed(bytes(safe.MAX_ITEM_BYTES + 1)))
    monkeypatch.setattr(safe, "MAX_TOTAL_BYTES", 10)
    await world.safe.put(person, "archive", sealed(bytes(8)))
    with pytest.raises(LimitError, match="a safe takes"):
        await world.safe.put(person, "recovery", sealed(bytes(3)))
    await world.safe.put(person, "archive", sealed(bytes(10), version=1))
    monkeypatch.setattr(safe, "MAX_ITEMS", 1)
    with pytest.raises(LimitError, match="a safe takes"):
        await world.safe.put(person, "recovery", sealed(b""))


async def test_what_a_safe_holds_is_known_without_reading_it(world: World, person: Person) -> None:
    async def used() -> tuple[int, int]:
        async with world.store.read() as reader:
            rows = await reader.find(SafeRow, where(member=person.member))
            row = await reader.get(SafeUseRow, person.member)
        assert row is not None
        assert (row.things, row.size_bytes) == (len(rows), sum(len(one.data) for one in rows))
        return row.things, row.size_bytes

    await world.safe.put(person, "archive", sealed(bytes(8)))
    await world.safe.put(person, "recovery", sealed(bytes(3)))
    assert await used() == (2, 11)
    await world.safe.put(person, "archive", sealed(bytes(2), version=1))
    assert await used() == (2, 5)
    await world.safe.delete(person, "archive")
    with pytest.raises(MissingError):
        await world.safe.delete(person, "archive")
    assert await used() == (1, 3)
    with pytest.raises(ConflictError):
        await world.safe.put(person, "recovery", sealed(b"more", version=7))
    assert await used() == (1, 3)


async def test_a_device_that_is_removed_while_it_asks_changes_nothing(world: World, person: Person) -> None:
    await world.safe.put(person, "archive", sealed(b"one"))
    async with world.store.write() as tx:
        await tx.delete(DeviceRow, where(member=person.member))
    with pytest.raises(RefusedError, match="only a device"):
        await world.safe.put(person, "archive", sealed(b"late", version=1))
    with pytest.raises(RefusedError, match="only a device"):
        await world.safe.delete(person, "archive")
    tokens = ContactTokens(world.store, world.clock)
    with pytest.raises(RefusedError, match="only a device"):
        await tokens.give(person, b64(sha256(b"t")), GiveToken(expires_at=world.clock.now() + 60))
    assert (await world.safe.get(person, "archive")).data == b64(b"one")


async def test_the_uses_of_a_safe_are_bounded_for_each_person(
    world: World, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe, "MOST_USES", 2)
    few = safe.Safe(world.store, world.clock)
    await few.put(person, "archive", sealed(b"one"))
    await few.get(person, "archive")
    for late in (few.get(person, "archive"), few.delete(person, "archive"), few.views(person)):
        with pytest.raises(LimitError, match="too many"):
            await late
    assert await few.views(await world.sign_in("E1")) == ()
    world.clock.advance(safe.USES_PER_S)
    assert len(await few.views(person)) == 1


async def test_what_was_deleted_is_gone_and_begins_anew(world: World, person: Person) -> None:
    await world.safe.put(person, "archive", sealed(b"one"))
    await world.safe.delete(person, "archive")
    with pytest.raises(MissingError):
        await world.safe.delete(person, "archive")
    assert (await world.safe.put(person, "archive", sealed(b"two"))).version == 1


async def test_erasing_the_account_empties_its_safe(world: World, person: Person) -> None:
    await world.safe.put(person, "recovery", sealed(b"one"))
    receipt = await world.erasure.erase(person.member)
    assert (receipt.rows["safe"], receipt.rows["safe_use"]) == (1, 1)
    assert await world.safe.views(replace(person, device="x")) == ()


async def test_recovery_words_take_everything_out_also_after_their_owner_left(world: World, person: Person) -> None:
    locator = b64(sha256(b"locator"))
    command = replace(sealed(b"copy"), locator=locator_commitment(locator))
    await world.safe.put(person, "recovery", command)
    await world.safe.put(person, "archive", replace(command, data=b64(b"archive")))
    await world.add(staff(1, first=1))
    with pytest.raises(UnverifiedError):
        await world.accounts.authenticate(b64(bytes(32)))
    export = await world.erasure.take_out(locator)
    (section,) = [one for one in export.sections if one.table == "safe"]
    assert {row["name"]: row["data"] for row in section.rows} == {
        "archive": b64(b"archive"),
        "recovery": b64(b"copy"),
    }
    assert locator_commitment(locator) not in str(export)
    for other in (b64(sha256(b"another")), locator_commitment(locator)):
        with pytest.raises(MissingError, match="of nobody"):
            await world.erasure.take_out(other)
    await world.erasure.forget_leavers(days=0)
    with pytest.raises(MissingError):
        await world.erasure.take_out(locator)
