"""A welcome whose maker holds every key and chooses tree, context and secrets: refused by name, or harmless."""

from collections.abc import Callable
from random import Random
from typing import Any, Final

import pytest
from msgspec.structs import replace

from protocol.e2ee.mls import welcome
from protocol.e2ee.mls.codec import FormError, optional, vector_of, whole
from protocol.e2ee.mls.commits import Staged
from protocol.e2ee.mls.errors import CommitError, ContextError, ProfileError, TreeError
from protocol.e2ee.mls.nodes import Extension, Node, ParentNode, write_node
from protocol.e2ee.mls.profile import AGREEMENT, MAX_EPOCH
from protocol.e2ee.mls.schedule import GroupContext
from protocol.e2ee.mls.state import Group, check_context
from protocol.e2ee.mls.suites import X25519
from protocol.e2ee.mls.tree import Tree, changed, read_tree, tree_hash
from protocol.errors import MeshError

from .groups import AGREED, accept, begun, device, drawn, invited, rules, staged

EVE: Final = device("eve")
EVES_PLACE: Final = 2


def prepared() -> tuple[Group, Staged]:
    ana, _ben = begun("ana", "ben")
    return ana, staged(ana, add=(EVE,))


def join(data: bytes, *, accept: Callable[[GroupContext], None] = accept) -> Group:
    return welcome.join(data, EVE, rules(), accept=accept)


def test_an_inviter_who_changes_nothing_is_followed() -> None:
    assert join(invited(*prepared(), EVE)).me == EVES_PLACE


@pytest.mark.parametrize("places", [1, 2, 4, 8])
def test_a_tree_that_ends_with_a_parent_is_refused(places: int) -> None:
    ana, change = prepared()
    leaf = optional(write_node(ana.tree.nodes[0]))  # type: ignore[arg-type]
    parent = optional(write_node(ParentNode(EVE.package.init_key, b"")))
    tree = vector_of([leaf, *[b"\x00"] * (2 * places - 2), parent])
    with pytest.raises(FormError, match="end with a member"):
        whole(tree, read_tree, what="a tree")
    with pytest.raises(FormError, match="end with a member"):
        join(invited(ana, change, EVE, tree=tree))


def test_a_tree_that_is_wider_than_any_group_is_refused_before_it_is_hashed() -> None:
    ana, change = prepared()
    wide = Tree(change.next.tree.nodes + (None,) * 120)
    wide = changed(wide, {64: change.next.tree.nodes[4], 4: None})
    with pytest.raises(TreeError, match="wider"):
        join(invited(ana, change, EVE, tree=wide.encoded(), tree_hash=tree_hash(wide, ana.suite)))


def test_a_path_secret_for_nodes_that_are_blank_is_refused() -> None:
    ana, change = prepared()
    bare = changed(change.next.tree, dict.fromkeys(range(1, len(change.next.tree.nodes), 2)))
    bare = changed(bare, {0: ana.tree.nodes[0]})
    given = {"tree": bare.encoded(), "tree_hash": tree_hash(bare, ana.suite)}
    assert join(invited(ana, change, EVE, path_secret=None, **given)).me == EVES_PLACE
    with pytest.raises(CommitError, match="another key"):
        join(invited(ana, change, EVE, **given))


def test_a_tree_is_checked_from_its_lists_of_unmerged_leaves_up() -> None:
    """The hash of a node looks at the lists below it, on its right side too."""
    ana, change = prepared()
    parent = ParentNode(EVE.package.init_key, b"", unmerged=(77,))
    above = replace(parent, encryption_key=device("more").package.init_key, unmerged=())
    leaves = {4: None, 6: change.next.tree.nodes[4], 5: parent, 3: above}
    tree = changed(change.next.tree, leaves)
    with pytest.raises(TreeError, match="unmerged"):
        join(invited(ana, change, EVE, tree=tree.encoded(), tree_hash=tree_hash(tree, ana.suite)))


def test_a_tree_drawn_at_random_is_refused_by_name_or_harmless() -> None:
    ana, change = prepared()
    draw = Random(8)
    keys = [X25519.kem.derive(drawn(number))[1] for number in range(4)]
    refusals = set()
    for _ in range(80):
        tree = _drawn_tree(draw, [*change.next.tree.nodes], keys)
        try:
            secret = draw.choice([b"", None, bytes(32)])
            data = invited(
                ana, change, EVE, tree=tree.encoded(), tree_hash=tree_hash(tree, ana.suite), path_secret=secret
            )
            staged(join(data))
        except MeshError as refusal:
            refusals.add(str(refusal))
    assert len(refusals) > 5


def _drawn_tree(draw: Random, nodes: list[Node | None], keys: list[bytes]) -> Tree:
    nodes = (nodes + [None] * 24)[: draw.choice([7, 15, 31])]
    for _ in range(draw.randrange(1, 5)):
        at = 2 * draw.randrange(len(nodes) // 2) + 1
        unmerged = tuple(sorted(draw.sample(range(40), draw.randrange(3))))
        named = draw.choice([b"", bytes(32)])
        nodes[at] = draw.choice([None, ParentNode(draw.choice(keys), named, unmerged)])
    if draw.random() < 0.5:
        nodes[2 * draw.randrange(len(nodes) // 2)], nodes[4] = nodes[4], None
    return Tree(tuple(nodes))


@pytest.mark.parametrize("epoch", [0, MAX_EPOCH + 1, 2**64 - 1])
def test_an_epoch_that_no_session_reaches_is_refused(epoch: int) -> None:
    _refused_context(ProfileError, epoch=epoch)


@pytest.mark.parametrize("suite", [0x0002, 0xF00D])
def test_a_group_of_another_suite_than_its_welcome_is_refused(suite: int) -> None:
    ana, change = prepared()
    with pytest.raises(TreeError, match="another cipher suite"):
        join(invited(ana, change, EVE, suite=suite))


@pytest.mark.parametrize("size", [0, 15, 17, 70_000])
def test_a_group_id_of_another_size_is_refused(size: int) -> None:
    _refused_context(ProfileError, group_id=bytes(size))


@pytest.mark.parametrize("kind", [3, 5, 0xF0A8])
def test_a_group_with_extensions_beside_its_agreement_is_refused(kind: int) -> None:
    _refused_context(ProfileError, extensions=(Extension(AGREEMENT, AGREED), Extension(kind, b"")))
    _refused_context(ContextError, extensions=(Extension(kind, AGREED),))


def _refused_context(kind: type[MeshError], **changed: Any) -> None:  # noqa: ANN401 -- fields of a struct
    ana, change = prepared()
    with pytest.raises(kind):
        join(invited(ana, change, EVE, **changed), accept=lambda found: check_context(found, AGREED))
    assert join(invited(ana, change, EVE), accept=lambda found: check_context(found, AGREED)).epoch == 2
