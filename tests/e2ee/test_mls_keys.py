"""Which private keys of the tree a member keeps: those of its own way up that the tree still names, and no others."""

from protocol.e2ee.mls import treemath, welcome
from protocol.e2ee.mls.group import hear
from protocol.e2ee.mls.state import Group

from .groups import accept, begun, device, rules, staged


def _checked(groups: list[Group]) -> None:
    for group in groups:
        named = {node: each.encryption_key for node, each in enumerate(group.tree.nodes) if each is not None}
        way = (2 * group.me, *treemath.direct_path(2 * group.me, group.tree.leaves))
        assert set(group.secrets) <= set(way)
        for node, private in group.secrets.items():
            assert group.suite.kem.public(private) == named[node]


def _followed(groups: list[Group], by: int, message: bytes, following: Group) -> list[Group]:
    after = [following if group.me == by else hear(group, message, rules())[0] for group in groups]
    return [group for group in after if group is not None]


def test_a_member_keeps_the_private_keys_that_the_tree_names_and_forgets_the_others() -> None:
    groups = begun(*"abcdef")
    _checked(groups)
    for by in (5, 0, 3):
        change = staged(groups[by], salt="renewed")
        groups = _followed(groups, by, change.message, change.next)
        _checked(groups)
    change = staged(groups[1], remove=(2,), salt="gone")
    groups = _followed(groups, 1, change.message, change.next)
    _checked(groups)
    newcomer = device("new")
    change = staged(groups[0], add=(newcomer,), salt="come")
    joined = welcome.join(welcome.make(change), newcomer, rules(), accept=accept)
    groups = [*_followed(groups, 0, change.message, change.next), joined]
    _checked(groups)
    assert len(groups) == 6
    change = staged(groups[-1], remove=(4, 5), salt="smaller")
    groups = _followed(groups, joined.me, change.message, change.next)
    _checked(groups)
    assert len({group.epoch_secrets.authenticator for group in groups}) == 1
