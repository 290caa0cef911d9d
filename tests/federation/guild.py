"""A registry and its members without sockets: real services over memory stores, on a wire that a test can cut."""

import asyncio
from typing import Any, Final

from federation.answers import ForbiddenContactError, PeerUnavailableError
from federation.audiences import Audiences, ConsortiumAudiences, PairAudiences, PeerSets
from federation.authenticate import BlockedPeerError, UnknownPeerError
from federation.calls import Answer, Contact
from federation.directory import Peer, PeerDirectory
from federation.discovery import Discovery
from federation.identity import Own
from federation.introductions import Introductions
from federation.memberships import MembershipService
from federation.mirror import MirrorService
from federation.peering import PeeringService
from federation.ports import Row, Writer, where
from federation.publisher import HeadPolicy, PublisherService
from federation.registry import RegistryAudience, RegistryPolicy, RegistryService
from federation.rows import FellowRow, MembershipRow, NonceRow, PeerRow, RegistrationRow
from federation.sequencer import Sequencer
from federation.sets import NUDGES_PATH
from federation.sourcewatch import MirrorPolicy
from node.sections import Config, DevelopmentSection, NodeSection, OrgSection
from node.services.peers import draft_document
from protocol.addresses import audience_id, authority_of
from protocol.encoding import decode
from protocol.errors import MissingError
from protocol.heads import Nudge
from protocol.keydirectory import DIRECTORY_PATH, sign_directory
from protocol.members import DEPARTURES_PATH, NOTICES_PATH
from protocol.peers import DOCUMENT_PATH, DOCUMENT_TYPE, sign_document
from protocol.signing import SigningKey
from protocol.tickets import PEERINGS_PATH, Consortium, Redemption
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.fakes.memory_store import MemoryStore

from .stations import key_ring

HOUR_S: Final = 3600
TABLES: Final[tuple[type[Row], ...]] = (PeerRow, FellowRow, MembershipRow, RegistrationRow, NonceRow)
GUILD: Final = Consortium(name="Guild")


class Town:
    """All nodes, by their API base."""

    def __init__(self) -> None:
        self.clock: Final = SteppedClock()
        self.nodes: Final[dict[str, Node]] = {}
        self.away: Final[set[str]] = set()
        self.forbidden: Final[set[str]] = set()
        self.slow: Final[dict[str, asyncio.Event]] = {}
        self.said: Final[list[tuple[str, str, str]]] = []

    def node(self, name: str, *, development: bool = False) -> "Node":
        """Return a new node `https://NAME.example`."""
        made = Node(self, name, development=development)
        self.nodes[made.own.document.api] = made
        return made

    def guild(self) -> "Node":
        """Return a new node that serves as registry."""
        return self.node("guild")

    async def members(self, guild: "Node", *names: str) -> list["Node"]:
        """Return new nodes that were admitted and have met."""
        made = [self.node(name) for name in names]
        for one in made:
            await one.join(guild)
            self.clock.advance(1)
            await guild.registry.admit(one.entity)
        await settle(guild, *made)
        return made


class Wire:
    """`Calls` of one node, answered by the services of the others."""

    def __init__(self, town: Town, own: "Node") -> None:
        self.town: Final = town
        self.own: Final = own

    def _at(self, api: str, target: str) -> "Node":
        node = self.town.nodes.get(api)
        self.town.said.append((self.own.entity, node.entity if node else api, target))
        if node is None or node.entity in self.town.away:
            raise PeerUnavailableError("away")
        if node.entity in self.town.forbidden:
            raise ForbiddenContactError("its name leads inside")
        return node

    async def fetch(self, contact: Contact, target: str, *, limit: int | None = None) -> Answer:  # noqa: ARG002
        """Answer as the public routes do."""
        node = self._at(contact.api, target)
        if slow := self.town.slow.get(node.entity):
            await slow.wait()
        if target == DOCUMENT_PATH:
            text = node.own.text.encode()
            return Answer(status=200, headers={"content-type": DOCUMENT_TYPE}, body=text)
        assert target == DIRECTORY_PATH
        now = self.town.clock.now()
        headers = sign_directory(authority_of(contact.api), key=node.http, now=now, nonce=bytes(16))
        return Answer(status=200, headers=headers, body=b"{}")

    def _known(self, node: "Node") -> None:
        peer = node.directory.by_keyid(self.own.http.public.keyid)
        if peer is None:
            raise UnknownPeerError("a stranger")
        if peer.mode_at(self.town.clock.now()) == "blocked":
            raise BlockedPeerError("blocked")

    async def get(
        self,
        peer: Peer,
        target: str,
        *,
        limit: int | None = None,  # noqa: ARG002 -- as the port says
        etag: str | None = None,
        signed: bool = True,  # noqa: ARG002
    ) -> Answer:
        """Answer as the routes of sets do."""
        node = self._at(peer.document.api, target)
        self._known(node)
        parts = target.removeprefix("/federation/v1/sets/").split("/")
        if parts[2] == "head":
            reply = await node.publisher.head_answer(parts[0], parts[1], self.own.entity)
            status = 304 if reply.etag == etag else 200
            return Answer(status=status, headers={"etag": reply.etag}, body=reply.body)
        page = await node.publisher.page(parts[0], parts[1], int(parts[3]), int(parts[4]), self.own.entity)
        return Answer(status=200, headers={}, body=page)

    async def post(
        self,
        peer: Peer,
        target: str,
        body: bytes,
        content_type: str,  # noqa: ARG002 -- as the port says
        *,
        limit: int | None = None,  # noqa: ARG002
        accept: frozenset[int] = frozenset(),  # noqa: ARG002
    ) -> Answer:
        """Hand a body to the service that the route hands it to."""
        node, answer = self._at(peer.document.api, target), b""
        if target == PEERINGS_PATH:
            answer = await self._redeem(node, body)
        else:
            self._known(node)
        if target == NOTICES_PATH:
            await node.memberships.noticed(self.own.entity, body.decode(), node.spend)
        elif target == DEPARTURES_PATH:
            await node.registry.depart(self.own.entity, body, node.spend)
        elif target == NUDGES_PATH:
            nudge = decode(body, Nudge)
            if any(one.place == (self.own.entity, nudge.audience, nudge.kind) for one in await node.sources()):
                await node.mirror.nudged(self.own.entity, body)
        return Answer(status=200, headers={}, body=answer)

    async def _redeem(self, node: "Node", body: bytes) -> bytes:
        node.number += 1
        nonce = NonceRow(keyid=self.own.http.public.keyid, nonce=str(node.number), expires_at=0)
        return await node.peering.redeem(decode(body, Redemption), self.own.own.document, nonce=nonce)


