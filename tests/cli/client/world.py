"""Real companies on loopback, each a node with its jobs running, and people with vaults of their own."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from aiohttp import web

from cli.client.person import Person
from cli.client.unlock import create_vault, new_state
from cli.client.views import Agreed, Event, Named, Secured
from federation.ports import Store, where
from node import config as configuration
from node.api.app import build_app
from node.api.server import Runner, bind
from node.app import Node, open_node
from node.birth import create_node
from node.clock import SystemEntropy
from node.rows import MemberRow
from node.services.consents import CURRENT
from node.services.member_csv import FIELD_NAMES
from node.services.profile import Availability, MentorProfile, ProfileTopic, WeeklyWindow
from protocol.e2ee.vault import Cost
from protocol.needs import Need
from protocol.vocabulary import Format
from tests.patience import PATIENCE_S

QUICK: Final = Cost(passes=1, memory_kib=8)
PASSPHRASE: Final = "a long enough passphrase"
PROMPTS: Final = ("How do I tell the board that we ship late?", "I wrote a draft.", "Three sentences I can say.")
TOPIC: Final = "mm:first-board-presentation"
#: Everything at once, so that no test waits for a clock.
AT_ONCE: Final[Mapping[str, Mapping[str, Any]]] = {
    "development": {"enabled": True},
    "handshake": {"tick_ms": 0, "flush_s": 0.0, "deadline_s": 600, "sweep_s": 0.2},
    "editions": {
        "edition_s": 0.5,
        "k": 2,
        "keep": 2,
        "mean_delay": 0,
        "rotate_percent": 0,
        "purge_percent": 0,
        "smallest_members": 0,
        "head_every_s": 0.5,
        "poll_s": 0.5,
    },
    "directory": {"gap_s": 1.0},
    "telemetry": {"level": "error"},
}
E = TypeVar("E", bound=Event)
ALL_WEEK: Final = tuple(WeeklyWindow(weekday=day, start=0, end=1440) for day in range(7))


class Company:
    """One organization's node, and how its people sign in."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node: Final = node
        self.folder: Final = folder
        self.entity: Final = node.base.entity
        self.store: Final[Store] = node.base.store

    async def link(self, name: str) -> str:
        """Return a sign-in link of one member."""
        async with self.store.read() as reader:
            (row,) = await reader.find(MemberRow, where(hris_id=name))
        return await self.node.people.accounts.issue_link(row.member)

    @asynccontextmanager
    async def person(self, name: str) -> AsyncIterator[Person]:
        """Sign a member in on a new device and yield them."""
        vault = create_vault(self.folder / "clients" / name, new_state(), passphrase=PASSPHRASE, cost=QUICK)
        async with Person(vault) as person:
            await person.sign_in(await self.link(name), name=name)
            yield person


def members(count: int, name: str) -> bytes:
    """Return a member file of `count` people of one job family."""
    rows = [
        dict.fromkeys(FIELD_NAMES, "")
        | {
            "id": f"{name}{number}",
            "mail": f"{name}{number}@{name}.example",
            "status": "active",
            "job_family": "Finance",
            "band": "senior",
            "country": "DE",
            "languages": "en",
        }
        for number in range(count)
    ]
    return "\r\n".join((",".join(FIELD_NAMES), *(",".join(row.values()) for row in rows), "")).encode()


@asynccontextmanager
async def company(folder: Path, name: str, **sections: Mapping[str, Any]) -> AsyncIterator[Company]:
    """Run a company with sixteen members while inside."""
    settings: dict[str, Mapping[str, Any]] = {
        **AT_ONCE,
        "node": {"entity": f"https://{name}.example", "listen": "127.0.0.1:0"},
        "org": {"display_name": f"{name.title()} Works", "countries": ["DE"], "sector": "H"},
    }
    merged = {key: {**settings.get(key, {}), **sections.get(key, {})} for key in {**settings, **sections}}
    directory = folder / "nodes" / name
    create_node(directory, merged, SystemEntropy())
    config = configuration.parse((directory / "mentormesh.toml").read_text(), {})
    with bind(config.listen_host, config.listen_port) as listening:
        async with open_node(directory, config, port=listening.getsockname()[1]) as node:
            data = members(16, name)
            await node.people.members.apply(await node.people.members.plan(data))
            runner = Runner(build_app(node), limits=config.limits, gauge=node.base.events.metrics.connections)
            await runner.setup()
            try:
                await web.SockSite(runner, listening).start()
                node.start_jobs()
                yield Company(node, folder)
            finally:
                await runner.cleanup()
                await node.base.jobs.stop(1)


@asynccontextmanager
async def companies(folder: Path, *names: str, **sections: Mapping[str, Any]) -> AsyncIterator[list[Company]]:
    """Run several companies, all peers of each other."""
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(company(folder, name, **sections)) for name in names]
        for number, one in enumerate(made):
            for other in made[number + 1 :]:
                invitation = await one.node.peering.service.invite()
                await other.node.peering.service.accept(invitation.ticket)
        yield made


def profile(format_: Format = "call") -> MentorProfile:
    """Return the profile of a mentor who is free at any time."""
    return MentorProfile(
        topics=(ProfileTopic(id=TOPIC, kind="been-through"),),
        languages=("en",),
        formats=(format_,),
        lengths=(30,),
        availability=Availability(zone="UTC", weekly=ALL_WEEK),
        approach=("listens-first",),
    )


async def listed_everywhere(person: Person) -> None:
    """Return once others can check this device wherever it enrolled: before that nobody is proposed to them."""
    await person.sync()
    await person.listed()


async def become_mentor(person: Person, *, listed: bool = True, format_: Format = "call") -> None:
    """Give the consents, save a profile and opt in."""
    for kind in ("mentoring", "listing") if listed else ("mentoring",):
        await person.api.consent(kind, CURRENT[kind].version)
    await person.api.save_profile(profile(format_))
    await person.api.opt_in(listed=listed)
    await listed_everywhere(person)


def need(format_: Format = "call") -> Need:
    """Return the need that `profile` answers."""
    return Need(topics=(TOPIC,), kind="been-through", languages=("en",), format=format_, length=30)


_UNSEEN: Final[WeakKeyDictionary[Person, list[Event]]] = WeakKeyDictionary()


async def happens(person: Person, kind: type[E]) -> E:
    """Return the next event of `kind`, letting others pass; what came with it is seen by the next call."""
    passed: list[Event] = []
    unseen = _UNSEEN.setdefault(person, [])
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        while unseen:
            event = unseen.pop(0)
            if isinstance(event, kind):
                return event
            passed.append(event)
        unseen += await person.poll(wait_s=0.5)
    raise AssertionError(f"{kind.__name__} did not happen, but {passed}")


async def meet(mentee: Person, mentor: Person) -> None:
    """Go on after the mentor's yes until both know each other's name."""
    await happens(mentee, Agreed)
    await happens(mentor, Secured)
    await happens(mentee, Named)
    await happens(mentor, Named)


async def lists_something(person: Person) -> None:
    """Return once another organization's catalog that answers the need is mirrored."""
    async with asyncio.timeout(PATIENCE_S):
        while not (await person.api.search(need(), ())).offers:
            await person.api.mailbox(person.state.mailbox_after, wait_s=0.1)  # the node waits, and nothing is taken
