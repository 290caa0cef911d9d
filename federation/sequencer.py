"""The one place where this node's log grows: leaves get their numbers, tiles are stored, checkpoints are signed.

Before each signature the right edge of the tree is read back and compared with the last checkpoint, so that neither a
flipped bit nor a database that came back from a backup is ever signed over. A checkpoint is served from the store
alone, and so never before it is durable. Source: docs/protocol/55-node-log.md.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from protocol.errors import MeshError, RefusedError, UnavailableError, UnverifiedError
from protocol.logleaves import Leaf, log_origin, render_leaf, successor_leaf
from protocol.signing import SigningKey
from protocol.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, sign_checkpoint
from protocol.tlog.merkle import EMPTY_ROOT
from protocol.tlog.merkle import leaf_hash as hash_of_leaf
from protocol.tlog.note import LogKey, render_note
from protocol.tlog.tilehashes import RightEdge, grow, right_edge
from protocol.tlog.tiles import WIDTH, partial_tiles

from .logbook import MINUTE_S, current_log, entries, newest_row, stored_tiles
from .ports import Clock, Reader, Store, Writer, at_least, below, where
from .rows import LogAheadRow, LogCheckpointRow, LogEntryRow, LogStatedRow, LogTileRow

#: Leaves that one checkpoint takes in at most.
PORTION: Final = 4096
#: The generation of a database that never came back from a backup.
_FIRST_GENERATION: Final = 1


class RestoredLogError(RefusedError):
    """The database came back from a backup: peers may know a longer log, so this one is never signed again."""

    code = "log-restored"


class RolledBackError(RefusedError):
    """The store shows a smaller or another log than this process signed."""

    code = "log-rolled-back"


class Gate(Protocol):
    """What must be asked before the first signature after a start (`startcheck.py`)."""

    @property
    def cleared(self) -> bool:
        """Whether everything passes in the transaction that asks: it holds to its commit."""
        ...

    @property
    def claimed(self) -> bool:
        """Whether somebody claims to know a larger or another log, and did not show it."""
        ...

    async def waits(self, rows: Reader) -> bool:
        """Tell whether the log may not be signed yet, and somebody can be asked who cosigned it before."""
        ...

    def open(self) -> None:
        """Let everything pass from now on: the log is a new one, which nobody can know."""
        ...

    async def passed(self) -> None:
        """Return when the log may be signed. Raises: MeshError: not yet, or never again."""
        ...


class DamagedLogError(UnverifiedError):
    """What is stored of the log does not give the root of its last checkpoint."""

    code = "log-damaged"


class OtherKeyError(RefusedError):
    """The log was signed with a key that has been replaced: it ends, and a successor goes on."""

    code = "log-key-changed"


class RecheckError(UnavailableError):
    """A replica was promoted in place of the database meanwhile, and may lack what was signed."""

    code = "log-unchecked"


class ElsewhereError(UnavailableError):
    """Another process of this node signs its log."""

    code = "log-elsewhere"


class _Held(msgspec.Struct, frozen=True, kw_only=True):
    """A log whose right edge was compared with its last checkpoint."""

    log: int
    origin: str
    edge: RightEdge
    checkpoint: Checkpoint | None = None
    key: SigningKey | None = None


class Sequencer:
    """Grows the log of one node.

    Args:
        own: this node's entity.
        key: its `log` key; `earlier` are those before it, whose log may still be the one that is stored.
        generation: grows when the database comes back from a backup (`MetaRow.generation`).
        may_sign: whether no other process signs; asked inside a transaction, the answer holds to its commit.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        own: str,
        key: SigningKey,
        generation: int,
        earlier: Sequence[SigningKey] = (),
        may_sign: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._own: Final = own
        self._key = key
        self._earlier = tuple(earlier)
        self._generation: Final = generation
        self._may_sign: Final = may_sign
        self._woken: Final = asyncio.Event()
        self._gate: Gate | None = None
        self._told: Final[list[Callable[[], None]]] = []
        self._signed: Checkpoint | None = None
        #: Code of the error that keeps the log from growing; empty while it grows.
        self.problem = ""

    def guard(self, gate: Gate) -> None:
        """Let `gate` decide whether the first signature after this start may be given."""
        self._gate = gate

    def watch(self, tell: Callable[[], None]) -> None:
        """Call `tell` after every new checkpoint that is durable."""
        self._told.append(tell)

    def wake(self) -> None:
        """Try again to sign what waits."""
        self._woken.set()

    def rekey(self, key: SigningKey, earlier: Sequence[SigningKey]) -> None:
        """Sign with this key from now on, in a successor once `follow_key` has begun it."""
        self._key, self._earlier = key, tuple(earlier)

    async def append(self, tx: Writer, *leaves: Leaf) -> int:
        """Give `leaves` the next numbers of the log, in the transaction that explains them; return the first number.

        They count from the next checkpoint on, which `sequence` signs.
        """
        log = await current_log(tx)
        last = await tx.find(LogEntryRow, where(log=log), order="-number", limit=1)
        first = last[0].number + 1 if last else 0
        await tx.insert(*_rows(log, first, [render_leaf(leaf) for leaf in leaves]))
        tx.on_commit(self._woken.set)
        return first

    async def state(self, tx: Writer, subject: str, leaf: Leaf) -> bool:
        """Append `leaf` unless it is what the log says about `subject` already; tell whether it was appended."""
        log, hashed = await current_log(tx), hash_of_leaf(render_leaf(leaf))
        said = await tx.get(LogStatedRow, log, subject)
        if said is not None and said.hash == hashed:
            return False
        await self.append(tx, leaf)
        await tx.put(LogStatedRow(log=log, subject=subject, hash=hashed))
        return True

    async def may_list(self, rows: Reader) -> bool:
        """Tell whether set heads may be signed: a database that was set back would give their numbers twice."""
        if self._gate is not None and await self._gate.waits(rows):
            return False
        return await rows.get(LogAheadRow, await current_log(rows)) is None

    async def sequence(self) -> Checkpoint | None:
        """Sign a checkpoint over all leaves there are; return the newest one, None while there is no leaf.

        Raises:
            RestoredLogError: only `succeed` helps.
            RolledBackError, DamagedLogError: nothing is signed.
            OtherKeyError: only `follow_key` helps.
            ConflictError: another process grew the log meanwhile.
            ElsewhereError: another process signs.
            UnavailableError: the disk failed.
            MeshError: the gate does not let the first signature pass.
        """
        self._require_duty()
        try:
            if self._gate is not None:
                await self._gate.passed()
            async with self._store.write() as tx:
                held = await self._passed(tx)
                if self._is_by_other_key(held):
                    raise OtherKeyError("the log ends with the key that signed it: its successor was not begun yet")
                checkpoint = await self._grown(tx, held)
        except MeshError as error:
            self.problem = error.code
            raise
        self._signed, self.problem = checkpoint, ""
        return checkpoint

    async def run(self, report: Callable[[MeshError], None]) -> None:
        """Sign whenever there is something new, for ever; tell `report` why not, and wait for the operator then.

        Raises: UnavailableError: the disk failed; run it again.
        """
        while True:
            self._woken.clear()
            try:
                await self.sequence()
            except UnavailableError:
                raise
            except MeshError as error:
                report(error)
            await self._woken.wait()

    async def follow_key(self) -> bool:
        """Start a successor if the log was signed with a key that has been replaced; tell whether that was so.

        Its first leaf is signed with the replaced key; the caller states keys and policy again.

        Raises: as `sequence`; nothing has changed then.
        """
        async with self._store.read() as rows:
            row = await newest_row(rows, await current_log(rows))
            if row is None or not self._is_by_other_key(self._held_by(row)):
                return False
        if self._gate is not None:
            await self._gate.passed()
        async with self._store.write() as tx:
            if not self._is_by_other_key(await self._passed(tx)):
                return False
            checkpoint = await self._succeeded(tx)
        self._signed, self.problem = checkpoint, ""
        self._woken.set()
        return True

    def _held_by(self, row: LogCheckpointRow) -> _Held:
        """Return which of the node's keys signed a stored checkpoint, without its tree; no key if none did."""
        origin = log_origin(self._own, row.log)
        try:
            checkpoint, key = self._opened(row, origin)
        except MeshError:
            return _Held(log=row.log, origin=origin, edge=RightEdge())
        return _Held(log=row.log, origin=origin, edge=RightEdge(), checkpoint=checkpoint, key=key)

    def _is_by_other_key(self, held: _Held) -> bool:
        return held.key is not None and held.key.public != self._key.public

    async def check_whole(self) -> None:
        """Return when the stored log is whole and may be signed. Raises: as `sequence`."""
        async with self._store.write() as tx:
            await self._checked(tx)

    async def succeed(self) -> Checkpoint:
        """Start a successor of a log that must not be signed any more; return its first checkpoint.

        Its first leaf names the older log's last checkpoint known here, signed by the older log's key if that is still
        this node's; leaves that no checkpoint covers move over.

        Raises: RefusedError: the log is whole and needs no successor.
        """
        async with self._store.write() as tx:
            with suppress(RestoredLogError, DamagedLogError, RolledBackError):
                held = await self._checked(tx)
                if self._gate is None or not self._gate.claimed:
                    raise RefusedError(f"log {held.origin} is whole: it goes on without a successor", code="log-whole")
            checkpoint = await self._succeeded(tx, lost=True)
        if self._gate is not None:
            self._gate.open()
        self._signed, self.problem = checkpoint, ""
        self._woken.set()
        return checkpoint

    async def _succeeded(self, tx: Writer, *, lost: bool = False) -> Checkpoint:
        """Start a successor. `lost`: successors may have been begun that this database does not know.

        Then its number is the time in minutes, so that none of theirs is given again: two logs under one name and key
        would be a fork.
        """
        older = await current_log(tx)
        last, key = await self._last_known(tx, older)
        moved = await tx.find(LogEntryRow, where(log=older), at_least("number", last.size), order="number")
        await tx.delete(LogEntryRow, where(log=older), at_least("number", last.size))
        log = max(older + 1, self._clock.now() // MINUTE_S if lost else 0)
        origin = log_origin(self._own, log)
        first = render_leaf(successor_leaf(origin, last, key))
        await tx.insert(*_rows(log, 0, [first, *(row.entry for row in moved)]))
        checkpoint = await self._grown(tx, _Held(log=log, origin=origin, edge=RightEdge()))
        assert checkpoint is not None, "a successor has a first leaf"
        return checkpoint

    async def _last_known(self, tx: Writer, log: int) -> tuple[Checkpoint, SigningKey | None]:
        """Return the last checkpoint of a log that is known here, and this node's key if it is the one that signed."""
        row, origin = await newest_row(tx, log), log_origin(self._own, log)
        if row is None:
            return Checkpoint(origin=origin, size=0, root=EMPTY_ROOT), self._key
        try:
            return self._opened(row, origin)
        except MeshError:
            return Checkpoint(origin=origin, size=0, root=EMPTY_ROOT), None

    def _opened(self, row: LogCheckpointRow, origin: str) -> tuple[Checkpoint, SigningKey]:
        """Return a stored checkpoint and the key of this node that signed it. Raises: MeshError: none did."""
        note = parse_checkpoint(row.note)
        for key in self._earlier:
            with suppress(UnverifiedError):
                return open_checkpoint(note, [LogKey(name=origin, key=key.public)]).checkpoint, key
        return open_checkpoint(note, [LogKey(name=origin, key=self._key.public)]).checkpoint, self._key

    def _require_duty(self) -> None:
        if not self._may_sign():
            raise ElsewhereError("another process of this node signs its log: ask there")

    async def _passed(self, tx: Writer) -> _Held:
        """Return the log as stored, as `_checked`, while the gate still lets it be signed."""
        held = await self._checked(tx)
        if self._gate is not None and not self._gate.cleared:
            raise RecheckError("another database took over: who watches this log is asked first")
        return held

    async def _checked(self, tx: Writer) -> _Held:
        """Return the log as stored, once it is what this node signed last."""
        self._require_duty()
        log = await current_log(tx)
        origin = log_origin(self._own, log)
        row = await newest_row(tx, log)
        if (row.generation if row else _FIRST_GENERATION) != self._generation:
            raise RestoredLogError(
                "the log came back from a backup and others may know a longer one: run `mentormesh log successor`"
            )
        ahead = await tx.get(LogAheadRow, log)
        if ahead is not None:
            raise RolledBackError(
                f"{ahead.said_by} showed a checkpoint signed with this node's key that its log does not contain: run "
                "`mentormesh log successor`"
            )
        if row is None:
            if self._signed is not None:
                raise RolledBackError("the log's checkpoints are gone from the database")
            return _Held(log=log, origin=origin, edge=RightEdge())
        held = await self._edge(tx, row, origin)
        self._compare(held)
        return held

    async def _edge(self, tx: Writer, row: LogCheckpointRow, origin: str) -> _Held:
        try:
            checkpoint, key = self._opened(row, origin)
            edge = right_edge(checkpoint.size, await stored_tiles(tx, row.log, partial_tiles(checkpoint.size)))
        except MeshError:
            raise DamagedLogError("the log's last checkpoint or its tiles do not verify") from None
        start = checkpoint.size // WIDTH * WIDTH
        stored = await entries(tx, row.log, start, checkpoint.size)
        leaves = tuple(hash_of_leaf(each.entry) for each in stored)
        lowest = edge.levels[0] if edge.levels else ()
        if edge.root != checkpoint.root or leaves != lowest:
            raise DamagedLogError("stored tiles or entries of the log do not give the root that was signed")
        return _Held(log=row.log, origin=origin, edge=edge, checkpoint=checkpoint, key=key)

    def _compare(self, held: _Held) -> None:
        """Return unless the store went back behind what this process signed. Raises: RolledBackError."""
        signed, found = self._signed, held.checkpoint
        if signed is None or found is None or signed.origin != found.origin:
            return
        if found.size < signed.size or (found.size == signed.size and found.root != signed.root):
            raise RolledBackError("the database shows an older log than this process signed")

    async def _grown(self, tx: Writer, held: _Held) -> Checkpoint | None:
        """Store the tree with all new leaves and its signed checkpoint; without new leaves nothing is signed."""
        old = held.edge.size
        new = await entries(tx, held.log, old, old + PORTION)
        if not new:
            return held.checkpoint
        if [row.number for row in new] != list(range(old, old + len(new))):
            raise DamagedLogError("entries of the log are missing")
        growth = grow(held.edge, [hash_of_leaf(row.entry) for row in new])
        for tile, data in growth.tiles.items():
            await tx.put(LogTileRow(log=held.log, level=tile.level, number=tile.index, data=data))
        checkpoint = Checkpoint(origin=held.origin, size=growth.edge.size, root=growth.edge.root)
        await self._store_checkpoint(tx, held.log, checkpoint, grown_from=old)
        if len(new) == PORTION:
            tx.on_commit(self._woken.set)
        return checkpoint

    async def _store_checkpoint(self, tx: Writer, log: int, checkpoint: Checkpoint, *, grown_from: int) -> None:
        signed = sign_checkpoint(checkpoint, self._key)
        # Inserted, never put: a second checkpoint from the same size is refused by the table.
        await tx.insert(
            LogCheckpointRow(
                log=log,
                size=checkpoint.size,
                grown_from=grown_from,
                note=render_note(signed.note),
                generation=self._generation,
                at=self._clock.now(),
            )
        )
        for tell in self._told:
            tx.on_commit(tell)
        await tx.delete(LogCheckpointRow, where(log=log), below("size", grown_from))


def _rows(log: int, first: int, found: Sequence[bytes]) -> list[LogEntryRow]:
    return [
        LogEntryRow(log=log, number=first + at, entry=entry, hash=hash_of_leaf(entry)) for at, entry in enumerate(found)
    ]
