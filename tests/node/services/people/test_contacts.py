"""Contact tokens at the mentor's node: given and revoked by devices, bounded, and known by a hash."""

import pytest

from node.services import contacts
from node.services.accounts import Person
from node.services.contacts import ContactTokens, GiveToken, mentor_of
from protocol.contacttokens import LIFE_S, token_commitment
from protocol.encoding import b64, sha256
from protocol.errors import ConflictError, LimitError, MalformedError, MissingError, RefusedError

from .world import Gadget, World

TOKEN = b64(sha256(b"token")[:16])
HASH = token_commitment(TOKEN)


@pytest.fixture
def tokens(world: World) -> ContactTokens:
    return ContactTokens(world.store, world.clock)


async def found(world: World) -> str | None:
    async with world.store.read() as reader:
        return await mentor_of(reader, TOKEN, now=world.clock.now())


async def test_a_token_leads_to_the_mentor_until_it_is_over(
    world: World, person: Person, tokens: ContactTokens
) -> None:
    until = world.clock.now() + 60
    assert await found(world) is None
    await tokens.give(person, HASH, GiveToken(expires_at=until))
    await tokens.give(person, HASH, GiveToken(expires_at=until))
    assert await found(world) == person.member
    world.clock.advance(60)
    assert await found(world) is None
    await tokens.sweep()
    with pytest.raises(MissingError):
        await tokens.revoke(person, HASH)


async def test_a_revoked_token_leads_nowhere(world: World, person: Person, tokens: ContactTokens) -> None:
    await tokens.give(person, HASH, GiveToken(expires_at=world.clock.now() + LIFE_S))
    await tokens.revoke(person, HASH)
    assert await found(world) is None


async def test_tokens_are_bounded_and_are_their_givers_alone(
    world: World, person: Person, tokens: ContactTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = world.clock.now()
    for wrong in (now, now + LIFE_S + 86_401):
        with pytest.raises(MalformedError):
            await tokens.give(person, HASH, GiveToken(expires_at=wrong))
    by_link = await world.sign_in("E0")
    with pytest.raises(RefusedError, match="only a device"):
        await tokens.give(by_link, HASH, GiveToken(expires_at=now + 60))
    await tokens.give(person, HASH, GiveToken(expires_at=now + 60))
    with pytest.raises(RefusedError, match="only a device"):
        await tokens.revoke(by_link, HASH)
    signed_in = await world.sign_in("E1")
    await world.devices.enrol(signed_in, Gadget.made(2, 1).command(now))
    other = await world.refreshed(signed_in)
    with pytest.raises(ConflictError):
        await tokens.give(other, HASH, GiveToken(expires_at=now + 60))
    with pytest.raises(MissingError):
        await tokens.revoke(other, HASH)
    monkeypatch.setattr(contacts, "MAX_TOKENS", 1)
    with pytest.raises(LimitError):
        await tokens.give(person, b64(sha256(b"another")), GiveToken(expires_at=now + 60))


async def test_erasing_the_account_ends_its_tokens(world: World, person: Person, tokens: ContactTokens) -> None:
    await tokens.give(person, HASH, GiveToken(expires_at=world.clock.now() + 60))
    assert (await world.erasure.erase(person.member)).rows["contact_token"] == 1
    assert await found(world) is None
