"""Connections go to global unicast addresses only (research B.3: 18-20)."""

import pytest

from federation.answers import ForbiddenContactError, PeerUnavailableError
from federation.calls import Contact
from federation.client import ClientSettings, PeerClient
from federation.resolver import ForbiddenAddressError, GuardedResolver, allowed, system_lookup
from protocol.errors import MalformedError
from protocol.signing import SigningKey
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy

FORBIDDEN = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.1.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2620:4f:8000::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
    "127.1",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "aurora.example",
    "",
]
GLOBAL = [
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "192.0.3.1",
    "198.20.0.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a01:4f8::1",
]
SPELLINGS = [
    "127.1",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "127.0.0.0x1",
    "localhost",
    "aurora.1",
    "[::1]",
    "::1",
    "a_b.example",
    "",
]


def answering(*answers: list[str]) -> GuardedResolver:
    """Return a resolver whose look-ups give these answers, one after the other."""
    left = list(answers)

    async def lookup(_host: str, _port: int) -> list[str]:
        return left.pop(0)

    return GuardedResolver(lookup)


@pytest.mark.parametrize("address", FORBIDDEN)
async def test_an_address_that_no_peer_can_have_is_refused(address: str) -> None:
    assert not allowed(address)
    with pytest.raises(ForbiddenAddressError):
        await answering([address]).resolve("aurora.example", 443)


@pytest.mark.parametrize("address", GLOBAL)
async def test_a_global_address_is_given_as_it_was_checked(address: str) -> None:
    (found,) = await answering([address]).resolve("aurora.example", 443)
    assert (found["host"], found["port"], found["hostname"]) == (address, 443, "aurora.example")


async def test_one_forbidden_address_spoils_the_answer() -> None:
    with pytest.raises(ForbiddenAddressError):
        await answering(["8.8.8.8", "10.0.0.1"]).resolve("aurora.example", 443)


async def test_a_name_without_addresses_is_refused() -> None:
    with pytest.raises(ForbiddenAddressError):
        await answering([]).resolve("aurora.example", 443)


@pytest.mark.parametrize("host", SPELLINGS)
async def test_only_dns_names_are_looked_up(host: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        await answering(["8.8.8.8"]).resolve(host, 443)


async def test_a_second_answer_is_checked_like_the_first() -> None:
    rebinding = answering(["8.8.8.8"], ["127.0.0.1"])
    assert await rebinding.resolve("aurora.example", 443)
    with pytest.raises(ForbiddenAddressError):
        await rebinding.resolve("aurora.example", 443)


async def test_loopback_is_given_for_exactly_the_name_it_was_written_down_for() -> None:
    resolver = answering(["127.0.0.1"])
    assert resolver.connect("aurora.example", "127.0.0.1:8441") == 8441
    (found,) = await resolver.resolve("aurora.example", 8441)
    assert (found["host"], found["port"]) == ("127.0.0.1", 8441)
    with pytest.raises(ForbiddenAddressError):
        await resolver.resolve("aurora.example", 443)
    with pytest.raises(MalformedError):
        resolver.connect("aurora.example", "10.0.0.1:80")


async def test_the_proxy_of_the_operator_may_be_anywhere() -> None:
    resolver = answering(["10.0.0.1"])
    resolver.trust("proxy.internal", 3128)
    (found,) = await resolver.resolve("proxy.internal", 3128)
    assert found["host"] == "10.0.0.1"


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["10.0.0.1"], ["::1"]])
async def test_the_client_says_that_an_address_is_forbidden(answer: list[str]) -> None:
    key, entropy = SigningKey(bytes(32)), SeededEntropy()
    client = PeerClient(key=key, clock=SteppedClock(), entropy=entropy, resolver=answering(answer))
    with pytest.raises(ForbiddenContactError) as refusal:
        await client.fetch(Contact(api="https://aurora.example"), "/x")
    assert refusal.value.code == "forbidden-address"
    await client.close()


async def test_a_name_that_does_not_exist_is_a_peer_that_is_away() -> None:
    async def lookup(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    settings = ClientSettings(connect_s=0.2, total_s=0.5)
    client = PeerClient(
        key=SigningKey(bytes(32)),
        clock=SteppedClock(),
        entropy=SeededEntropy(),
        settings=settings,
        resolver=GuardedResolver(lookup),
    )
    with pytest.raises(PeerUnavailableError):
        await client.fetch(Contact(api="https://aurora.example"), "/x")
    await client.close()


@pytest.mark.parametrize("api", ["https://127.0.0.1", "https://2130706433", "https://[::1]", "http://aurora.example"])
async def test_an_address_in_place_of_a_name_is_never_asked(api: str) -> None:
    client = PeerClient(key=SigningKey(bytes(32)), clock=SteppedClock(), entropy=SeededEntropy())
    with pytest.raises(MalformedError):
        await client.fetch(Contact(api=api), "/x")
    await client.close()


async def test_the_name_of_this_machine_leads_to_addresses_that_are_refused() -> None:
    found = await system_lookup("localhost", 443)
    assert found
    assert not any(map(allowed, found))
