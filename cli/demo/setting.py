"""The set-up of the demo: members, mentors, peerings and devices, all by the ways that operators and people use."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from itertools import combinations
from pathlib import Path
from typing import Final

import msgspec

from cli.client.account import parse_link
from cli.client.api import NodeApi
from cli.client.http import Http
from federation.peer_views import Accepted, Invitation
from node.services.consents import CURRENT
from node.services.member_operations import ApplyImport, Link, OneMember, PlanImport, PlanView, pack
from node.services.offer_operations import ListOffers
from node.services.offers import OfferLists
from node.services.peers import InvitePeer, UseTicket

from .actors import Actor, Watch, open_actor
from .companies import TOPIC, Mentor, World
from .database import FILE, OWN, Database
from .nodes import NodeProcess
from .patience import waiting
from .people import Part
from .phone import open_phone
from .search_nodes import Elsewhere
from .several import SeveralProcesses

LOOK_EVERY_S: Final = 0.05
#: Mentors signed in side by side.
AT_ONCE: Final = 4

Progress = Callable[[str], None]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Everything ready for the story; `phone` is a device of Ana's that nobody has linked yet."""

    world: World
    folder: Path
    nodes: tuple[NodeProcess, ...]
    actors: dict[str, Actor]
    phone: Actor
    listed: dict[str, int]
    database: Database | None = None

    @property
    def several(self) -> tuple[SeveralProcesses, ...]:
        """The nodes that several processes serve: all or none."""
        return tuple(node for node in self.nodes if isinstance(node, SeveralProcesses))

    @property
    def store(self) -> str:
        """What the nodes keep their rows in: `file` or such as `PostgreSQL 18.1`."""
        return FILE if self.database is None else f"PostgreSQL {self.database.version}"

    @property
    def elsewhere(self) -> Elsewhere:
        """What the nodes keep outside their directories."""
        if self.database is None:
            return Elsewhere()
        own = self.database.own
        return Elsewhere(
            databases={node.plan.name: node.database for node in self.several},
            files={OWN: own.data} if own is not None else {},
        )

    def node(self, name: str) -> NodeProcess:
        """Return a node by name."""
        return next(node for node in self.nodes if node.plan.name == name)

    def actor(self, part: Part) -> Actor:
        """Return who plays a part."""
        return self.actors[part.key]

    @property
    def nodes_folder(self) -> Path:
        """Where all node directories are."""
        return self.folder / "nodes"


async def prepare(
    stack: AsyncExitStack,
    world: World,
    folder: Path,
    nodes: tuple[NodeProcess, ...],
    *,
    watch: Watch,
    progress: Progress,
    database: Database | None = None,
) -> Setting:
    """Return the setting: nodes that run get their people and become peers, and the cast gets devices."""
    progress("importing members")
    await asyncio.gather(*(import_members(node) for node in nodes))
    progress("mentors opt in")
    async with Http() as http:
        await asyncio.gather(*(enlist(http, node) for node in nodes))
    progress("companies become peers")
    for one, other in combinations(nodes, 2):
        invitation = await one.ask("peer.invite", InvitePeer(entity=other.plan.entity), Invitation)
        await other.ask("peer.accept", UseTicket(ticket=invitation.ticket), Accepted)
    progress("people set up their devices")
    devices = asyncio.gather(*(_devices(stack, world, node, folder / "clients", watch) for node in nodes))
    actors, listed = await asyncio.gather(devices, _catalogs(world, nodes))
    await asyncio.gather(*(actor.person.listed() for some in actors for actor in some))
    phone = await open_phone(stack, world.cast.ana, folder / "clients" / "ana-phone", watch)
    return Setting(
        world=world,
        folder=folder,
        nodes=nodes,
        actors={actor.part.key: actor for some in actors for actor in some},
        phone=phone,
        listed=listed,
        database=database,
    )


async def import_members(node: NodeProcess) -> None:
    """Let a company import its member file."""
    packed = pack(node.company.member_csv())
    plan = await node.ask("member.plan", PlanImport(packed=packed), PlanView)
    await node.ask("member.import", ApplyImport(packed=packed, digest=plan.digest), PlanView)


async def link_of(node: NodeProcess, member: str) -> str:
    """Return a sign-in link of a member, as the operator issues it in a demo."""
    return (await node.ask("member.link", OneMember(id=member), Link)).link


async def enlist(http: Http, node: NodeProcess) -> None:
    """Let every mentor of a company agree, write a profile and opt in, each signed in as themselves."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(mentor: Mentor) -> None:
        async with turns:
            await _opt_in(http, await link_of(node, mentor.id), mentor)

    await asyncio.gather(*(one(mentor) for mentor in node.company.mentors))


async def _opt_in(http: Http, link: str, mentor: Mentor) -> None:
    url, token = parse_link(link)
    api = NodeApi(http, url, (await NodeApi(http, url).redeem(token)).token)
    for kind in ("mentoring", "listing"):
        await api.consent(kind, CURRENT[kind].version)
    await api.save_profile(mentor.profile)
    await api.opt_in(listed=True)
    await api.sign_out()


async def _devices(stack: AsyncExitStack, world: World, node: NodeProcess, folder: Path, watch: Watch) -> list[Actor]:
    """Return everybody of the cast at one company, signed in with a device of their own."""
    parts = world.cast.at(node.plan.name)
    links = [await link_of(node, node.company.id_of(part)) for part in parts]
    opened = (open_actor(stack, part, folder / part.key, link, watch) for part, link in zip(parts, links, strict=True))
    return list(await asyncio.gather(*opened))


async def _catalogs(world: World, nodes: Iterable[NodeProcess]) -> dict[str, int]:
    """Return how many offers each company lists, once every peer holds what it needs for the story.

    Raises: UnavailableError: a catalog does not arrive.
    """
    everybody = tuple(nodes)
    helping = {part.company for part in world.cast.mentors}
    async with waiting("the companies' catalogs did not reach their peers"):
        counts = await asyncio.gather(*(_arrived(node, everybody, helping) for node in everybody))
    return {node.plan.name: count for node, count in zip(everybody, counts, strict=True)}


async def _arrived(node: NodeProcess, everybody: tuple[NodeProcess, ...], helping: set[str]) -> int:
    """Return the number of a node's own offers once it shows the demo's topic of every other company that lists it."""
    wanted = {one.plan.entity for one in everybody if one.plan.name in helping and one is not node}
    while True:
        lists = await node.ask("offer.list", ListOffers(), OfferLists)
        if wanted <= {one.origin for one in lists.peers if one.offer.topic.id == TOPIC}:
            return len({one.text for one in lists.own})
        await asyncio.sleep(LOOK_EVERY_S)
