"""TreeKEM: a commit's path gives its sender's side of the tree new keys, and every other member the same new secret.

Source: RFC 9420 §7.4–§7.6.
"""

from collections.abc import Collection
from typing import Final

import msgspec
from msgspec.structs import replace

from . import treemath
from .codec import Reader, vector, vector_of
from .errors import CommitError, TreeError
from .nodes import COMMIT, LeafNode, Node, ParentNode, read_leaf
from .suites import Suite
from .tree import Tree, changed, filtered_path, parent_hash, resolution

#: Private keys of the nodes that a member knows, by node number.
Secrets = dict[int, bytes]
_NOBODY: Final[frozenset[int]] = frozenset()


class PathNode(msgspec.Struct, frozen=True, array_like=True):
    """A new key on the path, and its secret sealed to each node that covers the other side."""

    encryption_key: bytes
    sealed: tuple[tuple[bytes, bytes], ...]

    def encoded(self) -> bytes:
        """Return the bytes of the structure."""
        each = vector_of(vector(encapsulated) + vector(ciphertext) for encapsulated, ciphertext in self.sealed)
        return vector(self.encryption_key) + each


class UpdatePath(msgspec.Struct, frozen=True, array_like=True):
    """The committer's new leaf and the new keys above it, from below to the root."""

    leaf: LeafNode
    nodes: tuple[PathNode, ...]

    def encoded(self) -> bytes:
        """Return the bytes of the structure."""
        return self.leaf.encoded() + vector_of(node.encoded() for node in self.nodes)


def read_sealed(reader: Reader) -> tuple[bytes, bytes]:
    """Return the next HPKE ciphertext: encapsulation and ciphertext."""
    return reader.vector(), reader.vector()


def read_path(reader: Reader) -> UpdatePath:
    """Return the next update path."""
    leaf = read_leaf(reader)
    return UpdatePath(leaf, reader.each(lambda inner: PathNode(inner.vector(), inner.each(read_sealed))))


class Fresh(msgspec.Struct, frozen=True):
    """One's own new path before it is sealed: the tree with it, what one knows of it, and its secrets from below."""

    tree: Tree
    secrets: Secrets
    path_secrets: tuple[tuple[int, bytes], ...]
    commit_secret: bytes

    def __repr__(self) -> str:
        return "Fresh(…)"


def secrets_above(suite: Suite, path_secret: bytes, nodes: tuple[int, ...]) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return the path secret of each of `nodes` from below, the first given, and the commit secret above them."""
    found = []
    for node in nodes:
        found.append((node, path_secret))
        path_secret = suite.derive(path_secret, b"path")
    return found, path_secret


def key_pair(suite: Suite, path_secret: bytes) -> tuple[bytes, bytes]:
    """Return the private and public key of a node from its path secret."""
    return suite.kem.derive(suite.derive(path_secret, b"node"))


def fresh_path(
    tree: Tree, suite: Suite, *, me: int, leaf: LeafNode, seed: bytes, group_id: bytes, entropy: bytes
) -> Fresh:
    """Return new keys for `me` and everything above.

    Args:
        leaf: one's own leaf; its keys, source and parent hash are replaced.
        seed: the Ed25519 seed that signs it.
        entropy: two hash lengths of random bytes: for the leaf's key and for the path.
    """
    path = filtered_path(tree, me)
    leaf_private, leaf_public = suite.kem.derive(entropy[: suite.hash_bytes])
    found, commit_secret = secrets_above(suite, entropy[suite.hash_bytes :], tuple(above for above, _ in path))
    pairs = {node: key_pair(suite, secret) for node, secret in found}
    tree = changed(tree, dict.fromkeys(treemath.direct_path(2 * me, tree.leaves)))
    tree, named = _placed(tree, suite, path, {node: public for node, (_, public) in pairs.items()})
    own = replace(leaf, encryption_key=leaf_public, source=COMMIT, parent_hash=named, lifetime=(0, 0))
    own = own.signed(suite, seed, group_id=group_id, leaf=me)
    secrets = {2 * me: leaf_private, **{node: private for node, (private, _) in pairs.items()}}
    return Fresh(changed(tree, {2 * me: own}), secrets, tuple(found), commit_secret)


def _placed(tree: Tree, suite: Suite, path: tuple[tuple[int, int], ...], keys: dict[int, bytes]) -> tuple[Tree, bytes]:
    """Return the tree with new keys on a path, and the parent hash that the leaf below must name."""
    named = b""
    for above, beside in reversed(path):
        tree = changed(tree, {above: ParentNode(keys[above], named)})
        named = parent_hash(tree, suite, above, beside)
    return tree, named


def seal_path(
    fresh: Fresh, before: Tree, suite: Suite, *, me: int, context: bytes, joined: Collection[int] = _NOBODY
) -> UpdatePath:
    """Return the path as others get it.

    Args:
        before: the tree in which the path was made, members of this commit added.
        context: the encoded group context with the new tree's hash and the new epoch.
        joined: places added by the same commit; they get the secret in their welcome.
    """
    nodes = []
    for (above, beside), (_, secret) in zip(filtered_path(before, me), fresh.path_secrets, strict=True):
        parent = fresh.tree.parent(above)
        assert parent is not None, "a fresh path has a key at each node"
        sealed = tuple(
            suite.seal_to(_key(before, node), b"UpdatePathNode", context, secret)
            for node in _recipients(before, beside, joined)
        )
        nodes.append(PathNode(parent.encryption_key, sealed))
    leaf = fresh.tree.leaf(me)
    assert leaf is not None, "a fresh path has a leaf"
    return UpdatePath(leaf, tuple(nodes))


def merge_path(tree: Tree, suite: Suite, path: UpdatePath, *, sender: int) -> Tree:
    """Return the tree with somebody's new path. Raises: CommitError: length, keys or parent hash do not fit."""
    wanted = filtered_path(tree, sender)
    if len(wanted) != len(path.nodes):
        raise CommitError("a commit's path does not fit the tree")
    keys = {above: node.encryption_key for (above, _), node in zip(wanted, path.nodes, strict=True)}
    _check_fresh(tree, path)
    for key in keys.values():
        suite.kem.check(key)
    tree = changed(tree, dict.fromkeys(treemath.direct_path(2 * sender, tree.leaves)))
    tree, named = _placed(tree, suite, wanted, keys)
    if path.leaf.source != COMMIT or path.leaf.parent_hash != named:
        raise CommitError("a commit's leaf does not name the path above it")
    return changed(tree, {2 * sender: path.leaf})


