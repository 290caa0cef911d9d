"""Which parts of a tree make up a root or a proof, and the same computed from whatever holds the whole subtrees.

A `Node` is a whole subtree; a range of leaves, as RFC 6962 §2.1.1 and §2.1.2 name them in a proof, is one node or a
few of them with the unfinished right edge. Source: docs/protocol/50-log.md §4–§6.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from .merkle import EMPTY_ROOT, HASH_BYTES, node_hash


class Node(msgspec.Struct, frozen=True, order=True):
    """The whole subtree over leaves `index << level` up to, not including, `(index + 1) << level`."""

    level: int
    index: int


class Range(msgspec.Struct, frozen=True):
    """Leaves `start` up to, not including, `end`; a subtree of RFC 6962 starts at a multiple of its width."""

    start: int
    end: int


#: Gives the hash of a whole subtree.
Read = Callable[[Node], bytes]


def nodes(span: Range) -> tuple[Node, ...]:
    """Return the whole subtrees that `span` consists of, left to right, which is largest first."""
    found = []
    start = span.start
    while start < span.end:
        level = (span.end - start).bit_length() - 1
        found.append(Node(level, start >> level))
        start += 1 << level
    return tuple(found)


def hash_of(span: Range, read: Read) -> bytes:
    """Return the Merkle tree hash of `span`; SHA-256 of nothing when it is empty."""
    return _joined(read(node) for node in reversed(nodes(span)))


def _joined(from_the_right: Iterable[bytes]) -> bytes:
    hashed = b""
    for left in from_the_right:
        hashed = node_hash(left, hashed) if hashed else left
    return hashed or EMPTY_ROOT


def inclusion_ranges(index: int, size: int) -> tuple[Range, ...]:
    """Return what an inclusion proof holds, from the leaf's sibling upwards. Raises: IndexError: no such leaf."""
    if not 0 <= index < size:
        raise IndexError("leaf index outside the tree")
    return tuple(_siblings(Range(index, index + 1), size))


def consistency_ranges(old_size: int, new_size: int) -> tuple[Range, ...]:
    """Return what a consistency proof holds; nothing from an empty or an equal tree.

    Raises: IndexError: the older tree is not the smaller one.
    """
    if not 0 <= old_size <= new_size:
        raise IndexError("older tree is larger than the newer one")
    if old_size in {0, new_size}:
        return ()
    last = old_size & -old_size
    start = Range(old_size - last, old_size)
    return (*((start,) if start.start else ()), *_siblings(start, new_size))


def _siblings(at: Range, size: int) -> Iterator[Range]:
    """Yield the sibling of each subtree on the way from `at` to the root of a tree of `size` leaves."""
    width = at.end - at.start
    start = at.start
    while width < size:
        if start & width:
            start -= width
            yield Range(start, start + width)
        elif start + width < size:
            yield Range(start + width, min(start + 2 * width, size))
        width *= 2


def inclusion_proof(read: Read, *, index: int, size: int) -> tuple[bytes, ...]:
    """Return the proof that leaf `index` is in the tree of `size` leaves. Raises: IndexError: no such leaf."""
    return tuple(hash_of(span, read) for span in inclusion_ranges(index, size))


def consistency_proof(read: Read, *, old_size: int, new_size: int) -> tuple[bytes, ...]:
    """Return the proof that the tree of `old_size` leaves is a prefix of the one of `new_size` leaves.

    Raises: IndexError: the older tree is not the smaller one.
    """
    return tuple(hash_of(span, read) for span in consistency_ranges(old_size, new_size))


class Frontier(msgspec.Struct, frozen=True, kw_only=True):
    """The compact range of a tree: enough to append leaves and to know the root, in at most 53 hashes.

    `hashes` are those of `nodes(Range(0, size))`.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size.bit_count() != len(self.hashes) or {len(each) for each in self.hashes} - {HASH_BYTES}:
            raise ValueError("a frontier has one hash for each bit that is set in its size")

    @property
    def root(self) -> bytes:
        """The root of the tree so far."""
        return _joined(reversed(self.hashes))

    def append(self, leaf_hashes: Iterable[bytes]) -> "Frontier":
        """Return the frontier of the tree with these leaves after its own."""
        size, hashes = self.size, list(self.hashes)
        for leaf in leaf_hashes:
            hashed = leaf
            complete = size
            while complete & 1:
                hashed = node_hash(hashes.pop(), hashed)
                complete >>= 1
            hashes.append(hashed)
            size += 1
        return Frontier(size=size, hashes=tuple(hashes))


EMPTY: Final = Frontier()
