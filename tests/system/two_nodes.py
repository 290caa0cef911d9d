"""Two companies as real node processes, one mentee, one mentor, and their session, driven message by message."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from cli.client.core import ENGINE, fresh_id, fresh_secret
from cli.client.keychecks import NotListedYetError
from cli.client.person import Person
from cli.client.records import Outgoing
from cli.client.unlock import create_vault, new_state
from cli.client.views import Arrived, Requested
from cli.node_access import RunningNode
from federation.peer_views import Accepted, Invitation
from federation.ports import Reader, where
from node import config as configuration
from node.app import open_node
from node.birth import create_node
from node.clock import SystemEntropy
from node.keys import operator_token
from node.rows import MemberRow
from node.services.peers import InvitePeer, UseTicket
from node.store.inspection import look_into
from protocol.e2ee.crypto import Received
from protocol.e2ee.frames import Chat, Frame, decode_frame, encode_frame
from protocol.encoding import unb64
from protocol.envelope import parse_envelope
from protocol.errors import LimitError, UnavailableError
from protocol.handshake import Side
from protocol.ids import message_id
from tests.cli.client.world import (
    AT_ONCE,
    PASSPHRASE,
    PROMPTS,
    QUICK,
    become_mentor,
    happens,
    meet,
    members,
    need,
)
from tests.node.running import free_port
from tests.patience import PATIENCE_S, comes_true

#: Nobody is limited: what is measured and killed is delivery.
UNLIMITED: Final = {"peer_per_minute": 1_000_000, "address_per_minute": 1_000_000, "stop_s": 2.0}
#: Once the session stands, the clocks of the product itself: no catalog changes while messages are looked at.
CALM: Final = {
    "MENTORMESH_EDITIONS_EDITION_S": "86400",
    "MENTORMESH_EDITIONS_HEAD_EVERY_S": "900",
    "MENTORMESH_EDITIONS_POLL_S": "300",
    "MENTORMESH_HANDSHAKE_SWEEP_S": "5",
}


class NodeProcess:
    """One node that can be killed and started again at the same address."""

    def __init__(self, folder: Path, name: str, **sections: Mapping[str, Any]) -> None:
        """Take settings that differ from the usual ones, by section."""
        self.name: Final = name
        self.sections: Mapping[str, Mapping[str, Any]] = sections
        self.entity: Final = f"https://{name}.example"
        self.directory: Final = folder / "nodes" / name
        self.port: Final = free_port()
        self.url: Final = f"http://127.0.0.1:{self.port}"
        self.links: dict[str, str] = {}
        self._process: asyncio.subprocess.Process | None = None

    async def make(self, *people: str) -> None:
        """Make the directory, sixteen members and a sign-in link for some of them."""
        settings: dict[str, Mapping[str, Any]] = {
            **AT_ONCE,
            "node": {"entity": self.entity, "listen": f"127.0.0.1:{self.port}"},
            "org": {"display_name": f"{self.name.title()} Works", "countries": ["DE"], "sector": "H"},
            "limits": UNLIMITED,
            "handshake": {**AT_ONCE["handshake"], "quota_least": 1000},
        }
        for section, values in self.sections.items():
            settings[section] = {**settings.get(section, {}), **values}
        create_node(self.directory, settings, SystemEntropy())
        config = configuration.load(self.directory, {})
        async with open_node(self.directory, config, port=self.port) as node:
            data = members(16, self.name)
            await node.people.members.apply(await node.people.members.plan(data))
            for person in people:
                async with node.base.store.read() as reader:
                    (found,) = await reader.find(MemberRow, where(hris_id=person))
                self.links[person] = await node.people.accounts.issue_link(found.member)

    async def start(self, variables: Mapping[str, str] | None = None) -> None:
        """Return once the node answers."""
        self._process = await self.started(variables or {})

    async def started(self, variables: Mapping[str, str]) -> asyncio.subprocess.Process:
        """Return a new process of the node, once it answers."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MENTORMESH_")}
        with (self.directory / "serve.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "cli.main", "serve", "--dir", str(self.directory), "--json", "--until-eof"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**inherited, **variables},
            )
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
        assert json.loads(line)["event"] == "ready"
        return process

    async def kill(self) -> None:
        """End the process as a power button would."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """End the process properly."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await asyncio.wait_for(self._process.wait(), PATIENCE_S)

    @asynccontextmanager
    async def rows(self) -> AsyncIterator[Reader]:
        """Yield a reader of what the node holds, also while it runs."""
        async with look_into(self.directory / "data" / "node.db", now=int(time.time())) as reader:
            yield reader

    @property
    def cpu_s(self) -> float:
        """Processor seconds that the process has used."""
        assert self._process is not None
        return cpu_seconds(self._process.pid)

    @property
    def resident_mib(self) -> float:
        """Resident memory of the process."""
        assert self._process is not None
        return resident_mib(self._process.pid)

    @property
    def disk_bytes(self) -> int:
        """Size of the database with its write-ahead file."""
        return sum(path.stat().st_size for path in (self.directory / "data").glob("node.db*"))

    async def operate(self, name: str, command: Any, kind: Any) -> Any:  # noqa: ANN401 -- as the operation says
        """Return the result of an operator's operation."""
        access = RunningNode(self.url, operator_token(self.directory), certificate=None)
        return await access.call(name, command, kind)


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process, of its threads too."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def _require(member: object) -> None:
    assert member, "nobody comes into the sessions of these tests"


