"""Two devices that were told the same short code agree on a key: CPace, a balanced PAKE, over edwards25519.

Whoever stands between them has one guess for each run, and learns from a run whether that guess was right and nothing
else: a code of eight digits cannot be searched for, neither now nor in what was recorded. The group operations are
those of libsodium. Source: docs/protocol/46-own-devices.md §3; draft-irtf-cfrg-cpace.
"""

import hmac
from typing import Final, Literal

import msgspec
import nacl.bindings as sodium
import nacl.exceptions

from protocol.encoding import label, length_prefixed, sha256
from protocol.errors import MalformedError, UnverifiedError

SHARE_BYTES: Final = 32
#: Which of the two devices speaks: the one that is to be linked, or the one that the account has.
Role = Literal["new", "old"]
#: Entropy of one run: reduced to a scalar without bias.
ENTROPY_BYTES: Final = 64


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """One side's half of a run: the secret scalar, used once, and the share to send."""

    scalar: bytes
    share: bytes

    def __repr__(self) -> str:
        return "Share(…)"


class Agreed(msgspec.Struct, frozen=True, kw_only=True):
    """The key of a run; `transcript` is the hash of all that both sides saw."""

    key: bytes
    transcript: bytes

    def confirm(self, role: Role) -> bytes:
        """Return what shows that the side `role` has the same key and saw the same."""
        return hmac.digest(self.key, label("link-confirm") + length_prefixed(role.encode(), self.transcript), "sha256")

    def check(self, role: Role, shown: bytes) -> None:
        """Return if `shown` is that of `role`. Raises: UnverifiedError: another code, or something was changed."""
        if not hmac.compare_digest(self.confirm(role), shown):
            raise UnverifiedError("the code is another one, or somebody stands between the devices", code="wrong-code")

    def binding(self) -> bytes:
        """Return what is mixed into everything that is sealed afterwards, so that only these two can seal it."""
        return hmac.digest(self.key, label("link-binding") + length_prefixed(self.transcript), "sha256")

    def __repr__(self) -> str:
        return "Agreed(…)"


def begin(code: bytes, context: bytes, *, entropy: bytes) -> Share:
    """Return one side's share. `context` is what both sides know of the run; `entropy`: 64 random bytes."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"a run takes exactly {ENTROPY_BYTES} bytes of entropy")
    scalar = sodium.crypto_core_ed25519_scalar_reduce(entropy)
    return Share(scalar=scalar, share=_times(scalar, _generator(code, context)))


def agree(own: Share, theirs: bytes, transcript: bytes) -> Agreed:
    """Return the key after the other share came. `transcript`: all that was sent, as both sides must have seen it.

    Raises: MalformedError: the share is no point of the group's prime-order part.
    """
    if len(theirs) != SHARE_BYTES or not sodium.crypto_core_ed25519_is_valid_point(theirs):
        raise MalformedError("a share is no point of edwards25519 of prime order")
    seen = sha256(label("link-transcript"), transcript)
    return Agreed(key=sha256(label("link-key"), length_prefixed(_times(own.scalar, theirs), seen)), transcript=seen)


def _generator(code: bytes, context: bytes) -> bytes:
    return sodium.crypto_core_ed25519_from_uniform(sha256(label("link-generator"), length_prefixed(code, context)))


def _times(scalar: bytes, point: bytes) -> bytes:
    try:
        return sodium.crypto_scalarmult_ed25519_noclamp(scalar, point)
    except nacl.exceptions.RuntimeError:
        raise MalformedError("a share is no point of edwards25519 of prime order") from None
