"""A running node and everybody who may attack it: strangers, peers that sign, people with a token, the operator."""

import hashlib
import itertools
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from federation.client import ClientSettings, PeerClient
from federation.directory import Peer
from federation.rows import PeerRow
from node.api.problems import Problem
from node.api.routes import JSON, Route
from node.api.table import ALL_ROUTES
from node.keys import operator_token
from node.services.exchange import BATCH_TYPE, MESSAGES_PATH
from protocol.addresses import audience_id
from protocol.concept_lines import parse_concepts
from protocol.concepts import Vocabulary
from protocol.encoding import decode
from protocol.httpsig import NONCE_BYTES, RequestLine, sign_request
from protocol.messages import Outcome, Outcomes, join_batch
from protocol.offers import Offer
from protocol.signing import SigningKey
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.fakes.memory_store import MemoryStore
from tests.federation.stations import RawAnswer, raw
from tests.node.exchange.people import Mentee
from tests.node.exchange.world import START, Network, Site, Somebody, TestNode, mentor_profile
from tests.node.running import ENTITY, Running, running, settings
from tests.node.store.test_schema import ROWS

Headers = Iterable[tuple[str, str]]

HOST: Final = ("Host", "aurora.example")
#: In everything hostile that could be echoed; the name of no field or code holds it.
CANARY: Final = "canary"
LIMITS: Final[Mapping[str, Any]] = {
    # Far longer than anything here takes; whoever tests slowness says so.
    "header_s": 20,
    "body_s": 20,
    "stall_s": 20,
    "stop_s": 1,
    "connections": 64,
    "body_bytes": 1024 * 1024,
    # The clock stands still, so buckets are never filled again.
    "address_per_minute": 1_000_000,
    "peer_per_minute": 1_000_000,
}
HANDSHAKE: Final[Mapping[str, Any]] = {"tick_ms": 0, "flush_s": 0, "quota_least": 2000}

#: A value for each parameter of a path that has the right form and names nothing.
NOTHING: Final = "A" * 22


class Attacker(TestNode):
    """A peer organization with all its keys, whose node asks the attacked one over HTTP and signs what it likes."""

    client: PeerClient

    def connect(self) -> None:
        """Ask the attacked node over HTTP from now on."""
        bounds = ClientSettings(development=True, connect_s=2, read_s=5, total_s=10)
        self.client = PeerClient(key=self.keys.http, clock=self.clock, entropy=self.entropy, settings=bounds)
        self.around = replace(self.around, calls=self.client)
        self.restart(self.store, self.entropy)

    def know(self, document: str, keyid: str, federation_key: str, *, entity: str, port: int) -> None:
        """Pin the attacked node as a peer."""
        row = PeerRow(
            entity=entity,
            keyid=keyid,
            federation_key=federation_key,
            document=document.encode("ascii"),
            mode="full",
            connect_to=f"127.0.0.1:{port}",
            added_at=self.clock.now(),
            fetched_at=self.clock.now(),
        )
        self.directory.put(row)

    @property
    def target(self) -> Peer:
        """The attacked node, as a peer."""
        return self.directory.get(ENTITY)

    def signed(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        content_type: str | None = None,
        *,
        key: SigningKey | None = None,
        at: int | None = None,
    ) -> list[tuple[str, str]]:
        """Return the headers of a request that this peer signs at `at` (Unix seconds) with its http key."""
        line = RequestLine(method=method, authority="aurora.example", target=target)
        now, nonce = self.clock.now() if at is None else at, self.entropy.take(NONCE_BYTES)
        signed = sign_request(line, body, content_type, key=key or self.keys.http, now=now, nonce=nonce)
        return [HOST, *signed.headers.items()]

    def row(self, *, mode: str = "full") -> PeerRow:
        """Return this peer as the attacked node pins it."""
        return PeerRow(
            entity=self.entity,
            keyid=self.keys.http.public.keyid,
            federation_key=self.keys.federation.public.text,
            document=self.document.encode("ascii"),
            mode=mode,
            added_at=self.clock.now(),
            fetched_at=self.clock.now(),
        )


