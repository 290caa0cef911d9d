"""MLS as a `SessionCrypto`: what a session needs of a group, and nothing that could be used wrongly.

A commit of one's own counts when the hub returns it: until then the old epoch goes on, and whoever's commit the hub
returns first wins. Source: docs/protocol/48-mls.md.
"""
# ruff: noqa: D102 -- `SessionCrypto` documents the methods

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from protocol.e2ee.crypto import (
    CONTEXT_BYTES,
    Change,
    CheckMember,
    Event,
    Mark,
    Member,
    Own,
    Received,
    Removed,
)
from protocol.e2ee.keys import DeviceKey
from protocol.encoding import b64, length_prefixed, split_prefixed, unb64
from protocol.errors import MalformedError, RefusedError

from . import commits, group, welcome
from .codec import FormError, u16
from .framing import KEY_PACKAGE_MESSAGE, open_message, parse_private
from .nodes import KEY_PACKAGE, Capabilities, KeyPackage, LeafNode, read_key_package
from .profile import AGREEMENT, BASIC, PRODUCT, VERSION
from .proof import agreement_proven, proof_of
from .schedule import GroupContext, export
from .state import MARK_BYTES, Group, agreement_of, alone, check_context, message_name, random_bytes
from .suites import SUITES, X_WING, Suite

_STATE_VERSION: Final = 1
#: A key package is for one request: it lives as long as a request and a session together may take.
PACKAGE_LIFE_S: Final = 60 * 86_400
#: One's own keys are renewed after so many messages, or so many seconds in which something was said.
UPDATE_AFTER_MESSAGES: Final = 50
UPDATE_AFTER_S: Final = 600


class Pending(msgspec.Struct, frozen=True, array_like=True):
    """One's own commit on its way to the hub: its name, the group once it counts, and the welcome to send then."""

    name: bytes
    next: Group
    welcome: bytes

    def __repr__(self) -> str:
        return "Pending(…)"


