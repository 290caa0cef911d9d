"""Every error mentormesh raises on purpose: one root, six kinds, chosen by what the caller should do."""


class MeshError(Exception):
    """Root of all expected errors; the message names field and rule, never personal data.

    A subclass may set `code`, a short stable word that travels in problems and refusals.
    """

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class MalformedError(MeshError):
    """The bytes are not in canonical form: fix them, do not retry."""

    code = "malformed"


class UnverifiedError(MeshError):
    """A signature, proof, quorum or digest fails: keep the evidence, do not trust."""

    code = "unverified"


class RefusedError(MeshError):
    """Valid, but not allowed in this state or for this person: read the state again."""

    code = "refused"


class MissingError(MeshError):
    """No such offer, thread, peer or page: stop asking."""

    code = "missing"


class _RetryError(MeshError):
    """Shared shape of the two kinds that say when to come back."""

    def __init__(self, message: str, *, code: str | None = None, retry_at: int | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_at = retry_at


class LimitError(_RetryError):
    """A rate, size or quota is exceeded; `retry_at` (Unix seconds) says when to come back."""

    code = "limit"


class UnavailableError(_RetryError):
    """A peer or the disk is away; `retry_at` (Unix seconds) says when to try again."""

    code = "unavailable"


class ConflictError(RefusedError):
    """A row or message with this identity exists already, with other content."""

    code = "conflict"
