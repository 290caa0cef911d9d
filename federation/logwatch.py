"""Follows the logs of others: every checkpoint must fit the one before, every entry is read, contradictions are kept.

One newest checkpoint is held of each log. Whatever else comes along (the log's own next one, what a peer or the own
witness holds, what a message refers to) must be a part of its tree, or its tree a part of theirs; the log itself must
show it. What cannot be true together becomes evidence; what a log merely fails to show becomes a problem that the
operator sees. Source: docs/protocol/53-witnesses.md §9.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from protocol.encoding import unb64
from protocol.errors import LimitError, MalformedError, MeshError, UnverifiedError
from protocol.evidence import Gap, bare_checkpoint, make_bundle, signed_checkpoint
from protocol.logaudit import portion
from protocol.messages import CheckpointRef
from protocol.peers import log_key, open_document
from protocol.tlog.checkpoint import Checkpoint, CheckpointNote, open_checkpoint, parse_checkpoint

from .earlier import document_of
from .headwatch import HeadWatch, ReadElsewhereError
from .knownlogs import KnownLog, KnownLogs
from .logdebts import Watch
from .logtree import ReadLog, entries, newest, prefix
from .looks import Looks
from .ports import Clock, Entropy, Store, where
from .rows import WatchedHeadRow, WatchedLogRow, WitnessedLogRow
from .waiting import jittered, sleep_or_wake, within
from .watchwords import (
    ALARMING,
    FORKED,
    LASTING,
    OTHER_THAN_SAID,
    UNPROVEN,
    ContradictedLogError,
    WatchPolicy,
    WatchStatus,
    WentBackError,
)

#: Portions (of 4,096 entries) read of one log in one round.
MOST_PORTIONS: Final = 8
#: Seconds for one look at a log, and for comparing one checkpoint outside of it, which may ask again after one lost
#: answer: a slow log keeps nobody else waiting.
LOOK_S: Final = 120.0
COMPARE_S: Final = 45.0
_PROVED: Final = 8192
_SLOW: Final = "the log is too slow"

Record = Callable[[bytes], Awaitable[object]]


class LogWatch:
    """Watches the logs of others for one node; `record` keeps a bundle of evidence (`EvidenceService.record`)."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        logs: KnownLogs,
        *,
        read: ReadLog,
        record: Record,
        policy: WatchPolicy | None = None,
    ) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._logs: Final = logs
        self._read: Final = read
        self._record: Final = record
        self.policy: Final = policy or WatchPolicy()
        self._heads: Final = HeadWatch(store, clock, read, record, listed_s=self.policy.listed_s)
        self.looks: Final = Looks(clock, self._look_in_turn, longest_s=LOOK_S)
        self._watches: Final[dict[str, Watch]] = {}
        self._proved: Final[dict[tuple[str, int, bytes], None]] = {}

    async def run(self) -> None:
        """Watch for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self.looks.ended.clear()
                self.looks.begin(tasks, await self._due())
                await sleep_or_wake(self._clock, min(self.policy.poll_s / 5, 30.0), self.looks.ended)

    async def poll_due(self) -> None:
        """Look at every log whose time has come, once."""
        await self.looks.all(await self._due())

    async def _due(self) -> list[KnownLog]:
        """Return the logs whose time has come; the clock may have been set back behind the last look."""
        await self._logs.load(self._store)
        now = self._clock.now()
        logs = [each for each in self._logs.all() if each.contact is not None]
        return [each for each in logs if (watch := self._watch(each)).due_at <= now or now < watch.looked_at]

    async def _look_in_turn(self, log: KnownLog) -> None:
        try:
            await self.poll(log)
        except MeshError:
            return  # `status` tells it, and the log is looked at again

    async def poll(self, log: KnownLog) -> None:
        """Look at a log now: its checkpoint, its new entries, and whatever it owes a proof of.

        Raises: MeshError: why not; `status` keeps its code.
        """
        watch = self._watch(log)
        async with watch.turn:
            due_at, watch.looked_at = watch.due_at, self._clock.now()
            watch.due_at = watch.looked_at + jittered(self.policy.poll_s, self._entropy)
            watch.is_shown = watch.is_read_on = False
            try:
                async with within(LOOK_S, _SLOW, code="log-slow"):
                    await self._look(log, watch)
            except MeshError as error:
                watch.failure = error.code
                if problem := self._ended(log, watch, error):
                    await self._note_problem(log, problem)
                raise
            except asyncio.CancelledError:
                watch.due_at = due_at  # a sooner look that was cut short stands for none in its time
                raise
            watch.failure = ""

    def _ended(self, log: KnownLog, watch: Watch, error: MeshError | None) -> str:
        """Note how a look at a log ended, None: well; return the problem if the log owes a proof for too long."""
        now = self._clock.now()
        if not isinstance(error, ReadElsewhereError) and (error is None or error.code not in ALARMING):
            watch.ended(error, now, apart_s=self.policy.poll_s / 2)
        late = not log.is_former and watch.is_late(error, now, prove_s=self.policy.prove_s)
        return UNPROVEN if late else ""

    async def _look(self, log: KnownLog, watch: Watch) -> None:
        row = await self._row(log)
        if row is not None and row.problem == FORKED:
            raise ContradictedLogError("the log contradicted itself: an administrator must look at the evidence")
        found = await newest(self._read, log)
        watch.is_shown = True
        await self._advance(log, found)
        row = await self._read_entries(log, watch, await self._held(log))
        problem = await self._settle(log, watch, parse_checkpoint(row.note))
        read_all = watch.is_read(self._clock.now(), whole=row.read == row.size) and not log.is_former
        problem = problem or await self._heads.missing(log, read_all=read_all)
        await self._note_problem(log, problem)
        if row.read < row.size:
            watch.due_at = watch.looked_at + self.policy.gap_s

    async def consider(self, log: KnownLog, found: CheckpointNote) -> None:
        """Compare a checkpoint that somebody shows with the one held, as `docs/protocol/53` §9 says.

        Raises: UnverifiedError: its log did not sign it; ContradictedLogError; MeshError: the log could not be asked.
        """
        if (log.origin, found.checkpoint.size, found.checkpoint.root) in self._proved:
            return  # whoever signed it says what is known
        signed = open_checkpoint(found, log.keys)
        watch = self._watch(log)
        row = await self._row(log)
        if row is not None and row.problem == FORKED:
            return
        now = self._clock.now()
        if now < watch.rests_until:
            watch.doubt(signed, now)
            return
        try:
            async with within(COMPARE_S, _SLOW, code="log-slow"):
                await self._compare(log, watch, signed)
        except ContradictedLogError:
            raise
        except MeshError:
            watch.doubt(signed, now)
            watch.failed(now, rest_s=self.policy.poll_s)
            raise
        finally:
            self.looks.note(log.origin, since=now)
        watch.failures = 0

    async def _compare(self, log: KnownLog, watch: Watch, signed: CheckpointNote) -> None:
        """Compare a checkpoint with the one held, after a sooner look for a larger one; if it stays ahead, doubt it."""
        row = await self._row(log)
        behind = row is None or row.size < signed.checkpoint.size
        if behind and log.contact is not None and self._clock.now() >= watch.looked_at + self.policy.gap_s:
            await self.poll(log)
            row = await self._row(log)
        if row is None or row.size < signed.checkpoint.size:
            watch.doubt(signed, self._clock.now())
            return
        async with watch.turn:
            await self._prove(log, signed, parse_checkpoint(row.note))

    def refer(self, peer: str, reference: CheckpointRef) -> None:
        """Take the checkpoint that a message of `peer` refers to; it is compared at the next look."""
        log = self._logs.of(reference.origin)
        if log is None or log.entity != peer:
            return
        self._watch(log).refer(reference, self._clock.now())

    async def _advance(self, log: KnownLog, found: CheckpointNote) -> None:
        """Hold the checkpoint that a log serves, once it fits the one held. Raises: WentBackError, and as `_prove`."""
        signed = open_checkpoint(found, log.keys)
        row = await self._row(log)
        if row is None:
            await self._hold(log, signed, None)
            self._keep_proved(log, signed.checkpoint)
            return
        held = parse_checkpoint(row.note)
        if signed.checkpoint.size > held.checkpoint.size:
            await self._prove(log, held, signed)
            await self._hold(log, signed, row)
            return
        if signed.checkpoint.size == held.checkpoint.size:
            await self._prove(log, signed, held)
            return
        try:
            await self._prove(log, signed, held)
        except ContradictedLogError:
            raise
        except MeshError:
            # A log that went back no longer has the tiles of the larger tree.
            raise WentBackError("the log serves an older checkpoint, and no newer tree") from None
        raise WentBackError("the log serves an older checkpoint than before")

    async def _prove(self, log: KnownLog, smaller: CheckpointNote, larger: CheckpointNote) -> None:
        """Return when the log shows that the smaller tree is a part of the larger one; else keep the evidence.

        Raises: ContradictedLogError; MeshError: the log does not show the larger tree.
        """
        one, other = smaller.checkpoint, larger.checkpoint
        gap: Gap | None = None
        if one.size == other.size:
            fits = one.root == other.root
        else:
            found = await prefix(self._read, log, other, one.size)
            fits, gap = found.root == one.root, found.gap
        if not fits:
            await self._contradicted(log, smaller, larger, gap)
        for each in (one, other):
            self._keep_proved(log, each)

    def _keep_proved(self, log: KnownLog, checkpoint: Checkpoint) -> None:
        if len(self._proved) >= _PROVED:
            del self._proved[next(iter(self._proved))]
        self._proved[log.origin, checkpoint.size, checkpoint.root] = None

    async def _contradicted(self, log: KnownLog, one: CheckpointNote, other: CheckpointNote, gap: Gap | None) -> None:
        if log.entity:
            documents = [await self._document_for(each, log) for each in (one, other)]
            statements = [
                signed_checkpoint(each, log_key(open_document(document)), document)
                for each, document in zip((one, other), documents, strict=True)
            ]
            # What proves nothing to others, or comes after enough that does, is noted all the same.
            with suppress(LimitError, MalformedError, UnverifiedError):
                await self._record(make_bundle("two-checkpoints", log.entity, *statements, gap=gap))
        # Last, because a log with this note is not looked at again: after a crash before it, all is found anew.
        await self._note_problem(log, FORKED)
        raise ContradictedLogError("two checkpoints of one log contradict each other")

    async def _document_for(self, found: CheckpointNote, log: KnownLog) -> str:
        """Return the document that binds the key of a checkpoint: that of its time where one is kept."""
        async with self._store.read() as rows:
            row = await rows.get(WatchedLogRow, log.origin)
            kept = [row.document] if row is not None else []
            return await document_of(rows, log.entity, [*kept, log.document], found)

    async def _read_entries(self, log: KnownLog, watch: Watch, row: WatchedLogRow) -> WatchedLogRow:
        found = parse_checkpoint(row.note)
        for _ in range(MOST_PORTIONS):
            if row.read >= found.checkpoint.size:
                break
            wanted = portion(row.read, found.checkpoint.size)
            read = await entries(self._read, log, found.checkpoint, wanted)
            skipped = wanted.span.start - wanted.bundles[0].index * 256
            row = await self._heads.take(log, row, read[skipped : skipped + wanted.span.end - wanted.span.start])
            watch.is_read_on = True
        return row

    async def _settle(self, log: KnownLog, watch: Watch, held: CheckpointNote) -> str:
        """Compare what others showed with the tree held; return what is wrong, or owed for too long."""
        await self._doubt_witnessed(log, watch)
        problem, failed = "", None
        # What the log refuses to show is asked for again in the next look, and reported when it is late.
        try:
            await self._settle_doubts(log, watch, held)
            problem = await self._settle_said(log, watch, held.checkpoint)
        except ContradictedLogError:
            raise
        except MeshError as error:
            failed = error
        late = self._ended(log, watch, failed)
        return problem or late

    async def _settle_doubts(self, log: KnownLog, watch: Watch, held: CheckpointNote) -> None:
        for place, (found, _) in list(watch.doubts.items()):
            if found.checkpoint.size <= held.checkpoint.size:
                await self._prove(log, found, held)
                del watch.doubts[place]

    async def _settle_said(self, log: KnownLog, watch: Watch, held: Checkpoint) -> str:
        problem = ""
        for size, root in list(watch.said):
            if size > held.size:
                continue
            if (await prefix(self._read, log, held, size)).root == unb64(root):
                del watch.said[size, root]
            else:
                problem = OTHER_THAN_SAID
        return problem

    async def _doubt_witnessed(self, log: KnownLog, watch: Watch) -> None:
        """Doubt what the node's own witness cosigned: the log may have shown it another tree than the watcher."""
        async with self._store.read() as rows:
            row = await rows.get(WitnessedLogRow, log.origin)
        if row is None:
            return
        found = parse_checkpoint(row.note)
        if (log.origin, found.checkpoint.size, found.checkpoint.root) not in self._proved:
            watch.doubt(found, self._clock.now())

    async def _hold(self, log: KnownLog, signed: CheckpointNote, compared: WatchedLogRow | None) -> None:
        """Hold a checkpoint that fits the one it was compared with. Raises: ReadElsewhereError: that is held no more.

        Another process of this node may have looked at the log, or an administrator have let it begin anew.
        """
        note = bare_checkpoint(signed, list(log.keys))
        async with self._store.write() as tx:
            before = await tx.get(WatchedLogRow, log.origin)
            if (before and before.note) != (compared and compared.note):
                raise ReadElsewhereError("another process of this node looks at that log")
            await tx.put(
                WatchedLogRow(
                    origin=log.origin,
                    entity=log.entity,
                    size=signed.checkpoint.size,
                    note=note,
                    document=log.document,
                    read=before.read if before else 0,
                    problem=before.problem if before else "",
                    at=self._clock.now(),
                )
            )

    async def _note_problem(self, log: KnownLog, problem: str) -> None:
        """Note what is wrong with a log."""
        async with self._store.write() as tx:
            row = await tx.get(WatchedLogRow, log.origin)
            if row is not None:
                lasting = row.problem if row.problem in LASTING and problem != FORKED else problem
                await tx.put(replace(row, problem=lasting, at=self._clock.now()))

    async def _row(self, log: KnownLog) -> WatchedLogRow | None:
        async with self._store.read() as rows:
            return await rows.get(WatchedLogRow, log.origin)

    async def _held(self, log: KnownLog) -> WatchedLogRow:
        row = await self._row(log)
        assert row is not None, "a log that was looked at has a row"
        return row

    async def held(self) -> Sequence[WatchedLogRow]:
        """Return what is held of all logs, by origin."""
        async with self._store.read() as rows:
            return await rows.find(WatchedLogRow)

    async def forget(self, entity: str) -> None:
        """Forget what is held of a node's logs, to begin anew with what they show now: an operator's decision."""
        async with self._store.write() as tx:
            for row in await tx.find(WatchedLogRow, where(entity=entity)):
                await tx.delete(WatchedHeadRow, where(origin=row.origin))
                await tx.delete(WatchedLogRow, where(origin=row.origin))
                self._watches.pop(row.origin, None)
                for place in [each for each in self._proved if each[0] == row.origin]:
                    del self._proved[place]

    async def status(self) -> tuple[WatchStatus, ...]:
        """Return how every log stands that is read, by origin."""
        rows = {row.origin: row for row in await self.held()}
        return tuple(self._status(each, rows.get(each.origin)) for each in self._logs.all() if each.contact is not None)

    def _status(self, log: KnownLog, row: WatchedLogRow | None) -> WatchStatus:
        failure = "" if log.is_former else self._watch(log).failure
        if row is None:
            return WatchStatus(origin=log.origin, entity=log.entity, problem=failure)
        return WatchStatus(
            origin=log.origin,
            entity=log.entity,
            size=row.size,
            read=row.read,
            at=row.at,
            problem=row.problem or failure,
        )

    def _watch(self, log: KnownLog) -> Watch:
        return self._watches.setdefault(log.origin, Watch())
