"""Merkle trees against the known answers of RFC 6962 implementations and against a recursive reading of the RFC."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.tlog.merkle import (
    EMPTY_ROOT,
    ConsistencyError,
    InclusionError,
    Tree,
    leaf_hash,
    root_hash,
    verify_consistency,
    verify_inclusion,
)
from tests.vectors.rfc6962 import mth, path, proof


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


def test_the_empty_tree_and_one_empty_leaf_have_the_roots_every_log_has() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root_hash([]) == Tree([]).root == EMPTY_ROOT
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


@pytest.mark.parametrize("count", range(70))
def test_the_root_is_what_the_recursive_definition_gives(count: int) -> None:
    assert root_hash(leaves(count)) == Tree(leaves(count)).root == mth(leaves(count))


@pytest.mark.parametrize("count", range(1, 71))
def test_every_leaf_of_every_shape_has_a_proof_that_verifies(count: int) -> None:
    tree = Tree(leaves(count))
    for index, leaf in enumerate(leaves(count)):
        assert list(tree.inclusion_proof(index)) == path(index, leaves(count))
        verify_inclusion(tree.root, leaf=leaf, index=index, size=count, proof=tree.inclusion_proof(index))


@settings(max_examples=60)
@given(st.integers(1, 300), st.data())
def test_a_proof_with_anything_changed_is_refused(count: int, data: st.DataObject) -> None:
    tree = Tree(leaves(count))
    index = data.draw(st.integers(0, count - 1))
    good = tree.inclusion_proof(index)
    leaf = leaves(count)[index]
    wrong = {"leaf": leaf, "index": index, "size": count, "proof": good}
    choices = ["leaf", "longer", "outside", *(["flip", "shorter"] if good else [])]
    match data.draw(st.sampled_from(choices)):
        case "leaf":
            wrong["leaf"] = leaf_hash(b"other entry")
        case "longer":
            wrong["proof"] = (*good, leaf)
        case "outside":
            wrong["index"] = count
        case "flip":
            at = data.draw(st.integers(0, len(good) - 1))
            wrong["proof"] = (*good[:at], bytes([good[at][0] ^ 1]) + good[at][1:], *good[at + 1 :])
        case _:
            wrong["proof"] = good[:-1]
    with pytest.raises(InclusionError):
        verify_inclusion(tree.root, **wrong)  # type: ignore[arg-type]


def test_a_leaf_outside_the_tree_has_no_proof() -> None:
    with pytest.raises(IndexError):
        Tree(leaves(3)).inclusion_proof(3)
    with pytest.raises(IndexError):
        Tree([]).inclusion_proof(0)


def test_a_subtree_that_is_not_whole_has_no_hash() -> None:
    tree = Tree(leaves(6))
    assert tree.subtree(1, 2) == mth(leaves(6)[4:])
    for level, index in ((0, 6), (1, 3), (2, 1), (3, 0), (0, -1)):
        with pytest.raises(IndexError):
            tree.subtree(level, index)


def test_a_hash_of_another_length_is_refused_even_where_it_would_give_the_root() -> None:
    # 31 and 33 bytes make the same node as 32 and 32: a log could show two leaves at one place.
    left, right = leaves(2)
    together = left + right
    with pytest.raises(InclusionError):
        verify_inclusion(Tree([left, right]).root, leaf=together[:31], index=0, size=2, proof=[together[31:]])


@pytest.mark.parametrize("new", range(71))
def test_every_smaller_tree_is_a_prefix_by_the_proof_of_the_definition_and_by_no_other_size(new: int) -> None:
    root = mth(leaves(new))
    for old in range(new + 1):
        said = proof(old, leaves(new))
        verify_consistency(old_size=old, old_root=mth(leaves(old)), new_size=new, new_root=root, proof=said)
        for size in {old - 1, old + 1} - {0, new, old}:
            with pytest.raises(ConsistencyError):
                verify_consistency(old_size=size, old_root=mth(leaves(old)), new_size=new, new_root=root, proof=said)


@settings(max_examples=60)
@given(st.integers(2, 300), st.data())
def test_a_consistency_proof_with_anything_changed_is_refused(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new - 1))
    good = proof(old, leaves(new))
    said = {"old_size": old, "old_root": mth(leaves(old)), "new_size": new, "new_root": mth(leaves(new)), "proof": good}
    at = data.draw(st.integers(0, len(good) - 1))
    flipped = bytes([good[at][0] ^ 1]) + good[at][1:]
    wrong: dict[str, object] = data.draw(
        st.sampled_from(
            [
                {"old_root": flipped},
                {"new_root": flipped},
                {"proof": [*good, flipped]},
                {"proof": good[:at]},
                {"proof": [*good[:at], flipped, *good[at + 1 :]]},
                {"proof": [*good[:at], good[at] + b"\0", *good[at + 1 :]]},
                {"old_size": new, "new_size": old},
            ]
        )
    )
    with pytest.raises(ConsistencyError):
        verify_consistency(**{**said, **wrong})  # type: ignore[arg-type]


def test_the_empty_tree_is_known_and_needs_no_proof() -> None:
    for size, root in ((0, EMPTY_ROOT), (5, mth(leaves(5)))):
        verify_consistency(old_size=0, old_root=EMPTY_ROOT, new_size=size, new_root=root, proof=())
