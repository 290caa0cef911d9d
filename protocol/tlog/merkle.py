"""Merkle trees of RFC 6962 §2.1: hashes, roots, and the verification of inclusion and consistency proofs.

Source: docs/protocol/50-log.md §4–§6; the verification is that of RFC 9162 §2.1.3.2 and §2.1.4.2, with the
length of a proof known before the first hash.
"""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from itertools import repeat
from typing import Final

from protocol.errors import UnverifiedError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
#: A proof longer than this would belong to a tree that nobody can build.
MAX_PROOF: Final = 63

_RIGHT_LENGTH: Final = {HASH_BYTES}


class InclusionError(UnverifiedError):
    """A proof does not lead from the leaf to the root."""

    code = "bad-proof"


class ConsistencyError(UnverifiedError):
    """A proof does not show that the older tree is a prefix of the newer one."""

    code = "bad-consistency"


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one leaf: SHA-256(0x00 ‖ entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """All levels over a list of leaf hashes, for many proofs from one build."""

    __slots__ = ("_levels",)

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        self._levels: Final = [list(leaf_hashes)]
        while len(self._levels[-1]) > 1:
            self._levels.append(_above(self._levels[-1]))

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0])

    @property
    def root(self) -> bytes:
        """The 32-byte root hash; SHA-256 of nothing for the empty tree."""
        return self._levels[-1][0] if self.size else EMPTY_ROOT

    def subtree(self, level: int, index: int) -> bytes:
        """Return the hash of the whole subtree over leaves `index << level` to `(index + 1) << level`.

        Raises: IndexError: not all of these leaves are there.
        """
        if not 0 <= index < self.size >> level:
            raise IndexError("subtree is not whole")
        return self._levels[level][index]

    def inclusion_proof(self, index: int) -> tuple[bytes, ...]:
        """Return the sibling hashes from leaf `index` up to the root. Raises: IndexError: no such leaf."""
        if not 0 <= index < self.size:
            raise IndexError("leaf index outside the tree")
        proof = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                proof.append(level[sibling])
            index >>= 1
        return tuple(proof)


def _above(level: list[bytes]) -> list[bytes]:
    """Return the next level; a last node without a sibling moves up as it is, which is RFC 6962's split."""
    # One join a node instead of two concatenations and two slices of the level: a tenth of the whole build.
    each = iter(level)
    above = [sha256(message).digest() for message in map(b"".join, zip(repeat(b"\x01"), each, each, strict=False))]
    if len(level) % 2:
        above.append(level[-1])
    return above


def root_hash(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the RFC 6962 root over `leaf_hashes` in the given order."""
    level = list(leaf_hashes)
    while len(level) > 1:
        level = _above(level)
    return level[0] if level else EMPTY_ROOT


def verify_inclusion(root: bytes, *, leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> None:
    """Return when `proof` leads from leaf hash `leaf` at `index` to `root` of a tree with `size` leaves.

    Raises: InclusionError: index outside the tree, wrong length of the proof or of a hash, or another root.
    """
    if not 0 <= index < size:
        raise InclusionError("inclusion proof: index outside the tree")
    both = (index ^ (size - 1)).bit_length()
    if len(proof) != both + (index >> both).bit_count() or not _RIGHT_LENGTH.issuperset(map(len, (leaf, *proof))):
        raise InclusionError("inclusion proof: wrong number or length of hashes")
    hashed = leaf
    # As long as the leaf is not on the right edge, the bits of its index say on which side the sibling stands;
    # from there on every sibling is a whole subtree to the left.
    for sibling in proof[:both]:
        hashed = sha256(b"\x01" + (sibling + hashed if index & 1 else hashed + sibling)).digest()
        index >>= 1
    for sibling in proof[both:]:
        hashed = sha256(b"\x01" + sibling + hashed).digest()
    if not hmac.compare_digest(hashed, root):
        raise InclusionError("inclusion proof does not lead to the root")


def verify_consistency(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Return when `proof` shows that the tree of `old_size` leaves is a prefix of the one of `new_size` leaves.

    The empty tree is a prefix of every tree, and its root is known; neither needs a proof.

    Raises: ConsistencyError: smaller than before, wrong length of the proof or of a hash, or another root.
    """
    if not 0 <= old_size <= new_size:
        raise ConsistencyError("consistency proof: the newer tree is smaller")
    if old_size in {0, new_size}:
        same = old_size < new_size or old_root == new_root
        known = old_size > 0 or old_root == EMPTY_ROOT
        if proof or not same or not known:
            raise ConsistencyError("consistency proof: same or empty tree with another root, or with a proof")
        return
    before, after = _both_roots(old_size, old_root, new_size, proof)
    if not hmac.compare_digest(before, old_root) or not hmac.compare_digest(after, new_root):
        raise ConsistencyError("consistency proof does not lead to both roots")


def _both_roots(old_size: int, old_root: bytes, new_size: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the roots that `proof` gives for both trees.

    The walk starts at the largest whole subtree that ends the older tree and goes up to the root of the newer one.
    """
    skipped = (old_size & -old_size).bit_length() - 1
    node = (old_size - 1) >> skipped
    both = (node ^ ((new_size - 1) >> skipped)).bit_length()
    # A tree whose size is a power of two is itself the subtree to start from, and is not sent.
    rest = proof if node == 0 else proof[1:]
    known = both + (node >> both).bit_count()
    if len(proof) != known + (node != 0) or not _RIGHT_LENGTH.issuperset(map(len, proof)):
        raise ConsistencyError("consistency proof: wrong number or length of hashes")
    before = after = old_root if node == 0 else proof[0]
    for sibling in rest[:both]:
        if node & 1:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
        else:
            after = node_hash(after, sibling)
        node >>= 1
    for sibling in rest[both:]:
        before, after = node_hash(sibling, before), node_hash(sibling, after)
    return before, after
