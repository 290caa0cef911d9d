"""The interface of a session engine, shaped like MLS (RFC 9420), so that engines can replace each other.

No engine does I/O: the caller carries bytes, stores states, and commits a state and the plaintext that came with it in
one step. Every method returns a new state; one that raises leaves the old one as valid as before.
Source: docs/protocol/45-sessions.md.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from protocol.ids import Bytes32

from .keys import DeviceKey

#: Hash of {thread, ACCEPTED, consent} from `protocol.contexts.session`.
CONTEXT_BYTES: Final = 32

S = TypeVar("S")


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """One's own place in a group before it exists: the device's signature key and what belongs to its key package."""

    device: DeviceKey
    secret: bytes

    def __repr__(self) -> str:
        return f"Own({self.device!r})"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Who is or would be a member: the device key, and the certificate that its key package carries."""

    device: Bytes32
    certificate: str


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What a message shows in clear of the history that its sender is in: two values for one epoch are two histories.

    Whoever carries a message can change it, and has then changed the message.
    """

    group: bytes
    epoch: int
    value: bytes


#: Raises (MemberError or another UnverifiedError) unless this device was checked and may be in this group.
CheckMember = Callable[[Member], None]


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A message that one member sent to this group: the sender's device key, epoch and counter, the frame's bytes.

    `proof` shows, with the frame, somebody outside the group who said it; it opens nothing.
    """

    sender: Bytes32
    epoch: int
    counter: int
    frame: bytes
    proof: bytes = b""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A new epoch: whose commit began it, and which devices came and went.

    `welcome`: what to send to those who came, when the commit was one's own. `lost`: an own change was under way, and
    this one came first; make it again if it is still wanted.
    """

    by: Bytes32
    joined: tuple[Bytes32, ...] = ()
    left: tuple[Bytes32, ...] = ()
    epoch: int
    welcome: bytes = b""
    lost: bool = False


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """This device is a member no longer; the state is closed."""

    by: Bytes32


Event = Received | Change | Removed


class SessionCrypto(Protocol[S]):
    """One group per session; every device is a member; the mentor's device starts it."""

    @property
    def name(self) -> str:
        """Which engine this is, as stored beside its states, such as `mls-1`."""

    def prepare(self, device: DeviceKey, certificate: str, *, now: int, entropy: bytes) -> tuple[Own, bytes]:
        """Return what this device keeps, and the key package that others add it by. `entropy`: 32 bytes."""

    def start(
        self, own: Own, members: Sequence[bytes], *, context: bytes, check: CheckMember, now: int, entropy: bytes
    ) -> tuple[S, bytes]:
        """Return a new group of `own` and the key packages `members`, and the welcome for them.

        Raises: MalformedError, UnverifiedError: a key package; RefusedError: a member twice, or too many; what `check`
        raises.
        """

    def join(self, own: Own, data: bytes, *, context: bytes, check: CheckMember, now: int) -> S:
        """Return the group that a welcome invites to; every other member passed `check`.

        Raises: UnverifiedError: signature, another context, a member; MalformedError; what `check` raises.
        """

    def members(self, state: S) -> tuple[Member, ...]:
        """Return all members, by their place."""

    def epoch(self, state: S) -> int:
        """Return the number of the epoch, which stands in clear in every ciphertext of it."""

    def context(self, state: S) -> bytes:
        """Return the 32 bytes that the group is bound to."""

    def member_of(self, package: bytes) -> Member:
        """Return who a key package would let in. Raises: UnverifiedError: it is not signed; MalformedError."""

    def mark(self, state: S) -> Mark:
        """Return the mark of the history that this device was shown. Raises: RefusedError: the session is closed."""

    def marked(self, data: bytes) -> Mark | None:
        """Return the mark that a message or commit claims, None if none. Raises: MalformedError: no message."""

    def encrypt(self, state: S, frame: bytes, *, entropy: bytes) -> tuple[S, bytes]:
        """Return the state after sending, and the ciphertext of `frame` for every other member. `entropy`: 32 bytes.

        Raises: RefusedError: the session is closed.
        """

    def change(
        self,
        state: S,
        *,
        add: Sequence[bytes] = (),
        remove: Sequence[str] = (),
        check: CheckMember,
        now: int,
        entropy: bytes,
    ) -> tuple[S, bytes]:
        """Return the state with a change under way, and the commit to send: own keys renewed, devices added, removed.

        It counts when `receive` is given the same bytes back; until then the old epoch goes on.

        Raises: RefusedError: one is under way, or a device is no member; what `start` raises.
        """

    def wants_update(self, state: S, *, now: int) -> bool:
        """Return whether this device should renew its keys by a `change`, once nothing of it is unacknowledged."""

    def forget(self, state: S, *, now: int) -> S:
        """Return the state without keys whose time is over; the same one if there are none."""

    def receive(self, state: S, data: bytes, *, check: CheckMember, now: int) -> tuple[S, Event]:
        """Return the state after a message, and what it said.

        Raises: UnverifiedError: not from a member, changed, or a commit that does not hold; RefusedError: seen before,
            of another epoch, or closed; MalformedError. The state given stays valid: a genuine message still opens
            after any number of forged ones.
        """

    def proven(self, proof: bytes, frame: bytes, *, device: Bytes32) -> bytes:
        """Return the context of the group in which `device` said exactly `frame`; needs no state.

        Raises: UnverifiedError: it is not shown; MalformedError: no proof.
        """

    def export(self, state: S, purpose: str, size: int) -> bytes:
        """Return a secret that all members of this epoch share and nobody else has, for one purpose."""

    def outside(self) -> S:
        """Return the state of a device that is in no group: as good as closed, until it joins one."""

    def is_closed(self, state: S) -> bool:
        """Return whether a state is without keys."""

    def close(self, state: S) -> S:
        """Return a state without keys, which can neither send nor receive."""

    def dump(self, state: S) -> bytes:
        """Return the state as bytes for the vault; they hold secrets."""

    def load(self, data: bytes) -> S:
        """Return the state of `dump`. Raises: MalformedError."""
