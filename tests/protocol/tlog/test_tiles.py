"""Tiles: a mirror of a log equals the log whatever the order of tiles, and every proof can be had from them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import MeshError
from protocol.tlog.merkle import Tree, leaf_hash, verify_consistency, verify_inclusion
from protocol.tlog.subtrees import (
    Frontier,
    Node,
    Range,
    consistency_proof,
    consistency_ranges,
    inclusion_proof,
    inclusion_ranges,
    nodes,
)
from protocol.tlog.tilehashes import (
    MissingTileError,
    RightEdge,
    TileHashError,
    TileHashes,
    grow,
    right_edge,
    tile_of,
    tiles_for,
)
from protocol.tlog.tiles import (
    Bundle,
    Tile,
    bundles_written,
    decode_bundle,
    encode_bundle,
    encode_tile,
    parse_tile_path,
    partial_tiles,
    tile_path,
    tiles_written,
)

MOST = 66_000
ENTRIES = [number.to_bytes(4, "big") for number in range(MOST)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
SIZES = st.one_of(st.integers(0, 1100), st.sampled_from([255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, MOST]))

Stored = dict[str, bytes]


def written(sizes: list[int]) -> tuple[Stored, RightEdge]:
    """Return all that a log of these sizes has ever stored, by path, and its right edge."""
    stored: Stored = {}
    edge = RightEdge()
    for size in sizes:
        growth = grow(edge, LEAVES[edge.size : size])
        stored |= {tile_path(tile): data for tile, data in growth.tiles.items()}
        for bundle in bundles_written(edge.size, size):
            start = bundle.index * 256
            stored[tile_path(bundle)] = encode_bundle(ENTRIES[start : start + bundle.width])
        edge = growth.edge
    return stored, edge


def tiles_of(stored: Stored) -> dict[Tile, bytes]:
    named = {parse_tile_path(path): data for path, data in stored.items()}
    return {name: data for name, data in named.items() if isinstance(name, Tile)}


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(SIZES, min_size=1, max_size=5).map(sorted), st.randoms(use_true_random=False))
def test_a_mirror_equals_the_log_whatever_the_order_of_tiles(sizes: list[int], order: object) -> None:
    stored, edge = written(sizes)
    papers = list(stored.items())
    order.shuffle(papers)  # type: ignore[attr-defined]
    mirror = dict(papers)
    assert mirror == stored
    size = sizes[-1]
    tree = Tree(LEAVES[:size])
    # From its hash tiles alone the mirror has the log's root, and can grow as the log does.
    assert right_edge(size, tiles_of(mirror)) == edge
    assert edge.root == tree.root
    # From its entry bundles alone it can build every tile that the log has now.
    again = grow(RightEdge(), [leaf_hash(entry) for entry in entries(mirror, size)])
    assert {tile_path(tile): data for tile, data in again.tiles.items()}.items() <= mirror.items()
    # Every older size can still be shown to be a prefix.
    for old in sizes:
        needed = tiles_for(consistency_ranges(old, size), size)
        read = TileHashes(size=size, root=tree.root, tiles={tile: mirror[tile_path(tile)] for tile in needed})
        shown = consistency_proof(read, old_size=old, new_size=size)
        old_root = Tree(LEAVES[:old]).root
        verify_consistency(old_size=old, old_root=old_root, new_size=size, new_root=tree.root, proof=shown)


def entries(mirror: Stored, size: int) -> list[bytes]:
    found: list[bytes] = []
    for bundle in bundles_written(0, size):
        found += decode_bundle(mirror[tile_path(bundle)], bundle)
    return found


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.integers(1, MOST), st.data())
def test_an_inclusion_proof_needs_only_the_tiles_on_its_way(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    stored, edge = written([size])
    needed = tiles_for(inclusion_ranges(index, size), size)
    assert len(needed) <= 6
    read = TileHashes(size=size, root=edge.root, tiles={tile: stored[tile_path(tile)] for tile in needed})
    shown = inclusion_proof(read, index=index, size=size)
    verify_inclusion(edge.root, leaf=LEAVES[index], index=index, size=size, proof=shown)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(SIZES, SIZES)
def test_growing_writes_the_tiles_that_are_named(one: int, other: int) -> None:
    old, new = sorted((one, other))
    growth = grow(written([old])[1], LEAVES[old:new])
    assert tuple(growth.tiles) == tiles_written(old, new)
    assert growth.edge == written([new])[1]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2000), st.data())
def test_one_changed_bit_in_any_needed_tile_is_found(size: int, data: st.DataObject) -> None:
    stored, edge = written([size])
    index = data.draw(st.integers(0, size - 1))
    given_tiles = {tile: stored[tile_path(tile)] for tile in tiles_for(inclusion_ranges(index, size), size)}
    tile = data.draw(st.sampled_from(sorted(given_tiles)))
    spoilt = bytearray(given_tiles[tile])
    spoilt[data.draw(st.integers(0, len(spoilt) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(TileHashError):
        TileHashes(size=size, root=edge.root, tiles={**given_tiles, tile: bytes(spoilt)})


def test_every_whole_subtree_is_read_from_its_tile() -> None:
    size = 70_000 // 64
    stored, edge = written([size])
    read = TileHashes(size=size, root=edge.root, tiles=tiles_of(stored))
    tree = Tree(LEAVES[:size])
    for level in range(11):
        for index in range(size >> level):
            assert read(Node(level, index)) == tree.subtree(level, index)
        with pytest.raises(IndexError):
            read(Node(level, size >> level))


def test_a_tile_that_was_not_given_is_named_missing() -> None:
    stored, edge = written([300])
    edge_only = {tile: stored[tile_path(tile)] for tile in partial_tiles(300)}
    read = TileHashes(size=300, root=edge.root, tiles=edge_only)
    assert read(Node(8, 0)) == Tree(LEAVES[:256]).root
    with pytest.raises(MissingTileError):
        read(Node(0, 0))
    with pytest.raises(MissingTileError):
        right_edge(300, {})


def test_a_full_tile_that_the_tree_does_not_have_yet_is_refused() -> None:
    stored, edge = written([300])
    ahead = written([512])[0]
    with pytest.raises(TileHashError, match="of this size"):
        TileHashes(size=300, root=edge.root, tiles={**tiles_of(stored), Tile(0, 1): ahead["tile/0/001"]})


def test_the_tile_of_a_subtree_is_as_wide_as_the_tree_has_it() -> None:
    assert tile_of(Node(0, 255), 300) == Tile(0, 0, 256)
    assert tile_of(Node(3, 33), 300) == Tile(0, 1, 44)
    assert tile_of(Node(8, 0), 300) == Tile(1, 0, 1)


def test_the_widest_levels_of_the_largest_tree() -> None:
    assert [tile.level for tile in partial_tiles(2**53 - 1)] == [0, 1, 2, 3, 4, 5, 6]


@given(st.integers(0, 6), st.integers(0, 2**45), st.integers(1, 256))
def test_a_name_that_is_written_is_read_back_when_a_tree_can_have_it(level: int, index: int, width: int) -> None:
    for name in (Tile(level, index, width), Bundle(index, width)):
        span = 256**level if isinstance(name, Tile) else 1
        if (index * 256 + width) * span < 2**53:
            assert parse_tile_path(tile_path(name)) == name
        else:
            with pytest.raises(MeshError):
                parse_tile_path(tile_path(name))


@pytest.mark.parametrize("hashes", [[], [bytes(32)] * 257, [bytes(31)]])
def test_a_tile_of_anything_else_than_hashes_cannot_be_made(hashes: list[bytes]) -> None:
    with pytest.raises(ValueError, match="1 to 256 hashes"):
        encode_tile(hashes)


@pytest.mark.parametrize("several", [[], [b""] * 257, [bytes(4097)]])
def test_a_bundle_of_too_much_or_nothing_cannot_be_made(several: list[bytes]) -> None:
    with pytest.raises(ValueError, match="1 to 256 entries"):
        encode_bundle(several)


def test_a_right_edge_of_another_size_cannot_be_made() -> None:
    edge = written([300])[1]
    with pytest.raises(ValueError, match="partial tiles of its size"):
        RightEdge(size=301, levels=edge.levels)
    with pytest.raises(ValueError, match="partial tiles of its size"):
        RightEdge(size=300, levels=edge.levels[:1])


def test_a_frontier_of_the_nodes_in_the_tiles_can_go_on() -> None:
    stored, edge = written([300])
    read = TileHashes(size=300, root=edge.root, tiles=tiles_of(stored))
    frontier = Frontier(size=300, hashes=tuple(read(node) for node in nodes(Range(0, 300))))
    assert frontier.append(LEAVES[300:555]).root == Tree(LEAVES[:555]).root
