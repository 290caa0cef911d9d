"""A member's view of a group: everything it needs to read and to speak, in one value that is never changed in place.

The value holds secrets: it belongs into a vault and nowhere else. Source: RFC 9420 §8, §11.
"""

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from protocol.encoding import label, length_prefixed, sha256

from .codec import vector
from .errors import ContextError, ProfileError
from .nodes import Extension, LeafNode
from .profile import AGREEMENT, GROUP_ID_BYTES, MAX_EPOCH
from .schedule import Derived, EpochSecrets, GroupContext, derive_epoch, interim_hash, secrets_of
from .secrettree import SecretTree, secret_tree
from .suites import SUITES, Suite
from .tree import Tree, tree_hash

#: Raises unless a leaf belongs to a device that was checked before (MLS calls it the authentication service).
CheckLeaf = Callable[[LeafNode], None]
ENTROPY_BYTES: Final = 32
#: What every message shows of the history that its sender is in; members alone decide it, so that nobody can try.
MARK_BYTES: Final = 4


class Past(msgspec.Struct, frozen=True, array_like=True):
    """The epoch before, for messages that were under way when it ended."""

    epoch: int
    context: bytes
    signers: dict[int, bytes]
    sender_data: bytes
    keys: SecretTree
    ended_at: int

    def __repr__(self) -> str:
        return f"Past({self.epoch})"


class Group(msgspec.Struct, frozen=True, array_like=True):
    """One member's state of one epoch.

    `encoded`: the context's bytes, which every signature covers; `me`: own place; `seed`: own Ed25519 seed; `secrets`:
    private keys of the tree by node; `interim`: the transcript so far; `past`: the epoch before, while it is read;
    `marked`: the epoch's mark, hashed once; empty in states that were kept before it was.
    """

    context: GroupContext
    encoded: bytes
    tree: Tree
    me: int
    seed: bytes
    secrets: dict[int, bytes]
    epoch_secrets: EpochSecrets
    keys: SecretTree
    interim: bytes
    past: Past | None = None
    marked: bytes = b""

    @property
    def suite(self) -> Suite:
        """The group's cipher suite."""
        return SUITES[self.context.suite]

    @property
    def epoch(self) -> int:
        """The number of commits so far."""
        return self.context.epoch

    @property
    def signer(self) -> bytes:
        """Own public signature key."""
        leaf = self.tree.leaf(self.me)
        assert leaf is not None, "one's own place is never blank"
        return leaf.signature_key

    @property
    def mark(self) -> bytes:
        """What every message shows of the history that this member was shown."""
        return self.marked or mark_of(self.epoch_secrets.authenticator)

    def __repr__(self) -> str:
        return f"Group(epoch={self.context.epoch}, me={self.me})"


def random_bytes(entropy: bytes, purpose: str, size: int) -> bytes:
    """Return `size` bytes for one purpose out of 32 random ones."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError("entropy is 32 bytes")
    return hashlib.shake_256(label("mls-draws") + purpose.encode("ascii") + b"\n" + entropy).digest(size)


def alone(suite: Suite, leaf: LeafNode, *, private: bytes, seed: bytes, agreement: bytes, entropy: bytes) -> Group:
    """Return a new group with one member, epoch 0.

    Args:
        leaf, private, seed: own leaf as in a key package, the private half of its encryption key, the signer's seed.
        agreement: 32 bytes that the group is bound to.
    """
    tree = Tree((leaf,))
    context = GroupContext(
        suite=suite.number,
        group_id=random_bytes(entropy, "group-id", GROUP_ID_BYTES),
        epoch=0,
        tree_hash=tree_hash(tree, suite),
        confirmed=b"",
        extensions=(Extension(AGREEMENT, agreement),),
    )
    derived = secrets_of(suite, random_bytes(entropy, "epoch-0", suite.hash_bytes))
    tag = suite.mac(derived.secrets.confirmation, b"")
    return Group(
        context=context,
        encoded=context.encoded(),
        tree=tree,
        me=0,
        seed=seed,
        secrets={0: private},
        epoch_secrets=derived.secrets,
        keys=secret_tree(derived.encryption, 1),
        interim=interim_hash(suite, b"", tag),
        marked=mark_of(derived.secrets.authenticator),
    )


def mark_of(authenticator: bytes) -> bytes:
    """Return the mark of the epoch with this authenticator; it gives none of its secrets away."""
    return sha256(label("epoch-mark"), length_prefixed(authenticator))[:MARK_BYTES]


def agreement_of(context: GroupContext) -> bytes:
    """Return what a group is bound to. Raises: ContextError: to nothing."""
    found = next((each.data for each in context.extensions if each.kind == AGREEMENT), None)
    if found is None:
        raise ContextError("a group is not bound to an agreement")
    return found


def check_context(context: GroupContext, agreement: bytes) -> None:
    """Return when a group is bound to this agreement, and is one that members of this profile can go on with.

    Raises: ContextError: another agreement; ProfileError: a name, epoch or extension that none of ours has.
    """
    if agreement_of(context) != agreement:
        raise ContextError("a welcome is for another agreement")
    if len(context.extensions) != 1:
        raise ProfileError("a group has extensions beside its agreement")
    if len(context.group_id) != GROUP_ID_BYTES or not 1 <= context.epoch <= MAX_EPOCH:
        raise ProfileError("a group has a name or an epoch that no session has")


def enter(
    group: Group | None,
    *,
    suite: Suite,
    context: GroupContext,
    joiner: bytes,
    psk: bytes,
    tree: Tree,
    me: int,
    seed: bytes,
    secrets: dict[int, bytes],
    now: int,
) -> tuple[Group, bytes, Derived]:
    """Return the state of a new epoch, its confirmation tag, and all that was derived for it.

    Args: `group`: the epoch before; None when joining.
    """
    encoded = context.encoded()
    derived = derive_epoch(suite, joiner, psk, encoded)
    tag = suite.mac(derived.secrets.confirmation, context.confirmed)
    entered = Group(
        context=context,
        encoded=encoded,
        tree=tree,
        me=me,
        seed=seed,
        secrets=secrets,
        epoch_secrets=derived.secrets,
        keys=secret_tree(derived.encryption, tree.leaves),
        interim=interim_hash(suite, context.confirmed, tag),
        past=None if group is None else past_of(group, now, after=tree),
        marked=mark_of(derived.secrets.authenticator),
    )
    return entered, tag, derived


def past_of(group: Group, now: int, *, after: Tree) -> Past:
    """Return what of an epoch is kept when it ends; who is no member of the tree `after` it is not read any more."""
    staying = {leaf.signature_key for _, leaf in after.members()}
    signers = {number: leaf.signature_key for number, leaf in group.tree.members()}
    return Past(
        epoch=group.epoch,
        context=group.encoded,
        signers={number: each for number, each in signers.items() if each in staying},
        sender_data=group.epoch_secrets.sender_data,
        keys=group.keys,
        ended_at=now,
    )


def fingerprint(group: Group) -> bytes:
    """Return the epoch authenticator: equal for all members of an epoch, and for nobody else."""
    return group.epoch_secrets.authenticator


def message_name(data: bytes) -> bytes:
    """Return the hash by which a member knows its own message again."""
    return hashlib.sha256(label("mls-message") + vector(data)).digest()
