"""Collects cosignatures on this node's newest checkpoint: every witness is asked until it has seen it.

A checkpoint is served as soon as it is durable; cosignatures join it as they come. What witnesses do not answer keeps
nothing else from going on. Source: docs/protocol/53-witnesses.md §7.
"""

import asyncio
from typing import Final, Literal

import msgspec

from protocol.errors import MeshError
from protocol.tlog.checkpoint import Checkpoint, parse_checkpoint
from protocol.tlog.cosignature import Cosigned, open_cosignature
from protocol.tlog.note import MAX_NOTE_BYTES, SignatureLine, render_signatures
from protocol.tlog.subtrees import consistency_proof, consistency_ranges
from protocol.tlog.tilehashes import TileHashes, tiles_for
from protocol.tlog.witness import SIZE_CONTENT_TYPE, AddCheckpoint, parse_answer, parse_size, render_request

from .answers import BadAnswerError, refusal
from .calls import Answer, PublicCalls
from .knownlogs import Witnesses, WitnessTarget
from .logbook import current_log, newest_row, stored_tiles
from .ports import Clock, Entropy, Reader, Store
from .rows import CosignatureRow, LogCheckpointRow
from .waiting import sleep_or_wake, try_again_at

AT_ONCE: Final = 8
FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 900.0

#: What a witness said: it cosigned; it holds less than we asked for (and was asked in vain); it holds a larger tree or
#: another one of ours; it does not follow this log.
Said = Literal["cosigned", "behind", "ahead", "contradicts", "unknown"]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of one witness; `size` is what it holds, when it said so."""

    said: Said
    size: int = 0


class WitnessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one witness of the log is: the size it cosigned last and when, and why it has not cosigned since."""

    name: str
    key: str
    size: int
    at: int | None
    problem: str = ""


class _Standing:
    """What is remembered of a witness between two questions; lost at a stop, which only means asking sooner."""

    def __init__(self) -> None:
        self.due_at = 0.0
        self.failures = 0
        self.problem = ""