class Session(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A device's view; `since`: when it renewed its own keys, 0 for never; `said`: messages since. Closed: no group."""

    version: int
    group: Group | None
    since: int
    said: int = 0
    pending: Pending | None = None

    def __repr__(self) -> str:
        return f"Session({self.group!r})"


class MlsCrypto:
    """The engine; `suite` is what new groups use, all suites of the profile can be joined."""

    name: Final = "mls-1"

    def __init__(self, suite: Suite = X_WING) -> None:
        self._suite: Final = suite

    def prepare(self, device: DeviceKey, certificate: str, *, now: int, entropy: bytes) -> tuple[Own, bytes]:
        suite = self._suite
        _, init_public = suite.kem.derive(random_bytes(entropy, "init", suite.hash_bytes))
        _, public = suite.kem.derive(_leaf_ikm(entropy, suite))
        leaf = LeafNode(
            encryption_key=public,
            signature_key=device.public.raw,
            identity=certificate.encode("ascii"),
            capabilities=Capabilities((VERSION,), tuple(sorted(SUITES)), (AGREEMENT,), (), (BASIC,)),
            source=KEY_PACKAGE,
            lifetime=(now, now + PACKAGE_LIFE_S),
        ).signed(suite, device.seed)
        package = KeyPackage(suite.number, init_public, leaf).signed(suite, device.seed)
        data = u16(VERSION) + u16(KEY_PACKAGE_MESSAGE) + package.encoded()
        return Own(device=device, secret=length_prefixed(entropy, data)), data

    def start(
        self, own: Own, members: Sequence[bytes], *, context: bytes, check: CheckMember, now: int, entropy: bytes
    ) -> tuple[Session, bytes]:
        newcomer = newcomer_of(own)
        begun = alone(
            SUITES[newcomer.package.suite],
            newcomer.package.leaf,
            private=newcomer.private,
            seed=newcomer.seed,
            agreement=_context(context),
            entropy=random_bytes(entropy, "group", 32),
        )
        packages = [_package(each) for each in members]
        staged = commits.make(
            begun, add=packages, rules=_rules(check, now), entropy=random_bytes(entropy, "first-commit", 32)
        )
        return Session(_STATE_VERSION, replace(staged.next, past=None), now), welcome.make(staged)

    def join(self, own: Own, data: bytes, *, context: bytes, check: CheckMember, now: int) -> Session:
        def accept(found: GroupContext) -> None:
            check_context(found, _context(context))

        # Keys of a key package lay about since it was made: they are renewed at once.
        return Session(_STATE_VERSION, welcome.join(data, newcomer_of(own), _rules(check, now), accept=accept), 0)

    def members(self, state: Session) -> tuple[Member, ...]:
        return tuple(_member(leaf) for _, leaf in _open(state).tree.members())

    def epoch(self, state: Session) -> int:
        return _open(state).epoch

    def context(self, state: Session) -> bytes:
        return agreement_of(_open(state).context)

    def member_of(self, package: bytes) -> Member:
        offered = _package(package)
        if offered.suite not in SUITES:
            raise FormError("a key package is of another suite")
        offered.verify(SUITES[offered.suite])
        return _member(offered.leaf)

    def mark(self, state: Session) -> Mark:
        here = _open(state)
        return Mark(group=here.context.group_id, epoch=here.epoch, value=here.mark)

    def marked(self, data: bytes) -> Mark | None:
        message = parse_private(data)
        value = message.authenticated_data
        return Mark(group=message.group_id, epoch=message.epoch, value=value) if len(value) == MARK_BYTES else None

    def encrypt(self, state: Session, frame: bytes, *, entropy: bytes) -> tuple[Session, bytes]:
        spoken, data = group.speak(_open(state), frame, entropy=random_bytes(entropy, "guard", 4))
        return replace(state, group=spoken, said=state.said + 1), data

    def change(
        self,
        state: Session,
        *,
        add: Sequence[bytes] = (),
        remove: Sequence[str] = (),
        check: CheckMember,
        now: int,
        entropy: bytes,
    ) -> tuple[Session, bytes]:
        if state.pending is not None:
            raise RefusedError("a change is on its way already", code="pending")
        here = _open(state)
        places = {b64(leaf.signature_key): place for place, leaf in here.tree.members()}
        if not set(remove) <= places.keys():
            raise RefusedError("a device to remove is no member", code="unknown-member")
        staged = commits.make(
            here,
            add=[_package(each) for each in add],
            remove=[places[each] for each in remove],
            rules=_rules(check, now),
            entropy=entropy,
        )
        told = welcome.make(staged) if add else b""
        pending = Pending(message_name(staged.message), replace(staged.next, past=None), told)
        return replace(state, group=staged.group, pending=pending), staged.message

    def wants_update(self, state: Session, *, now: int) -> bool:
        if state.group is None or state.pending is not None:
            return False
        if state.since == 0 or state.said >= UPDATE_AFTER_MESSAGES:
            return True
        return state.said > 0 and now >= state.since + UPDATE_AFTER_S

    def receive(self, state: Session, data: bytes, *, check: CheckMember, now: int) -> tuple[Session, Event]:
        here = _open(state)
        pending = state.pending
        if pending is not None and message_name(data) == pending.name:
            return _counted(here, pending, now)
        after, heard = group.hear(here, data, _rules(check, now))
        if isinstance(heard, group.Spoken):
            received = Received(
                sender=b64(heard.signer),
                counter=heard.generation,
                epoch=heard.epoch,
                frame=heard.body,
                proof=proof_of(heard),
            )
            # Word of one's own that is news: the state was set back to an older copy, and new keys set it right.
            since = 0 if heard.signer == here.signer else state.since
            return replace(
                self.forget(replace(state, group=after), now=now), said=state.said + 1, since=since
            ), received
        if after is None:
            return self.close(state), Removed(by=_device(here, heard.committer))
        change = Change(
            by=_device(here, heard.committer),
            joined=tuple(_device(after, place) for place in heard.joined),
            left=tuple(_device(here, place) for place in heard.removed),
            epoch=after.epoch,
            lost=pending is not None,
        )
        return replace(state, group=after, pending=None), change

    def forget(self, state: Session, *, now: int) -> Session:
        if state.group is None:
            return state
        left = group.without_past(state.group, now=now, profile=PRODUCT)
        return state if left is state.group else replace(state, group=left)

    def proven(self, proof: bytes, frame: bytes, *, device: str) -> bytes:
        return agreement_proven(proof, frame, unb64(device, size=32, what="device key"))

    def export(self, state: Session, purpose: str, size: int) -> bytes:
        here = _open(state)
        return export(here.suite, here.epoch_secrets, purpose.encode("ascii"), b"", size)

    def outside(self) -> Session:
        return Session(_STATE_VERSION, None, 0)

    def is_closed(self, state: Session) -> bool:
        return state.group is None

    def close(self, state: Session) -> Session:
        return replace(state, group=None, since=0, said=0, pending=None)

    def dump(self, state: Session) -> bytes:
        return msgspec.msgpack.encode(state)

    def load(self, data: bytes) -> Session:
        try:
            state = msgspec.msgpack.decode(data, type=Session)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, TypeError):
            raise MalformedError("session state is damaged") from None
        if state.version != _STATE_VERSION:
            raise MalformedError("session state is of another version")
        return state