def _check_fresh(tree: Tree, path: UpdatePath) -> None:
    """Every key of a path is new to the tree and occurs once. Raises: TreeError."""
    keys = [path.leaf.encryption_key, *(node.encryption_key for node in path.nodes)]
    known = {node.encryption_key for node in tree.nodes if node is not None}
    if len(set(keys)) != len(keys) or known & set(keys):
        raise TreeError("a commit's path repeats a key")


def open_path(
    before: Tree,
    after: Tree,
    suite: Suite,
    path: UpdatePath,
    *,
    sender: int,
    me: int,
    secrets: Secrets,
    context: bytes,
    joined: Collection[int] = _NOBODY,
) -> tuple[Secrets, bytes]:
    """Return what `me` knows after somebody's path, and the commit secret.

    Args: `before` with this commit's proposals applied, `after` with the path merged too; `context` as in `seal_path`.
    Raises: CommitError: nothing is sealed to us, or the secret gives other keys; DecryptError.
    """
    wanted = filtered_path(before, sender)
    recipients = [_recipients(before, beside, joined) for _, beside in wanted]
    # At every node, not only ours: one ciphertext more could be for somebody whom this very commit removes.
    if any(len(nodes) != len(node.sealed) for nodes, node in zip(recipients, path.nodes, strict=True)):
        raise CommitError("a commit's path is not sealed to the members there are")
    at = next(number for number, (above, _) in enumerate(wanted) if treemath.under(2 * me, above))
    mine = next((number for number, node in enumerate(recipients[at]) if node in secrets), None)
    if mine is None:
        raise CommitError("a commit's path is not sealed to this member")
    private = secrets[recipients[at][mine]]
    secret = suite.open_with(private, b"UpdatePathNode", context, path.nodes[at].sealed[mine])
    return learn(after, suite, secret, nodes=tuple(above for above, _ in wanted[at:]), secrets=_still(secrets, after))


def learn(
    tree: Tree, suite: Suite, path_secret: bytes, *, nodes: tuple[int, ...], secrets: Secrets
) -> tuple[Secrets, bytes]:
    """Return `secrets` with those of `nodes`, the first of which has `path_secret`, and the commit secret.

    Raises: CommitError: they give other public keys than stand in the tree.
    """
    found, commit_secret = secrets_above(suite, path_secret, nodes)
    learned = dict(secrets)
    for node, secret in found:
        private, public = key_pair(suite, secret)
        named = tree.nodes[node]
        if named is None or named.encryption_key != public:
            raise CommitError("a path secret gives another key than the path says")
        learned[node] = private
    return learned, commit_secret


def _still(secrets: Secrets, tree: Tree) -> Secrets:
    """Return the secrets of nodes that a tree still has a key for after a path, which does not narrow it."""
    return {node: private for node, private in secrets.items() if tree.nodes[node] is not None}


def known_after(secrets: Secrets, before: Tree, after: Tree) -> Secrets:
    """Return the secrets that are still those of their nodes when one tree became the other."""
    return {node: each for node, each in secrets.items() if _same_key(before, after, node)}


def _same_key(before: Tree, after: Tree, node: int) -> bool:
    now: Node | None = after.nodes[node] if node < len(after.nodes) else None
    was = before.nodes[node]
    return now is not None and was is not None and now.encryption_key == was.encryption_key


def _recipients(tree: Tree, beside: int, joined: Collection[int]) -> list[int]:
    return [node for node in resolution(tree, beside) if node % 2 or node // 2 not in joined]


def _key(tree: Tree, number: int) -> bytes:
    node = tree.nodes[number]
    assert node is not None, "a resolution has no blank nodes"
    return node.encryption_key
