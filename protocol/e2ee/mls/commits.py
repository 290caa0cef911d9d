"""From one epoch to the next: making a commit, and following somebody else's; nothing changes unless all of it holds.

Source: RFC 9420 §12.2–§12.4.
"""

from collections.abc import Sequence
from hmac import compare_digest
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from . import treemath
from .errors import CommitError, EpochError, TreeError
from .framing import COMMIT, PRIVATE_MESSAGE, Content, Signed, encrypt, open_commit, sign_content
from .nodes import KEY_PACKAGE, Extension, KeyPackage
from .profile import Profile
from .proposals import Add, Commit, Reference, Remove
from .schedule import GroupContext, confirmed_hash, joiner_secret
from .state import CheckLeaf, Group, enter, past_of, random_bytes
from .suites import Suite
from .tree import Tree, check_distinct_leaf, check_leaf, tree_hash, with_leaf, without_leaf
from .treekem import Fresh, Secrets, UpdatePath, fresh_path, known_after, merge_path, open_path, seal_path

GUARD_BYTES: Final = 4


class Draft(msgspec.Struct, frozen=True):
    """The next epoch while its proposals are applied. `psks`: encoded ids of pre-shared keys, outside the profile."""

    tree: Tree
    extensions: tuple[Extension, ...]
    secrets: Secrets
    joined: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    psks: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"Draft(joined={self.joined}, removed={self.removed})"


class Rules(msgspec.Struct, frozen=True):
    """What a commit is judged by: bounds, the time, and who was checked."""

    profile: Profile
    now: int
    check: CheckLeaf


class Staged(msgspec.Struct, frozen=True):
    """One's own commit on its way: the group as it still is, the group once the commit counts, and what to send.

    `joiner`, `fresh` and `draft` are what a welcome is made of.
    """

    group: Group
    next: Group
    message: bytes
    joiner: bytes
    tag: bytes
    welcome_secret: bytes
    fresh: Fresh
    joined: tuple[tuple[int, KeyPackage], ...]

    def __repr__(self) -> str:
        return f"Staged({self.next!r})"


def check_package(package: KeyPackage, group_suite: Suite, context: GroupContext, rules: Rules) -> None:
    """Return when somebody can be added by this key package.

    Raises: TreeError: suite, source, lifetime, capabilities, one key for two uses; SignatureError; FormError; what
    `rules.check` raises.
    """
    if package.suite != group_suite.number or package.leaf.source != KEY_PACKAGE:
        raise TreeError("a key package is of another cipher suite, or holds no leaf of its own")
    if package.init_key == package.leaf.encryption_key:
        raise TreeError("a key package uses one key twice")
    group_suite.kem.check(package.init_key)
    check_leaf(package.leaf, group_suite, wanted=[each.kind for each in context.extensions])
    _check_lifetime(package, rules)
    package.verify(group_suite)
    rules.check(package.leaf)


def _check_lifetime(package: KeyPackage, rules: Rules) -> None:
    if not rules.profile.check_lifetimes:
        return
    start, end = package.leaf.lifetime
    skew = rules.profile.skew_s
    if not start - skew <= rules.now < end + skew or end - start > rules.profile.lifetime_s + skew:
        raise TreeError("a key package is not valid now, or for too long")


def apply(group: Group, suite: Suite, proposals: Sequence[tuple[Any, int]], committer: int, rules: Rules) -> Draft:
    """Return the draft of the next epoch; `proposals` with the leaf that made each.

    Raises: CommitError: they contradict each other or the tree; TreeError and others: of an added member.
    """
    draft = Draft(group.tree, group.context.extensions, dict(group.secrets))
    for proposal, sender in proposals:
        if not isinstance(proposal, (Add, Remove)):
            draft = rules.profile.extras.apply(proposal, sender, draft)
    for proposal, _ in proposals:
        if isinstance(proposal, Remove):
            draft = _removed(draft, proposal, committer)
    for proposal, _ in proposals:
        if isinstance(proposal, Add):
            draft = _added(draft, suite, proposal, group.context, rules)
    if sum(1 for _ in draft.tree.members()) > rules.profile.max_leaves:
        raise CommitError("a commit makes the group larger than this profile allows")
    return replace(draft, secrets=known_after(draft.secrets, group.tree, draft.tree))


