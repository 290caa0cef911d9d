"""How many connections one address may hold, over real sockets."""

import asyncio
from pathlib import Path

import pytest

from node.api.places import AddressPlaces
from tests.node.running import Running, running, settings
from tests.patience import PATIENCE_S

LIMITS = {"header_s": 100, "connections": 16, "address_connections": 3}
HEALTH = b"GET /health HTTP/1.1\r\nHost: aurora.example\r\nConnection: close\r\n\r\n"


async def ask(node: Running, address: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, local_addr=(address, 0))
    try:
        writer.write(HEALTH)
        return await asyncio.wait_for(reader.read(), PATIENCE_S)
    except ConnectionError:  # closed before it was asked
        return b""
    finally:
        writer.close()


async def hold(node: Running, count: int) -> list[asyncio.StreamWriter]:
    return [(await asyncio.open_connection("127.0.0.1", node.port))[1] for _ in range(count)]


@pytest.mark.system
async def test_one_address_does_not_hold_the_places_of_others(tmp_path: Path) -> None:
    async with running(tmp_path / "aurora", settings(limits=LIMITS)) as node:
        held = await hold(node, 3)
        assert await ask(node, "127.0.0.1") == b""
        assert (await ask(node, "127.0.0.2")).startswith(b"HTTP/1.1 200")
        held.pop().close()
        async with asyncio.timeout(PATIENCE_S):
            while not await ask(node, "127.0.0.1"):
                pass
        for one in held:
            one.close()


@pytest.mark.system
async def test_behind_a_proxy_all_connections_may_be_of_one_address(tmp_path: Path) -> None:
    async with running(tmp_path / "aurora", settings(limits=LIMITS, node={"behind_proxy": True})) as node:
        held = await hold(node, 5)
        assert (await ask(node, "127.0.0.1")).startswith(b"HTTP/1.1 200")
        for one in held:
            one.close()


def test_addresses_of_one_network_of_ipv6_count_as_one() -> None:
    places = AddressPlaces(1)
    key = places.take(("2001:db8::1", 1, 0, 0))
    assert places.take(("2001:db8::2", 1, 0, 0)) == key
    assert places.too_many(key)
    assert not places.too_many(places.take(("2001:db8:0:1::1", 1, 0, 0)))
    places.give_back(key)
    assert not places.too_many(key)


def test_no_bound_is_no_bound() -> None:
    places = AddressPlaces(0)
    assert not any(places.too_many(places.take(("192.0.2.1", 1))) for _ in range(1000))
