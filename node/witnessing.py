"""Watching and being watched, joined: the node's witness, cosignatures on its log, other logs, gossip and evidence."""

import asyncio
from collections.abc import Callable
from typing import Final

from federation.cosigning import Cosigner, WitnessStatus
from federation.evidence import EvidenceService
from federation.gossip import Gossip
from federation.knownlogs import KnownLog, KnownLogs, Witnesses
from federation.logtree import LogReader
from federation.logwatch import LogWatch
from federation.mirror import MirrorService
from federation.ownlog import OwnLog
from federation.startcheck import Override, StartCheck
from federation.unfollowed import forget_unfollowed
from federation.waiting import jittered
from federation.watchwords import ALARMING, WatchPolicy, WatchStatus
from federation.witness import Witness
from protocol.errors import MeshError
from protocol.ids import entity_host
from protocol.tlog.checkpoint import CheckpointNote

from . import outside
from .nodelog import NodeLog
from .parts import Base, Peering
from .status import Alert

#: Doubts of the witness that wait for the watcher; what comes beyond is met again in the next round.
MOST_DOUBTS: Final = 64
HOW_TO: Final = "docs/how-to/when-two-stories-are-found.md says what to do"


class Witnessing:
    """What one node does so that nobody, itself included, can tell two stories unseen."""

    def __init__(self, base: Base, peering: Peering, log: NodeLog, mirror: MirrorService) -> None:
        store, clock, settings = base.store, base.clock, base.config.log
        directory, calls = peering.directory, peering.client
        policy = outside.log_policy(base.directory, base.config)
        name = f"{entity_host(base.entity)}/witness"
        self._base: Final = base
        self._mirror: Final = mirror
        self._doubts: Final[asyncio.Queue[tuple[KnownLog, CheckpointNote]]] = asyncio.Queue(MOST_DOUBTS)
        self.logs: Final = KnownLogs(directory, clock, own=base.entity, policy=policy)
        self.evidence: Final = EvidenceService(
            store,
            clock,
            directory,
            report=lambda kind, froze: base.events.evidence_found(kind, froze=froze),
        )
        self.watch: Final = LogWatch(
            store,
            clock,
            base.entropy,
            self.logs,
            read=LogReader(calls),
            record=self.evidence.record,
            policy=WatchPolicy(poll_s=settings.watch_s, prove_s=settings.prove_s, listed_s=settings.prove_s),
        )
        self.witness: Final = Witness(store, clock, self.logs, name=name, key=base.keys.witness, doubt=self._doubt)
        base.on_new_keys(lambda keys: self.witness.rekey(keys.witness))
        self.witnesses: Final = Witnesses(directory, clock, own=base.entity, own_key=base.keys.witness, policy=policy)
        self.cosigner: Final = Cosigner(store, clock, base.entropy, calls, self.witnesses)
        self.own_log: Final = OwnLog(store, clock, self._ask_gossip, own=base.entity, key=lambda: base.keys.log.public)
        self.start_check: Final = StartCheck(
            store,
            clock,
            self.witnesses,
            self.cosigner,
            self.own_log,
            wait_s=settings.start_wait_s,
            report=base.events.log_opened,
            history=lambda: base.store.history,
        )
        self.gossip: Final = Gossip(
            store,
            clock,
            base.entropy,
            directory=directory,
            logs=self.logs,
            watch=self.watch,
            evidence=self.evidence,
            own_log=self.own_log,
            fetch=peering.sets.fetch,
            audiences=peering.audiences,
            own=base.entity,
            own_key=lambda: base.keys.log.public,
        )
        log.sequencer.guard(self.start_check)
        log.sequencer.watch(self.cosigner.wake)
        self._sequencer: Final = log.sequencer
        # A new peer is asked to cosign now and not in a quarter of an hour.
        directory.watch(self.cosigner.wake)

    async def _ask_gossip(self, peer: str) -> tuple[CheckpointNote, ...]:
        return await self.gossip.ask(peer)

    def _doubt(self, log: KnownLog, found: CheckpointNote) -> None:
        if not self._doubts.full():
            self._doubts.put_nowait((log, found))

    def start_everywhere(self) -> None:
        """Start what every process does for itself: to settle what its own witness doubts."""
        self._base.jobs.start("doubts", self._settle_doubts)

    def start_jobs(self, opened: Callable[[], None]) -> None:
        """Start the background work; `opened` is called once the log may be signed."""
        jobs = self._base.jobs

        def wake() -> None:
            self._sequencer.wake()
            opened()

        jobs.start("cosignatures", self.cosigner.run)
        jobs.start("start-check", lambda: self.start_check.run(wake))
        jobs.start("log-watch", self.watch.run)
        jobs.start("gossip", self._gossip)

    async def _gossip(self) -> None:
        while True:
            await self.round()
            await self._base.clock.sleep(jittered(self._base.config.log.watch_s, self._base.entropy))

    async def round(self) -> None:
        """Make evidence of what the mirror and the inbox kept, and ask every peer what it saw."""
        await forget_unfollowed(self._base.store, self.logs, now=self._base.clock.now())
        await self.evidence.collect()
        await self.gossip.round(await self._mirror.status())

    async def _settle_doubts(self) -> None:
        await self.reload()
        while True:
            log, found = await self._doubts.get()
            try:
                await self.watch.consider(log, found)
            except MeshError:
                continue  # the watch keeps what it found

    async def reload(self) -> None:
        """Take over which logs and keys peers had before: the witness of each process follows those too."""
        await self.logs.load(self._base.store)

    async def thaw(self, entity: str) -> None:
        """Let a frozen peer begin anew, with what it shows from now on. Raises: MissingError: it is not frozen."""
        await self.evidence.thaw(entity)
        await self.watch.forget(entity)
        await self._mirror.reset(entity)
        self._mirror.look_again()

    async def cosigners(self) -> tuple[WitnessStatus, ...]:
        """Return how the witnesses of the log are."""
        return await self.cosigner.status()

    async def watched(self) -> tuple[WatchStatus, ...]:
        """Return how the logs of others are."""
        return await self.watch.status()

    async def alerts(self) -> tuple[Alert, ...]:
        """Return what an administrator should look at."""
        return (
            *self._own_alerts(await self.cosigner.status()),
            *[_frozen_alert(each) for each in sorted(await self.evidence.frozen())],
            *[_log_alert(each) for each in await self.watch.status() if each.problem in ALARMING],
        )

    def _own_alerts(self, cosigners: tuple[WitnessStatus, ...]) -> list[Alert]:
        error = self.start_check.error
        if error is not None:
            return [Alert(about="log", detail=str(error), fix=HOW_TO)]
        if self._sequencer.problem:
            return [Alert(about="log", detail=f"the log is not signed: {self._sequencer.problem}", fix=HOW_TO)]
        claiming = [each.name for each in cosigners if each.problem in {"witness-ahead", "witness-contradicts"}]
        if not claiming:
            return []
        detail = f"{', '.join(claiming)} says that it holds another version of this node's log"
        return [Alert(about="log", detail=detail, fix=HOW_TO)]

    async def override(self) -> Override:
        """Sign the log although the witnesses have not answered. Raises: RefusedError: nothing waits for them."""
        done = await self.start_check.override()
        self._sequencer.wake()
        return done


def _frozen_alert(entity: str) -> Alert:
    return Alert(
        about="evidence",
        detail=f"{entity} contradicted itself and is frozen: nothing new is begun with it",
        fix="`mentormesh log evidence list`; talk to its administrator, then `mentormesh log evidence thaw`",
    )


def _log_alert(found: WatchStatus) -> Alert:
    return Alert(
        about="logs",
        detail=f"the log {found.origin} does not fit what is known of it: {found.problem}",
        fix=f"ask its administrator; {HOW_TO}",
    )
