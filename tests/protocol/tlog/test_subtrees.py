"""Ranges, proofs and frontiers against the recursive definitions of RFC 6962."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.tlog.merkle import EMPTY_ROOT, Tree, leaf_hash
from protocol.tlog.subtrees import (
    EMPTY,
    Frontier,
    Node,
    Range,
    Read,
    consistency_proof,
    consistency_ranges,
    hash_of,
    inclusion_proof,
    inclusion_ranges,
    nodes,
)
from tests.vectors.rfc6962 import mth, path, proof

LEAVES = [leaf_hash(number.to_bytes(4, "big")) for number in range(300)]


def reading(size: int) -> Read:
    tree = Tree(LEAVES[:size])
    return lambda node: tree.subtree(node.level, node.index)


@given(st.integers(0, 300))
def test_the_root_is_the_hash_of_all_leaves(size: int) -> None:
    assert hash_of(Range(0, size), reading(size)) == mth(LEAVES[:size])


@given(st.integers(1, 300), st.data())
def test_an_inclusion_proof_is_that_of_the_definition(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    assert list(inclusion_proof(reading(size), index=index, size=size)) == path(index, LEAVES[:size])


@pytest.mark.parametrize("new", range(71))
def test_a_consistency_proof_is_that_of_the_definition(new: int) -> None:
    for old in range(new + 1):
        assert list(consistency_proof(reading(new), old_size=old, new_size=new)) == proof(old, LEAVES[:new])


def test_a_range_is_its_whole_subtrees_left_to_right() -> None:
    assert nodes(Range(8, 15)) == (Node(2, 2), Node(1, 6), Node(0, 14))
    assert nodes(Range(3, 3)) == ()


def test_what_is_not_there_has_no_proof() -> None:
    for index, size in ((0, 0), (3, 3), (-1, 3)):
        with pytest.raises(IndexError):
            inclusion_ranges(index, size)
    for old, new in ((4, 3), (-1, 3)):
        with pytest.raises(IndexError):
            consistency_ranges(old, new)


@pytest.mark.slow
@given(st.lists(st.integers(0, 100), max_size=5))
def test_a_frontier_has_the_root_however_the_leaves_came(parts: list[int]) -> None:
    frontier, size = EMPTY, 0
    for part in parts:
        leaves = LEAVES[size : size + part]
        frontier, size = frontier.append(leaves), size + len(leaves)
        assert frontier.size == size
        assert frontier.root == mth(LEAVES[:size])
        assert list(frontier.hashes) == [reading(size)(node) for node in nodes(Range(0, size))]


def test_an_empty_frontier_has_the_root_of_nothing() -> None:
    assert EMPTY.root == EMPTY_ROOT


def test_a_frontier_with_another_number_or_length_of_hashes_cannot_be_made() -> None:
    for hashes in ((), (LEAVES[0],), (LEAVES[0], LEAVES[1][:31])):
        with pytest.raises(ValueError, match="one hash for each bit"):
            Frontier(size=3, hashes=hashes)
