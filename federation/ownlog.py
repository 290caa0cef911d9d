"""What others know of this node's own log: a checkpoint signed with its key that its log does not contain ends the log.

Source: docs/protocol/53-witnesses.md §8.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from protocol.errors import MeshError
from protocol.logleaves import log_number, log_origin
from protocol.signing import VerifyKey
from protocol.tlog.checkpoint import Checkpoint, CheckpointNote, open_checkpoint
from protocol.tlog.note import LogKey, render_note
from protocol.tlog.subtrees import Range, hash_of
from protocol.tlog.tilehashes import TileHashes, tiles_for

from .knownlogs import WitnessTarget
from .logbook import checkpoint_of, current_log, newest_row, stored_tiles
from .ports import Clock, Reader, Store
from .rows import LogAheadRow

#: Returns the checkpoints that a peer holds of logs.
Gossip = Callable[[str], Awaitable[tuple[CheckpointNote, ...]]]


class OwnLog:
    """Compares what others show of this node's log with the log."""

    def __init__(self, store: Store, clock: Clock, gossip: Gossip, *, own: str, key: Callable[[], VerifyKey]) -> None:
        """`key` gives the node's `log` key."""
        self._store: Final = store
        self._clock: Final = clock
        self._gossip: Final = gossip
        self._own: Final = own
        self._key: Final = key

    async def ask(self, target: WitnessTarget) -> bool:
        """Return whether a peer proves that the log must not go on; who is no peer has no way to. Raises: MeshError."""
        shown = await self._gossip(target.peer) if target.peer else ()
        return any([await self.hear(found, said_by=target.peer) for found in shown])

    async def hear(self, found: CheckpointNote, *, said_by: str) -> bool:
        """Take a checkpoint that somebody shows; return whether it proves that the log must not go on.

        One of another log, or that this node's key did not sign, means nothing. One of a successor that is not known
        here tells of a database that was set back to before it.
        """
        async with self._store.write() as tx:
            log = await current_log(tx)
            origin = log_origin(self._own, log)
            later = log_number(self._own, found.checkpoint.origin) > log
            key = LogKey(name=found.checkpoint.origin if later else origin, key=self._key())
            try:
                checkpoint = open_checkpoint(found, [key]).checkpoint
            except MeshError:
                return False
            if not later and await self._contains(tx, log, checkpoint):
                return False
            if await tx.get(LogAheadRow, log) is None:
                note = render_note(found.note)
                now = self._clock.now()
                await tx.put(LogAheadRow(log=log, size=checkpoint.size, note=note, said_by=said_by, at=now))
        return True

    async def _contains(self, rows: Reader, log: int, checkpoint: Checkpoint) -> bool:
        """Tell whether the stored log begins with the tree of `checkpoint`."""
        row = await newest_row(rows, log)
        newest = checkpoint_of(row) if row else None
        if newest is None or checkpoint.size > newest.size:
            return checkpoint.size == 0
        span = Range(0, checkpoint.size)
        tiles = await stored_tiles(rows, log, tiles_for([span], newest.size))
        return hash_of(span, TileHashes(size=newest.size, root=newest.root, tiles=tiles)) == checkpoint.root
