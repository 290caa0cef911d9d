"""The secret tree: a key for every message of every member, each derived once and forgotten once it was used.

A key is taken from a copy; the caller keeps the copy only when the message proved genuine. So a changed or forged copy
of a message never costs the genuine one its key. Source: RFC 9420 §9, §9.1.
"""

from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from . import treemath
from .codec import u32
from .errors import ReplayError
from .profile import Profile
from .suites import Suite

Stream = Literal["handshake", "application"]
_STREAMS: Final[tuple[Stream, Stream]] = ("handshake", "application")


class MessageKey(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Key and nonce of one message."""

    generation: int
    key: bytes
    nonce: bytes

    def __repr__(self) -> str:
        return f"MessageKey({self.generation})"


class Ratchet(msgspec.Struct, frozen=True, array_like=True):
    """One member's chain of keys: the secret of the next one, and the keys of messages that are still to come."""

    secret: bytes
    generation: int = 0
    skipped: tuple[MessageKey, ...] = ()

    def __repr__(self) -> str:
        return f"Ratchet({self.generation})"


class SecretTree(msgspec.Struct, frozen=True, array_like=True):
    """Secrets of nodes not taken apart yet, and the ratchets of leaves (number, stream) that spoke."""

    leaves: int
    nodes: dict[int, bytes]
    ratchets: dict[tuple[int, str], Ratchet] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"SecretTree({self.leaves})"


def secret_tree(encryption: bytes, leaves: int) -> SecretTree:
    """Return the tree of an epoch that has used nothing yet."""
    return SecretTree(leaves, {treemath.root(leaves): encryption})


def take_key(
    tree: SecretTree, suite: Suite, *, leaf: int, stream: Stream, generation: int, profile: Profile
) -> tuple[SecretTree, MessageKey]:
    """Return the key of a member's message, and the tree without it.

    Raises: ReplayError: it was taken before, is too far behind the newest, or too far ahead.
    """
    tree = _opened(tree, suite, leaf)
    ratchet = tree.ratchets[leaf, stream]
    if generation < ratchet.generation:
        found = next((key for key in ratchet.skipped if key.generation == generation), None)
        if found is None:
            raise ReplayError("a message was read before, or is too old")
        left = tuple(key for key in ratchet.skipped if key is not found)
        return _with(tree, leaf, stream, replace(ratchet, skipped=left)), found
    if generation - ratchet.generation > profile.forward:
        raise ReplayError("a message is too far ahead of those before it")
    ratchet, key = _forward(ratchet, suite, generation, profile.window)
    return _with(tree, leaf, stream, ratchet), key


def next_key(tree: SecretTree, suite: Suite, *, leaf: int, stream: Stream) -> tuple[SecretTree, MessageKey]:
    """Return the key of the next message that `leaf` sends, and the tree without it."""
    tree = _opened(tree, suite, leaf)
    ratchet = tree.ratchets[leaf, stream]
    key, following = _step(suite, ratchet.secret, ratchet.generation)
    return _with(tree, leaf, stream, Ratchet(following, ratchet.generation + 1)), key


def _forward(ratchet: Ratchet, suite: Suite, generation: int, window: int) -> tuple[Ratchet, MessageKey]:
    secret, kept = ratchet.secret, ratchet.skipped
    for number in range(ratchet.generation, generation):
        skipped, secret = _step(suite, secret, number)
        kept = (*kept, skipped)
    key, secret = _step(suite, secret, generation)
    if kept:
        kept = tuple([each for each in kept if generation - each.generation <= window])
    return Ratchet(secret, generation + 1, kept), key


def _step(suite: Suite, secret: bytes, generation: int) -> tuple[MessageKey, bytes]:
    """Return the key of one generation (DeriveTreeSecret), and the secret of the next."""
    key, nonce, following = suite.expand_each(secret, suite.for_message, u32(generation))
    return MessageKey(generation, key, nonce), following


def _with(tree: SecretTree, leaf: int, stream: Stream, ratchet: Ratchet) -> SecretTree:
    return SecretTree(tree.leaves, tree.nodes, {**tree.ratchets, (leaf, stream): ratchet})


def _opened(tree: SecretTree, suite: Suite, leaf: int) -> SecretTree:
    """Return the tree with the ratchets of a leaf; the secrets above it are taken apart and forgotten."""
    if (leaf, _STREAMS[0]) in tree.ratchets:
        return tree
    nodes = dict(tree.nodes)
    node = 2 * leaf
    down = [node]
    while node not in nodes:
        node = treemath.parent(node)
        down.append(node)
    for above in reversed(down[1:]):
        secret = nodes.pop(above)
        nodes[treemath.left(above)] = suite.expand(secret, b"tree", b"left", suite.hash_bytes)
        nodes[treemath.right(above)] = suite.expand(secret, b"tree", b"right", suite.hash_bytes)
    secret = nodes.pop(2 * leaf)
    ratchets = dict(tree.ratchets)
    for stream in _STREAMS:
        ratchets[leaf, stream] = Ratchet(suite.expand(secret, stream.encode(), b"", suite.hash_bytes))
    return SecretTree(tree.leaves, nodes, ratchets)
