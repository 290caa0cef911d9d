"""Why a message, welcome or key package is refused; each leaves the group's state as it was.

`FormError` for bytes that are no structure stands in `codec`. Source: docs/protocol/48-mls.md.
"""

from protocol.errors import RefusedError, UnverifiedError


class SignatureError(UnverifiedError):
    """A signature is absent, cut or wrong."""

    code = "mls-signature"


class DecryptError(UnverifiedError):
    """A ciphertext does not open: changed bytes, another group, or another recipient."""

    code = "mls-decrypt"


class TreeError(UnverifiedError):
    """A ratchet tree contradicts itself: hashes, doubled keys, unmerged leaves, capabilities, lifetimes."""

    code = "mls-tree"


class CommitError(UnverifiedError):
    """A commit does what none may do, or leads to another epoch than it says."""

    code = "mls-commit"


class MemberError(UnverifiedError):
    """Somebody who is or would be a member was not checked before."""

    code = "unknown-member"


class ContextError(UnverifiedError):
    """The group is bound to something else than what both agreed."""

    code = "wrong-context"


class EpochError(RefusedError):
    """The message belongs to another epoch of the group, or to another group."""

    code = "mls-epoch"


class ReplayError(RefusedError):
    """The message was read before, or is too far behind or ahead of those that were."""

    code = "replayed"


class ProfileError(RefusedError):
    """RFC 9420 allows it and this profile does not."""

    code = "mls-profile"
