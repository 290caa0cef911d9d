"""What this profile of RFC 9420 allows, as one value; and the places where a fuller implementation would plug in.

The product uses `PRODUCT` and nothing else. What the official test vectors need beyond it (public messages, proposals
by reference, pre-shared keys, external joins) is an `Extras` of the tests.
"""

from typing import Any, Final, NoReturn, Protocol

import msgspec

from .codec import Reader
from .errors import ProfileError

VERSION: Final = 1
#: The extension in which a leaf list travels inside a welcome.
RATCHET_TREE: Final = 0x0002
#: GroupContext extension: 32 bytes that bind the group to its agreement.
AGREEMENT: Final = 0xF0A7
BASIC: Final = 1
#: Far more changes than a session sees; envelopes name epochs up to 2^31.
MAX_EPOCH: Final = 2**20
GROUP_ID_BYTES: Final = 16
#: Extensions that every implementation knows and no capability lists.
DEFAULT_EXTENSIONS: Final = frozenset({1, 2, 3, 4, 5})


class Extras(Protocol):
    """Hooks for what the profile leaves out; only who makes them knows the types of their proposals.

    A `draft` is a `commits.Draft`, `context` and `derived` are a `GroupContext` and `Derived` of `schedule`.
    """

    def read_proposal(self, kind: int, reader: Reader) -> Any:  # noqa: ANN401 -- only its maker knows the type
        """Return a proposal of a kind that is neither add nor remove."""
        ...

    def skip_proposal(self, reader: Reader) -> None:
        """Read a proposal that is a message of its own."""
        ...

    def resolve(self, reference: bytes) -> tuple[Any, int]:
        """Return the proposal that was sent before under this reference, and the leaf that sent it."""
        ...

    def apply(self, proposal: Any, sender: int, draft: Any) -> Any:  # noqa: ANN401 -- as above
        """Return the draft of the next epoch with the effect of such a proposal."""
        ...

    def needs_path(self, proposal: Any) -> bool:  # noqa: ANN401 -- as above
        """Return whether a commit with such a proposal needs a path."""
        ...

    def psk_secret(self, ids: tuple[bytes, ...]) -> bytes:
        """Return the secret of pre-shared keys, given by their encoded ids."""
        ...

    def entered(self, context: object, derived: object) -> None:
        """Take note of a new epoch and its secrets, some of which the profile forgets."""
        ...


class NoExtras:
    """The profile's own: everything is refused."""

    def read_proposal(self, kind: int, reader: Reader) -> NoReturn:
        """Refuse."""
        del kind, reader
        raise ProfileError("a commit holds a proposal other than add and remove")

    def skip_proposal(self, reader: Reader) -> NoReturn:
        """Refuse."""
        del reader
        raise ProfileError("a proposal comes outside a commit")

    def resolve(self, reference: bytes) -> NoReturn:
        """Refuse."""
        del reference
        raise ProfileError("a commit names a proposal by reference")

    def apply(self, proposal: object, sender: int, draft: object) -> NoReturn:
        """Refuse."""
        del proposal, sender, draft
        raise ProfileError("a commit holds a proposal other than add and remove")

    def needs_path(self, proposal: object) -> NoReturn:
        """Refuse."""
        del proposal
        raise ProfileError("a commit holds a proposal other than add and remove")

    def psk_secret(self, ids: tuple[bytes, ...]) -> NoReturn:
        """Refuse."""
        del ids
        raise ProfileError("a welcome needs pre-shared keys")

    def entered(self, context: object, derived: object) -> None:
        """Forget them."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds and hooks of one kind of group.

    `window`: how far behind the newest message of its sender one may still be read; `forward`: how far ahead.
    `past_s`: seconds for which the epoch before is still read. `lifetime_s`: longest life of a key package.
    """

    suites: frozenset[int] = frozenset({0x0001, 0xF00D})
    max_leaves: int = 32
    window: int = 64
    forward: int = 256
    past_s: int = 60
    lifetime_s: int = 400 * 86_400
    skew_s: int = 3600
    check_lifetimes: bool = True
    extras: Extras = NoExtras()


PRODUCT: Final = Profile()