class Device:
    """One end of the session: encrypts, sends, reads and decrypts with the client's own code, and keeps no vault."""

    def __init__(self, person: Person, thread: str, side: Side) -> None:
        self.person: Final = person
        self.api: Final = person.api
        self.thread: Final = thread
        self.side: Final = side
        self.group = ENGINE.load(person.state.session(thread).state)
        self.cursor = 0
        #: Texts and when each was read, and hub numbers of everything that was shown here.
        self.read: Final[list[tuple[str, float]]] = []
        self.numbers: Final[list[int]] = []
        self.sent: Final[list[str]] = []
        self.news: Final = asyncio.Event()

    def sealed(self, text: str) -> Outgoing:
        """Return one encrypted message."""
        frame = Frame(id=fresh_id(), at=int(time.time()), content=Chat(text=text))
        self.group, ciphertext = ENGINE.encrypt(self.group, encode_frame(frame), entropy=fresh_secret())
        made = message_id(int(time.time() * 1000), os.urandom(10))
        return Outgoing(id=made, kind="message", ciphertext=ciphertext, epoch=ENGINE.epoch(self.group))

    async def send(self, text: str) -> None:
        """Hand one message to the own node; asks again while it is away, with the same id."""
        outgoing = self.sealed(text)
        while True:
            try:
                await self.api.envelope(self.thread, self.side.value, outgoing)
            except (UnavailableError, LimitError):
                await asyncio.sleep(0.05)
                continue
            self.sent.append(text)
            return

    async def listen(self, *, acknowledge: bool = False) -> None:
        """Read for ever what the node shows, in order."""
        while True:
            try:
                await self.look(wait_s=20, acknowledge=acknowledge)
            except (UnavailableError, LimitError):
                await asyncio.sleep(0.05)

    async def look(self, *, wait_s: float = 0, acknowledge: bool = False) -> None:
        """Read one page of the mailbox."""
        page = await self.api.mailbox(self.cursor, wait_s=wait_s)
        for entry in page.entries:
            self.cursor = entry.cursor
            if entry.kind == "envelope" and entry.thread == self.thread:
                self._take(unb64(entry.data))
        if page.entries:
            self.news.set()
            if acknowledge:
                await self.api.acknowledge(self.cursor)

    def _take(self, item: bytes) -> None:
        envelope = parse_envelope(item)
        self.numbers.append(envelope.header.number or 0)
        own = envelope.header.side == self.side.value
        if own and envelope.header.kind != "commit":
            return
        known = {member.device for member in ENGINE.members(self.group)}
        self.group, received = ENGINE.receive(
            self.group, envelope.ciphertext, check=lambda member: _require(member.device in known), now=int(time.time())
        )
        if not isinstance(received, Received):
            return
        content = decode_frame(received.frame).content
        assert isinstance(content, Chat)
        self.read.append((content.text, time.perf_counter()))

    async def until(self, count: int) -> None:
        """Return once so many messages of the other side were read."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.read) < count:
                self.news.clear()
                await self.news.wait()


class Pair:
    """Two nodes that are peers, and an open session between two of their people."""

    def __init__(self, aurora: NodeProcess, cobalt: NodeProcess, ana: Person, ben: Person, thread: str) -> None:
        self.aurora: Final = aurora
        self.cobalt: Final = cobalt
        self.ana: Final = ana
        self.ben: Final = ben
        self.thread: Final = thread

    @property
    def nodes(self) -> tuple[NodeProcess, NodeProcess]:
        """Both processes, the mentee's first."""
        return self.aurora, self.cobalt

    async def devices(self) -> tuple[Device, Device]:
        """Return both ends of the session, having read what was there."""
        ends = Device(self.ana, self.thread, Side.CONSUMER), Device(self.ben, self.thread, Side.PROVIDER)
        for end in ends:
            end.cursor = end.person.state.mailbox_after
        return ends

    async def calm(self) -> None:
        """Start both nodes again with the product's own clocks."""
        for node in self.nodes:
            await node.stop()
        await self.start_calm()

    async def start_calm(self, *nodes: NodeProcess) -> None:
        """Start some nodes, or both, with the product's own clocks."""
        await asyncio.gather(*(node.start(CALM) for node in nodes or self.nodes))