def _removed(draft: Draft, proposal: Remove, committer: int) -> Draft:
    if proposal.leaf == committer:
        raise CommitError("a commit removes its own sender")
    if draft.tree.leaf(proposal.leaf) is None:
        raise CommitError("a commit removes somebody who is no member")
    tree = without_leaf(draft.tree, proposal.leaf)
    return replace(draft, tree=tree, removed=(*draft.removed, proposal.leaf))


def _added(draft: Draft, suite: Suite, proposal: Add, context: GroupContext, rules: Rules) -> Draft:
    check_package(proposal.package, suite, replace(context, extensions=draft.extensions), rules)
    check_distinct_leaf(draft.tree, proposal.package.leaf)
    tree, place = with_leaf(draft.tree, proposal.package.leaf)
    return replace(draft, tree=tree, joined=(*draft.joined, place))


def make(
    group: Group, *, add: Sequence[KeyPackage] = (), remove: Sequence[int] = (), rules: Rules, entropy: bytes
) -> Staged:
    """Return a commit that renews one's own keys, adds and removes. `entropy`: 32 random bytes.

    Raises: as `apply`.
    """
    suite = group.suite
    proposals = (*(Remove(leaf) for leaf in remove), *(Add(package) for package in add))
    draft = apply(group, suite, [(each, group.me) for each in proposals], group.me, rules)
    own = draft.tree.leaf(group.me)
    assert own is not None, "nobody removes themselves"
    fresh = fresh_path(
        draft.tree,
        suite,
        me=group.me,
        leaf=own,
        seed=group.seed,
        group_id=group.context.group_id,
        entropy=random_bytes(entropy, "path", 2 * suite.hash_bytes),
    )
    provisional = _provisional(group.context, draft, fresh.tree, suite)
    path = seal_path(fresh, draft.tree, suite, me=group.me, context=provisional.encoded(), joined=draft.joined)
    signed = _signed(group, Commit(proposals, path))
    context = replace(provisional, confirmed=confirmed_hash(suite, group.interim, signed.committed()))
    joiner = joiner_secret(suite, group.epoch_secrets.init, fresh.commit_secret, context.encoded())
    entered, tag, derived = enter(
        group,
        suite=suite,
        context=context,
        joiner=joiner,
        psk=suite.zero,
        tree=fresh.tree,
        me=group.me,
        seed=group.seed,
        secrets={**draft.secrets, **fresh.secrets},
        now=rules.now,
    )
    keys, message = encrypt(
        replace(signed, tag=tag),
        suite,
        group.keys,
        group.epoch_secrets.sender_data,
        entropy=random_bytes(entropy, "guard", GUARD_BYTES),
    )
    return Staged(
        group=replace(group, keys=keys),
        next=entered,
        message=message.encoded(),
        joiner=joiner,
        tag=tag,
        welcome_secret=derived.welcome,
        fresh=fresh,
        joined=tuple(zip(draft.joined, add, strict=True)),
    )


def _signed(group: Group, commit: Commit[Any]) -> Signed:
    content = Content(
        group.context.group_id,
        group.epoch,
        group.me,
        COMMIT,
        commit.encoded(),
        group.mark,
    )
    return Signed(content, sign_content(content, group.suite, (group.seed, group.signer), group.encoded))


def _provisional(context: GroupContext, draft: Draft, tree: Tree, suite: Suite) -> GroupContext:
    """Return the context that a path is sealed in: the new epoch's, with the transcript of the old one."""
    return replace(context, epoch=context.epoch + 1, tree_hash=tree_hash(tree, suite), extensions=draft.extensions)


class Followed(msgspec.Struct, frozen=True):
    """The next epoch after somebody's commit; `group` is None for a member whom it removed."""

    group: Group | None
    committer: int
    joined: tuple[int, ...]
    removed: tuple[int, ...]


