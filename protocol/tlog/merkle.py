"""Merkle trees of RFC 6962 §2.1: root, inclusion proof and its verification.

Consistency proofs are not here: they come with the log itself.
"""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from protocol.errors import UnverifiedError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
#: A proof longer than this would belong to a tree that nobody can build.
MAX_PROOF: Final = 63


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
    pairs = zip(level[::2], level[1::2], strict=False)
    above = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
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

    Raises: UnverifiedError: index outside the tree, wrong length of the proof, or another root.
    Source: RFC 9162 §2.1.3.2.
    """
    if not 0 <= index < size or len(proof) > MAX_PROOF:
        raise UnverifiedError("inclusion proof: index outside the tree", code="bad-proof")
    here, last, hashed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise UnverifiedError("inclusion proof is too long", code="bad-proof")
        if here & 1 or here == last:
            hashed = node_hash(sibling, hashed)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            hashed = node_hash(hashed, sibling)
        here, last = here >> 1, last >> 1
    if last != 0 or not hmac.compare_digest(hashed, root):
        raise UnverifiedError("inclusion proof does not lead to the root", code="bad-proof")