async def peered(folder: Path, *people: tuple[str, ...]) -> tuple[NodeProcess, NodeProcess]:
    """Make, start and connect two empty nodes, with links for some people of each."""
    nodes = NodeProcess(folder, "aurora"), NodeProcess(folder, "cobalt")
    await join(nodes, *people)
    return nodes


async def join(nodes: tuple[NodeProcess, NodeProcess], *people: tuple[str, ...]) -> None:
    """Make, start and connect two nodes, with links for some people of each."""
    for node, names in zip(nodes, people or ((), ()), strict=True):
        await node.make(*names)
    await asyncio.gather(*(node.start() for node in nodes))
    await connect(*nodes)


async def connect(aurora: NodeProcess, cobalt: NodeProcess) -> None:
    """Make two running nodes peers."""
    invited: Invitation = await aurora.operate("peer.invite", InvitePeer(), Invitation)
    await cobalt.operate("peer.accept", UseTicket(ticket=invited.ticket), Accepted)


@asynccontextmanager
async def paired(folder: Path, *nodes: NodeProcess) -> AsyncIterator[Pair]:
    """Yield two nodes with an open session in which everything was said that programs say by themselves."""
    async with met(folder, *nodes) as pair:
        for _ in range(10):
            await asyncio.gather(pair.ana.poll(wait_s=0.1), pair.ben.poll(wait_s=0.1))
        yield pair


@asynccontextmanager
async def met(folder: Path, *nodes: NodeProcess) -> AsyncIterator[Pair]:
    """Yield two nodes with two people who have just learned each other's names; afterwards they have ended.

    Args:
        nodes: two that are not made yet, if others than the usual ones.
    """
    aurora, cobalt = nodes or (NodeProcess(folder, "aurora"), NodeProcess(folder, "cobalt"))
    async with AsyncExitStack() as stack:
        for node in (aurora, cobalt):
            stack.push_async_callback(node.stop)
        await join((aurora, cobalt), ("aurora1", "aurora2"), ("cobalt1", "cobalt2"))
        ana = await stack.enter_async_context(signed_in(folder, aurora, "aurora1"))
        ben = await stack.enter_async_context(signed_in(folder, cobalt, "cobalt1"))
        await become_mentor(ben, format_="text")
        thread = await agree(ana, ben)
        yield Pair(aurora, cobalt, ana, ben, thread)


@asynccontextmanager
async def signed_in(folder: Path, node: NodeProcess, name: str) -> AsyncIterator[Person]:
    """Yield a member of a node on a new device."""
    vault = create_vault(folder / "clients" / name, new_state(), passphrase=PASSPHRASE, cost=QUICK)
    async with Person(vault) as person:
        await person.sign_in(node.links[name], name=name)
        yield person


async def lists_help(person: Person) -> bool:
    """Tell whether somebody is listed who answers the need."""
    return bool((await person.api.search(need("text"), ())).offers)


async def agree(ana: Person, ben: Person) -> str:
    """Return the thread of a session that both have opened."""
    await comes_true(lambda: lists_help(ana))
    await ana.ask(need("text"))
    requested = await _request(ana)
    await happens(ben, Arrived)
    await ben.accept(requested.thread)
    await meet(ana, ben)
    return requested.thread


async def _request(ana: Person) -> Requested:
    """Ask the first one, as soon as the key directory of the other company is proven."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(NotListedYetError):
                return await ana.request(1, prompts=PROMPTS)


@contextlib.contextmanager
def cancelled(*tasks: "asyncio.Task[Any]") -> Any:  # noqa: ANN401 -- a context manager
    """Cancel tasks at the end."""
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
