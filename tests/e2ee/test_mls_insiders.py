"""What a member who holds all keys of the epoch may not do, and what an inviter may not; no state is changed."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from protocol.e2ee.mls import commits, welcome
from protocol.e2ee.mls.codec import FormError, whole
from protocol.e2ee.mls.errors import (
    CommitError,
    DecryptError,
    ProfileError,
    ReplayError,
    SignatureError,
    TreeError,
)
from protocol.e2ee.mls.group import hear, without_past
from protocol.e2ee.mls.nodes import UPDATE
from protocol.e2ee.mls.profile import PRODUCT
from protocol.e2ee.mls.proposals import Commit
from protocol.e2ee.mls.schedule import welcome_secret
from protocol.e2ee.mls.state import Group
from protocol.e2ee.mls.suites import X25519, X_WING, Suite
from protocol.e2ee.mls.treekem import UpdatePath
from protocol.e2ee.mls.welcome import GroupSecrets, Welcome

from .groups import NOW, accept, begun, commit_of, committed, device, heard, rules, said, spoken_as, staged

SUITES = pytest.mark.parametrize("suite", [X25519, X_WING], ids=["x25519", "x-wing"])
#: Coordinates of points of low order (RFC 7748 §6.1), some of them not reduced or with the unused bit set.
LOW_ORDER = (
    bytes(32),
    b"\x01" + bytes(31),
    bytes(31) + b"\x80",
    b"\xec" + b"\xff" * 30 + b"\x7f",
    b"\xed" + b"\xff" * 30 + b"\x7f",
    b"\xee" + b"\xff" * 31,
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
)


def refuses(group: Group, data: bytes, kind: type[Exception], *, match: str = ".") -> None:
    before = msgspec.msgpack.encode(group)
    with pytest.raises(kind, match=match):
        hear(group, data, rules())
    assert msgspec.msgpack.encode(group) == before


def path_of(change: commits.Staged, reader: Group) -> UpdatePath:
    path = commit_of(change, reader).path
    assert path is not None
    return path


@SUITES
@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("more", [True, False], ids=["one more", "one less"])
def test_a_path_sealed_to_more_or_fewer_than_the_members_is_refused_at_every_node(
    suite: Suite, level: int, *, more: bool
) -> None:
    ana, ben, cid, _dan = begun("ana", "ben", "cid", "dan", suite=suite)
    path = path_of(staged(ana), ben)
    node = path.nodes[level]
    other = replace(node, sealed=(*node.sealed, node.sealed[0]) if more else node.sealed[1:])
    nodes = (*path.nodes[:level], other, *path.nodes[level + 1 :])
    for reader in (ben, cid):
        refuses(reader, committed(ana, Commit((), replace(path, nodes=nodes))), CommitError, match="sealed")


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:6])
def test_a_key_to_which_nobody_could_seal_never_gets_into_a_tree(point: bytes) -> None:
    ana, ben, cid, _dan = begun("ana", "ben", "cid", "dan")
    path = path_of(staged(ana), ben)
    nodes = (replace(path.nodes[0], encryption_key=point), *path.nodes[1:])
    refuses(cid, committed(ana, Commit((), replace(path, nodes=nodes))), FormError, match="degenerate")
    leaf = replace(path.leaf, encryption_key=point).signed(X25519, ana.seed, group_id=ana.context.group_id)
    refuses(cid, committed(ana, Commit((), replace(path, leaf=leaf))), FormError, match="degenerate")
    hybrid = X_WING.kem.derive(b"key")[1][:-32] + point
    with pytest.raises(FormError, match="degenerate"):
        X_WING.kem.check(hybrid)


@pytest.mark.parametrize("size", [0, 1, 31, 33])
def test_a_confirmation_tag_of_another_length_is_refused(size: int) -> None:
    ana, ben, _cid = begun("ana", "ben", "cid")
    path = path_of(staged(ana), ben)
    refuses(ben, committed(ana, Commit((), path), tag=b"\x07" * size), CommitError, match="another epoch")


def test_a_generation_is_read_once_whatever_else_is_said_in_it() -> None:
    ana, ben = begun("ana", "ben")
    _, first = said(ana, b"one thing", "guard")
    _, second = said(ana, b"another thing", "other guard")
    ben, _ = heard(ben, first)
    refuses(ben, second, ReplayError)


def test_a_member_cannot_write_to_itself_in_anothers_name() -> None:
    ana, ben = begun("ana", "ben")
    refuses(ben, committed(replace(ana, me=ben.me, seed=ana.seed), Commit((), None)), SignatureError)
    refuses(ben, spoken_as(ana, ben.me, ana.seed, ana.signer), SignatureError)
    refuses(ben, committed(ben, Commit((), None)), CommitError, match="one's own")


def test_a_commits_leaf_must_say_that_it_comes_from_a_commit() -> None:
    ana, ben, _cid = begun("ana", "ben", "cid")
    path = path_of(staged(ana), ben)
    leaf = replace(path.leaf, source=UPDATE).signed(X25519, ana.seed, group_id=ana.context.group_id)
    refuses(ben, committed(ana, Commit((), replace(path, leaf=leaf))), CommitError)


def test_a_path_that_repeats_a_key_is_refused() -> None:
    ana, ben, _cid, dan = begun("ana", "ben", "cid", "dan")
    path = path_of(staged(ana), ben)
    for key in (path.leaf.encryption_key, path.nodes[1].encryption_key, _key(dan)):
        nodes = (replace(path.nodes[0], encryption_key=key), *path.nodes[1:])
        refuses(ben, committed(ana, Commit((), replace(path, nodes=nodes))), TreeError, match="repeats")


def _key(group: Group) -> bytes:
    leaf = group.tree.leaf(group.me)
    assert leaf is not None
    return leaf.encryption_key


# Inviters


def _invited(ana: Group, change: commits.Staged, secrets: GroupSecrets, **parts: Any) -> bytes:  # noqa: ANN401 -- fields
    """Seal a welcome again with other secrets, or signed by another place."""
    suite, eve = ana.suite, device("eve", ana.suite)
    told = welcome.parse_welcome(welcome.make(change))
    key, nonce = welcome._info_key(suite, welcome_secret(suite, change.joiner, suite.zero))
    info = whole(suite.decrypt(key, nonce, told.group_info, b""), welcome.read_group_info, what="a group info")
    info = replace(info, **parts)
    info = replace(info, signature=suite.sign(ana.seed, ana.signer, b"GroupInfoTBS", info.content()))
    sealed_info = suite.encrypt(key, nonce, info.encoded(), b"")
    box = suite.seal_to(eve.package.init_key, b"Welcome", sealed_info, secrets.encoded())
    return Welcome(suite.number, ((eve.package.reference(suite), box),), sealed_info).encoded()


@pytest.mark.parametrize(
    ("psks", "kind"),
    [((b"\x01\x01a\x01b",), ProfileError), ((b"\x02\x01\x01g" + bytes(8) + b"\x01n",), ProfileError)],
    ids=["external", "resumption"],
)
def test_a_welcome_that_needs_a_pre_shared_key_fails_closed(psks: tuple[bytes, ...], kind: type[Exception]) -> None:
    ana, _ben = begun("ana", "ben")
    eve = device("eve")
    change = staged(ana, add=(eve,))
    path = commits.secret_for(change, 2)
    with pytest.raises(kind):
        welcome.join(_invited(ana, change, GroupSecrets(change.joiner, path, psks)), eve, rules(), accept=accept)
    good = _invited(ana, change, GroupSecrets(change.joiner, path))
    assert welcome.join(good, eve, rules(), accept=accept).me == 2
    with pytest.raises(FormError, match="unknown kind"):
        welcome.join(
            _invited(ana, change, GroupSecrets(change.joiner, path, (b"\x03\x01n",))), eve, rules(), accept=accept
        )


@pytest.mark.parametrize(
    ("parts", "kind"),
    [({"signer": 1}, SignatureError), ({"signer": 3}, SignatureError), ({"signer": 77}, SignatureError),
     ({"signer": 2}, SignatureError), ({"tag": b""}, CommitError), ({"tag": bytes(32)}, CommitError),
     ({"extensions": ()}, TreeError)],
    ids=["another", "blank", "absent", "oneself", "no-tag", "zero-tag", "no-tree"],
)  # fmt: skip
def test_a_welcome_that_its_signer_cannot_have_made_is_refused(parts: dict[str, Any], kind: type[Exception]) -> None:
    ana, _ben = begun("ana", "ben")
    eve = device("eve")
    change = staged(ana, add=(eve,))
    secrets = GroupSecrets(change.joiner, commits.secret_for(change, 2))
    with pytest.raises(kind):
        welcome.join(_invited(ana, change, secrets, **parts), eve, rules(), accept=accept)


def test_a_welcome_with_a_path_secret_of_another_tree_is_refused() -> None:
    ana, _ben = begun("ana", "ben")
    eve = device("eve")
    change = staged(ana, add=(eve,))
    with pytest.raises(CommitError, match="another key"):
        welcome.join(_invited(ana, change, GroupSecrets(change.joiner, bytes(32))), eve, rules(), accept=accept)
    with pytest.raises(DecryptError):
        welcome.join(
            _invited(ana, change, GroupSecrets(bytes(32), commits.secret_for(change, 2))), eve, rules(), accept=accept
        )


# Time and windows, to the second and to the message


def test_the_epoch_before_is_kept_to_its_last_second() -> None:
    ana, ben, cid = begun("ana", "ben", "cid")
    _, late = said(cid, b"late")
    after, _ = hear(ben, staged(ana).message, rules())
    assert after is not None
    last = NOW + PRODUCT.past_s
    assert without_past(after, now=last, profile=PRODUCT) == after
    assert hear(after, late, rules(now=last))[0] is not None
    assert without_past(after, now=last + 1, profile=PRODUCT).past is None


@pytest.mark.parametrize(("shift", "good"), [(-3660, True), (-3661, False), (86_400 + 3599, True), (90_000, False)])
def test_a_key_package_lives_from_its_first_to_its_last_second(shift: int, *, good: bool) -> None:
    ana, _ben = begun("ana", "ben")
    package = device("eve").package
    judge = rules(now=NOW + shift)
    if good:
        commits.check_package(package, X25519, ana.context, judge)
    else:
        with pytest.raises(TreeError, match="not valid now"):
            commits.check_package(package, X25519, ana.context, judge)


# Who a member is, and who is one no longer


def test_a_member_cannot_become_another_device_by_a_commit() -> None:
    ana, ben, _cid = begun("ana", "ben", "cid")
    path, other = path_of(staged(ana), ben), device("other")
    leaf = replace(path.leaf, signature_key=other.package.leaf.signature_key, identity=b"other")
    leaf = leaf.signed(X25519, other.seed, group_id=ana.context.group_id)
    refuses(ben, committed(ana, Commit((), replace(path, leaf=leaf))), CommitError, match="another device")


def test_a_removed_member_is_not_read_after_its_removal_and_the_others_are() -> None:
    ana, ben, cid, dan = begun("ana", "ben", "cid", "dan")
    change = staged(ana, remove=(2,))
    _, of_the_removed = said(cid, b"I was taken out")
    _, of_a_member = said(dan, b"I had not seen it yet")
    after, _ = hear(ben, change.message, rules())
    assert after is not None
    for group in (after, commits.entered_after(ana, change.next, now=NOW)):
        refuses(group, of_the_removed, SignatureError, match="nobody")
        assert heard(group, of_a_member)[1] == b"I had not seen it yet"


def test_who_is_removed_goes_only_by_a_commit_that_could_hold() -> None:
    ana, ben, _cid, _dan = begun("ana", "ben", "cid", "dan")
    change = staged(ana, remove=(1,))
    commit = commit_of(change, ben)
    path = path_of(change, ben)
    for other, kind in (
        (replace(path, nodes=path.nodes[:-1]), CommitError),
        (replace(path, leaf=replace(path.leaf, parent_hash=bytes(32))), SignatureError),
        (replace(path, nodes=(replace(path.nodes[0], encryption_key=_key(ben)), *path.nodes[1:])), CommitError),
    ):
        refuses(ben, committed(ana, replace(commit, path=other)), kind)
    assert hear(ben, change.message, rules())[0] is None
