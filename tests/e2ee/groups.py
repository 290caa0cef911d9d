"""Groups for tests: devices with keys from a seed, and a member's side of a group that tests can damage."""

import hashlib
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from protocol.e2ee.mls import commits, framing, welcome
from protocol.e2ee.mls.commits import Rules, Staged
from protocol.e2ee.mls.framing import APPLICATION, COMMIT, Content, Signed, encrypt, sign_content
from protocol.e2ee.mls.group import hear, speak
from protocol.e2ee.mls.nodes import KEY_PACKAGE, Capabilities, Extension, KeyPackage, LeafNode
from protocol.e2ee.mls.profile import AGREEMENT, BASIC, PRODUCT, RATCHET_TREE, VERSION, Profile
from protocol.e2ee.mls.proposals import Commit
from protocol.e2ee.mls.schedule import GroupContext, derive_epoch, welcome_secret
from protocol.e2ee.mls.state import CheckLeaf, Group, alone
from protocol.e2ee.mls.suites import X25519, Suite
from protocol.e2ee.mls.welcome import GroupSecrets, Newcomer, Welcome
from protocol.signing import SigningKey

NOW: Final = 1_800_000_000
AGREED: Final = b"\x5a" * 32


def drawn(*words: object) -> bytes:
    """Return 32 bytes that look random and are the same in every run."""
    return hashlib.sha256(repr(words).encode()).digest()


def anybody(leaf: LeafNode) -> None:
    """Accept every member."""
    del leaf


def rules(*, now: int = NOW, check: CheckLeaf = anybody, profile: Profile = PRODUCT) -> Rules:
    """Return what a member judges by."""
    return Rules(profile, now, check)


def accept(context: GroupContext) -> None:
    """Accept every agreement."""
    del context


def device(name: str, suite: Suite = X25519, *, change: Callable[[LeafNode], LeafNode] | None = None) -> Newcomer:
    """Return a device with a key package; `change` alters its leaf before it is signed."""
    seed = drawn(name, "seed")
    init, init_public = suite.kem.derive(drawn(name, "init") * 2)
    private, public = suite.kem.derive(drawn(name, "leaf") * 2)
    capabilities = Capabilities((VERSION,), (X25519.number, 0xF00D), (AGREEMENT,), (), (BASIC,))
    lifetime = (NOW - 60, NOW + 86_400)
    leaf = LeafNode(public, SigningKey(seed).public.raw, name.encode(), capabilities, KEY_PACKAGE, lifetime)
    if change is not None:
        leaf = change(leaf)
    package = KeyPackage(suite.number, init_public, leaf.signed(suite, seed)).signed(suite, seed)
    return Newcomer(package, init, private, seed)


def begun(*names: str, suite: Suite = X25519) -> list[Group]:
    """Return the states of a group of these devices, the first of which began it."""
    devices = [device(name, suite) for name in names]
    first = devices[0]
    group = alone(
        suite, first.package.leaf, private=first.private, seed=first.seed, agreement=AGREED, entropy=drawn(names)
    )
    staged = commits.make(
        group, add=[each.package for each in devices[1:]], rules=rules(), entropy=drawn(names, "commit")
    )
    told = welcome.make(staged)
    return [staged.next, *(welcome.join(told, each, rules(), accept=accept) for each in devices[1:])]


def staged(group: Group, *, add: tuple[Newcomer, ...] = (), remove: tuple[int, ...] = (), salt: object = 0) -> Staged:
    """Return a commit of a member."""
    packages = [each.package for each in add]
    return commits.make(group, add=packages, remove=remove, rules=rules(), entropy=drawn("commit", salt, group.me))


def said(group: Group, body: bytes, salt: object = 0) -> tuple[Group, bytes]:
    """Return the state after a member spoke, and the message."""
    return speak(group, body, entropy=drawn("guard", salt))


def heard(group: Group, data: bytes) -> tuple[Group, bytes]:
    """Return the state after an application message, and its body."""
    after, spoken = hear(group, data, rules())
    assert after is not None
    assert hasattr(spoken, "body")
    return after, spoken.body


def spoken_as(group: Group, sender: int, seed: bytes, public: bytes, *, signature: bytes | None = None) -> bytes:
    """Return what a member with all keys of the group says from another's place, or without a signature of its own."""
    content = Content(group.context.group_id, group.epoch, sender, APPLICATION, b"I am somebody else")
    made = sign_content(content, group.suite, (seed, public), group.encoded)
    return sealed(group, Signed(content, made if signature is None else signature))


def committed(group: Group, commit: Commit[Any] | bytes, *, tag: bytes | None = None) -> bytes:
    """Return the commit that a member signs and sends, whatever it says."""
    body = commit if isinstance(commit, bytes) else commit.encoded()
    content = Content(group.context.group_id, group.epoch, group.me, COMMIT, body, group.mark)
    signature = sign_content(content, group.suite, (group.seed, group.signer), group.encoded)
    return sealed(group, Signed(content, signature, tag if tag is not None else bytes(group.suite.hash_bytes)))


def sealed(group: Group, signed: Signed) -> bytes:
    """Return the message of a member that encrypts whatever it likes."""
    _, message = encrypt(signed, group.suite, group.keys, group.epoch_secrets.sender_data, entropy=b"abcd")
    return message.encoded()


def opened(data: bytes, reader: Group) -> Signed:
    """Return what a message says, read with a member's keys and not verified."""
    message = framing.parse_private(data)
    return framing.decrypt(message, reader.suite, reader.keys, reader.epoch_secrets.sender_data, profile=PRODUCT).signed


def commit_of(change: Staged, reader: Group) -> Commit[Any]:
    """Return what a staged commit says."""
    return framing.open_commit(opened(change.message, reader).content.body, PRODUCT)


def invited(
    ana: Group,
    change: Staged,
    newcomer: Newcomer,
    *,
    tree: bytes | None = None,
    path_secret: bytes | None = b"",
    **context: Any,  # noqa: ANN401 -- fields of a struct
) -> bytes:
    """Return the welcome of an inviter who signs whatever it likes, with the tag that follows from it."""
    suite = ana.suite
    inside = replace(change.next.context, **context)
    derived = derive_epoch(suite, change.joiner, suite.zero, inside.encoded())
    tag = suite.mac(derived.secrets.confirmation, inside.confirmed)
    data = change.next.tree.encoded() if tree is None else tree
    info = welcome.GroupInfo(inside, (Extension(RATCHET_TREE, data),), tag, ana.me)
    info = replace(info, signature=suite.sign(ana.seed, ana.signer, b"GroupInfoTBS", info.content()))
    key, nonce = welcome._info_key(suite, welcome_secret(suite, change.joiner, suite.zero))
    sealed = suite.encrypt(key, nonce, info.encoded(), b"")
    path = commits.secret_for(change, change.joined[0][0]) if path_secret == b"" else path_secret
    secrets = GroupSecrets(change.joiner, path).encoded()
    box = suite.seal_to(newcomer.package.init_key, b"Welcome", sealed, secrets)
    return Welcome(suite.number, ((newcomer.package.reference(suite), box),), sealed).encoded()
