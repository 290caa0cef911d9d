"""The interface of a session engine, shaped like MLS (RFC 9420), so that engines can replace each other.

No engine does I/O: the caller carries `out` bytes, stores states, and commits a state and the plaintext that came with
it in one step. Every method returns a new state; one that raises leaves the old one as valid as before.
Source: docs/protocol/45-sessions.md.
"""

from collections.abc import Collection
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


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A message that one member sent to this group: the sender's device key, its counter, the frame's bytes."""

    sender: Bytes32
    counter: int
    frame: bytes


#: What `receive` reports; an engine with changing members adds kinds here.
Event = Received


class SessionCrypto(Protocol[S]):
    """One group per session; every device is a member; the mentor's device starts it."""

    @property
    def name(self) -> str:
        """Which engine this is, as stored beside its states, such as `interim-1`."""

    def prepare(self, device: DeviceKey, *, entropy: bytes) -> tuple[Own, bytes]:
        """Return what this device keeps, and the key package that others add it by. `entropy`: 32 bytes."""

    def start(self, own: Own, members: tuple[bytes, ...], *, context: bytes, entropy: bytes) -> tuple[S, bytes]:
        """Return a new group of `own` and the key packages `members`, and the welcome for them.

        Raises: MalformedError: a key package; RefusedError: a member twice, or too many.
        """

    def join(self, own: Own, welcome: bytes, *, context: bytes, allowed: Collection[str]) -> S:
        """Return the group that `welcome` invites to.

        Args:
            allowed: device keys of others that were checked before; a group with any other member is refused.
        Raises: UnverifiedError: signature, another context, a member that is not allowed; MalformedError.
        """

    def members(self, state: S) -> tuple[str, ...]:
        """Return the device keys of all members, the starter's first."""

    def encrypt(self, state: S, frame: bytes, *, entropy: bytes) -> tuple[S, bytes]:
        """Return the state after sending, and the ciphertext of `frame` for every other member. `entropy`: 32 bytes.

        Raises: RefusedError: the session is closed.
        """

    def receive(self, state: S, ciphertext: bytes) -> tuple[S, Event]:
        """Return the state after `ciphertext`, and what it said.

        Raises: UnverifiedError: not from a member, or changed; RefusedError: seen before, too old, or closed;
            MalformedError. The state given stays valid: a genuine message still opens after any number of forged ones.
        """

    def close(self, state: S) -> S:
        """Return a state without keys, which can neither send nor receive."""

    def dump(self, state: S) -> bytes:
        """Return the state as bytes for the vault; they hold secrets."""

    def load(self, data: bytes) -> S:
        """Return the state of `dump`. Raises: MalformedError."""
