"""Nodes reduced to what watches logs: memory stores, one stepped clock, no sockets; one of them may show two logs."""

from typing import Final

from federation.directory import PeerDirectory
from federation.evidence import EvidenceService
from federation.gossip import CHECKPOINTS_PATH, Gossip
from federation.knownlogs import KnownLog, KnownLogs
from federation.logbook import Logbook
from federation.logwatch import LogWatch
from federation.ownlog import OwnLog
from federation.rows import PeerRow
from federation.sequencer import Sequencer
from federation.sets import Audience, Fetched
from federation.watchwords import WatchPolicy
from node import config as configuration
from node.birth import render_settings
from node.services.peers import draft_document
from protocol.encoding import b64
from protocol.errors import MeshError, MissingError, UnavailableError
from protocol.logleaves import Leaf, SetHeadLeaf
from protocol.peers import NodeDocument, sign_document
from protocol.signing import VerifyKey
from protocol.tlog.checkpoint import CheckpointNote
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.fakes.memory_store import MemoryStore
from tests.node.pairing import organization

from .stations import key_ring


class Story:
    """One version of a node's log."""

    def __init__(self, watcher: "Watcher", clock: SteppedClock) -> None:
        self.store: Final = MemoryStore()
        self.book: Final = Logbook(self.store)
        self.sequencer: Final = Sequencer(self.store, clock, own=watcher.entity, key=watcher.keys.log, generation=1)

    async def grow(self, *leaves: Leaf) -> None:
        async with self.store.write() as tx:
            await self.sequencer.append(tx, *leaves)
        await self.sequencer.sequence()


class Watcher:
    """One node; `stories` are the logs it shows, the first to everybody who is not in `told`."""

    def __init__(self, town: "Town", name: str) -> None:
        self.entity: Final = f"https://{name}.example"
        self.keys: Final = key_ring(name)
        self.town: Final = town
        config = configuration.parse(render_settings(organization(name)), {})
        self.document: Final[NodeDocument] = draft_document(config, self.keys)
        self.text: Final = sign_document(self.document, self.keys.federation)
        self.store: Final = MemoryStore()
        self.directory: Final = PeerDirectory()
        self.stories: Final = [Story(self, town.clock)]
        self.told: Final[dict[str, int]] = {}
        self.away = False
        entropy = SeededEntropy(len(town.watchers))
        logs = KnownLogs(self.directory, town.clock, own=self.entity)
        self.logs: Final = logs
        self.evidence: Final = EvidenceService(
            self.store, town.clock, self.directory, report=lambda kind, froze: self.reported.append((kind, froze))
        )
        self.reported: Final[list[tuple[str, bool]]] = []
        self.watch: Final = LogWatch(
            self.store,
            town.clock,
            entropy,
            logs,
            read=self.read,
            record=self.evidence.record,
            policy=WatchPolicy(poll_s=60, gap_s=0, prove_s=300),
        )
        own_log = OwnLog(self.store, town.clock, self.ask, own=self.entity, key=lambda: self.keys.log.public)
        self.own_log: Final = own_log
        self.gossip: Final = Gossip(
            self.store,
            town.clock,
            entropy,
            directory=self.directory,
            logs=logs,
            watch=self.watch,
            evidence=self.evidence,
            own_log=own_log,
            fetch=self.fetch,
            audiences=town,
            own=self.entity,
            own_key=lambda: self.keys.log.public,
        )

    async def ask(self, peer: str) -> tuple[CheckpointNote, ...]:
        return await self.gossip.ask(peer)

    async def read(self, log: KnownLog, path: str, *, limit: int) -> bytes:
        """Return a resource of a log, in the version that its node shows to this one."""
        shown = self.town.at(log.entity).shown_to(self.entity)
        data = await (shown.checkpoint(1) if path == "checkpoint" else shown.resource(1, path))
        assert len(data) <= limit
        return data

    def shown_to(self, entity: str) -> Logbook:
        if self.away:
            raise UnavailableError("away")
        return self.stories[self.told.get(entity, 0)].book

    async def fetch(self, peer: str, path: str, etag: str, *, limit: int, signed: bool) -> Fetched:
        other = self.town.at(peer)
        if other.away:
            raise UnavailableError("away")
        assert signed
        assert not etag
        if path == CHECKPOINTS_PATH:
            body = await other.gossip.answer()
        else:
            _, _, _, _, audience, kind, _, host = path.split("/")
            body = await other.gossip.held_head(audience, kind, host, self.entity)
        assert len(body) <= limit
        return Fetched(status=200, body=body)

    async def look(self) -> None:
        """Look at every log that is due, then ask every peer."""
        await self.watch.poll_due()
        await self.gossip.round()

    def meets(self, other: "Watcher") -> None:
        self.directory.put(
            PeerRow(
                entity=other.entity,
                keyid=VerifyKey.parse(other.document.keys.http).keyid,
                federation_key=other.document.keys.federation,
                document=other.text.encode(),
                mode="full",
                added_at=0,
                fetched_at=0,
            )
        )


class Town:
    """Watchers that are all peers of each other; every one has begun a log."""

    def __init__(self) -> None:
        self.clock: Final = SteppedClock()
        self.watchers: Final[list[Watcher]] = []

    @classmethod
    async def of(cls, *names: str) -> "Town":
        town = cls()
        for name in names:
            town.watchers.append(Watcher(town, name))
        for one in town.watchers:
            await one.stories[0].grow(*leaves(5))
            for other in town.watchers:
                if other is not one:
                    one.meets(other)
        return town

    def at(self, entity: str) -> Watcher:
        found = next((each for each in self.watchers if each.entity == entity), None)
        if found is None:
            raise MissingError("nobody")
        return found

    async def audiences(self) -> list[Audience]:
        """Return one audience with everybody, for gossip about heads."""
        return [Audience(id=AUDIENCE, members=frozenset(each.entity for each in self.watchers))]

    async def round(self) -> None:
        """Let everybody look once, one after the other, a minute later."""
        self.clock.advance(72)
        for each in self.watchers:
            await each.look()


AUDIENCE: Final = b64(bytes(32))


def leaves(count: int, *, first: int = 1, story: int = 0) -> list[Leaf]:
    """Return so many leaves of a chain; another story has other heads under the same numbers."""
    return [
        SetHeadLeaf(chain=AUDIENCE, seq=number, commitment=b64(bytes([story]) + number.to_bytes(31, "big")))
        for number in range(first, first + count)
    ]


async def fork(watcher: Watcher, sizes: tuple[int, int] = (7, 7)) -> None:
    """Let a node grow two logs of these sizes out of one of five entries, the second for whoever is in `told`."""
    other = Story(watcher, watcher.town.clock)
    await other.grow(*leaves(5))
    watcher.stories.append(other)
    for story, (log, size) in enumerate(zip(watcher.stories, sizes, strict=True)):
        if size > 5:
            await log.grow(*leaves(size - 5, first=6, story=story))


async def problem_of(watcher: Watcher, origin: str) -> str:
    """Return what a watcher has noted about a log."""
    return next(each.problem for each in await watcher.watch.status() if each.origin == origin)


__all__ = ["AUDIENCE", "MeshError", "Story", "Town", "Watcher", "fork", "leaves", "problem_of"]
