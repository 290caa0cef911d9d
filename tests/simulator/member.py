"""A member of a consortium: its sets, its log, its witness, and what it makes of those of the others.

Services are joined as a node joins them (`node/witnessing.py` is the real one); rows are in memory, calls are lossy.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Final, TypeVar, cast

from federation.audiences import Audiences, ConsortiumAudiences, PairAudiences, PeerSets
from federation.calls import Answer
from federation.discovery import Discovery
from federation.gossip import CHECKPOINTS_PATH
from federation.identity import Own
from federation.introductions import Introductions
from federation.knownlogs import ADD_CHECKPOINT, WITNESS_PREFIX
from federation.logbook import FIRST_LOG, Logbook
from federation.memberships import MembershipService
from federation.mirror import MirrorService
from federation.peering import PeeringService
from federation.publisher import HeadPolicy, PublisherService
from federation.registry import RegistryAudience, RegistryPolicy, RegistryService
from federation.rows import PeerRow
from federation.sequencer import Sequencer
from federation.sets import NUDGES_PATH
from federation.sourcewatch import MirrorPolicy
from node.events import Events
from node.nodelog import NodeLog
from node.parts import Base, Peering, WatchedDirectory
from node.sections import Config, NodeSection, OrgSection
from node.telemetry import Metrics, make_log
from node.witnessing import Witnessing
from protocol.errors import MeshError, MissingError
from protocol.members import NOTICES_PATH
from protocol.peers import open_document, sign_document
from protocol.tlog.witness import SIZE_CONTENT_TYPE, SizeConflictError, render_size, status
from tests.fakes.entropy import SeededEntropy
from tests.node.exchange.world import _document, _keys

from .faults import Faults
from .loop import LoopClock
from .lossy import Lines
from .process import Process

T = TypeVar("T")

_SETS: Final = "/federation/v1/sets/"


class Member(Process):
    """One node of a consortium, which may be its registry too."""

    def __init__(self, name: str, lines: Lines, clock: LoopClock, faults: Faults, seed: int) -> None:
        super().__init__(name, faults)
        entropy = SeededEntropy(seed)
        self.clock: Final = clock
        self.entity: Final = f"https://{name}.example"
        self.keys: Final = _keys(entropy)
        self.document: Final = sign_document(_document(self.entity, self.keys), self.keys.federation)
        self._lines: Final = lines
        self._seed: Final = seed
        self._config: Final = Config(
            node=NodeSection(entity=self.entity), org=OrgSection(display_name=name.title(), countries=("DE",))
        )

    def start(self) -> None:
        """Begin a life with what the disk holds."""
        store, clock, own = self.open_disk(), self.clock, self.entity
        entropy = SeededEntropy(self._seed + self.lives * 1000)
        calls = self._lines.calls(own)
        self.store, self.directory = store, WatchedDirectory({})
        for row in self.rows(PeerRow):
            assert isinstance(row, PeerRow)
            self.directory.put(row)
        self.sets = PeerSets(self.directory, calls)
        identity = Own(document=open_document(self.document), text=self.document)
        peering = PeeringService(
            store=store, calls=calls, clock=clock, entropy=entropy, directory=self.directory, own=identity
        )
        self.memberships = MembershipService(
            store=store,
            clock=clock,
            calls=calls,
            directory=self.directory,
            peering=peering,
            discovery=Discovery(calls, store, clock, self.directory),
            introductions=Introductions(store, calls, clock, self.directory),
            alert=lambda code: self.mistakes.append(f"{self.name} is alerted: {code}"),
        )
        audience = RegistryAudience(own)
        self.audiences = Audiences(
            PairAudiences(self.directory, clock, own=own),
            ConsortiumAudiences(self.directory, self.memberships, clock, own=own),
            audience,
        )
        self.sequencer = Sequencer(store, clock, own=own, key=self.keys.log, generation=store.generation)
        self.book = Logbook(store)
        self.publisher = PublisherService(
            store, clock, self.audiences, own=own, key=self.keys.log, policy=HeadPolicy(), log=self.sequencer
        )
        self.mirror = MirrorService(
            store,
            clock,
            entropy,
            self.audiences,
            self.sets.fetch,
            own=own,
            policy=MirrorPolicy(),
            contents={"members": self.memberships},
        )
        self.registry = RegistryService(
            store=store,
            clock=clock,
            entropy=entropy,
            directory=self.directory,
            publisher=self.publisher,
            audience=audience,
            calls=calls,
            post=self.sets.post,
            own=own,
            key=self.keys.log,
            policy=RegistryPolicy(),
        )
        self.witnessing = Witnessing(*self._ground(entropy, calls), self.mirror)
        self._begun = self._own(self._begin)
        for job in (self._begun, self._own(self.witnessing._settle_doubts)):
            job.add_done_callback(lambda _: None)

    def _ground(self, entropy: SeededEntropy, calls: object) -> tuple[Base, Peering, NodeLog]:
        """Return what a node's witnessing stands on, as far as it is looked at."""
        base: Any = SimpleNamespace(
            store=self.store,
            clock=self.clock,
            entropy=entropy,
            config=self._config,
            entity=self.entity,
            keys=self.keys,
            directory=None,
            events=Events(make_log(self.clock, level="critical"), Metrics()),
            on_new_keys=lambda _: None,
        )
        peering: Any = SimpleNamespace(
            directory=self.directory, client=calls, calls=calls, sets=self.sets, audiences=self.audiences
        )
        log: Any = SimpleNamespace(sequencer=self.sequencer, book=self.book)
        return cast("Base", base), cast("Peering", peering), cast("NodeLog", log)

    async def _begin(self) -> None:
        await self.memberships.start()
        await self.registry.start()
        await self.mirror.start()
        await self.witnessing.evidence.load()

    async def serve(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what the node does, once it has begun. Raises: UnavailableError: it is down."""

        async def begun() -> T:
            await asyncio.wait((self._begun,))
            return await work()

        return await super().serve(begun)

    async def grow(self) -> None:
        """Sign what is new in the log and have it cosigned."""
        await self.sequencer.sequence()
        await self.witnessing.cosigner.collect()

    async def gossip(self) -> None:
        """Ask every peer once what it holds."""
        await self.witnessing.round()

    async def answer(self, sender: str, target: str, body: bytes, *, etag: str = "") -> Answer:
        """Return what this node answers. Raises: MeshError."""
        return await self.serve(lambda: self._answered(sender, target, body, etag))

    async def _answered(self, sender: str, target: str, body: bytes, etag: str) -> Answer:
        if target.startswith("/log/"):
            path = target.removeprefix("/log/")
            return _ok(await (self.book.checkpoint(1) if path == "checkpoint" else self.book.resource(FIRST_LOG, path)))
        if target == f"{WITNESS_PREFIX}{ADD_CHECKPOINT}":
            return await self._cosigned(body)
        peer = self.directory.get(sender)
        if target.startswith(_SETS):
            peer.require("catalog", now=self.clock.now())
            return await self._of_set(sender, target.removeprefix(_SETS).split("/"), etag)
        if target == CHECKPOINTS_PATH:
            return _ok(await self.witnessing.gossip.answer())
        if target == NUDGES_PATH:
            await self.mirror.nudged(sender, body)
            return _ok(b"")
        if target == NOTICES_PATH:
            await self.memberships.noticed(sender, body.decode("ascii"), _unspent)
            return _ok(b"")
        raise MissingError(f"no such path: {target}")

    async def _of_set(self, sender: str, path: list[str], etag: str) -> Answer:
        match path:
            case [audience, kind, "head"]:
                reply = await self.publisher.head_answer(audience, kind, sender)
                if reply.etag == etag:
                    return Answer(status=304, headers={"etag": etag}, body=b"")
                return Answer(status=200, headers={"etag": reply.etag}, body=reply.body)
            case [audience, kind, "snapshots", seq, page]:
                return _ok(await self.publisher.page(audience, kind, int(seq), int(page), sender))
            case [audience, kind, "heads", host]:
                return _ok(await self.witnessing.gossip.held_head(audience, kind, host, sender))
            case _:
                raise MissingError("no such set")

    async def _cosigned(self, body: bytes) -> Answer:
        try:
            return _ok(await self.witnessing.witness.add_checkpoint(body))
        except SizeConflictError as error:
            return Answer(status=409, headers={"content-type": SIZE_CONTENT_TYPE}, body=render_size(error.size))
        except MeshError as error:
            return Answer(status=status(error), headers={}, body=b"")


def _ok(body: bytes) -> Answer:
    return Answer(status=200, headers={}, body=body)


async def _unspent(_tx: object) -> None:
    """The nonce of a request is another suite's matter."""
