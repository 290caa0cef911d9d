"""The composition root: the only place where the parts of a node are made and joined; nothing runs yet.

`open_node` makes a node on its directory; `node/serving.py` adds sockets and starts the jobs.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, Self

import msgspec

from federation.authenticate import forget_nonces
from federation.client import PeerClient
from federation.delivery import begin, forget_ledger, is_restored
from federation.identity import Own as Identity
from federation.identity import issue
from federation.ports import Clock, Entropy, Row
from federation.rows import MembershipRow, OutboxRow, PeerRow
from protocol.crowd import FamilyMap
from protocol.errors import RefusedError

from . import freshness, outside
from .clock import SystemClock, SystemEntropy
from .consortia import Consortia
from .directories import Directories
from .health import Health
from .hints import Hints
from .housekeeping import (
    DOCUMENTS_EVERY_S,
    RETENTION_EVERY_S,
    Step,
    every,
    forget_old_rows,
    refresh_documents,
)
from .keys import KeyRing
from .nodelog import NodeLog
from .operations import Operation, Operations
from .parts import Base, Catalog, Handshakes, Peering, People
from .rekeying import finish_install, renew_witness
from .rows import MailRow, MemberRow
from .sections import Config
from .services.board import Board
from .services.erasure_operations import ErasureOperations
from .services.keys import Keys
from .services.mail import Pumped
from .services.offer_operations import OfferOperations
from .services.peers import draft_document
from .services.report_operations import ReportOperations
from .services.standing import Overview
from .services.vocabulary import VocabularyService
from .services.witness_operations import WitnessOperations
from .status import Alert, Status
from .store.opening import open_files, open_store
from .telemetry import make_log
from .witnessing import Witnessing

#: Rows whose number `status` shows, and what they are called there.
COUNTED: Final[dict[str, type[Row]]] = {
    "members": MemberRow,
    "peers": PeerRow,
    "consortia": MembershipRow,
    "messages waiting": OutboxRow,
    "mails waiting": MailRow,
}


class Node:
    """One organization's node, all its parts joined."""

    def __init__(
        self, base: Base, identity: Identity, client: PeerClient, *, vocabulary: VocabularyService, families: FamilyMap
    ) -> None:
        self.base: Final = base
        self.vocabulary: Final = vocabulary
        self.peering: Final = Peering(base, identity, client)
        self.log: Final = NodeLog(base, families)
        self.catalog: Final = Catalog(base, self.peering, vocabulary, families, log=self.log.sequencer)
        self.consortia: Final = Consortia(base, self.peering, self.catalog)
        self.handshakes: Final = Handshakes(base, self.peering, vocabulary)
        self.directories: Final = Directories(base, self.peering, self.catalog, self.log, self.peering.audiences)
        self.people: Final = People(base, vocabulary, self.handshakes, self.directories.directory)
        self.witnessing: Final = Witnessing(base, self.peering, self.log, self.catalog.mirror)
        self.hints: Final = Hints(
            base.beside,
            base.clock,
            outbox=self.handshakes.outbox,
            returning=self.handshakes.returning,
            mirror=self.catalog.mirror,
            watch=self.witnessing.watch,
        )
        self.handshakes.listen(self.hints.refer)
        self._keep_fresh()
        self.health: Final = Health(base.store, base.jobs, base.beside)
        status = Status(
            base.config,
            base.page_base,
            base.store,
            base.jobs,
            counted=COUNTED,
            alerts=self._alerts,
            processes=base.beside.processes,
        )
        self.keys: Final = Keys(
            base.directory,
            base.entity,
            clock=base.clock,
            entropy=base.entropy,
            events=base.events,
            directory=self.peering.directory,
            discovery=self.peering.discovery,
            announcer=self.peering.announcer,
            overlap_days=base.config.keys.overlap_days,
            take_over=self._take_over,
            check_log=self.log.sequencer.check_whole,
        )
        self.log.connect(self.peering.reissue)
        self._reports: Final = ReportOperations(self.handshakes.reports)
        self.operations: Final = Operations(
            (
                *status.operations(),
                *self.people.operations.operations(),
                *self.peering.operations.operations(),
                *ErasureOperations(base.store).operations(),
                *self._reports.operations(),
                *self.consortia.operations.operations(),
                *OfferOperations(base.store, self.catalog.offers).operations(),
                *vocabulary.operations(),
                *self.log.operations(),
                *self.keys.operations(),
                *self._boards(),
                *WitnessOperations(self.witnessing).operations(),
            ),
            permit=base.beside.permit,
        )

    def _keep_fresh(self) -> None:
        """Say what of this process's memory others can make stale."""
        beside = self.base.beside
        freshness.keep_peers(beside, self.peering, self.consortia, self.witnessing)
        freshness.keep_catalog(beside, self.catalog, self.vocabulary)
        freshness.keep_moving(beside, self.handshakes, self.directories, self.log)

    def _boards(self) -> tuple[Operation, ...]:
        """Return what operators ask about delivery, and about everything between this node and its peers."""
        base, peering, handshakes = self.base, self.peering, self.handshakes
        board = Board(base.store, peering.directory, handshakes.outbox, handshakes.inbox.breaker, base.clock)
        overview = Overview(
            board,
            store=base.store,
            clock=base.clock,
            directory=peering.directory,
            book=peering.audiences,
            watching=self.witnessing,
            log=self.log.status,
            mirrored=self.catalog.mirror.status,
            policy=self.witnessing.witnesses.policy,
            own=base.entity,
            several=base.beside.several,
        )
        peering.operations.connect(overview.findings)
        return (*board.operations(), *overview.operations())

    @classmethod
    async def make(cls, base: Base, stack: AsyncExitStack) -> Self:
        """Return the node with what its store and files hold loaded; `stack` closes what it opens."""
        vocabulary = VocabularyService(base.store, base.clock)
        await vocabulary.load()
        client = outside.peer_client(base.directory, base.config, base.keys.http, base.clock, base.entropy)
        stack.push_async_callback(client.close)
        identity = await _identity(base)
        families = outside.family_map(base.directory, base.config)
        node = cls(base, identity, client, vocabulary=vocabulary, families=families)
        generation, now = base.store.generation, base.clock.now()
        await begin(base.store, base.entropy, entity=base.entity, generation=generation, now=now)
        await node.peering.directory.load(base.store)
        await node.consortia.start()
        await node.catalog.mirror.start()
        return node

    async def _take_over(self, keys: KeyRing) -> None:
        """Go on with these keys: in all parts, in the log, in the document, in the heads of sets."""
        self.base.adopt(keys)
        await self.log.renew()
        await self.peering.reissue()
        self.catalog.catalogs.wake()
        self.directories.directory.wake()
        self.directories.attesting.wake()

    async def _alerts(self) -> tuple[Alert, ...]:
        return (
            *await self.keys.alerts(),
            *await self.witnessing.alerts(),
            *await self.catalog.alerts(),
            *await self.consortia.alerts(),
            *await self._reports.alerts(),
        )

    def start_jobs(self) -> None:
        """Start all background work, here or, where several processes serve the node, in the one on duty.

        `base.jobs.stop` ends it.
        """
        jobs, beside = self.base.jobs, self.base.beside
        jobs.start("outbox", self.handshakes.outbox.run)
        self.witnessing.start_everywhere()
        if beside.several:
            jobs.start("beside", beside.run)
            jobs.start("duty", lambda: beside.serve(jobs, self._start_duties))
        else:
            self._start_duties()

    def _start_duties(self) -> None:
        """Start what one process does for all."""
        jobs = self.base.jobs
        jobs.start("returning", self.handshakes.returning.run)
        jobs.start("reports", self.handshakes.reports.run)
        jobs.start("announcements", self.peering.announcer.run)
        jobs.start("log", self.log.run)
        self.witnessing.start_jobs(self._wake_publishers)
        jobs.start("agreements", self._end_periods)
        self.consortia.start_jobs()
        jobs.start("catalogs", self.catalog.catalogs.run)
        jobs.start("mirror", self.catalog.mirror.run)
        self.directories.start_jobs(self.base)
        jobs.start("mail", self._send_mail)
        jobs.start("deadlines", self._watch_deadlines)
        jobs.start("retention", self._retain)
        jobs.start("documents", self._refresh)

    def _wake_publishers(self) -> None:
        self.catalog.catalogs.wake()
        self.directories.directory.wake()
        if self.consortia.is_registry:
            self.consortia.registry.wake()

    async def _send_mail(self) -> None:
        def report(pumped: Pumped) -> None:
            self.base.events.mails_sent(**msgspec.structs.asdict(pumped))

        await self.people.mail.run(report)

    async def _watch_deadlines(self) -> None:
        """Move on from what nobody answered in time."""
        provider, consumer = self.handshakes.provider, self.handshakes.consumer
        seconds = self.base.config.handshake.sweep_s
        steps = {"mentor-side": provider.sweep, "mentee-side": consumer.sweep, "backups": consumer.send_backups}
        await every(self.base.clock, self.base.events, seconds, steps)

    async def _end_periods(self) -> None:
        seconds = self.base.config.editions.head_every_s
        await every(self.base.clock, self.base.events, seconds, {"log-period": self.log.periods.end})

    async def _retain(self) -> None:
        """Erase what has been kept long enough."""
        base, handshakes, privacy = self.base, self.handshakes, self.base.config.privacy
        steps: dict[str, Step] = {
            "accounts": self.people.accounts.sweep,
            "linkings": self.people.linkings.sweep,
            "contacts": self.people.contacts.sweep,
            "leavers": lambda: self.people.erasure.forget_leavers(days=privacy.leaver_days),
            "links": handshakes.links.sweep,
            "sessions": handshakes.sessions.sweep,
            "blobs": handshakes.blobs.sweep,
            "reports": handshakes.reports.sweep,
            "nonces": lambda: forget_nonces(base.store, base.clock),
            "ledger": lambda: forget_ledger(base.store, base.clock, days=base.config.delivery.ledger_days),
            "old-rows": lambda: forget_old_rows(
                base.store, base.clock, handshakes.mailboxes, handshakes.desk, undelivered_days=privacy.undelivered_days
            ),
        }
        await every(base.clock, base.events, RETENTION_EVERY_S, steps)

    async def _refresh(self) -> None:
        """Look at keys and documents at the start, and now and then."""
        peering, base = self.peering, self.base
        steps: dict[str, Step] = {
            "keys": self.keys.look_after,
            "documents": lambda: refresh_documents(peering.directory, peering.discovery, base.events, base.clock.now()),
        }
        await every(base.clock, base.events, DOCUMENTS_EVERY_S, steps, at_once=True)


