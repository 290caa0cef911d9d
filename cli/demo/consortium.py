"""The setting of the staged attack: an honest company and two others in a consortium, and the one that will lie."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from cli.client.http import Http
from federation.cosigning import WitnessStatus
from federation.membership_views import Joined
from federation.peer_views import Invitation
from federation.registry_views import Registration
from node.services.offer_operations import ListOffers
from node.services.offers import OfferLists
from node.services.registry import InviteMember, JoinConsortium, OneOrganization
from node.services.witness_operations import ListWitnesses
from protocol.encoding import decode_loose
from protocol.errors import MeshError, UnavailableError

from .companies import Company, Plan, World
from .database import Database
from .liar import Done, Doors, Order
from .nodes import LOG_FILE, NodeProcess, Settings, start_all
from .patience import waiting
from .process import ServeProcess
from .setting import enlist, import_members
from .several import planned

T = TypeVar("T")

LOOK_EVERY_S: Final = 0.1
ORDER_S: Final = 30.0
#: Logs are looked at and peers asked every second, where a node in earnest does so every five minutes.
WATCHFUL: Final = {"log": {"watch_s": 1.0}, "editions": {"poll_s": 0.5}}
#: The liar's catalog changes by its lie alone.
CALM: Final = {"editions": {"edition_s": 3600.0, "head_every_s": 3600.0}}

GUILD: Final = Plan(
    name="harbour",
    display_name="Harbour Guild",
    sector="S",
    size_band="<50",
    country="NL",
    language="en",
    zone="Europe/Amsterdam",
    members=0,
    mentors=0,
    families={"Office": ("mm:group-projects-and-change",)},
)


class LiarProcess(NodeProcess):
    """The node of the company that lies."""

    doors: Doors

    def _planned(self) -> tuple[ServeProcess, ...]:
        return (ServeProcess(self.folder, LOG_FILE, ("-m", "cli.demo.liar", str(self.folder))),)

    async def start(self) -> None:
        """Start it, and learn its doors."""
        await super().start()
        self.doors = await self._line(Doors)

    async def order(self, order: Order) -> Done:
        """Return what came of an order. Raises: UnavailableError: it did not obey in time."""
        orders = self.processes[0].running.stdin
        assert orders is not None
        orders.write(msgspec.json.encode(order) + b"\n")
        await orders.drain()
        return await self._line(Done)

    async def _line(self, kind: type[T]) -> T:
        answers = self.processes[0].running.stdout
        assert answers is not None
        try:
            async with asyncio.timeout(ORDER_S):
                return decode_loose(await answers.readline(), kind, what="line of the liar")
        except (TimeoutError, MeshError):
            raise UnavailableError(f"the staged liar stopped: see {self.folder}/serve.log") from None


class Consortium:
    """Four nodes: the liar, the two that it lies to, and the guild that states all three as members."""

    def __init__(self, world: World, folder: Path, database: Database | None = None) -> None:
        """Plan the nodes below `folder`; nothing runs yet.

        The liar keeps its rows in a file in any case: it will copy them.
        """
        self._database: Final = database
        self._world: Final = world
        self._folder: Final = folder
        self.liar: Final = LiarProcess(world.company("birch"), folder / "birch", {**WATCHFUL, **CALM})
        #: All processes, the liar's first.
        self.processes: list[NodeProcess] = [self.liar]

    @property
    def others(self) -> tuple[NodeProcess, NodeProcess]:
        """The two that are lied to: what the liar's first copy shows is for the first of them."""
        return self.processes[1], self.processes[2]

    @property
    def second(self) -> Path:
        """Where the liar's second copy will live."""
        return self._folder / "birch-second"

    async def begin(self, progress: Callable[[str], None]) -> None:
        """Start all nodes and let them meet. Raises: MeshError: it does not work."""
        progress("starting the companies' nodes")
        await start_all([self.liar])
        entity, doors = self.liar.plan.entity, self.liar.doors
        # Each of the others knows the liar by another door, as if it came from another address.
        self.processes += [
            self._node(self._world.company("aurora"), {entity: doors.first}),
            self._node(self._world.company("cobalt"), {entity: doors.second}),
            self._node(
                Company(plan=GUILD, employees=(), mentors=()),
                {entity: doors.first},
                registry={"enabled": True, "name": GUILD.display_name, "charter": "We answer each other."},
            ),
        ]
        await start_all(self.processes[1:])
        progress("members and mentors")
        await import_members(self.liar)
        async with Http() as http:
            await enlist(http, self.liar)
        progress("the companies join a consortium")
        await self._join()
        async with waiting("the companies did not meet in the consortium"):
            await asyncio.gather(*(until(partial(self._has_offers, node)) for node in self.others))
            await until(self._is_cosigned)

    def _node(self, company: Company, connect_to: dict[str, str], **sections: dict[str, object]) -> NodeProcess:
        changes: Settings = {**WATCHFUL, "development": {"enabled": True, "connect_to": connect_to}, **sections}
        return planned(company, self._folder / company.plan.name, self._database, changes)

    async def _join(self) -> None:
        *members, guild = self.processes
        for node in members:
            entity = node.plan.entity
            made = await guild.ask("registry.invite", InviteMember(entity=entity), Invitation)
            await node.ask("registry.join", JoinConsortium(ticket=made.ticket), Joined)
            await guild.ask("registry.admit", OneOrganization(entity=entity), Registration)

    async def _has_offers(self, node: NodeProcess) -> bool:
        return await self.offers_at(node) > 0

    async def offers_at(self, node: NodeProcess) -> int:
        """Return how many offers of the liar a node shows."""
        lists = await node.ask("offer.list", ListOffers(), OfferLists)
        return sum(one.origin == self.liar.plan.entity for one in lists.peers)

    async def _is_cosigned(self) -> bool:
        asked = await self.liar.ask("log.witnesses", ListWitnesses(), tuple[WitnessStatus, ...])
        return len(asked) == len(self.processes) - 1 and all(each.size for each in asked)


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    """Return once `reached` says so; processes tell nobody when they have got somewhere."""
    while True:
        if await reached():
            return
        await asyncio.sleep(LOOK_EVERY_S)