def follow(group: Group, signed: Signed, rules: Rules, *, wire_format: int = PRIVATE_MESSAGE) -> Followed:
    """Return the group after a commit whose signature holds.

    Raises: CommitError, TreeError, SignatureError, DecryptError, FormError, ProfileError, EpochError; what
    `rules.check` raises.
    """
    content, suite = signed.content, group.suite
    if content.epoch != group.epoch:
        raise EpochError("a commit is for another epoch")
    if content.sender == group.me:
        raise CommitError("a commit claims to be one's own")
    commit = open_commit(content.body, rules.profile)
    proposals = [_resolved(each, content.sender, rules.profile) for each in commit.proposals]
    _check_path(proposals, commit.path, rules.profile)
    draft = apply(group, suite, proposals, content.sender, rules)
    tree = _merged(group, draft, commit.path, content.sender, rules)
    if group.me in draft.removed:  # whether the others enter the same epoch is beyond the keys of who leaves
        return Followed(None, content.sender, draft.joined, draft.removed)
    secrets, context, commit_secret = _opened(group, draft, tree, commit.path, content.sender)
    confirmed = confirmed_hash(suite, group.interim, signed.committed(wire_format=wire_format))
    context = replace(context, confirmed=confirmed)
    entered, tag, derived = enter(
        group,
        suite=suite,
        context=context,
        joiner=joiner_secret(suite, group.epoch_secrets.init, commit_secret, context.encoded()),
        psk=rules.profile.extras.psk_secret(draft.psks) if draft.psks else suite.zero,
        tree=tree,
        me=group.me,
        seed=group.seed,
        secrets=secrets,
        now=rules.now,
    )
    if not compare_digest(tag, signed.tag):
        raise CommitError("a commit leads to another epoch than its sender's")
    rules.profile.extras.entered(context, derived)
    return Followed(entered, content.sender, draft.joined, draft.removed)


def _resolved(proposal: Any, committer: int, profile: Profile) -> tuple[Any, int]:  # noqa: ANN401 -- also of the hooks
    if isinstance(proposal, Reference):
        return profile.extras.resolve(proposal.name)
    return proposal, committer


def _check_path(proposals: Sequence[tuple[Any, int]], path: UpdatePath | None, profile: Profile) -> None:
    """A commit without a path changes no key: only adding goes without."""
    if path is not None:
        return
    kinds = [each for each, _ in proposals]
    if not kinds or any(
        isinstance(each, Remove) or (not isinstance(each, Add) and profile.extras.needs_path(each)) for each in kinds
    ):
        raise CommitError("a commit lacks the path that its proposals need")


def _merged(group: Group, draft: Draft, path: UpdatePath | None, sender: int, rules: Rules) -> Tree:
    """Return the tree after a path, if there is one."""
    if path is None:
        return draft.tree
    _check_leaf(group, draft, path, sender, rules)
    return merge_path(draft.tree, group.suite, path, sender=sender)


def _opened(
    group: Group, draft: Draft, tree: Tree, path: UpdatePath | None, sender: int
) -> tuple[Secrets, GroupContext, bytes]:
    """Return own secrets, provisional context and commit secret after a path, if there is one."""
    context = _provisional(group.context, draft, tree, group.suite)
    if path is None:
        return draft.secrets, context, group.suite.zero
    secrets, commit_secret = open_path(
        draft.tree,
        tree,
        group.suite,
        path,
        sender=sender,
        me=group.me,
        secrets=draft.secrets,
        context=context.encoded(),
        joined=draft.joined,
    )
    return secrets, context, commit_secret


def _check_leaf(group: Group, draft: Draft, path: UpdatePath, sender: int, rules: Rules) -> None:
    suite, before = group.suite, draft.tree.leaf(sender)
    # RFC 9420 §7.3 leaves it to the application who may follow whom. Here a place stays with its device: a person's
    # other device comes by an add, which everybody is shown.
    if before is None or before.signature_key != path.leaf.signature_key:
        raise CommitError("a commit makes its sender another device")
    check_leaf(path.leaf, suite, wanted=[each.kind for each in draft.extensions])
    path.leaf.verify(suite, group_id=group.context.group_id, leaf=sender)
    check_distinct_leaf(draft.tree, path.leaf, place=sender)
    rules.check(path.leaf)


def secret_for(staged: Staged, place: int) -> bytes:
    """Return the path secret that a new member at `place` learns: of the lowest node that is above it too."""
    return next(secret for node, secret in staged.fresh.path_secrets if treemath.under(2 * place, node))


def entered_after(group: Group, staged: Group, *, now: int) -> Group:
    """Return the epoch that one's own commit leads to, with what was read of the old one since it was made."""
    return replace(staged, past=past_of(group, now, after=staged.tree))
