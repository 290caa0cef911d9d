"""What is written down of the engine: codes, names and numbers that others rely on, and the edges of its forms."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from msgspec.structs import replace

from protocol.e2ee.mls.codec import FormError, Reader, vector, vector_of, whole
from protocol.e2ee.mls.commits import apply
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
from protocol.e2ee.mls.group import Spoken, hear
from protocol.e2ee.mls.nodes import Extension, ParentNode, read_extensions, write_extensions
from protocol.e2ee.mls.profile import AGREEMENT, GROUP_ID_BYTES, MAX_EPOCH, PRODUCT
from protocol.e2ee.mls.proof import agreement_proven, proof_of
from protocol.e2ee.mls.state import alone, message_name
from protocol.e2ee.mls.suites import SUITES, X25519, X_WING, Suite
from protocol.e2ee.mls.tree import changed, check_leaf, read_tree
from protocol.errors import MeshError, RefusedError, UnverifiedError

from .groups import AGREED, begun, device, drawn, rules, said, staged


@pytest.mark.parametrize(
    ("kind", "code", "base"),
    [
        (FormError, "mls-form", MeshError),
        (DecryptError, "mls-decrypt", UnverifiedError),
        (SignatureError, "mls-signature", UnverifiedError),
        (TreeError, "mls-tree", UnverifiedError),
        (CommitError, "mls-commit", UnverifiedError),
        (MemberError, "unknown-member", UnverifiedError),
        (ContextError, "wrong-context", UnverifiedError),
        (EpochError, "mls-epoch", RefusedError),
        (ReplayError, "replayed", RefusedError),
        (ProfileError, "mls-profile", RefusedError),
    ],
)
def test_a_refusal_has_the_code_that_clients_show(kind: type[MeshError], code: str, base: type[MeshError]) -> None:
    assert kind.code == code
    assert issubclass(kind, base)


def test_the_profile_is_as_small_as_its_page_says() -> None:
    assert PRODUCT.suites == SUITES.keys() == {0x0001, 0xF00D}
    assert (PRODUCT.max_leaves, PRODUCT.window, PRODUCT.forward, PRODUCT.past_s) == (32, 64, 256, 60)
    assert (PRODUCT.lifetime_s, PRODUCT.skew_s) == (400 * 86_400, 3600)
    assert (MAX_EPOCH, GROUP_ID_BYTES) == (2**20, 16)


def test_trees_of_one_and_of_many_are_read_as_they_were_written() -> None:
    own = device("ana")
    group = alone(X25519, own.package.leaf, private=own.private, seed=own.seed, agreement=AGREED, entropy=drawn(1))
    for tree in (group.tree, *(begun(*"abcdefghi"[:size])[0].tree for size in (2, 3, 4, 5, 9))):
        assert whole(tree.encoded(), read_tree, what="a tree") == tree


def test_a_tree_that_is_empty_or_ends_with_a_blank_is_refused() -> None:
    for data in (b"\x00", vector(b"\x00"), vector_of([b"\x00", b"\x00"])):
        with pytest.raises(FormError):
            whole(data, read_tree, what="a tree")


def test_a_tree_with_a_node_where_one_of_the_other_kind_stands_is_refused() -> None:
    tree = begun("ana", "ben", "cid", "dan")[0].tree
    leaf, parent = tree.nodes[6], ParentNode(device("eve").package.init_key, b"")
    for number, node in ((1, leaf), (3, leaf), (0, parent), (4, parent)):
        with pytest.raises(FormError, match="or the reverse"):
            whole(changed(tree, {number: node}).encoded(), read_tree, what="a tree")


def test_who_removes_the_only_other_member_goes_on_alone_and_can_invite_again() -> None:
    ana, _ben = begun("ana", "ben")
    left = staged(ana, remove=(1,)).next
    assert [number for number, _ in left.tree.members()] == [0]
    assert left.tree.leaves == 1
    assert len(list(staged(left, add=(device("cid"),)).next.tree.members())) == 2


@pytest.mark.parametrize(("suite", "size"), [(X25519, 32), (X_WING, 1120)], ids=["x25519", "x-wing"])
def test_a_sealed_secret_stands_behind_an_encapsulation_of_its_own_size(suite: Suite, size: int) -> None:
    _, public = suite.kem.derive(drawn("key") * 2)
    encapsulated, ciphertext = suite.seal_to(public, b"label", b"context", b"secret")
    assert (len(encapsulated), len(ciphertext)) == (size, len(b"secret") + 16)


def test_a_proof_of_a_group_of_a_suite_that_nobody_knows_is_refused() -> None:
    ana, ben = begun("ana", "ben")
    _, spoken = hear(ben, said(ana, b"word")[1], rules())
    assert isinstance(spoken, Spoken)
    assert agreement_proven(proof_of(spoken), b"word", ana.signer) == AGREED
    other = replace(spoken, context=replace(ana.context, suite=0x0002).encoded())
    with pytest.raises(ContextError, match="another suite"):
        agreement_proven(proof_of(other), b"word", ana.signer)


def test_a_length_of_eight_bytes_is_refused_even_if_it_is_the_shortest() -> None:
    with pytest.raises(FormError, match="eight bytes"):
        Reader(bytes.fromhex("c000000040000000"), what="a vector").length()


def test_an_extension_occurs_once() -> None:
    twice = (Extension(AGREEMENT, b"a"), Extension(AGREEMENT, b"b"))
    with pytest.raises(FormError, match="twice"):
        whole(write_extensions(twice), read_extensions, what="extensions")
    assert whole(write_extensions(twice[:1]), read_extensions, what="extensions") == twice[:1]


def test_a_message_is_known_again_by_its_name() -> None:
    names = {message_name(data) for data in (b"", b"a", b"b", b"\x00a")}
    assert len(names) == 4
    assert {len(name) for name in names} == {32}


@pytest.mark.parametrize("suite", SUITES.values(), ids=repr)
def test_secrets_of_any_length_are_those_of_hkdf(suite: Suite) -> None:
    """RFC 9420 §8 expands by HKDF-Expand, also beyond one block of the hash."""
    algorithm = hashes.SHA256() if suite.hash_bytes == 32 else hashes.SHA512()
    secret = drawn("secret") * 2
    for size in (1, suite.hash_bytes, suite.hash_bytes + 1, 3 * suite.hash_bytes + 7):
        info = size.to_bytes(2, "big") + vector(b"MLS 1.0 label") + vector(b"context")
        expected = HKDFExpand(algorithm, size, info).derive(secret)
        assert suite.expand(secret, b"label", b"context", size) == expected


@pytest.mark.parametrize("suite", SUITES.values(), ids=repr)
def test_a_ciphertext_of_nothing_but_its_tag_opens_and_a_shorter_one_does_not(suite: Suite) -> None:
    key, nonce = drawn("key")[: suite.key_bytes], drawn("nonce")[:12]
    tag = suite.encrypt(key, nonce, b"", b"aad")
    assert suite.decrypt(key, nonce, tag, b"aad") == b""
    for size in (0, 1, 15):
        with pytest.raises(DecryptError):
            suite.decrypt(key, nonce, tag[:size], b"aad")


@pytest.mark.parametrize("data", ["4000", "403f", "80000000", "80003fff", "c0", "ff", "40", "800000", ""])
def test_a_length_in_other_than_its_shortest_form_is_refused(data: str) -> None:
    with pytest.raises(FormError):
        Reader(bytes.fromhex(data), what="a vector").length()


def test_what_is_written_is_read_and_trailing_bytes_are_refused() -> None:
    for size in (0, 1, 63, 64, 16_383, 16_384):
        data = vector(bytes(size))
        assert whole(data, Reader.vector, what="a vector") == bytes(size)
        with pytest.raises(FormError):
            whole(data + b"\x00", Reader.vector, what="a vector")


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, AGREEMENT])
def test_a_leaf_may_have_extensions_that_everybody_knows(kind: int) -> None:
    leaf = replace(device("ana").package.leaf, extensions=(Extension(kind, b""),))
    check_leaf(leaf, X25519, wanted=[kind])


@pytest.mark.parametrize("kind", [0, 6, 0xF0A8])
def test_a_leaf_may_not_have_extensions_that_it_does_not_claim_to_know(kind: int) -> None:
    leaf = replace(device("ana").package.leaf, extensions=(Extension(kind, b""),))
    with pytest.raises(TreeError, match="extension"):
        check_leaf(leaf, X25519, wanted=[])
    with pytest.raises(TreeError, match="extension"):
        check_leaf(device("ana").package.leaf, X25519, wanted=[kind])


def test_two_groups_of_one_device_have_different_names_and_secrets() -> None:
    own = device("ana")
    first, second = (
        alone(X25519, own.package.leaf, private=own.private, seed=own.seed, agreement=AGREED, entropy=drawn(number))
        for number in range(2)
    )
    assert len(first.context.group_id) == 16
    secrets = {first.context.group_id, second.context.group_id, *map(bytes, (first.interim, second.interim))}
    assert len(secrets) == 4
    assert first.epoch_secrets != second.epoch_secrets
    with pytest.raises(ValueError, match="32 bytes"):
        alone(X25519, own.package.leaf, private=own.private, seed=own.seed, agreement=AGREED, entropy=bytes(31))


def test_what_holds_secrets_does_not_show_them() -> None:
    group = begun("ana", "ben")[0]
    change = staged(group)
    draft = apply(group, X25519, [], group.me, rules())
    hidden = (group.seed, group.epoch_secrets.exporter, *group.secrets.values(), *change.fresh.secrets.values())
    hidden += (change.joiner, change.welcome_secret, change.fresh.commit_secret, change.next.epoch_secrets.init)
    for value in (group, group.epoch_secrets, group.keys, device("ana"), change, change.fresh, draft):
        assert not any(repr(secret)[2:-1] in repr(value) for secret in hidden)
    spoke, _ = said(group, b"hello")
    assert repr(spoke) == "Group(epoch=1, me=0)"
    assert repr(spoke.past) == "Past(0)"
    assert repr(spoke.keys) == "SecretTree(2)"
    assert repr(spoke.keys.ratchets[0, "application"]) == "Ratchet(1)"
