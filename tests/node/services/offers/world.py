"""An organization with people, catalogs and one peer, for the tests of offers."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from federation.mirror import MirrorService
from federation.publisher import HeadPolicy, PublisherService
from federation.sequencer import Sequencer
from federation.sets import NUDGES_PATH, Audience, Fetched, Source
from federation.sourcewatch import MirrorPolicy
from node.rows import MemberRow, MentorRow
from node.services.catalogs import Catalogs
from node.services.offers import Offers
from node.services.profile import Availability, MentorProfile, ProfileTopic
from protocol.addresses import audience_id
from protocol.concepts import Concept, Vocabulary
from protocol.crowd import FamilyMap
from protocol.editions import Policy
from protocol.errors import MissingError
from protocol.minimize import Rules
from protocol.signing import SigningKey
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.fakes.memory_store import MemoryStore

AURORA: Final = "https://aurora.example"
BIRCH: Final = "https://birch.example"
COBALT: Final = "https://cobalt.example"
#: First second of a purge round under the policy below.
START: Final = 600 * 30 * 86_400

VOCABULARY: Final = Vocabulary(
    [
        Concept(id="ext:t:business", labels={"en": ("Business",)}, group=True),
        Concept(
            id="ext:t:finance",
            labels={"en": ("Finance",), "de": ("Finanzen",)},
            broader=("ext:t:business",),
            group=True,
        ),
        Concept(id="ext:t:sox", labels={"en": ("SOX carve-out",)}, broader=("ext:t:finance",)),
        Concept(id="ext:t:budget", labels={"en": ("First budget",)}, broader=("ext:t:finance",)),
        Concept(
            id="ext:t:illness",
            labels={"en": ("Return after illness",)},
            broader=("ext:t:finance",),
            kinds=("been-through",),
            sensitive=True,
        ),
        Concept(id="ext:t:orphan", labels={"en": ("Falconry",)}),
    ]
)


class Peers:
    """Which peers there are; each makes a bilateral audience."""

    def __init__(self, own: str, *peers: str) -> None:
        self.own = own
        self.peers = list(peers)
        self.keys: dict[str, str] = {}

    async def audiences(self) -> Sequence[Audience]:
        return [Audience(id=audience_id(self.own, each), members=frozenset({self.own, each})) for each in self.peers]

    async def sources(self) -> Sequence[Source]:
        return [
            Source(peer=each, audience=audience_id(self.own, each), key=log_key(self.keys.get(each, each)).public)
            for each in self.peers
        ]


def log_key(entity: str) -> SigningKey:
    return SigningKey(entity.encode().ljust(32)[:32])


class Wire:
    """Joins nodes in memory."""

    def __init__(self) -> None:
        self.nodes: dict[str, World] = {}


class Call:
    """What one node asks of the others."""

    def __init__(self, wire: Wire, own: str) -> None:
        self._wire = wire
        self._own = own
        self.told = asyncio.Event()

    async def fetch(self, peer: str, path: str, etag: str, *, limit: int, signed: bool) -> Fetched:
        assert limit
        assert not etag or path.endswith("/head")
        assert signed is path.endswith("/head")
        if peer not in self._wire.nodes:
            raise MissingError("nobody is there")
        publisher = self._wire.nodes[peer].publisher
        parts = path.removeprefix("/federation/v1/sets/").split("/")
        if parts[-1] == "head":
            reply = await publisher.head_answer(parts[0], parts[1], self._own)
            return Fetched(status=200, body=reply.body, etag=reply.etag)
        page = await publisher.page(parts[0], parts[1], int(parts[3]), int(parts[4]), self._own)
        return Fetched(status=200, body=page)

    async def post(self, peer: str, path: str, body: bytes) -> None:
        assert path == NUDGES_PATH
        self.told.set()
        if peer not in self._wire.nodes:
            raise MissingError("nobody is there")
        await self._wire.nodes[peer].mirror.nudged(self._own, body)


class World:
    """One node's offers over a memory store."""

    def __init__(
        self,
        wire: Wire,
        *,
        own: str = AURORA,
        peers: Sequence[str] = (BIRCH,),
        clock: SteppedClock | None = None,
        works_council: bool = False,
        policy: Policy | None = None,
    ) -> None:
        self.clock = clock or SteppedClock(START)
        self.store = MemoryStore()
        self.peers = Peers(own, *peers)
        self.families = FamilyMap(families={"Finance": ("ext:t:finance",), "Sales": ()})
        self.key = log_key(own)
        self.log = Sequencer(self.store, self.clock, own=own, key=self.key, generation=1)
        self.publisher = PublisherService(
            self.store, self.clock, self.peers, own=own, key=self.key, policy=HeadPolicy(), log=self.log
        )
        self.call = call = Call(wire, own)
        self.catalogs = Catalogs(
            self.store,
            self.clock,
            SeededEntropy(len(own)),
            self.publisher,
            self.peers,
            vocabulary=lambda: VOCABULARY,
            families=lambda: self.families,
            site_languages=("en",),
            policy=policy or Policy(rules=Rules(smallest_members=10), mean_delay=0),
            head_every_s=900,
            post=call.post,
        )
        self.mirror = MirrorService(
            self.store, self.clock, SeededEntropy(7), self.peers, call.fetch, own=own, policy=MirrorPolicy()
        )
        self.offers = Offers(
            self.store,
            self.clock,
            self.catalogs,
            self.mirror,
            self.peers,
            log=self.log,
            vocabulary=lambda: VOCABULARY,
            own=own,
            log_key=self.key.public,
            works_council=works_council,
        )
        wire.nodes[own] = self

    async def staff(self, count: int, *, first: int = 0, **facts: object) -> None:
        """Add `count` members, from `m000` on."""
        async with self.store.write() as tx:
            await tx.insert(*(member(number, **facts) for number in range(first, first + count)))

    async def mentor(self, number: int, *topics: str, listed: bool = True, opted_in: bool = True) -> None:
        """Make a member a mentor for `topics`."""
        profile = MentorProfile(
            topics=tuple(
                ProfileTopic(id=f"ext:t:{each}", kind="been-through" if each == "illness" else "do") for each in topics
            ),
            languages=("en",),
            formats=("call",),
            lengths=(30,),
            availability=Availability(zone="Europe/Berlin"),
            paused_until=START * 2,
        )
        async with self.store.write() as tx:
            await tx.put(
                MentorRow(
                    member=name(number),
                    profile=msgspec.json.encode(profile).decode(),
                    opted_in=opted_in,
                    listed=listed,
                    changed_at=START,
                )
            )

    async def leave(self, number: int) -> None:
        async with self.store.write() as tx:
            row = await tx.get(MemberRow, name(number))
            assert row
            await tx.put(msgspec.structs.replace(row, active=False))

    async def days(self, count: int) -> None:
        """Make the editions of the next days."""
        for _ in range(count):
            self.clock.advance(86_400)
            await self.catalogs.tick()

    async def listed(self) -> list[str]:
        return [one.text for one in (await self.offers.lists()).own]


def name(number: int) -> str:
    return f"m{number:03d}"


def member(number: int, **facts: object) -> MemberRow:
    values: dict[str, object] = {
        "member": name(number),
        "hris_id": f"E-{number}",
        "mail": f"e{number}@aurora.example",
        "active": True,
        "job_family": "Finance",
        "band": "any",
        "country": "DE",
        "imported_at": START,
    }
    return MemberRow(**(values | facts))  # type: ignore[arg-type]
