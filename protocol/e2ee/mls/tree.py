"""The ratchet tree: who is a member, and which keys stand between them; pure functions from one tree to the next.

Source: RFC 9420 §4, §7.4–§7.9.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from . import treemath
from .codec import FormError, Reader, optional, u8, u32, vector, vector_of
from .errors import TreeError
from .nodes import COMMIT, LeafNode, Node, ParentNode, read_node, write_node
from .profile import BASIC, DEFAULT_EXTENSIONS, VERSION, Profile
from .suites import Suite

_NOBODY: Final[frozenset[int]] = frozenset()


class Tree(msgspec.Struct, frozen=True, array_like=True):
    """All nodes by number, None for a blank one; the width is that of a full tree."""

    nodes: tuple[Node | None, ...]

    @property
    def leaves(self) -> int:
        """Number of places for members, a power of two."""
        return (len(self.nodes) + 1) // 2

    @property
    def root(self) -> int:
        """Number of the root node."""
        return treemath.root(self.leaves)

    def leaf(self, number: int) -> LeafNode | None:
        """Return the member at a place, None when it is blank or beyond the tree."""
        if not 0 <= number < self.leaves:
            return None
        node = self.nodes[2 * number]
        assert node is None or isinstance(node, LeafNode), "leaves stand at even numbers"
        return node

    def parent(self, number: int) -> ParentNode | None:
        """Return the inner node at a number, None when it is blank."""
        node = self.nodes[number]
        assert node is None or isinstance(node, ParentNode), "parents stand at odd numbers"
        return node

    def members(self) -> Iterator[tuple[int, LeafNode]]:
        """Yield places and members."""
        for number in range(self.leaves):
            leaf = self.leaf(number)
            if leaf is not None:
                yield number, leaf

    def encoded(self) -> bytes:
        """Return the bytes of the `ratchet_tree` extension, without blank nodes at its end."""
        last = max(number for number, node in enumerate(self.nodes) if node is not None)
        written = (write_node(node) if node is not None else None for node in self.nodes[: last + 1])
        return vector_of(optional(each) for each in written)


def read_tree(reader: Reader) -> Tree:
    """Return the next tree, filled up to full width. Raises: FormError: no member at its end, or a misplaced node.

    A parent gets a key while there are members on both sides of it, so none stands behind the last member.
    """
    found = reader.each(lambda inner: read_node(inner) if inner.optional() else None)
    if not found or not isinstance(found[-1], LeafNode):
        raise FormError("a tree must end with a member")
    if any(node is not None and isinstance(node, LeafNode) is bool(at % 2) for at, node in enumerate(found)):
        raise FormError("a tree has a leaf where a parent stands, or the reverse")
    leaves = 1 << ((len(found) + 1) // 2 - 1).bit_length() if len(found) > 1 else 1
    return Tree(found + (None,) * (treemath.node_width(leaves) - len(found)))


def changed(tree: Tree, changes: dict[int, Node | None]) -> Tree:
    """Return the tree with other nodes at some numbers."""
    nodes = list(tree.nodes)
    for number, node in changes.items():
        nodes[number] = node
    return Tree(tuple(nodes))


def resolution(tree: Tree, number: int) -> tuple[int, ...]:
    """Return the non-blank nodes that together cover all members below a node."""
    node = tree.nodes[number]
    if isinstance(node, ParentNode):
        return (number, *(2 * leaf for leaf in node.unmerged))
    if node is not None:
        return (number,)
    if number % 2 == 0:
        return ()
    return resolution(tree, treemath.left(number)) + resolution(tree, treemath.right(number))


def filtered_path(tree: Tree, leaf: int) -> tuple[tuple[int, int], ...]:
    """Return the ancestors of a leaf that need a key, each with its child off the path, from below to the root."""
    found = []
    below = 2 * leaf
    for above in treemath.direct_path(below, tree.leaves):
        beside = treemath.sibling(below)
        if resolution(tree, beside):
            found.append((above, beside))
        below = above
    return tuple(found)


def with_leaf(tree: Tree, leaf: LeafNode) -> tuple[Tree, int]:
    """Return the tree with a new member at the leftmost free place, and that place."""
    place = next((number for number in range(tree.leaves) if tree.leaf(number) is None), tree.leaves)
    if place == tree.leaves:
        tree = Tree(tree.nodes + (None,) * (tree.leaves * 2))
    changes: dict[int, Node | None] = {2 * place: leaf}
    for above in treemath.direct_path(2 * place, tree.leaves):
        parent = tree.parent(above)
        if parent is not None:
            changes[above] = replace(parent, unmerged=tuple(sorted({*parent.unmerged, place})))
    return changed(tree, changes), place


def with_update(tree: Tree, number: int, leaf: LeafNode) -> Tree:
    """Return the tree with another leaf for a member, and blanks above it."""
    return changed(_blanked(tree, number), {2 * number: leaf})


def without_leaf(tree: Tree, number: int) -> Tree:
    """Return the tree without a member, cut to half while the right half is empty."""
    tree = _blanked(tree, number)
    nodes = list(tree.nodes)
    nodes[2 * number] = None
    while len(nodes) > 1 and all(node is None for node in nodes[len(nodes) // 2 + 1 :]):
        nodes = nodes[: len(nodes) // 2]
    return Tree(tuple(nodes))


def _blanked(tree: Tree, number: int) -> Tree:
    return changed(tree, dict.fromkeys(treemath.direct_path(2 * number, tree.leaves)))


def tree_hashes(tree: Tree, suite: Suite, *, without: Collection[int] = _NOBODY) -> list[bytes]:
    """Return the hash of the subtree at every node, `without` some leaves as if they had never been added."""
    hashes = [b""] * len(tree.nodes)
    for number in sorted(range(len(tree.nodes)), key=treemath.level):
        hashes[number] = suite.hash(_hash_input(tree, number, hashes, without))
    return hashes


def _hash_input(tree: Tree, number: int, hashes: list[bytes], without: Collection[int]) -> bytes:
    node = tree.nodes[number]
    if number % 2 == 0:
        present = node is not None and number // 2 not in without
        return u8(1) + u32(number // 2) + optional(node.encoded() if present and node else None)
    if isinstance(node, ParentNode) and without:
        node = replace(node, unmerged=tuple(leaf for leaf in node.unmerged if leaf not in without))
    below = vector(hashes[treemath.left(number)]) + vector(hashes[treemath.right(number)])
    return u8(2) + optional(node.encoded() if node else None) + below


def subtree_hash(tree: Tree, number: int, suite: Suite, without: Collection[int]) -> bytes:
    """Return the hash of one subtree, `without` some leaves as if they had never been added."""
    if number % 2 == 0:
        return suite.hash(_hash_input(tree, number, [], without))
    hashes = [b""] * len(tree.nodes)
    for child in (treemath.left(number), treemath.right(number)):
        hashes[child] = subtree_hash(tree, child, suite, without)
    return suite.hash(_hash_input(tree, number, hashes, without))


def tree_hash(tree: Tree, suite: Suite) -> bytes:
    """Return the hash of the whole tree."""
    return tree_hashes(tree, suite)[tree.root]


def parent_hash(tree: Tree, suite: Suite, above: int, beside: int) -> bytes:
    """Return what a node names as its parent hash: the parent `above`, and the subtree `beside` when it was made."""
    parent = tree.parent(above)
    assert parent is not None, "only a node with a key has a hash to name"
    original = subtree_hash(tree, beside, suite, parent.unmerged)
    return suite.hash(vector(parent.encryption_key) + vector(parent.parent_hash) + vector(original))


def check_tree(
    tree: Tree,
    suite: Suite,
    *,
    group_id: bytes,
    profile: Profile,
    wanted: Collection[int],
    check: Callable[[LeafNode], None],
) -> None:
    """Return when a tree is one that honest members can have made.

    Args:
        wanted: kinds of extensions that every member must understand.
        check: raises unless a leaf belongs to a device that was checked.
    Raises: TreeError, SignatureError, FormError; what `check` raises.
    """
    members = list(tree.members())
    if len(members) > profile.max_leaves:
        raise TreeError("a group has more members than this profile allows")
    _check_distinct(tree)
    for number, leaf in members:
        check_leaf(leaf, suite, wanted=wanted)
        leaf.verify(suite, group_id=group_id, leaf=number)
        check(leaf)
    parents = [(number, node) for number, node in enumerate(tree.nodes) if isinstance(node, ParentNode)]
    for number, parent in parents:
        suite.kem.check(parent.encryption_key)
        _check_unmerged(tree, number, parent)
    for number, parent in parents:  # their hashes look at all lists of unmerged leaves below
        _check_parent_hash(tree, suite, number, parent)


def check_distinct_leaf(tree: Tree, leaf: LeafNode, *, place: int | None = None) -> None:
    """Return when no other node has one of this leaf's keys; `place` is its own. Raises: TreeError."""
    for number, node in enumerate(tree.nodes):
        if node is None or (place is not None and number == 2 * place):
            continue
        same_signer = isinstance(node, LeafNode) and node.signature_key == leaf.signature_key
        if same_signer or node.encryption_key == leaf.encryption_key:
            raise TreeError("two members have one key")


