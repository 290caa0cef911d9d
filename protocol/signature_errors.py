"""Every way in which a signed HTTP message can be refused, one class each, so that a log line names the cause.

Wrong form is `MalformedError`; right form that proves nothing is `UnverifiedError`.
Source: docs/protocol/21-transport.md §6.
"""

from .errors import MalformedError, UnverifiedError


class DuplicateHeaderError(MalformedError):
    """A header of the signature stands twice: two readers could take different ones."""

    code = "duplicate-header"


class SignatureSyntaxError(MalformedError):
    """Signature or Signature-Input is not in the one spelling of the profile."""

    code = "signature-syntax"


class TargetError(MalformedError):
    """The request target is not a plain path with an optional query."""

    code = "request-target"


class MissingDigestError(MalformedError):
    """There is no Content-Digest; the empty body has one too."""

    code = "missing-digest"


class WeakDigestError(MalformedError):
    """Content-Digest holds something else than exactly one sha-256."""

    code = "weak-digest"


class DigestMismatchError(MalformedError):
    """The body is not the one that Content-Digest describes."""

    code = "digest-mismatch"


class UnsignedError(UnverifiedError):
    """There is no Signature or no Signature-Input."""

    code = "unsigned"


class LabelError(UnverifiedError):
    """There is another label than `sig1`, or a second one."""

    code = "signature-label"


class MissingComponentError(UnverifiedError):
    """A component that the profile demands is not covered."""

    code = "missing-component"


class ComponentListError(UnverifiedError):
    """The covered components are others, or in another order."""

    code = "component-list"


class MissingParameterError(UnverifiedError):
    """`created`, `expires`, `nonce`, `keyid`, `alg` or `tag` is absent."""

    code = "missing-parameter"


class ParameterError(UnverifiedError):
    """A parameter is unknown, stands twice or has no acceptable value."""

    code = "signature-parameter"


class AlgorithmError(UnverifiedError):
    """`alg` is not `ed25519`."""

    code = "signature-algorithm"


class TagError(UnverifiedError):
    """`tag` is not `mentormesh`: the signature was made for something else."""

    code = "signature-tag"


class LifetimeError(UnverifiedError):
    """`expires` is not 1 to 300 seconds after `created`."""

    code = "signature-lifetime"


class ClockSkewError(UnverifiedError):
    """`created` lies more than 60 seconds in the future."""

    code = "clock-skew"


class ExpiredError(UnverifiedError):
    """`expires` has passed."""

    code = "signature-expired"


class WrongKeyError(UnverifiedError):
    """`keyid` names another key than the one that must have signed."""

    code = "wrong-key"


class WrongExchangeError(UnverifiedError):
    """A response answers another request."""

    code = "wrong-exchange"


class BadSignatureError(UnverifiedError):
    """The signature does not verify over the message as it arrived."""

    code = "bad-signature"