def _counted(here: Group, pending: Pending, now: int) -> tuple[Session, Change]:
    """Return the session after one's own commit came back: messages of the old epoch may still be under way."""
    entered = commits.entered_after(here, pending.next, now=now)
    before = {leaf.signature_key for _, leaf in here.tree.members()}
    after = {leaf.signature_key for _, leaf in entered.tree.members()}
    change = Change(
        by=b64(here.signer),
        joined=tuple(sorted(b64(each) for each in after - before)),
        left=tuple(sorted(b64(each) for each in before - after)),
        epoch=entered.epoch,
        welcome=pending.welcome,
    )
    return Session(_STATE_VERSION, entered, now), change


def _rules(check: CheckMember, now: int) -> commits.Rules:
    return commits.Rules(PRODUCT, now, lambda leaf: check(_member(leaf)))


def _member(leaf: LeafNode) -> Member:
    try:
        certificate = leaf.identity.decode("ascii")
    except UnicodeDecodeError:
        raise FormError("a member's certificate is not ASCII") from None
    return Member(device=b64(leaf.signature_key), certificate=certificate)


def _device(here: Group, place: int) -> str:
    leaf = here.tree.leaf(place)
    assert leaf is not None, "a commit names members"
    return b64(leaf.signature_key)


def _open(state: Session) -> Group:
    if state.group is None:
        raise RefusedError("session is closed", code="closed")
    return state.group


def _context(context: bytes) -> bytes:
    if len(context) != CONTEXT_BYTES:
        raise ValueError(f"a session is bound to {CONTEXT_BYTES} bytes")
    return context


def _package(data: bytes) -> KeyPackage:
    reader = open_message(data, KEY_PACKAGE_MESSAGE, what="a key package")
    package = read_key_package(reader)
    reader.end()
    return package


def _leaf_ikm(entropy: bytes, suite: Suite) -> bytes:
    return random_bytes(entropy, "leaf", suite.hash_bytes)


def newcomer_of(own: Own) -> welcome.Newcomer:
    """Return one's own key package with its private keys. Raises: MalformedError: it is another device's."""
    entropy, data = split_prefixed(own.secret, 2, what="own key package")
    package = _package(data)
    if package.leaf.signature_key != own.device.public.raw:  # Ed25519 under two public keys gives its seed away
        raise MalformedError("own key package is of another device")
    suite = SUITES[package.suite]
    init, _ = suite.kem.derive(random_bytes(entropy, "init", suite.hash_bytes))
    private, _ = suite.kem.derive(_leaf_ikm(entropy, suite))
    return welcome.Newcomer(package, init, private, own.device.seed)
