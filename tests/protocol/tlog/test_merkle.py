"""Merkle trees against the known answers of RFC 6962 implementations and against a recursive reading of the RFC."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import UnverifiedError
from protocol.tlog.merkle import EMPTY_ROOT, Tree, leaf_hash, node_hash, root_hash, verify_inclusion


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


def mth(hashes: list[bytes]) -> bytes:
    """MTH as RFC 6962 §2.1 writes it, with its largest power of two below n."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return node_hash(mth(hashes[:split]), mth(hashes[split:]))


def test_the_empty_tree_and_one_empty_leaf_have_the_roots_every_log_has() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root_hash([]) == Tree([]).root == EMPTY_ROOT
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


@pytest.mark.parametrize("count", range(70))
def test_the_root_is_what_the_recursive_definition_gives(count: int) -> None:
    assert root_hash(leaves(count)) == Tree(leaves(count)).root == mth(leaves(count))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 31, 33])
def test_every_leaf_of_every_shape_has_a_proof_that_verifies(count: int) -> None:
    tree = Tree(leaves(count))
    for index, leaf in enumerate(leaves(count)):
        verify_inclusion(tree.root, leaf=leaf, index=index, size=count, proof=tree.inclusion_proof(index))


@given(st.integers(1, 300), st.data())
def test_a_proof_with_anything_changed_is_refused(count: int, data: st.DataObject) -> None:
    tree = Tree(leaves(count))
    index = data.draw(st.integers(0, count - 1))
    proof = tree.inclusion_proof(index)
    leaf = leaves(count)[index]
    wrong = {"leaf": leaf, "index": index, "size": count, "proof": proof}
    choices = ["leaf", "longer", "outside", *(["flip", "shorter"] if proof else [])]
    match data.draw(st.sampled_from(choices)):
        case "leaf":
            wrong["leaf"] = leaf_hash(b"other entry")
        case "longer":
            wrong["proof"] = (*proof, leaf)
        case "outside":
            wrong["index"] = count
        case "flip":
            at = data.draw(st.integers(0, len(proof) - 1))
            wrong["proof"] = (*proof[:at], bytes([proof[at][0] ^ 1]) + proof[at][1:], *proof[at + 1 :])
        case _:
            wrong["proof"] = proof[:-1]
    with pytest.raises(UnverifiedError):
        verify_inclusion(tree.root, **wrong)  # type: ignore[arg-type]


def test_a_leaf_outside_the_tree_has_no_proof() -> None:
    with pytest.raises(IndexError):
        Tree(leaves(3)).inclusion_proof(3)
    with pytest.raises(IndexError):
        Tree([]).inclusion_proof(0)
