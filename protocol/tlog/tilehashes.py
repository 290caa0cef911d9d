"""Hashes out of tiles: proofs from tiles that are checked against a root first, and the tiles of a growing log.

Every hash read from a tile is bound to the root of the tree before it is used, so it does not matter where the tiles
came from, or in which order. Source: docs/protocol/52-tiles.md §5–§6.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from protocol.errors import MissingError, UnverifiedError

from .merkle import EMPTY_ROOT, root_hash
from .subtrees import Node, Range, nodes
from .tiles import HEIGHT, WIDTH, Tile, decode_tile, encode_tile, partial_tiles, tiles_written


class TileHashError(UnverifiedError):
    """A tile is not part of the tree: it belongs to another log or size, or it has changed."""

    code = "tile-hash"


class MissingTileError(MissingError):
    """A tile that is needed for the answer was not given."""

    code = "missing-tile"


def tile_of(node: Node, size: int) -> Tile:
    """Return the tile, as wide as a tree of `size` leaves has it, from which the hash of `node` follows."""
    level, height = divmod(node.level, HEIGHT)
    index = node.index << height >> HEIGHT
    return Tile(level, index, min(WIDTH, (size >> HEIGHT * level) - index * WIDTH))


def tiles_for(spans: Iterable[Range], size: int) -> tuple[Tile, ...]:
    """Return every tile that `TileHashes` needs to give the hashes of `spans` in a tree of `size` leaves."""
    wanted = {tile_of(node, size) for span in spans for node in nodes(span)}
    above = wanted
    while above:
        above = {_parent(tile, size) for tile in above if tile.width == WIDTH}
        wanted |= above
    return tuple(sorted(wanted | set(partial_tiles(size))))


def _parent(tile: Tile, size: int) -> Tile:
    """Return the tile that holds the hash of a full tile."""
    return tile_of(Node(HEIGHT * (tile.level + 1), tile.index), size)


class TileHashes:
    """The whole subtrees of a tree, read from tiles that lead to its root."""

    __slots__ = ("_size", "_tiles")

    def __init__(self, *, size: int, root: bytes, tiles: Mapping[Tile, bytes]) -> None:
        """Take the tree of a verified checkpoint, and tiles in any order.

        Raises:
            TileLengthError: a tile has another length than its name says.
            MissingTileError: the right edge, or the tile above a full one, is missing.
            TileHashError: the right edge does not give the root, or a full tile not its hash in the tile above.
        """
        self._size = size
        self._tiles = {tile: decode_tile(data, tile) for tile, data in tiles.items()}
        edge = [self._tile(tile) for tile in partial_tiles(size)]
        if _edge_root(edge) != root:
            raise TileHashError("partial tiles do not give the root of the tree")
        for tile, hashes in self._tiles.items():
            self._check(tile, hashes)

    def _tile(self, tile: Tile) -> tuple[bytes, ...]:
        found = self._tiles.get(tile)
        if found is None:
            raise MissingTileError("a tile of the tree is missing")
        return found

    def _check(self, tile: Tile, hashes: Sequence[bytes]) -> None:
        """Return when `tile` is of this tree; partial ones were checked together, by the root."""
        if tile.width < WIDTH and tile in partial_tiles(self._size):
            return
        if tile.width < WIDTH or (tile.index + 1) * WIDTH > self._size >> HEIGHT * tile.level:
            raise TileHashError("tile is not one of a tree of this size")
        if self._tile(_parent(tile, self._size))[tile.index % WIDTH] != root_hash(hashes):
            raise TileHashError("tile does not give its hash in the tile above")

    def __call__(self, node: Node) -> bytes:
        """Return the hash of a whole subtree. Raises: MissingTileError; IndexError: the tree ends before it does."""
        if not 0 <= node.index < self._size >> node.level:
            raise IndexError("subtree is not whole")
        tile = tile_of(node, self._size)
        count = 1 << node.level % HEIGHT
        start = node.index * count % WIDTH
        return root_hash(self._tile(tile)[start : start + count])


def _edge_root(edge: Sequence[Sequence[bytes]]) -> bytes:
    """Return the root over partial tiles, level 0 first: each level ends with the root of what lies below it."""
    root: tuple[bytes, ...] = ()
    for hashes in edge:
        root = (root_hash([*hashes, *root]),)
    return root[0] if root else EMPTY_ROOT


def _levels(size: int) -> int:
    """Return how many levels of tiles a tree of `size` leaves has."""
    return -(-size.bit_length() // HEIGHT)


class RightEdge(msgspec.Struct, frozen=True, kw_only=True):
    """All that a log must hold to grow: its size and its partial tiles, level 0 first (`()` where there is none)."""

    size: int = 0
    levels: tuple[tuple[bytes, ...], ...] = ()

    def __post_init__(self) -> None:
        widths = [len(hashes) for hashes in self.levels]
        if widths != [(self.size >> HEIGHT * level) % WIDTH for level in range(_levels(self.size))]:
            raise ValueError("a right edge has the partial tiles of its size")

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        return _edge_root([hashes for hashes in self.levels if hashes])


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """What appending leaves has made: the new right edge, and the tiles to store before its root is signed."""

    edge: RightEdge
    tiles: dict[Tile, bytes]


def right_edge(size: int, tiles: Mapping[Tile, bytes]) -> RightEdge:
    """Return the right edge of a tree of `size` leaves from its stored partial tiles.

    The caller compares its `root` with the newest checkpoint: that finds every flipped bit.

    Raises: MissingTileError; TileLengthError.
    """
    levels: list[tuple[bytes, ...]] = [()] * _levels(size)
    for tile in partial_tiles(size):
        if tile not in tiles:
            raise MissingTileError("a partial tile of the log is missing")
        levels[tile.level] = decode_tile(tiles[tile], tile)
    return RightEdge(size=size, levels=tuple(levels))


def grow(edge: RightEdge, leaf_hashes: Sequence[bytes]) -> Growth:
    """Return the tree with `leaf_hashes` after its own leaves; its tiles are those of `tiles_written`."""
    size = edge.size + len(leaf_hashes)
    new: Sequence[bytes] = leaf_hashes
    levels: list[tuple[bytes, ...]] = []
    written: dict[Tile, bytes] = {}
    for level in range(_levels(size)):
        hashes = [*(edge.levels[level] if level < len(edge.levels) else ()), *new]
        first = (edge.size >> HEIGHT * level) // WIDTH
        full = [hashes[at : at + WIDTH] for at in range(0, len(hashes) - WIDTH + 1, WIDTH)]
        written |= {Tile(level, first + at): encode_tile(each) for at, each in enumerate(full)}
        rest = hashes[len(full) * WIDTH :]
        levels.append(tuple(rest))
        if rest and new:
            written[Tile(level, first + len(full), len(rest))] = encode_tile(rest)
        new = [root_hash(each) for each in full]
    assert tuple(written) == tiles_written(edge.size, size)
    return Growth(edge=RightEdge(size=size, levels=tuple(levels)), tiles=written)