def _check_distinct(tree: Tree) -> None:
    nodes = [node for node in tree.nodes if node is not None]
    signers = [node.signature_key for node in nodes if isinstance(node, LeafNode)]
    keys = [node.encryption_key for node in nodes]
    if len(set(signers)) != len(signers) or len(set(keys)) != len(keys):
        raise TreeError("two nodes of a tree have one key")


def check_leaf(leaf: LeafNode, suite: Suite, *, wanted: Collection[int]) -> None:
    """Return when a member's client can take part. Raises: TreeError: it says it cannot; FormError: a key."""
    suite.kem.check(leaf.encryption_key)
    can = leaf.capabilities
    if VERSION not in can.versions or suite.number not in can.suites or BASIC not in can.credentials:
        raise TreeError("a member's client does not know this version, cipher suite or credential")
    needed = {*wanted, *(each.kind for each in leaf.extensions)} - DEFAULT_EXTENSIONS
    if not needed <= set(can.extensions):
        raise TreeError("a member's client does not know an extension of the group")


def _check_unmerged(tree: Tree, number: int, parent: ParentNode) -> None:
    """Unmerged leaves are members below, and every keyed node between knows of them too."""
    for leaf in parent.unmerged:
        if not treemath.under(2 * leaf, number) or tree.leaf(leaf) is None:
            raise TreeError("an unmerged leaf is not a member below its node")
        for between in treemath.direct_path(2 * leaf, tree.leaves):
            if between == number:
                break
            node = tree.parent(between)
            if node is not None and leaf not in node.unmerged:
                raise TreeError("an unmerged leaf is merged further below")


def _check_parent_hash(tree: Tree, suite: Suite, number: int, parent: ParentNode) -> None:
    """A keyed node was made by a commit of somebody below, whose node names it by its hash."""
    for below, beside in _sides(number):
        expected = parent_hash(tree, suite, number, beside)
        covered = set(resolution(tree, below))
        unmerged = {2 * leaf for leaf in parent.unmerged if treemath.under(2 * leaf, below)}
        for maker in covered:
            if _names_parent(tree.nodes[maker], expected) and covered - {maker} == unmerged:
                return
    raise TreeError("no commit can have made an inner node of the tree: its parent hash is wrong")


def _sides(number: int) -> tuple[tuple[int, int], tuple[int, int]]:
    left, right = treemath.left(number), treemath.right(number)
    return (left, right), (right, left)


def _names_parent(node: Node | None, expected: bytes) -> bool:
    if isinstance(node, LeafNode) and node.source != COMMIT:
        return False
    return node is not None and node.parent_hash == expected