async def _identity(base: Base) -> Identity:
    restored = await is_restored(base.store, entity=base.entity, generation=base.store.generation)
    said = draft_document(base.config, base.keys)

    async def beside() -> bool:
        return len(await base.beside.processes()) > 1

    identity = await issue(
        base.store,
        said,
        base.keys.federation,
        now=base.clock.now(),
        lost=restored,
        beside=beside,
    )
    if base.config.development.enabled and base.port:
        identity.connect_to = f"127.0.0.1:{base.config.public_port(base.port)}"
    return identity


@asynccontextmanager
async def open_node(
    directory: Path,
    config: Config,
    *,
    port: int | None = None,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> AsyncIterator[Node]:
    """Open the node in `directory` while inside; the caller holds its lock.

    Args:
        port: where the node really listens, for the addresses it hands out; None: as configured.
    Raises: MeshError: keys, database or settings cannot be used; each says what to do.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_store(directory, config.store, clock=clock, listen=config.node.listen)
        )
        files = await stack.enter_async_context(open_files(directory, config.store, clock=clock))
        finish_install(directory)  # not before: another process may be changing keys, which keeps the store closed
        entropy = entropy or SystemEntropy()
        if await is_restored(store, entity=config.node.entity, generation=store.generation):
            if store.others is not None and not await store.others.seek_duty():
                raise RefusedError(
                    "the node was restored, and another process of it begins: start this one once that one is ready, "
                    "with its folder `keys`",
                    code="restored",
                )
            renew_witness(directory, config.node.entity, entropy=entropy, now=clock.now())
        base = Base(
            directory,
            config,
            store,
            files,
            clock=clock,
            entropy=entropy,
            log=make_log(clock, level=config.telemetry.level),
            port=config.listen_port if port is None else port,
        )
        yield await Node.make(base, stack)
