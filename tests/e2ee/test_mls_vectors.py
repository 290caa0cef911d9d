"""Our MLS against the official vectors of mlswg/mls-implementations, every case of the suites we implement.

They are read from the directory `MLS_VECTORS` names, else from `vectors/mls` beside the clone, and never copied here.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from protocol.e2ee.mls import treemath
from protocol.e2ee.mls.codec import Reader, u32, vector, whole
from protocol.e2ee.mls.commits import Rules
from protocol.e2ee.mls.framing import (
    APPLICATION,
    COMMIT,
    KEY_PACKAGE_MESSAGE,
    PRIVATE_MESSAGE,
    PROPOSAL,
    WELCOME,
    Content,
    Signed,
    decrypt,
    encrypt,
    open_message,
    parse_private,
    read_body,
    sign_content,
    verify_content,
)
from protocol.e2ee.mls.nodes import LeafNode, read_key_package
from protocol.e2ee.mls.profile import PRODUCT, VERSION
from protocol.e2ee.mls.proposals import Add, Remove, read_commit, read_proposal
from protocol.e2ee.mls.schedule import (
    GroupContext,
    confirmed_hash,
    derive_epoch,
    export,
    interim_hash,
    joiner_secret,
    welcome_secret,
)
from protocol.e2ee.mls.secrettree import secret_tree, take_key
from protocol.e2ee.mls.suites import SUITES, X25519, Suite
from protocol.e2ee.mls.tree import (
    Tree,
    check_tree,
    read_tree,
    resolution,
    tree_hash,
    tree_hashes,
    with_leaf,
    with_update,
    without_leaf,
)
from protocol.e2ee.mls.treekem import Secrets, fresh_path, key_pair, merge_path, open_path, read_path, seal_path
from protocol.e2ee.mls.welcome import (
    Newcomer,
    join,
    parse_welcome,
    read_group_info,
    read_group_secrets,
)
from tests.together import together

from .mls_full.messages import PUBLIC_MESSAGE, Update, membership_tag, public_message, read_public
from .mls_full.passive import WIDE, Follower, Full, psk_secret

DIRECTORY: Final = Path(os.environ.get("MLS_VECTORS") or Path(__file__).parents[3] / "shared" / "vectors" / "mls")
SOURCE: Final = "https://github.com/mlswg/mls-implementations, folder test-vectors"
STEMS: Final = (
    "crypto-basics",
    "deserialization",
    "key-schedule",
    "message-protection",
    "messages",
    "passive-client-handling-commit",
    "passive-client-random",
    "passive-client-welcome",
    "psk_secret",
    "secret-tree",
    "transcript-hashes",
    "tree-math",
    "tree-operations",
    "tree-validation",
    "treekem",
    "welcome",
)
#: Cases of a kind that have no cipher suite count for all.
_NO_SUITE: Final = 0x0001
#: An MLSMessage that is a GroupInfo, which the profile never sends.
GROUP_INFO: Final = 4

Case = dict[str, Any]
h = bytes.fromhex
FULL: Final = replace(WIDE, extras=Full(X25519, {}))


def _cases() -> list[Any]:
    found: list[Any] = []
    for stem in STEMS:
        path = DIRECTORY / f"{stem}.json"
        if not path.is_file():
            found.append(pytest.param(stem, {}, id=f"{stem}: missing"))
            continue
        for number, case in enumerate(json.loads(path.read_bytes())):
            if case.get("cipher_suite", _NO_SUITE) in SUITES:
                found.append(pytest.param(stem, case, id=f"{stem}-{case.get('cipher_suite', _NO_SUITE)}: {number}"))
    return found


@together(_cases(), by=": ")
def test_an_official_case_comes_out_as_written(stem: str, case: Case) -> None:
    if not case:
        pytest.skip(f"{stem}.json is not here: set MLS_VECTORS to a folder with the files of {SOURCE}")
    PLAY[stem](case, SUITES[case.get("cipher_suite", _NO_SUITE)])


def _tree_math(case: Case, suite: Suite) -> None:
    del suite
    leaves = case["n_leaves"]
    assert treemath.node_width(leaves) == case["n_nodes"]
    assert treemath.root(leaves) == case["root"]
    for node in range(case["n_nodes"]):
        if node % 2:
            assert treemath.left(node) == case["left"][node]
            assert treemath.right(node) == case["right"][node]
        if node != case["root"]:
            assert treemath.parent(node) == case["parent"][node]
            assert treemath.sibling(node) == case["sibling"][node]


def _deserialization(case: Case, suite: Suite) -> None:
    del suite
    assert Reader(h(case["vlbytes_header"]), what="a vector").length() == case["length"]


def _crypto_basics(case: Case, suite: Suite) -> None:
    at = case["ref_hash"]
    assert suite.reference(at["label"].encode(), h(at["value"])) == h(at["out"])
    at = case["expand_with_label"]
    assert suite.expand(h(at["secret"]), at["label"].encode(), h(at["context"]), at["length"]) == h(at["out"])
    at = case["derive_secret"]
    assert suite.derive(h(at["secret"]), at["label"].encode()) == h(at["out"])
    at = case["derive_tree_secret"]
    out = suite.expand(h(at["secret"]), at["label"].encode(), u32(at["generation"]), at["length"])
    assert out == h(at["out"])
    _signature(case["sign_with_label"], suite)
    _encryption(case["encrypt_with_label"], suite)


def _signature(at: Case, suite: Suite) -> None:
    public, label, content = h(at["pub"]), at["label"].encode(), h(at["content"])
    suite.verify(public, label, content, h(at["signature"]), what="a vector")
    suite.verify(public, label, content, suite.sign(h(at["priv"])[:32], public, label, content), what="a vector")


def _encryption(at: Case, suite: Suite) -> None:
    private, label, context = h(at["priv"]), at["label"].encode(), h(at["context"])
    sealed = h(at["kem_output"]), h(at["ciphertext"])
    assert suite.open_with(private, label, context, sealed) == h(at["plaintext"])
    again = suite.seal_to(h(at["pub"]), label, context, h(at["plaintext"]))
    assert suite.open_with(private, label, context, again) == h(at["plaintext"])


def _key_schedule(case: Case, suite: Suite) -> None:
    init = h(case["initial_init_secret"])
    for number, epoch in enumerate(case["epochs"]):
        context = GroupContext(
            suite.number, h(case["group_id"]), number, h(epoch["tree_hash"]), h(epoch["confirmed_transcript_hash"])
        )
        assert context.encoded() == h(epoch["group_context"])
        joiner = joiner_secret(suite, init, h(epoch["commit_secret"]), context.encoded())
        assert joiner == h(epoch["joiner_secret"])
        psk = h(epoch["psk_secret"]) if epoch.get("psk_secret") else suite.zero
        derived = derive_epoch(suite, joiner, psk, context.encoded())
        assert derived.welcome == welcome_secret(suite, joiner, psk) == h(epoch["welcome_secret"])
        assert derived.encryption == h(epoch["encryption_secret"])
        kept = derived.secrets
        assert kept.init == h(epoch["init_secret"])
        assert kept.sender_data == h(epoch["sender_data_secret"])
        assert kept.exporter == h(epoch["exporter_secret"])
        assert kept.authenticator == h(epoch["epoch_authenticator"])
        assert kept.confirmation == h(epoch["confirmation_key"])
        assert suite.derive(derived.epoch, b"membership") == h(epoch["membership_key"])
        assert suite.derive(derived.epoch, b"resumption") == h(epoch["resumption_psk"])
        assert suite.kem.derive(suite.derive(derived.epoch, b"external"))[1] == h(epoch["external_pub"])
        out = epoch["exporter"]
        assert export(suite, kept, out["label"].encode(), h(out["context"]), out["length"]) == h(out["secret"])
        init = kept.init


def _secret_tree(case: Case, suite: Suite) -> None:
    at = case["sender_data"]
    sample = h(at["ciphertext"])[: suite.hash_bytes]
    assert suite.expand(h(at["sender_data_secret"]), b"key", sample, suite.key_bytes) == h(at["key"])
    assert suite.expand(h(at["sender_data_secret"]), b"nonce", sample, 12) == h(at["nonce"])
    for leaf, generations in enumerate(case["leaves"]):
        for at in generations:
            tree = secret_tree(h(case["encryption_secret"]), len(case["leaves"]))
            for stream in ("handshake", "application"):
                generation = at["generation"]
                _, key = take_key(tree, suite, leaf=leaf, stream=stream, generation=generation, profile=PRODUCT)
                assert key.key == h(at[f"{stream}_key"])
                assert key.nonce == h(at[f"{stream}_nonce"])


def _psk_secret(case: Case, suite: Suite) -> None:
    psks = [(b"\x01" + vector(h(at["psk_id"])) + vector(h(at["psk_nonce"])), h(at["psk"])) for at in case["psks"]]
    assert psk_secret(suite, psks) == h(case["psk_secret"])


def _transcript(case: Case, suite: Suite) -> None:
    data = h(case["authenticated_content"])
    reader = Reader(data, what="a vector")
    wire_format = reader.u16()
    assert wire_format in (PUBLIC_MESSAGE, PRIVATE_MESSAGE)
    signed = _authenticated(reader)
    committed = signed.committed(wire_format=wire_format)
    confirmed = confirmed_hash(suite, h(case["interim_transcript_hash_before"]), committed)
    assert confirmed == h(case["confirmed_transcript_hash_after"])
    assert suite.mac(h(case["confirmation_key"]), confirmed) == signed.tag
    assert interim_hash(suite, confirmed, signed.tag) == h(case["interim_transcript_hash_after"])


def _authenticated(reader: Reader) -> Signed:
    """Read the content of a member with its signature, as it stands in no message."""
    group_id, epoch, kind, leaf = reader.vector(), reader.u64(), reader.u8(), reader.u32()
    assert kind == 1
    data, content_type = reader.vector(), reader.u8()
    assert content_type == COMMIT
    content = Content(group_id, epoch, leaf, content_type, read_body(reader, content_type, FULL), data)
    return Signed(content, reader.vector(), reader.vector())


def _read(data: str) -> Tree:
    tree = whole(h(data), read_tree, what="a vector")
    assert tree.encoded() == h(data)
    return tree


def _tree_validation(case: Case, suite: Suite) -> None:
    tree = _read(case["tree"])
    assert [list(resolution(tree, node)) for node in range(len(tree.nodes))] == case["resolutions"]
    assert tree_hashes(tree, suite) == [h(each) for each in case["tree_hashes"]]
    check_tree(tree, suite, group_id=h(case["group_id"]), profile=WIDE, wanted=(), check=_anybody)


def _anybody(leaf: LeafNode) -> None:
    del leaf


def _tree_operations(case: Case, suite: Suite) -> None:
    tree = _read(case["tree_before"])
    assert tree_hash(tree, suite) == h(case["tree_hash_before"])
    proposal = whole(h(case["proposal"]), lambda reader: read_proposal(reader, FULL), what="a vector")
    match proposal:
        case Add(package=package):
            tree, _ = with_leaf(tree, package.leaf)
        case Remove(leaf=leaf):
            tree = without_leaf(tree, leaf)
        case Update(leaf=changed):
            tree = with_update(tree, case["proposal_sender"], changed)
        case _:
            pytest.fail("a proposal of another kind")
    assert tree.encoded() == h(case["tree_after"])
    assert tree_hash(tree, suite) == h(case["tree_hash_after"])


def _treekem(case: Case, suite: Suite) -> None:
    tree = _read(case["ratchet_tree"])
    context = GroupContext(suite.number, h(case["group_id"]), case["epoch"], b"", h(case["confirmed_transcript_hash"]))
    known = {at["index"]: _known(tree, at, suite) for at in case["leaves_private"]}
    seeds = {at["index"]: h(at["signature_priv"])[:32] for at in case["leaves_private"]}
    for update in case["update_paths"]:
        sender = update["sender"]
        path = whole(h(update["update_path"]), read_path, what="a vector")
        after = merge_path(tree, suite, path, sender=sender)
        assert tree_hash(after, suite) == h(update["tree_hash_after"])
        path.leaf.verify(suite, group_id=context.group_id, leaf=sender)
        within = replace(context, tree_hash=tree_hash(after, suite)).encoded()
        for me, secrets in known.items():
            if me != sender:
                _, secret = open_path(tree, after, suite, path, sender=sender, me=me, secrets=secrets, context=within)
                assert secret == h(update["commit_secret"])
        _own_path(tree, suite, context, sender, seeds[sender], known)


def _known(tree: Tree, at: Case, suite: Suite) -> Secrets:
    secrets = {2 * at["index"]: h(at["encryption_priv"])}
    for each in at["path_secrets"]:
        private, public = key_pair(suite, h(each["path_secret"]))
        node = tree.nodes[each["node"]]
        assert node is not None
        assert node.encryption_key == public
        secrets[each["node"]] = private
    return secrets


def _own_path(
    tree: Tree, suite: Suite, context: GroupContext, sender: int, seed: bytes, known: dict[int, Secrets]
) -> None:
    """A path that we make is one that everybody can follow."""
    leaf = tree.leaf(sender)
    assert leaf is not None
    entropy = bytes(range(2 * suite.hash_bytes))
    fresh = fresh_path(tree, suite, me=sender, leaf=leaf, seed=seed, group_id=context.group_id, entropy=entropy)
    within = replace(context, tree_hash=tree_hash(fresh.tree, suite)).encoded()
    path = seal_path(fresh, tree, suite, me=sender, context=within)
    after = merge_path(tree, suite, path, sender=sender)
    assert after == fresh.tree
    for me, secrets in known.items():
        if me != sender:
            _, secret = open_path(tree, after, suite, path, sender=sender, me=me, secrets=secrets, context=within)
            assert secret == fresh.commit_secret


def _welcome(case: Case, suite: Suite) -> None:
    package = read_key_package(open_message(h(case["key_package"]), KEY_PACKAGE_MESSAGE, what="a vector"))
    welcome = parse_welcome(h(case["welcome"]))
    mine = dict(welcome.secrets)[package.reference(suite)]
    plain = suite.open_with(h(case["init_priv"]), b"Welcome", welcome.group_info, mine)
    secrets = whole(plain, read_group_secrets, what="a vector")
    secret = welcome_secret(suite, secrets.joiner, suite.zero)
    key, nonce = suite.expand(secret, b"key", b"", suite.key_bytes), suite.expand(secret, b"nonce", b"", 12)
    info = whole(suite.decrypt(key, nonce, welcome.group_info, b""), read_group_info, what="a vector")
    suite.verify(h(case["signer_pub"]), b"GroupInfoTBS", info.content(), info.signature, what="a vector")
    derived = derive_epoch(suite, secrets.joiner, suite.zero, info.context.encoded())
    assert suite.mac(derived.secrets.confirmation, info.context.confirmed) == info.tag


def _message_protection(case: Case, suite: Suite) -> None:
    context = GroupContext(
        suite.number,
        h(case["group_id"]),
        case["epoch"],
        h(case["tree_hash"]),
        h(case["confirmed_transcript_hash"]),
    ).encoded()
    for kind, name in ((PROPOSAL, "proposal"), (COMMIT, "commit"), (APPLICATION, "application")):
        raw = h(case[name])
        _private(case, suite, context, h(case[f"{name}_priv"]), kind, raw)
        if kind != APPLICATION:
            _public(case, suite, context, h(case[f"{name}_pub"]), raw)
        _protected(case, suite, context, kind, raw)


def _private(case: Case, suite: Suite, context: bytes, data: bytes, kind: int, raw: bytes) -> None:
    tree = secret_tree(h(case["encryption_secret"]), 2)
    opened = decrypt(parse_private(data), suite, tree, h(case["sender_data_secret"]), profile=FULL)
    verify_content(opened.signed, suite, h(case["signature_pub"]), context)
    content = opened.signed.content
    assert (content.sender, content.content_type, content.body) == (1, kind, raw)


def _public(case: Case, suite: Suite, context: bytes, data: bytes, raw: bytes) -> None:
    message = read_public(open_message(data, PUBLIC_MESSAGE, what="a vector"), FULL)
    signed = message.signed()
    verify_content(signed, suite, h(case["signature_pub"]), context, wire_format=PUBLIC_MESSAGE)
    assert membership_tag(signed, suite, h(case["membership_key"]), context) == message.membership_tag
    assert signed.content.body == raw


def _protected(case: Case, suite: Suite, context: bytes, kind: int, raw: bytes) -> None:
    """What we protect, we open; application content is never public."""
    signer = h(case["signature_priv"])[:32], h(case["signature_pub"])
    content = Content(h(case["group_id"]), case["epoch"], 1, kind, raw)
    tag = b"\x07" * suite.hash_bytes if kind == COMMIT else b""
    signed = Signed(content, sign_content(content, suite, signer, context), tag)
    tree, secret = secret_tree(h(case["encryption_secret"]), 2), h(case["sender_data_secret"])
    _, message = encrypt(signed, suite, tree, secret, entropy=b"\x01\x02\x03\x04", padding=9)
    opened = decrypt(parse_private(message.encoded()), suite, tree, secret, profile=FULL)
    verify_content(opened.signed, suite, signer[1], context)
    assert opened.signed == signed
    if kind == APPLICATION:
        with pytest.raises(ValueError, match="never public"):
            public_message(signed, suite, h(case["membership_key"]), context)
    else:
        data = public_message(signed, suite, h(case["membership_key"]), context).encoded()
        assert read_public(open_message(data, PUBLIC_MESSAGE, what="a vector"), FULL).signed() == signed


def _messages(case: Case, suite: Suite) -> None:
    del suite
    assert parse_welcome(h(case["mls_welcome"])).encoded() == h(case["mls_welcome"])
    head = VERSION.to_bytes(2, "big")
    info = whole(h(case["mls_group_info"])[4:], read_group_info, what="a vector")
    assert head + GROUP_INFO.to_bytes(2, "big") + info.encoded() == h(case["mls_group_info"])
    package = whole(h(case["mls_key_package"])[4:], read_key_package, what="a vector")
    assert head + KEY_PACKAGE_MESSAGE.to_bytes(2, "big") + package.encoded() == h(case["mls_key_package"])
    assert h(case["mls_welcome"])[2:4] == WELCOME.to_bytes(2, "big")
    _read(case["ratchet_tree"])
    assert whole(h(case["group_secrets"]), read_group_secrets, what="a vector").encoded() == h(case["group_secrets"])
    for number, name in enumerate(
        ("add", "update", "remove", "pre_shared_key", "re_init", "external_init", "group_context_extensions"), 1
    ):
        data = number.to_bytes(2, "big") + h(case[f"{name}_proposal"])
        assert whole(data, lambda reader: read_proposal(reader, FULL), what="a vector").encoded() == data
    commit = whole(h(case["commit"]), lambda reader: read_commit(reader, FULL), what="a vector")
    assert commit.encoded() == h(case["commit"])
    for name in ("application", "proposal", "commit"):
        data = h(case[f"public_message_{name}"])
        assert read_public(open_message(data, PUBLIC_MESSAGE, what="a vector"), FULL).encoded() == data
    assert parse_private(h(case["private_message"])).encoded() == h(case["private_message"])


def _passive(case: Case, suite: Suite) -> None:
    full = Full(suite, {h(at["psk_id"]): h(at["psk"]) for at in case["external_psks"]})
    rules = Rules(replace(WIDE, extras=full), 0, _anybody)
    package = read_key_package(open_message(h(case["key_package"]), KEY_PACKAGE_MESSAGE, what="a vector"))
    own = Newcomer(package, h(case["init_priv"]), h(case["encryption_priv"]), h(case["signature_priv"])[:32])
    assert suite.kem.public(own.init) == package.init_key
    assert suite.kem.public(own.private) == package.leaf.encryption_key
    tree = h(case["ratchet_tree"]) if case["ratchet_tree"] else None
    group = join(h(case["welcome"]), own, rules, accept=lambda _context: None, tree=tree)
    assert group.epoch_secrets.authenticator == h(case["initial_epoch_authenticator"])
    follower = Follower(group, full, rules)
    for epoch in case["epochs"]:
        for message in (*epoch["proposals"], epoch["commit"]):
            follower.hear(h(message))
        assert follower.group.epoch_secrets.authenticator == h(epoch["epoch_authenticator"])


PLAY: Final[dict[str, Callable[[Case, Suite], None]]] = {
    "crypto-basics": _crypto_basics,
    "deserialization": _deserialization,
    "key-schedule": _key_schedule,
    "message-protection": _message_protection,
    "messages": _messages,
    "passive-client-handling-commit": _passive,
    "passive-client-random": _passive,
    "passive-client-welcome": _passive,
    "psk_secret": _psk_secret,
    "secret-tree": _secret_tree,
    "transcript-hashes": _transcript,
    "tree-math": _tree_math,
    "tree-operations": _tree_operations,
    "tree-validation": _tree_validation,
    "treekem": _treekem,
    "welcome": _welcome,
}