class Cosigner:
    """Has the log of one node cosigned."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, calls: PublicCalls, witnesses: Witnesses) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._calls: Final = calls
        self._witnesses: Final = witnesses
        self._standing: Final[dict[str, _Standing]] = {}
        self._woken: Final = asyncio.Event()

    def wake(self) -> None:
        """Look again now: there is a new checkpoint, or a new witness."""
        self._woken.set()

    def again(self) -> None:
        """Ask every witness again now, also those that are paused."""
        for each in self._standing.values():
            each.due_at = 0.0
        self._woken.set()

    async def run(self) -> None:
        """Collect for ever."""
        while True:
            self._woken.clear()
            await self.collect()
            await self._pause()

    async def collect(self) -> None:
        """Ask every witness that is due and has not cosigned the newest checkpoint, once, several at a time."""
        async with self._store.read() as rows:
            row = await newest_row(rows, await current_log(rows))
            behind = [each for each in self._witnesses.all() if row and await _size(rows, row.log, each) < row.size]
        limit = asyncio.Semaphore(AT_ONCE)
        now = self._clock.now()
        self._retain(behind)
        due = [each for each in behind if self._standing.setdefault(each.key.vkey, _Standing()).due_at <= now]
        if row is not None:
            await asyncio.gather(*(self._within(limit, each, row) for each in due))

    def _retain(self, behind: list[WitnessTarget]) -> None:
        wanted = {each.key.vkey for each in behind}
        for key in [each for each in self._standing if each not in wanted]:
            del self._standing[key]

    async def _within(self, limit: asyncio.Semaphore, target: WitnessTarget, row: LogCheckpointRow) -> None:
        async with limit:
            standing = self._standing[target.key.vkey]
            try:
                said = (await self.ask(target, row)).said
            except MeshError as error:
                standing.problem = error.code
                self._put_off(standing, error)
                return
            standing.problem = "" if said == "cosigned" else f"witness-{said}"
            if said == "cosigned":
                standing.failures, standing.due_at = 0, 0.0
            else:
                self._put_off(standing, None)

    def _put_off(self, standing: _Standing, error: MeshError | None) -> None:
        """Plan the next question: after a pause that doubles, and not before the time that the witness named."""
        standing.due_at = try_again_at(
            error,
            first_s=FIRST_PAUSE_S,
            failures=standing.failures,
            longest_s=LONGEST_PAUSE_S,
            now=self._clock.now(),
            entropy=self._entropy,
        )
        standing.failures += 1

    async def _pause(self) -> None:
        """Return at a new checkpoint, or when the next witness is due."""
        next_due = min((each.due_at for each in self._standing.values()), default=0.0)
        pause = min(max(next_due - self._clock.now(), 1.0), LONGEST_PAUSE_S) if self._standing else LONGEST_PAUSE_S
        await sleep_or_wake(self._clock, pause, self._woken)

    async def ask(self, target: WitnessTarget, row: LogCheckpointRow) -> Reply:
        """Return what a witness says to the checkpoint of `row`; a cosignature is stored.

        Raises: MeshError: no answer, or none that a witness gives.
        """
        async with self._store.read() as rows:
            old = min(await _size(rows, row.log, target), row.size)
        for _ in range(2):
            answer = await self._submit(target, row, old)
            match answer.status:
                case 200:
                    await self._keep(target, row, parse_answer(answer.body))
                    return Reply(said="cosigned", size=row.size)
                case 409:
                    held = _held(answer)
                    if held > row.size:
                        return Reply(said="ahead", size=held)
                    old = held
                case 404:
                    return Reply(said="unknown")
                case 422:
                    return Reply(said="contradicts", size=old)
                case _:
                    raise refusal(answer, who=target.name, signed=True, now=self._clock.now())
        return Reply(said="behind", size=old)

    async def _submit(self, target: WitnessTarget, row: LogCheckpointRow, old: int) -> Answer:
        checkpoint = parse_checkpoint(row.note)
        async with self._store.read() as rows:
            tiles = await stored_tiles(rows, row.log, tiles_for(consistency_ranges(old, row.size), row.size))
        read = TileHashes(size=row.size, root=checkpoint.checkpoint.root, tiles=tiles)
        proof = consistency_proof(read, old_size=old, new_size=row.size)
        body = render_request(AddCheckpoint(old_size=old, proof=proof, checkpoint=checkpoint))
        return await self._calls.submit(target.contact, target.path, body, limit=MAX_NOTE_BYTES)

    async def _keep(self, target: WitnessTarget, row: LogCheckpointRow, lines: tuple[SignatureLine, ...]) -> None:
        line, cosigned = self._own_line(target, parse_checkpoint(row.note).checkpoint, lines)
        async with self._store.write() as tx:
            if await _size(tx, row.log, target) <= row.size:
                await tx.put(
                    CosignatureRow(
                        log=row.log,
                        witness=target.key.vkey,
                        size=row.size,
                        line=render_signatures([line]).encode(),
                        at=cosigned.at,
                    )
                )

    def _own_line(
        self, target: WitnessTarget, checkpoint: Checkpoint, lines: tuple[SignatureLine, ...]
    ) -> tuple[SignatureLine, Cosigned]:
        """Return the verified line of a witness; those of unknown keys mean nothing here."""
        named = [line for line in lines if (line.name, line.key_id) == (target.key.name, target.key.key_id)]
        if len(named) != 1:
            raise BadAnswerError("the witness answered without its signature")
        return named[0], open_cosignature(named[0], checkpoint, target.key, now=self._clock.now())

    async def status(self) -> tuple[WitnessStatus, ...]:
        """Return how every witness of the log is."""
        targets = self._witnesses.all()
        async with self._store.read() as rows:
            log = await current_log(rows)
            held = [await rows.get(CosignatureRow, log, each.key.vkey) for each in targets]
        return tuple(
            WitnessStatus(
                name=each.name,
                key=each.key.vkey,
                size=row.size if row else 0,
                at=row.at if row else None,
                problem=self._standing[each.key.vkey].problem if each.key.vkey in self._standing else "",
            )
            for each, row in zip(targets, held, strict=True)
        )


def _held(answer: Answer) -> int:
    """Return the size in an answer with status 409. Raises: BadAnswerError."""
    if answer.media_type != SIZE_CONTENT_TYPE:
        raise BadAnswerError("the witness did not say which size it holds")
    return parse_size(answer.body)


async def _size(rows: Reader, log: int, target: WitnessTarget) -> int:
    row = await rows.get(CosignatureRow, log, target.key.vkey)
    return row.size if row else 0