class Node:
    """One node: peering, sets, memberships and the role of a registry, which it has only if somebody joins it."""

    def __init__(self, town: Town, name: str, *, development: bool) -> None:
        clock, self.town, self.number = town.clock, town, 0
        self.entity: Final = f"https://{name}.example"
        self.keys: Final = key_ring(name)
        self.http: SigningKey = self.keys.http
        self.store: Final = MemoryStore()
        self.entropy: Final = SeededEntropy(sum(name.encode()))
        config = Config(
            node=NodeSection(entity=self.entity),
            org=OrgSection(display_name=name.title(), countries=("DE",)),
            development=DevelopmentSection(enabled=development),
        )
        said = draft_document(config, self.keys)
        self.own: Final = Own(document=said, text=sign_document(said, self.keys.federation))
        self.directory: Final = PeerDirectory()
        self.calls: Final = Wire(town, self)
        self.peering: Final = PeeringService(
            store=self.store,
            calls=self.calls,
            clock=clock,
            entropy=self.entropy,
            directory=self.directory,
            own=self.own,
        )
        self.discovery: Final = Discovery(self.calls, self.store, clock, self.directory)
        self.alerts: Final[list[str]] = []
        self.memberships: Final = MembershipService(
            store=self.store,
            clock=clock,
            calls=self.calls,
            directory=self.directory,
            peering=self.peering,
            discovery=self.discovery,
            introductions=Introductions(self.store, self.calls, clock, self.directory, development=development),
            alert=self.alerts.append,
        )
        listed = RegistryAudience(self.entity)
        pairs = PairAudiences(self.directory, clock, own=self.entity)
        consortia = ConsortiumAudiences(self.directory, self.memberships, clock, own=self.entity)
        self.audiences: Final = Audiences(pairs, consortia, listed)
        sets = PeerSets(self.directory, self.calls)
        self.publisher: Final = PublisherService(
            self.store,
            clock,
            self.audiences,
            own=self.entity,
            key=self.keys.log,
            policy=HeadPolicy(),
            log=Sequencer(self.store, clock, own=self.entity, key=self.keys.log, generation=1),
        )
        self.mirror: Final = MirrorService(
            self.store,
            clock,
            self.entropy,
            self.audiences,
            sets.fetch,
            own=self.entity,
            policy=MirrorPolicy(),
            contents={"members": self.memberships},
        )
        self.registry: Final = RegistryService(
            store=self.store,
            clock=clock,
            entropy=self.entropy,
            directory=self.directory,
            publisher=self.publisher,
            audience=listed,
            calls=self.calls,
            post=sets.post,
            own=self.entity,
            key=self.keys.log,
            policy=RegistryPolicy(development=development),
        )

    async def sources(self) -> Any:  # noqa: ANN401 -- as the book gives them
        """Return what this node mirrors."""
        return await self.audiences.sources()

    async def spend(self, tx: Writer) -> None:
        """Spend a nonce, each its own."""
        self.number += 1
        await tx.insert(NonceRow(keyid="spent", nonce=str(self.number), expires_at=0))

    async def join(self, guild: "Node") -> None:
        """Apply with a ticket of `guild`."""
        made = await guild.peering.invite(policy="catalog-hidden", consortium=GUILD)
        await self.memberships.join(made.ticket)

    async def poll(self, guild: "Node") -> None:
        """Ask `guild` for its list now."""
        place = (guild.entity, audience_id(guild.entity), "members")
        await self.mirror.poll(next(one for one in await self.sources() if one.place == place))

    def lets_in(self, other: "Node") -> bool:
        """Tell whether requests of `other` are taken now."""
        try:
            return self.directory.get(other.entity).mode_at(self.town.clock.now()) != "blocked"
        except MissingError:
            return False

    async def fellow(self, guild: "Node", other: "Node") -> FellowRow | None:
        """Return the newest word known about `other`."""
        async with self.store.read() as rows:
            return await rows.get(FellowRow, guild.entity, other.entity)

    async def registration(self, other: "Node") -> RegistrationRow:
        """Return what this registry keeps about `other`."""
        async with self.store.read() as rows:
            (row,) = await rows.find(RegistrationRow, where(entity=other.entity))
            return row

    async def rows(self) -> dict[str, list[Row]]:
        """Return all that is stored of peers and consortia."""
        async with self.store.read() as rows:
            return {kind.table: [*await rows.find(kind)] for kind in TABLES}


async def settle(guild: Node, *members: Node) -> None:
    """Let everybody take in the newest list and meet whom it names."""
    for one in members:
        await one.poll(guild)
    for one in members:
        await one.memberships.settle()
