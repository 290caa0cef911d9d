"""Merkle trees and their proofs against bare SHA-256 calls.

The floor is as many calls of `hashlib.sha256` over a message of the same 65 bytes that lies ready, read one after the
other from a list: joining, walking and comparing come on top. Both are measured in turns, in processor time, and the
best round counts.
"""

import time
from collections.abc import Callable
from hashlib import sha256

from protocol.tlog.merkle import Tree, root_hash, verify_inclusion
from protocol.tlog.subtrees import EMPTY

from .figures import Figure

LEAVES = 2**20
PROOFS = 50_000
APPENDED = 2**17
ROUNDS = 7


def run() -> list[Figure]:
    """Return what a tree, an append and a verified proof cost, as multiples of the hashes in them."""
    leaves = [sha256(number.to_bytes(8, "big")).digest() for number in range(LEAVES)]
    return [_build(leaves), _append(leaves[:APPENDED]), *_verify(leaves)]


def _best(*calls: Callable[[], object]) -> list[float]:
    """Return the shortest processor time of each call in seconds, measured in turns."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for place, call in enumerate(calls):
            started = time.process_time()
            call()
            best[place] = min(best[place], time.process_time() - started)
    return best


def _messages(leaves: list[bytes], count: int) -> list[bytes]:
    """Return `count` messages of 65 bytes, each an object of its own, as the nodes of a tree are."""
    return [b"\x01" + leaves[at] + leaves[-at] for at in range(count)]


def _bare(messages: list[bytes]) -> list[bytes]:
    return [sha256(message).digest() for message in messages]


def _build(leaves: list[bytes]) -> Figure:
    messages = _messages(leaves, LEAVES - 1)
    mine, floor = _best(lambda: root_hash(leaves), lambda: _bare(messages))
    return Figure(
        name="root over 1,048,576 leaf hashes", value=mine / floor, unit="×", aim="≤ 1.3", ratio_to="bare SHA-256"
    )


def _append(leaves: list[bytes]) -> Figure:
    messages = _messages(leaves, APPENDED - 1)
    mine, floor = _best(lambda: EMPTY.append(leaves), lambda: _bare(messages))
    return Figure(name="append 131,072 leaves to a frontier", value=mine / floor, unit="×", ratio_to="bare SHA-256")


def _verify(leaves: list[bytes]) -> list[Figure]:
    tree = Tree(leaves)
    step = LEAVES // PROOFS
    cases = [(index, tree.inclusion_proof(index)) for index in range(0, PROOFS * step, step)]
    messages = _messages(leaves, sum(len(proof) for _, proof in cases))
    root = tree.root

    def ours() -> None:
        for index, proof in cases:
            verify_inclusion(root, leaf=leaves[index], index=index, size=LEAVES, proof=proof)

    mine, floor = _best(ours, lambda: _bare(messages))
    return [
        Figure(name="verify 50,000 inclusion proofs", value=mine / floor, unit="×", aim="≤ 2", ratio_to="bare SHA-256"),
        Figure(name="verify one inclusion proof of 20 hashes", value=mine / PROOFS * 1e6, unit="µs"),
    ]
