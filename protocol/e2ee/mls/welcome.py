"""Welcomes: how new members learn the epoch that a commit began, and how they judge the group they are invited to.

Source: RFC 9420 §12.4.3.
"""

from collections.abc import Callable
from hmac import compare_digest
from typing import Final

import msgspec

from . import treemath
from .codec import FormError, Reader, optional, u16, u32, vector, vector_of, whole
from .commits import Rules, Staged, secret_for
from .errors import CommitError, DecryptError, SignatureError, TreeError
from .framing import WELCOME, open_message
from .nodes import Extension, KeyPackage, read_extensions, write_extensions
from .profile import RATCHET_TREE, VERSION
from .schedule import GroupContext, read_context, welcome_secret
from .state import Group, enter
from .suites import NONCE_BYTES, SUITES, Suite
from .tree import Tree, check_tree, filtered_path, read_tree, tree_hash
from .treekem import Secrets, learn, read_sealed

#: Raised for a suite that is not ours; names no more than that.
_OTHER_SUITE: Final = "a welcome is for another cipher suite"


class GroupInfo(msgspec.Struct, frozen=True, array_like=True):
    """An epoch as its committer describes it to newcomers."""

    context: GroupContext
    extensions: tuple[Extension, ...]
    tag: bytes
    signer: int
    signature: bytes = b""

    def content(self) -> bytes:
        """Return the bytes that are signed."""
        return self.context.encoded() + write_extensions(self.extensions) + vector(self.tag) + u32(self.signer)

    def encoded(self) -> bytes:
        """Return the bytes of the structure."""
        return self.content() + vector(self.signature)


def read_group_info(reader: Reader) -> GroupInfo:
    """Return the next group info."""
    return GroupInfo(read_context(reader), read_extensions(reader), reader.vector(), reader.u32(), reader.vector())


class GroupSecrets(msgspec.Struct, frozen=True):
    """What one newcomer gets; `psks` are encoded ids of pre-shared keys, outside the profile."""

    joiner: bytes
    path_secret: bytes | None
    psks: tuple[bytes, ...] = ()

    def encoded(self) -> bytes:
        """Return the bytes of the structure."""
        path = vector(self.path_secret) if self.path_secret is not None else None
        return vector(self.joiner) + optional(path) + vector_of(self.psks)

    def __repr__(self) -> str:
        return "GroupSecrets(…)"


def read_group_secrets(reader: Reader) -> GroupSecrets:
    """Return the next group secrets."""
    joiner = reader.vector()
    path_secret = reader.vector() if reader.optional() else None
    return GroupSecrets(joiner, path_secret, reader.each(read_psk_id))


def read_psk_id(reader: Reader) -> bytes:
    """Return the bytes of the next id of a pre-shared key. Raises: FormError: of an unknown kind."""
    start, kind = reader.at, reader.u8()
    if kind == 1:
        reader.vector()
    elif kind == 2:
        reader.u8()
        reader.vector()
        reader.u64()
    else:
        raise FormError("a pre-shared key is of an unknown kind")
    reader.vector()
    return reader.since(start)


class Welcome(msgspec.Struct, frozen=True):
    """For each newcomer, by the name of its key package, a sealed secret; and the group info, encrypted for all."""

    suite: int
    secrets: tuple[tuple[bytes, tuple[bytes, bytes]], ...]
    group_info: bytes

    def encoded(self) -> bytes:
        """Return the bytes of an MLSMessage with this in it."""
        each = (
            vector(name) + vector(encapsulated) + vector(ciphertext)
            for name, (encapsulated, ciphertext) in self.secrets
        )
        head = u16(VERSION) + u16(WELCOME) + u16(self.suite)
        return head + vector_of(each) + vector(self.group_info)


def read_welcome(reader: Reader) -> Welcome:
    """Return the next welcome."""
    return Welcome(reader.u16(), reader.each(lambda inner: (inner.vector(), read_sealed(inner))), reader.vector())


def parse_welcome(data: bytes) -> Welcome:
    """Return the welcome that `data` is. Raises: FormError."""
    reader = open_message(data, WELCOME, what="a welcome")
    welcome = read_welcome(reader)
    reader.end()
    return welcome


def make(staged: Staged) -> bytes:
    """Return the welcome for everybody whom a commit added."""
    group = staged.next
    suite = group.suite
    info = GroupInfo(group.context, (Extension(RATCHET_TREE, group.tree.encoded()),), staged.tag, group.me)
    signature = suite.sign(group.seed, group.signer, b"GroupInfoTBS", info.content())
    key, nonce = _info_key(suite, staged.welcome_secret)
    sealed_info = suite.encrypt(key, nonce, msgspec.structs.replace(info, signature=signature).encoded(), b"")
    secrets = []
    for place, package in staged.joined:
        plain = GroupSecrets(staged.joiner, secret_for(staged, place)).encoded()
        secrets.append((package.reference(suite), suite.seal_to(package.init_key, b"Welcome", sealed_info, plain)))
    return Welcome(suite.number, tuple(secrets), sealed_info).encoded()