class World:
    """The attacked node, Aurora Freight, and the others."""

    def __init__(self, node: Running, clock: SteppedClock, vocabulary: Vocabulary) -> None:
        self.node: Final = node
        self.clock: Final = clock
        self.vocabulary: Final = vocabulary
        self.network: Final = Network()
        self._number: Final = itertools.count()
        self._tokens: Final[dict[str, str]] = {}
        self._seen: tuple[int, str] | None = None
        base = node.node.base
        self.site: Final = Site(
            ENTITY,
            clock=clock,
            store=base.store,
            entropy=SeededEntropy(900),
            keys=base.keys,
            exchanging=node.node.handshakes,
        )
        self.operator: Final = f"Bearer {operator_token(base.directory)}"
        self.birch: Attacker
        self.cobalt: Attacker
        self.ana: Somebody
        self.ben: Somebody
        self.offer: Offer

    async def add_peer(self, name: str, *, seed: int, mode: str = "full") -> Attacker:
        """Pin a peer on both sides."""
        peer = Attacker(name, self.network, self.vocabulary, self.clock, MemoryStore(), seed)
        peer.connect()
        identity, keys = self.node.node.peering.identity, self.node.node.base.keys
        peer.know(
            identity.text,
            keys.http.public.keyid,
            keys.federation.public.text,
            entity=ENTITY,
            port=self.node.port,
        )
        await self.pin(peer.row(mode=mode))
        return peer

    async def pin(self, row: PeerRow) -> None:
        """Let a peer in, or treat it differently from now on."""
        async with self.node.node.base.store.write() as tx:
            await tx.put(row)
        self.node.node.peering.directory.put(row)

    async def token(self, who: Somebody) -> str:
        """Return the token of a member's sign-in, as the value of a header."""
        if who.member not in self._tokens:
            accounts = self.node.node.people.accounts
            link = await accounts.issue_link(who.member)
            address = f"192.0.2.{len(self._tokens)}"
            self._tokens[who.member] = (await accounts.redeem(link.partition("#")[2], address=address)).token
        return f"Bearer {self._tokens[who.member]}"

    async def send(self, method: str, target: str, headers: Headers = (HOST,), body: bytes = b"") -> RawAnswer:
        """Send a request as it is, on a connection of its own."""
        return await raw(self.node.port, method, target, headers, body)

    async def ask(
        self, peer: Attacker, method: str, target: str, body: bytes = b"", content_type: str | None = None
    ) -> RawAnswer:
        """Send a request that a peer signs."""
        return await self.send(method, target, peer.signed(method, target, body, content_type), body)

    async def batch(self, peer: Attacker, *items: bytes) -> tuple[Outcome, ...]:
        """Return what became of the items of a batch."""
        answer = await self.ask(peer, "POST", MESSAGES_PATH, join_batch([*items]), BATCH_TYPE)
        assert answer.status == 200, answer.body
        return decode(answer.body, Outcomes).outcomes

    async def mentee(self, peer: Attacker) -> Mentee:
        """Return a new request of somebody at `peer` for what Aurora lists."""
        name = f"mentee{next(self._number)}"
        person = await peer.add_person(name, audiences=(audience_id(ENTITY, peer.entity),))
        return Mentee(person, self.site, self.offer)

    async def counts(self) -> dict[str, int]:
        """Return how many rows each table has."""
        async with self.node.node.base.store.read() as view:
            return {kind.table: await view.count(kind) for kind in ROWS}

    async def state(self) -> str:
        """Return a hash over every row of every table; made anew only after somebody committed something."""
        version = self.node.node.base.store.changes(*ROWS)
        if self._seen is None or self._seen[0] != version:
            self._seen = version, await self._hash()
        return self._seen[1]

    async def _hash(self) -> str:
        async with self.node.node.base.store.read() as view:
            rows = [(kind.table, await view.find(kind)) for kind in ROWS]
        assert len(rows) > 20, "the attacked node has tables"
        return hashlib.sha256(repr(rows).encode()).hexdigest()

    @asynccontextmanager
    async def unchanged(self) -> AsyncIterator[None]:
        """Whatever happens inside leaves every row as it was."""
        before = await self.state()
        yield
        assert await self.state() == before, "a refused request changed the state"


def problem_of(answer: RawAnswer) -> Problem:
    """Return the problem of an answer that is one, after looking for what no refusal may hold."""
    assert 400 <= answer.status < 500, (answer.status, answer.body)
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert CANARY.encode() not in answer.body
    assert CANARY not in str(answer.headers)
    assert "location" not in answer.headers
    found = msgspec.json.decode(answer.body, type=Problem)
    assert found.status == answer.status
    return found


def refusal(answer: RawAnswer) -> tuple[int, str]:
    """Return status and code of a refusal that repeats nothing."""
    return answer.status, problem_of(answer).code


def parsed(answer: bytes) -> RawAnswer:
    """Return the only answer in everything that a connection brought back until it was closed.

    aiohttp answers what is not HTTP in HTTP/1.0, where every answer is the last.
    """
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    assert len(re.findall(rb"HTTP/1\.[01] [1-5]", answer)) == 1, answer
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    assert len(body) == int(headers["content-length"])
    return RawAnswer(status=int(first.split(" ")[1]), headers=headers, body=body)


def fields_of(text: str) -> Any:  # noqa: ANN401 -- whatever a vector or answer holds
    """Return what JSON says."""
    return json.loads(text)


def filled(route: Route, value: str = NOTHING) -> str:
    """Return the path of a route with `value` in each place, or what a narrower place takes."""
    narrow = {"operation": "node.status", "path": "0/000", "log": "2"}
    return re.sub(
        r"\{([a-z_]+)(:(?:[^{}]|\{[^{}]*\})*)?\}",
        lambda place: narrow.get(place[1], value) if place[2] else value,
        route.path,
    )


def name_of(route: Route) -> str:
    """Return how a test of this route is called."""
    return f"{route.method} {route.path}"


#: Routes that take a JSON body from people, pages, programs or peers.
JSON_ROUTES: Final = tuple(
    route for route in ALL_ROUTES if route.request is not None and route.request_content_type == JSON
)


@asynccontextmanager
async def world(directory: Path, **sections: Mapping[str, Any]) -> AsyncIterator[World]:
    """Run the attacked node with two peers, a mentee's and a mentor's sign-in, and one offer, while inside."""
    clock = SteppedClock(START)
    chosen = settings(
        limits={**LIMITS, **sections.pop("limits", {})}, handshake={**HANDSHAKE, **sections.pop("handshake", {})}
    )
    lines = files("protocol").joinpath("situations.jsonl").read_bytes().splitlines()
    vocabulary = Vocabulary(parse_concepts(lines).concepts)
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(running(directory, {**chosen, **sections}, clock=clock))
        made = World(node, clock, vocabulary)
        for seed, name in enumerate(("birch", "cobalt"), start=70):
            peer = await made.add_peer(name, seed=seed)
            stack.push_async_callback(peer.client.close)
            setattr(made, name, peer)
        audiences = tuple(audience_id(ENTITY, peer.entity) for peer in (made.birch, made.cobalt))
        made.offer = await made.site.list_offer(made.birch.entity)
        made.ana = await made.site.add_person("ana", audiences=audiences)
        made.ben = await made.site.add_person("ben", audiences=audiences, profile=mentor_profile())
        for person in (made.ana, made.ben):
            await made.token(person)
        yield made
