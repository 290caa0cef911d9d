"""What a group refuses; every case leaves the state byte for byte as it was.

Changed and cut bytes of every kind of message are in `test_mls_mutations.py`, what only a member can send in
`test_mls_insiders.py`, and a relay that delays, drops, reorders, repeats and forges in `test_mls_machine.py`.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from protocol.e2ee.mls import commits, framing, welcome
from protocol.e2ee.mls.codec import FormError, vector, whole
from protocol.e2ee.mls.commits import Rules
from protocol.e2ee.mls.errors import (
    CommitError,
    ContextError,
    DecryptError,
    EpochError,
    MemberError,
    ProfileError,
    ReplayError,
    SignatureError,
    TreeError,
)
from protocol.e2ee.mls.framing import APPLICATION, Content, Signed, encrypt, sign_content
from protocol.e2ee.mls.group import hear
from protocol.e2ee.mls.nodes import UPDATE, Capabilities, LeafNode, ParentNode, read_key_package
from protocol.e2ee.mls.profile import PRODUCT
from protocol.e2ee.mls.proposals import Add, Commit, Reference, Remove
from protocol.e2ee.mls.schedule import GroupContext
from protocol.e2ee.mls.state import Group, agreement_of, alone, fingerprint
from protocol.e2ee.mls.suites import X25519, X_WING
from protocol.e2ee.mls.tree import changed, check_tree, tree_hash
from protocol.errors import MeshError

from .groups import (
    AGREED,
    NOW,
    accept,
    anybody,
    begun,
    commit_of,
    committed,
    device,
    drawn,
    heard,
    rules,
    said,
    spoken_as,
    staged,
)


def dumped(group: Group) -> bytes:
    return msgspec.msgpack.encode(group)


def refuses(group: Group, data: bytes, kind: type[Exception] = MeshError, *, judge: Rules | None = None) -> None:
    """The message is refused by a named error, and the state is what it was."""
    before = dumped(group)
    with pytest.raises(kind) as caught:
        hear(group, data, judge or rules())
    assert isinstance(caught.value, MeshError)
    assert caught.value.code not in ("error", "refused", "unverified", "malformed")
    assert dumped(group) == before


# Application messages


def test_a_member_who_speaks_from_anothers_place_is_refused() -> None:
    _ana, ben, cid = begun("ana", "ben", "cid")
    refuses(ben, spoken_as(cid, 0, cid.seed, cid.signer), SignatureError)


@pytest.mark.parametrize(
    "signature", [b"", b"\x00" * 64, b"\x01" * 63, b"\x01" * 65], ids=["none", "zero", "cut", "long"]
)
def test_a_message_without_a_whole_signature_is_refused(signature: bytes) -> None:
    ana, ben = begun("ana", "ben")
    refuses(ben, spoken_as(ana, 0, ana.seed, ana.signer, signature=signature), SignatureError)


def test_a_message_from_a_blank_or_absent_place_is_refused() -> None:
    ana, ben, _cid = begun("ana", "ben", "cid")
    refuses(ben, spoken_as(ana, 3, ana.seed, ana.signer), SignatureError)


def test_messages_are_read_in_any_order_within_the_window_and_each_once() -> None:
    ana, ben = begun("ana", "ben")
    sent = []
    for number in range(PRODUCT.window + 2):
        ana, data = said(ana, b"%d" % number, number)
        sent.append(data)
    ben, body = heard(ben, sent[-1])
    assert body == b"65"
    refuses(ben, sent[0], ReplayError)
    for number in range(1, len(sent) - 1):
        ben, body = heard(ben, sent[number])
        assert body == b"%d" % number
        refuses(ben, sent[number], ReplayError)


def test_a_message_too_far_ahead_is_refused_without_deriving_its_key() -> None:
    ana, ben = begun("ana", "ben")
    sent = []
    for number in range(PRODUCT.forward + 2):
        ana, data = said(ana, b"x", number)
        sent.append(data)
    refuses(ben, sent[-1], ReplayError)
    heard(ben, sent[-2])


def test_padding_that_is_not_zero_is_refused() -> None:
    ana, ben = begun("ana", "ben")
    content = Content(ana.context.group_id, ana.epoch, 0, APPLICATION, b"hello")
    signature = sign_content(content, ana.suite, (ana.seed, ana.signer), ana.encoded)

    class Padded(Signed, frozen=True):
        def auth(self) -> bytes:
            return super().auth() + b"\x00\x01\x00"

    keys = ana.keys, ana.epoch_secrets.sender_data
    _, message = encrypt(Padded(content, signature), ana.suite, *keys, entropy=b"abcd")
    refuses(ben, message.encoded(), DecryptError)


def test_a_message_of_another_group_is_refused() -> None:
    ana, _ = begun("ana", "ben")
    _, other = begun("ana", "ben", "cid")[:2]
    refuses(other, said(ana, b"hello")[1], EpochError)


def test_the_epoch_before_is_read_for_a_minute_and_the_one_before_that_is_not() -> None:
    ana, ben, cid = begun("ana", "ben", "cid")
    _, late = said(cid, b"late", "late")
    _, later = said(cid, b"later", "late")
    change = staged(ana)
    ben, _ = hear(ben, change.message, rules())  # type: ignore[assignment]
    refuses(ben, late, EpochError, judge=rules(now=NOW + PRODUCT.past_s + 1))
    ben, body = heard(ben, late)
    assert body == b"late"
    again = staged(change.next, salt=1)
    ben, _ = hear(ben, again.message, rules())  # type: ignore[assignment]
    refuses(ben, later, EpochError)


# Commits


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda _path: Commit((), None), CommitError),
        (lambda _path: Commit((Remove(1),), None), CommitError),
        (lambda path: Commit((Remove(0),), path), CommitError),
        (lambda path: Commit((Remove(3),), path), CommitError),
        (lambda path: Commit((Remove(77),), path), CommitError),
        (lambda path: Commit((Remove(2), Remove(2)), path), CommitError),
        (lambda path: Commit((Reference(b"r" * 32),), path), ProfileError),
        (lambda path: Commit((Add(device("ben").package),), path), TreeError),
        (lambda path: Commit((Add(device("dan", X_WING).package),), path), TreeError),
        (lambda path: Commit((Add(device("dan").package), Add(device("dan").package)), path), TreeError),
        (lambda path: Commit((), replace(path, nodes=path.nodes[:-1])), CommitError),
        (lambda path: Commit((), replace(path, nodes=(*path.nodes, path.nodes[0]))), CommitError),
        (lambda path: Commit((), replace(path, leaf=replace(path.leaf, parent_hash=b"\x00" * 32))), SignatureError),
        (lambda path: Commit((), path), CommitError),
    ],
    ids=[
        "nothing", "removal-without-path", "own-removal", "blank-removal", "absent-removal", "double-removal",
        "by-reference", "member-twice", "other-suite", "same-twice", "short-path", "long-path", "parent-hash", "tag",
    ],
)  # fmt: skip
def test_a_commit_that_none_may_make_is_refused(make: Callable[[Any], Commit[Any]], kind: type[Exception]) -> None:
    ana, ben, _cid = begun("ana", "ben", "cid")
    path = commit_of(staged(ana), ben).path
    refuses(ben, committed(ana, make(path)), kind)


@pytest.mark.parametrize("kind", [2, 4, 5, 6, 7, 8, 0xF000])
def test_proposals_outside_the_profile_are_refused(kind: int) -> None:
    class Other(msgspec.Struct):
        def encoded(self) -> bytes:
            return kind.to_bytes(2, "big") + vector(b"\x00" * 8)

    ana, ben = begun("ana", "ben")
    path = commit_of(staged(ana), ben).path
    refuses(ben, committed(ana, Commit((Other(),), path)), ProfileError)


def test_public_messages_and_proposals_as_messages_are_refused() -> None:
    ana, ben = begun("ana", "ben")
    _, data = said(ana, b"hello")
    refuses(ben, data[:2] + b"\x00\x01" + data[4:], FormError)
    content = Content(ana.context.group_id, ana.epoch, 0, framing.PROPOSAL, Remove(1).encoded())
    signed = Signed(content, sign_content(content, ana.suite, (ana.seed, ana.signer), ana.encoded))
    _, message = encrypt(signed, ana.suite, ana.keys, ana.epoch_secrets.sender_data, entropy=b"abcd")
    refuses(ben, message.encoded(), ProfileError)


def test_a_bogus_commit_does_not_keep_the_genuine_one_out() -> None:
    ana, ben, cid = begun("ana", "ben", "cid")
    path = commit_of(staged(cid), ben).path
    refuses(ben, committed(cid, Commit((), path)), CommitError)
    change = staged(ana)
    after, _ = hear(ben, change.message, rules())
    assert after is not None
    assert fingerprint(after) == fingerprint(change.next)


def test_the_second_commit_of_an_epoch_is_refused_by_everybody() -> None:
    ana, ben, cid = begun("ana", "ben", "cid")
    first, second = staged(ana), staged(cid)
    ben, _ = hear(ben, first.message, rules())  # type: ignore[assignment]
    refuses(ben, second.message, EpochError)
    refuses(first.next, second.message, EpochError)


def test_an_unchecked_device_cannot_be_added_nor_slip_in_by_a_path() -> None:
    ana, ben, _cid = begun("ana", "ben", "cid")

    def known(leaf: LeafNode) -> None:
        if leaf.identity not in (b"ana", b"ben", b"cid"):
            raise MemberError("a device was not checked")

    refuses(ben, staged(ana, add=(device("mallory"),)).message, MemberError, judge=rules(check=known))
    with pytest.raises(MemberError):
        commits.make(ana, add=[device("mallory").package], rules=rules(check=known), entropy=drawn("x"))
    path = commit_of(staged(ana), ben).path
    assert path is not None
    leaf = replace(path.leaf, identity=b"mallory").signed(ana.suite, ana.seed, group_id=ana.context.group_id, leaf=0)
    refuses(ben, committed(ana, Commit((), replace(path, leaf=leaf))), MemberError, judge=rules(check=known))


def test_a_removed_member_reads_nothing_more() -> None:
    ana, ben, cid = begun("ana", "ben", "cid")
    change = staged(ana, remove=(2,))
    ben, _ = hear(ben, change.message, rules())  # type: ignore[assignment]
    gone, _ = hear(cid, change.message, rules())
    assert gone is None
    refuses(cid, said(ben, b"alone now")[1], EpochError)


def test_a_group_does_not_grow_beyond_the_profile() -> None:
    small, enough = replace(PRODUCT, max_leaves=2), replace(PRODUCT, max_leaves=3)
    ana, _ben = begun("ana", "ben")
    full = commits.make(ana, add=[device("cid").package], rules=rules(profile=enough), entropy=drawn("x"))
    assert len(list(full.next.tree.members())) == 3
    with pytest.raises(CommitError):
        commits.make(ana, add=[device("cid").package], rules=rules(profile=small), entropy=drawn("x"))


# Key packages


@pytest.mark.parametrize(
    "change",
    [
        lambda leaf: replace(leaf, lifetime=(NOW - 90_000, NOW - 86_400)),
        lambda leaf: replace(leaf, lifetime=(NOW + 86_400, NOW + 90_000)),
        lambda leaf: replace(leaf, lifetime=(NOW, NOW + 500 * 86_400)),
        lambda leaf: replace(leaf, capabilities=Capabilities((2,), (1,), (0xF0A7,), (), (1,))),
        lambda leaf: replace(leaf, capabilities=Capabilities((1,), (2,), (0xF0A7,), (), (1,))),
        lambda leaf: replace(leaf, capabilities=Capabilities((1,), (1,), (), (), (1,))),
        lambda leaf: replace(leaf, capabilities=Capabilities((1,), (1,), (0xF0A7,), (), (2,))),
        lambda leaf: replace(leaf, source=UPDATE),
    ],
    ids=["expired", "early", "too-long", "version", "suite", "extension", "credential", "source"],
)
def test_a_device_that_cannot_take_part_is_not_added(change: Callable[[LeafNode], LeafNode]) -> None:
    ana, _ben = begun("ana", "ben")
    with pytest.raises(TreeError):
        staged(ana, add=(device("cid", change=change),))


def _add(group: Group, data: bytes) -> bytes:
    package = whole(data, read_key_package, what="a key package")
    return welcome.make(commits.make(group, add=[package], rules=rules(), entropy=drawn("x")))


@pytest.mark.parametrize(
    "key", [b"", b"\x00" * 32, b"\x01" + b"\x00" * 31, b"\x00" * 31], ids=["none", "zero", "one", "cut"]
)
def test_low_order_and_short_encryption_keys_are_refused(key: bytes) -> None:
    ana, _ben = begun("ana", "ben")
    own = device("cid")
    package = replace(own.package, init_key=key).signed(X25519, own.seed)
    with pytest.raises(MeshError):
        _add(ana, package.encoded())


def test_a_hybrid_key_of_another_length_is_refused() -> None:
    ana, _ben = begun("ana", "ben", suite=X_WING)
    own = device("cid", X_WING)
    for key in (own.package.init_key[:-1], own.package.init_key + b"\x00", b"\xff" * 1216):
        package = replace(own.package, init_key=key).signed(X_WING, own.seed)
        with pytest.raises(FormError):
            commits.make(ana, add=[package], rules=rules(), entropy=drawn("x"))


def test_one_key_for_two_uses_is_refused() -> None:
    ana, _ben = begun("ana", "ben")
    own = device("cid")
    package = replace(own.package, init_key=own.package.leaf.encryption_key).signed(X25519, own.seed)
    with pytest.raises(TreeError):
        commits.make(ana, add=[package], rules=rules(), entropy=drawn("x"))


# Welcomes


def test_a_welcome_for_somebody_else_or_another_agreement_is_refused() -> None:
    ana, _ben = begun("ana", "ben")
    own = device("cid")
    data = welcome.make(staged(ana, add=(own,)))
    with pytest.raises(DecryptError):
        welcome.join(data, device("dan"), rules(), accept=accept)

    def other(context: GroupContext) -> None:
        if agreement_of(context) != b"\x00" * 32:
            raise ContextError("another agreement")

    with pytest.raises(ContextError):
        welcome.join(data, own, rules(), accept=other)
    bare = replace(ana.context, extensions=())
    with pytest.raises(ContextError):
        agreement_of(bare)


def test_a_welcome_into_a_group_with_an_unchecked_member_is_refused() -> None:
    ana, _ben = begun("ana", "ben")
    own = device("cid")

    def known(leaf: LeafNode) -> None:
        if leaf.identity == b"ben":
            raise MemberError("a device was not checked")

    with pytest.raises(MemberError):
        welcome.join(welcome.make(staged(ana, add=(own,))), own, rules(check=known), accept=accept)


# Trees


def _checked(group: Group) -> None:
    wanted = [each.kind for each in group.context.extensions]
    check_tree(group.tree, group.suite, group_id=group.context.group_id, profile=PRODUCT, wanted=wanted, check=anybody)


def test_a_tree_that_no_honest_members_made_is_refused() -> None:
    ana, ben, cid = begun("ana", "ben", "cid")
    change = staged(cid)
    ana, _ = hear(ana, change.message, rules())  # type: ignore[assignment]
    _checked(ana)
    keyed = [node for node in range(1, len(ana.tree.nodes), 2) if ana.tree.nodes[node] is not None]
    assert keyed
    for node in keyed:
        parent = ana.tree.parent(node)
        assert parent is not None
        others: list[ParentNode] = [
            replace(parent, parent_hash=b"\x01" * 32),
            replace(parent, encryption_key=ben.tree.nodes[0].encryption_key),  # type: ignore[union-attr]
            replace(parent, unmerged=(0,)),
            replace(parent, unmerged=(3,)),
            replace(parent, unmerged=(77,)),
        ]
        for other in others:
            with pytest.raises((TreeError, FormError)):
                _checked(replace(ana, tree=changed(ana.tree, {node: other})))


def test_a_tree_with_a_leaf_moved_or_copied_is_refused() -> None:
    ana, _ben, cid = begun("ana", "ben", "cid")
    change = staged(cid)
    ana, _ = hear(ana, change.message, rules())  # type: ignore[assignment]
    moved = changed(ana.tree, {6: ana.tree.nodes[4], 4: None})
    with pytest.raises(MeshError):
        _checked(replace(ana, tree=moved))
    with pytest.raises(TreeError):
        _checked(replace(ana, tree=changed(ana.tree, {6: ana.tree.nodes[4]})))


def test_a_welcome_with_a_tree_that_its_epoch_does_not_name_is_refused() -> None:
    ana, _ben = begun("ana", "ben")
    own = device("cid")
    change = staged(ana, add=(own,))
    other = replace(change.next, tree=changed(change.next.tree, {1: None}))
    assert tree_hash(other.tree, other.suite) != change.next.context.tree_hash
    with pytest.raises(TreeError):
        welcome.join(welcome.make(replace(change, next=other)), own, rules(), accept=accept)


def test_a_group_of_one_is_bound_to_its_agreement() -> None:
    own = device("ana")
    group = alone(X25519, own.package.leaf, private=own.private, seed=own.seed, agreement=AGREED, entropy=drawn(1))
    assert agreement_of(group.context) == AGREED