class Newcomer(msgspec.Struct, frozen=True):
    """A key package with its private halves: of the one-time key, of the leaf's key, and the signer's seed."""

    package: KeyPackage
    init: bytes
    private: bytes
    seed: bytes

    def __repr__(self) -> str:
        return "Newcomer(…)"


def join(
    data: bytes,
    own: Newcomer,
    rules: Rules,
    *,
    accept: Callable[[GroupContext], None],
    tree: bytes | None = None,
) -> Group:
    """Return the group that a welcome invites to, once everything about it holds.

    Args:
        accept: raises unless a group with this context was agreed on.
        tree: the ratchet tree when it does not stand in the welcome.
    Raises: FormError, DecryptError, SignatureError, TreeError, CommitError, ProfileError; what `accept` and
        `rules.check` raise.
    """
    welcome = parse_welcome(data)
    suite = SUITES.get(welcome.suite)
    if suite is None or welcome.suite != own.package.suite or welcome.suite not in rules.profile.suites:
        raise TreeError(_OTHER_SUITE)
    secrets = _own_secrets(welcome, suite, own)
    psk = rules.profile.extras.psk_secret(secrets.psks) if secrets.psks else suite.zero
    key, nonce = _info_key(suite, welcome_secret(suite, secrets.joiner, psk))
    info = whole(suite.decrypt(key, nonce, welcome.group_info, b""), read_group_info, what="a group info")
    if info.context.suite != suite.number:
        raise TreeError(_OTHER_SUITE)
    accept(info.context)
    found = _tree(info, tree, rules.profile.max_leaves)
    _check(found, info, suite, rules)
    me = _place(found, own.package)
    learned = _learn(found, suite, secrets.path_secret, signer=info.signer, me=me, secrets={2 * me: own.private})
    group, tag, derived = enter(
        None,
        suite=suite,
        context=info.context,
        joiner=secrets.joiner,
        psk=psk,
        tree=found,
        me=me,
        seed=own.seed,
        secrets=learned,
        now=rules.now,
    )
    if not compare_digest(tag, info.tag):
        raise CommitError("a welcome leads to another epoch than its sender's")
    rules.profile.extras.entered(group.context, derived)
    return group


def _own_secrets(welcome: Welcome, suite: Suite, own: Newcomer) -> GroupSecrets:
    name = own.package.reference(suite)
    mine = [sealed for reference, sealed in welcome.secrets if reference == name]
    if len(mine) != 1:
        raise DecryptError("a welcome is not for this key package")
    plain = suite.open_with(own.init, b"Welcome", welcome.group_info, mine[0])
    return whole(plain, read_group_secrets, what="the secrets of a welcome")


def _tree(info: GroupInfo, given: bytes | None, most: int) -> Tree:
    data = next((each.data for each in info.extensions if each.kind == RATCHET_TREE), given)
    if data is None:
        raise TreeError("a welcome comes without its tree")
    tree = whole(data, read_tree, what="a ratchet tree")
    if tree.leaves >= 2 * most:  # newcomers fill the leftmost gap: no group has more places than it needs
        raise TreeError("a tree is wider than any group of this profile")
    return tree


def _check(tree: Tree, info: GroupInfo, suite: Suite, rules: Rules) -> None:
    if tree_hash(tree, suite) != info.context.tree_hash:
        raise TreeError("the tree of a welcome is not the one that its epoch names")
    wanted = [each.kind for each in info.context.extensions]
    check_tree(tree, suite, group_id=info.context.group_id, profile=rules.profile, wanted=wanted, check=rules.check)
    signer = tree.leaf(info.signer)
    if signer is None:
        raise SignatureError("a welcome is signed by nobody in the group")
    suite.verify(signer.signature_key, b"GroupInfoTBS", info.content(), info.signature, what="a welcome")


def _place(tree: Tree, package: KeyPackage) -> int:
    for number, leaf in tree.members():
        if leaf == package.leaf:
            return number
    raise TreeError("a welcome leads to a group without this key package")


def _learn(tree: Tree, suite: Suite, path_secret: bytes | None, *, signer: int, me: int, secrets: Secrets) -> Secrets:
    if path_secret is None:
        return secrets
    nodes = tuple(above for above, _ in filtered_path(tree, signer) if treemath.under(2 * me, above))
    if signer == me or not nodes:
        raise CommitError("a welcome is signed by the one who joins")
    return learn(tree, suite, path_secret, nodes=nodes, secrets=secrets)[0]


def _info_key(suite: Suite, secret: bytes) -> tuple[bytes, bytes]:
    return suite.expand(secret, b"key", b"", suite.key_bytes), suite.expand(secret, b"nonce", b"", NONCE_BYTES)
