"""Outbound and discovery (lines 18 to 25): where a node lets itself be led, and by whom."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from msgspec.structs import replace

from federation import resolver
from federation.answers import BadAnswerError, ForbiddenContactError
from federation.calls import Contact
from federation.client import ClientSettings, PeerClient
from federation.resolver import GuardedResolver, Lookup
from node.api.routes import JSON
from node.app import Node
from protocol import jws
from protocol.addresses import audience_id
from protocol.commitments import Opening
from protocol.encoding import encode
from protocol.errors import MalformedError, MeshError
from protocol.offers import Offer
from protocol.peers import DOCUMENT_TYP, log_vkey
from protocol.signing import SigningKey
from protocol.tickets import PEERINGS_PATH, Mode, parse_ticket
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.federation.stations import RawAnswer
from tests.node.exchange.people import NEED
from tests.node.exchange.world import Site
from tests.node.pairing import nodes

from .world import Attacker, World, fields_of, problem_of, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Not one host of the Internet among them, though `ipaddress` calls every fourth of them global.
ADDRESSES = (
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.0.2.1", "192.88.99.1"),
    *("192.168.1.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1"),
    *("::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fc00::1", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1"),
)
SPELLINGS = ("127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1", "[::1]", "localhost", "0", "127.0.0.0x1")


def answering(*answers: list[str]) -> tuple[Lookup, list[str]]:
    """Return a look-up that gives these answers in turn and the last one for ever, and the names it was asked."""
    asked: list[str] = []

    async def lookup(host: str, _port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return lookup, asked


@asynccontextmanager
async def client(lookup: Lookup) -> AsyncIterator[PeerClient]:
    """Return the real client over a look-up of the test's."""
    settings = ClientSettings(development=True)
    made = PeerClient(
        key=SigningKey(bytes(32)),
        clock=SteppedClock(),
        entropy=SeededEntropy(),
        settings=settings,
        resolver=GuardedResolver(lookup),
    )
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def listening(
    host: str, port: int = 0, answer: Callable[[int], bytes] | None = None
) -> AsyncIterator[tuple[int, list[str]]]:
    """Listen at a loopback address; yield the port and the first line of every request that came."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            seen.append((await reader.readuntil(b"\n")).decode("latin-1"))
            if answer is not None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer(server.sockets[0].getsockname()[1]))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, host, port)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_name_that_leads_to_an_address_of_no_host_is_not_asked(address: str) -> None:
    lookup, asked = answering([address])
    async with client(lookup) as made:
        with pytest.raises(ForbiddenContactError) as refused:
            await made.fetch(Contact(api="https://evil.example"), "/.well-known/mentormesh")
    assert refused.value.code == "forbidden-address"
    assert asked == ["evil.example"]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_an_address_in_any_spelling_is_no_name(host: str) -> None:
    lookup, asked = answering(["8.8.8.8"])
    async with client(lookup) as made:
        with pytest.raises((MalformedError, ForbiddenContactError)):
            await made.fetch(Contact(api=f"https://{host}"), "/.well-known/mentormesh")
    assert asked == [], "it was not even looked up"


async def test_a_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two loopback addresses play the Internet and the inside; the check knows only the first as public.
    monkeypatch.setattr(resolver, "allowed", lambda address: address == "127.0.0.1")
    lookup, asked = answering(["127.0.0.1"], ["127.0.0.2"])
    async with listening("127.0.0.1") as (port, outside), listening("127.0.0.2", port) as (_, inside):
        async with client(lookup) as made:
            with pytest.raises(MeshError):  # nobody there speaks TLS
                await made.fetch(Contact(api=f"https://evil.example:{port}"), "/x")
            assert (len(asked), len(outside)) == (1, 1), "one look-up for one connection"
            connector = made._opened().connector
            assert isinstance(connector, aiohttp.TCPConnector)
            connector.clear_dns_cache()
            with pytest.raises(ForbiddenContactError):
                await made.fetch(Contact(api=f"https://evil.example:{port}"), "/x")
        assert inside == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize(
    "to", ["https://evil.example/", "http://evil.example/", "//evil.example/", "/hop", "http://127.0.0.1:{port}/hop"]
)
async def test_no_redirect_is_followed(status: str, to: str) -> None:
    def redirect(own: int) -> bytes:
        return f"HTTP/1.1 {status}\r\nLocation: {to.format(port=own)}\r\nContent-Length: 0\r\n\r\n".encode()

    lookup, asked = answering(["8.8.8.8"])
    async with listening("127.0.0.1", answer=redirect) as (port, seen), client(lookup) as made:
        with pytest.raises(BadAnswerError):
            await made.fetch(Contact(api="https://birch.example", connect_to=f"127.0.0.1:{port}"), "/first")
        assert [first.split(" ")[1] for first in seen] == ["/first"]
        assert asked == []


# --- who is let in ------------------------------------------------------------------------------


def document_of(peer: Attacker, **changed: object) -> str:
    """Return the document of `peer` with some fields changed, signed by its own federation key all the same."""
    said = fields_of(jws.parse(peer.document, DOCUMENT_TYP).payload.decode())
    return jws.sign(encode({**said, **changed}), peer.keys.federation, DOCUMENT_TYP)


async def redeem(world: World, peer: Attacker, document: str, *, code: str = "A" * 22) -> RawAnswer:
    """Send a redemption that the http key of `peer` signs."""
    return await world.ask(peer, "POST", PEERINGS_PATH, encode({"code": code, "document": document}), JSON)


NAMES = {
    "in capitals": "https://BIRCH.example",
    "with a dot at the end": "https://birch.example.",
    "with the usual port": "https://birch.example:443",
    "in full width": "https://\uff42irch.example",
    "with a full-width dot": "https://birch\u3002example",
    "a twin in punycode": "https://xn--brch-j1a.example",
    "a letter of another alphabet": "https://b\u0456rch.example",
    "with a slash": "https://birch.example/",
    "with an escape": "https://birch%2eexample",
    "with a user": "https://aurora@birch.example",
    "without TLS": "http://birch.example",
    "an address": "https://127.0.0.1",
    "a number": "https://2130706433",
}


@pytest.mark.parametrize("field", ["entity", "api"])
@pytest.mark.parametrize("name", NAMES)
async def test_an_organization_has_one_spelling(world: World, name: str, field: str) -> None:
    if (field, name) == ("api", "with the usual port"):
        return  # an API may have a port; it is told apart from the entity
    document = document_of(world.birch, **{field: NAMES[name]})
    async with world.unchanged():
        answer = await redeem(world, world.birch, document)
        assert refusal(answer) == (400, "malformed")
        assert field in problem_of(answer).detail.lower()


@pytest.mark.slow
async def test_a_thousand_subdomains_are_refused_and_not_one_is_contacted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup, asked = answering(["8.8.8.8"])
    monkeypatch.setattr(world.node.node.peering.client._resolver, "_lookup", lookup)

    def document(number: int) -> str:
        host = f"n{number}.evil.example"
        origin = {"log_origin": f"{host}/log", "log_vkey": log_vkey(f"{host}/log", world.birch.keys.log.public.raw)}
        return document_of(world.birch, entity=f"https://{host}", api=f"https://{host}", **origin)

    async with world.unchanged():
        for first in range(0, 1000, 20):
            answers = await asyncio.gather(
                *(redeem(world, world.birch, document(number)) for number in range(first, first + 20))
            )
            assert {refusal(answer) for answer in answers} == {(403, "ticket")}
    assert asked == []
    assert len(world.node.node.peering.directory.all()) == 2


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::7f00:1"])
async def test_a_ticket_does_not_lead_the_node_inside(
    world: World, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    lookup, asked = answering([address])
    monkeypatch.setattr(world.node.node.peering.client._resolver, "_lookup", lookup)
    invited = await world.node.node.peering.service.invite()
    async with world.unchanged():
        answer = await redeem(world, world.birch, world.birch.document, code=parse_ticket(invited.ticket).code)
        assert refusal(answer) == (403, "not-reachable")
    assert asked == ["birch.example"]


@pytest.mark.slow
async def test_offers_of_a_peer_that_is_put_out_are_gone_at_once(tmp_path: Path) -> None:
    async with nodes(tmp_path, "aurora", "birch") as (aurora, birch):
        ana, offer = await listed(aurora.node, birch.node)
        need = replace(NEED, topics=(offer.topic.id,))
        search = aurora.node.catalog.search
        assert [one.offer_id for one in (await search.find(ana, need)).offers] == [offer.offer_id]
        peers, entity = aurora.node.peering.service, birch.node.base.entity
        for mode in MODES:
            await peers.set_mode(entity, mode, reason="")
            assert (await search.find(ana, need)).companies == 0, mode
            await peers.set_mode(entity, "full", reason="")
            assert (await search.find(ana, need)).companies == 1
        await peers.remove(entity)
        assert (await search.find(ana, need)).companies == 0


MODES: Final[tuple[Mode, ...]] = ("no-new-requests", "blocked")


async def listed(here: Node, there: Node) -> tuple[str, Offer]:
    """Let a node list an offer, and another one mirror it; return a member there, and the offer."""

    def site(node: Node) -> Site:
        base = node.base
        exchanging = node.handshakes
        return Site(
            base.entity,
            clock=base.clock,
            store=base.store,
            entropy=SeededEntropy(1),
            keys=base.keys,
            exchanging=exchanging,
        )

    person = await site(here).add_person("ana", audiences=())
    offer = await site(there).list_offer(here.base.entity)
    audience = audience_id(here.base.entity, there.base.entity)
    opening = Opening(salt=bytes(16), body=encode(offer))
    async with there.base.store.write() as tx:
        await there.catalog.publisher.publish(tx, audience, "offers", [opening])
    await here.catalog.mirror.poll_due()
    return person.member, offer
