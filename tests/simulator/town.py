"""The companies and people of one run, and the clock by which it is played and then comes to rest."""

import asyncio
from collections.abc import Coroutine
from functools import cache
from importlib.resources import files
from typing import Any, Final

from msgspec.structs import replace

from federation.ports import Row
from federation.rows import ThreadRow
from protocol.addresses import audience_id
from protocol.concept_lines import parse_concepts
from protocol.concepts import Vocabulary
from protocol.offers import Offer
from tests.fakes.memory_store import Table
from tests.node.exchange.world import Somebody, mentor_profile

from .company import CLOCKS, SWEEP_EVERY_S, Company
from .devices import Device
from .faults import Faults
from .loop import LoopClock, SteppedLoop
from .network import LATE_S, Wires

NAMES: Final = ("aurora", "birch", "cobalt", "dune", "ember", "fjord", "grove", "harbor")
#: Seconds in which people do things; then faults end and nobody does anything any more.
PLAY_S: Final = 3000.0
#: Until every deadline of the play has passed, every late copy has arrived and the clocks were looked at.
REST_S: Final = CLOCKS.deadline_s + CLOCKS.expiry_grace_s + CLOCKS.quote_valid_s + LATE_S + 3 * SWEEP_EVERY_S
#: Partitions begin so soon, while there is much to send.
PARTITIONS_WITHIN_S: Final = 1500.0
MENTORS: Final = 16
MENTEES: Final = 2


#: What companies have stored before anything happens, by how many they are.
_stored: Final[dict[int, list[dict[type[Row], Table]]]] = {}


class Town:
    """One run: `nodes` companies that all know each other, each with mentors and mentees."""

    def __init__(self, seed: int, nodes: int, loop: SteppedLoop, make: type[Company] = Company) -> None:
        self.faults: Final = Faults(seed)
        self.dice: Final = self.faults.dice
        self.clock: Final = LoopClock(loop)
        self.wires: Final = Wires(self.faults, self.clock)
        names = [NAMES[number] if number < len(NAMES) else f"company-{number}" for number in range(nodes)]
        self.companies: Final = [
            make(name, self.wires, vocabulary(), self.clock, self.faults, number + 1)
            for number, name in enumerate(names)
        ]
        self.offers: Final[dict[tuple[str, str], Offer]] = {}
        self.mentors: Final[list[Device]] = []
        self.mentees: Final[list[Device]] = []
        self.capacities: Final[dict[str, int]] = {}
        self.told = False
        self._doing: Final[list[asyncio.Task[None]]] = []

    async def open(self) -> None:
        """Let the companies meet, list their offers, and begin; nothing fails yet."""
        known = _stored.get(len(self.companies))
        for number, one in enumerate(self.companies):
            if known:
                one.tables.update({kind: dict(rows) for kind, rows in known[number].items()})
            await self._settle_in(number, one, stored=known is not None)
        if not known:
            _stored[len(self.companies)] = [
                {kind: dict(rows) for kind, rows in one.tables.items()} for one in self.companies
            ]
        for one in self.companies:
            await one.begin()

    async def _settle_in(self, number: int, one: Company, *, stored: bool) -> None:
        """Make what a company is without a request; its rows are the same in every run, so that a copy will do."""
        for other in self.companies:
            if other is not one:
                one.meet(other)
            self.offers[one.entity, other.entity] = await one.list_offer(other.entity)
        audiences = tuple(audience_id(one.entity, other.entity) for other in self.companies)
        mentors = len(range(number, max(MENTORS, len(self.companies)), len(self.companies)))
        for place in range(mentors + MENTEES):
            profile = replace(mentor_profile(), per_week=1 + place % 2) if place < mentors else None
            name = f"{'mentor' if profile else 'mentee'} {place} of {one.name}"
            person = Somebody(one, name) if stored else await one.add_person(name, audiences=audiences, profile=profile)
            (self.mentors if profile else self.mentees).append(Device(one, person, self.faults))
            if profile is not None:
                self.capacities[person.label] = profile.per_week

    def plan_partitions(self) -> None:
        """Draw who is cut off when, from now on."""
        entities = [one.entity for one in self.companies]
        self.faults.plan_partitions(entities, after=self.clock.elapsed(), within=PARTITIONS_WITHIN_S)

    def company(self, entity: str) -> Company:
        """Return a company by its entity."""
        return self.wires.company(entity)

    @property
    def playing(self) -> bool:
        """Whether people still do things."""
        return self.faults.active

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Let a person do something by themselves."""
        self._doing.append(asyncio.get_running_loop().create_task(work))

    async def play(self) -> None:
        """Let everything happen until nobody does anything any more, then let all come to rest without faults."""
        deadline = self.clock.elapsed() + PLAY_S
        while self.clock.elapsed() < deadline and any(not task.done() for task in self._doing):
            await self.clock.sleep(60)
        self.faults.note(self.clock.elapsed(), "all", "faults end")
        self.faults.stop()
        await self.clock.sleep(REST_S)
        for task in self._doing:
            if task.done():
                task.result()

    def thread_row(self, company: Company, thread: str, side: str) -> ThreadRow | None:
        """Return one side of a thread as it is stored."""
        row = company.row(ThreadRow, thread, side)
        assert row is None or isinstance(row, ThreadRow)
        return row


@cache
def vocabulary() -> Vocabulary:
    """Return our own situations."""
    lines = files("protocol").joinpath("situations.jsonl").read_bytes().splitlines()
    return Vocabulary(parse_concepts(lines).concepts)
