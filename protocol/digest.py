"""Content-Digest (RFC 9530) in the only form the network uses: one SHA-256 over the body bytes as sent."""

import binascii
import hashlib
import re
from typing import Final

from .signature_errors import DigestMismatchError, WeakDigestError

_FORM: Final = re.compile(r"sha-256=:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=:", re.ASCII)


def content_digest(body: bytes) -> str:
    """Return the field value for `body`, such as `sha-256=:47DEQpj8…=:` (the empty body has one too)."""
    encoded = binascii.b2a_base64(hashlib.sha256(body).digest(), newline=False)
    return f"sha-256=:{encoded.decode('ascii')}:"


def check_content_digest(value: str, body: bytes) -> None:
    """Return if `value` is exactly one SHA-256, that of `body`, in its only spelling.

    Raises: WeakDigestError: another algorithm, a second one, another spelling; DigestMismatchError: another body.
    """
    if value == content_digest(body):
        return
    if not _FORM.fullmatch(value):
        raise WeakDigestError("Content-Digest must be exactly one sha-256 value")
    raise DigestMismatchError("Content-Digest does not match the body")
