"""Reads a whole log against one checkpoint, portion by portion: every tile, every entry, no (chain, seq) twice.

Source: docs/protocol/52-tiles.md §5, docs/protocol/55-node-log.md §2.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from .errors import UnverifiedError
from .logleaves import HeadWatch, parse_leaf
from .tlog.checkpoint import Checkpoint
from .tlog.merkle import leaf_hash
from .tlog.subtrees import Node, Range
from .tlog.tilehashes import MissingTileError, TileHashes, tiles_for
from .tlog.tiles import WIDTH, Bundle, Tile, decode_bundle

#: Entries of one portion: sixteen bundles.
PORTION: Final = 16 * WIDTH


class EntryHashError(UnverifiedError):
    """An entry is not the one whose hash stands in the tree."""

    code = "entry-hash"


class Portion(msgspec.Struct, frozen=True, kw_only=True):
    """Entries `span` of a log, and which resources show them."""

    span: Range
    tiles: tuple[Tile, ...]
    bundles: tuple[Bundle, ...]


def portion(start: int, size: int) -> Portion:
    """Return what to read next of a log of `size` entries; `start` is 0 or the end of the portion before."""
    end = min(start + PORTION, size)
    indexes = range(start // WIDTH, -(-end // WIDTH))
    return Portion(
        span=Range(start, end),
        tiles=tiles_for([Range(index * WIDTH, index * WIDTH + 1) for index in indexes], size),
        bundles=tuple(Bundle(index, min(WIDTH, size - index * WIDTH)) for index in indexes),
    )


def check_portion(
    wanted: Portion, checkpoint: Checkpoint, tiles: Mapping[Tile, bytes], bundles: Mapping[Bundle, bytes]
) -> tuple[bytes, ...]:
    """Return the entries of a portion once they and its tiles belong to the tree of `checkpoint`.

    All portions together show that the whole log gives the root.

    Raises: MissingTileError, TileLengthError, TileHashError, BundleError, EntryHashError.
    """
    read = TileHashes(size=checkpoint.size, root=checkpoint.root, tiles=tiles)
    found: list[bytes] = []
    for bundle in wanted.bundles:
        if bundle not in bundles:
            raise MissingTileError("an entry bundle of the log is missing")
        for at, entry in enumerate(decode_bundle(bundles[bundle], bundle)):
            if leaf_hash(entry) != read(Node(0, bundle.index * WIDTH + at)):
                raise EntryHashError("an entry of the log is not the one in its tree")
            found.append(entry)
    return tuple(found)


class LogAudit:
    """Takes the portions of one log in order.

    `size` entries of the checkpoint's are checked so far.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint: Final = checkpoint
        self.size = 0
        self._watch: Final = HeadWatch()

    @property
    def next(self) -> Portion | None:
        """What to read next, None at the end; an empty log has one portion without entries."""
        return portion(self.size, self.checkpoint.size) if self.size < self.checkpoint.size else None

    def take(self, wanted: Portion, tiles: Mapping[Tile, bytes], bundles: Mapping[Bundle, bytes]) -> None:
        """Check the portion `next`. Raises: as `check_portion`; MalformedError: no leaf; RepeatedHeadError."""
        for entry in check_portion(wanted, self.checkpoint, tiles, bundles):
            self._watch.see(parse_leaf(entry))
        self.size = wanted.span.end
