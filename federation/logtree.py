"""Reads the tree of somebody's log: bounded fetches, every hash bound to the root of a verified checkpoint.

Source: docs/protocol/52-tiles.md §5.
"""

from typing import Final, Protocol

import msgspec

from protocol.encoding import b64
from protocol.evidence import Gap
from protocol.logaudit import Portion, check_portion
from protocol.tlog.checkpoint import Checkpoint, CheckpointNote, parse_checkpoint
from protocol.tlog.note import MAX_NOTE_BYTES
from protocol.tlog.proof import LogProof
from protocol.tlog.subtrees import (
    Range,
    consistency_proof,
    consistency_ranges,
    hash_of,
    inclusion_proof,
    inclusion_ranges,
)
from protocol.tlog.tilehashes import TileHashes, tiles_for
from protocol.tlog.tiles import MAX_BUNDLE_BYTES, Bundle, Tile, tile_path

from .calls import PublicCalls
from .knownlogs import KnownLog

#: A tile is 8 KiB.
MAX_TILE_BYTES: Final = 8192


class ReadLog(Protocol):
    """Bounded GET of a resource of a log."""

    async def __call__(self, log: KnownLog, path: str, *, limit: int) -> bytes:
        """Return the bytes at `path` below the log's prefix, such as `checkpoint`. Raises: MeshError."""
        ...


class Prefix(msgspec.Struct, frozen=True, kw_only=True):
    """What a log's tree was at a smaller size: its root, and the consistency proof from there."""

    root: bytes
    proof: tuple[bytes, ...]

    @property
    def gap(self) -> Gap:
        """The same as evidence states it."""
        return Gap(root=b64(self.root), proof=tuple(b64(each) for each in self.proof))


class LogReader:
    """Reads the public resources of logs over the calls of a node."""

    def __init__(self, calls: PublicCalls) -> None:
        self._calls: Final = calls

    async def __call__(self, log: KnownLog, path: str, *, limit: int) -> bytes:
        """Return a resource, see `ReadLog`."""
        assert log.contact is not None, "a log without an address is not read"
        return (await self._calls.fetch(log.contact, f"{log.prefix}/{path}", limit=limit)).body


async def newest(read: ReadLog, log: KnownLog) -> CheckpointNote:
    """Return the checkpoint that a log serves; it is not verified. Raises: MeshError."""
    return parse_checkpoint(await read(log, "checkpoint", limit=MAX_NOTE_BYTES))


async def prefix(read: ReadLog, log: KnownLog, checkpoint: Checkpoint, size: int) -> Prefix:
    """Return what the tree of `checkpoint` was at `size`. Raises: MeshError: the log does not show that tree."""
    span = Range(0, size)
    spans = (span, *consistency_ranges(size, checkpoint.size))
    hashes = await _hashes(read, log, checkpoint, tiles_for(spans, checkpoint.size))
    proof = consistency_proof(hashes, old_size=size, new_size=checkpoint.size)
    return Prefix(root=hash_of(span, hashes), proof=proof)


async def inclusion(read: ReadLog, log: KnownLog, found: CheckpointNote, index: int) -> LogProof:
    """Return the proof that entry `index` stands under a checkpoint. Raises: MeshError."""
    size = found.checkpoint.size
    hashes = await _hashes(read, log, found.checkpoint, tiles_for(inclusion_ranges(index, size), size))
    return LogProof(index=index, hashes=inclusion_proof(hashes, index=index, size=size), checkpoint=found)


async def entries(read: ReadLog, log: KnownLog, checkpoint: Checkpoint, wanted: Portion) -> tuple[bytes, ...]:
    """Return the entries of a portion, those of its first bundle from its beginning. Raises: MeshError."""
    tiles = {name: await _tile(read, log, name) for name in wanted.tiles}
    bundles = {name: await _bundle(read, log, name) for name in wanted.bundles}
    return check_portion(wanted, checkpoint, tiles, bundles)


async def _hashes(read: ReadLog, log: KnownLog, checkpoint: Checkpoint, names: tuple[Tile, ...]) -> TileHashes:
    tiles = {name: await _tile(read, log, name) for name in names}
    return TileHashes(size=checkpoint.size, root=checkpoint.root, tiles=tiles)


async def _tile(read: ReadLog, log: KnownLog, name: Tile) -> bytes:
    return await read(log, tile_path(name), limit=MAX_TILE_BYTES)


async def _bundle(read: ReadLog, log: KnownLog, name: Bundle) -> bytes:
    return await read(log, tile_path(name), limit=MAX_BUNDLE_BYTES)
