"""The two-signature agreement: both nodes sign the same bytes, and both signatures are required.

General JWS JSON serialization (RFC 7515 §7.2.1), provider first, consumer second.
Source: docs/protocol/32-agreement.md.
"""

from typing import Final

from . import jws
from .bodies import Agreement
from .encoding import b64, decode, encode, sha256
from .errors import UnverifiedError
from .signing import Signer, SigningKey

AGREEMENT_TYP: Final = "mentormesh-agreement+jws"


def propose(agreement: Agreement, provider: SigningKey) -> str:
    """Return the agreement with the provider's signature."""
    return jws.sign_general(encode(agreement), provider, AGREEMENT_TYP).decode("ascii")


def open_proposed(document: str, provider: Signer) -> Agreement:
    """Return the agreement that `provider` alone signed so far. Raises: MalformedError, UnverifiedError."""
    payload = jws.verify_general(document.encode("utf-8"), (provider,), AGREEMENT_TYP)
    return decode(payload, Agreement, what="agreement")


def countersign(document: str, consumer: SigningKey) -> str:
    """Return the agreement with the consumer's signature added second."""
    return jws.add_signature(document.encode("utf-8"), consumer, AGREEMENT_TYP).decode("ascii")


def open_agreement(document: str, provider: Signer, consumer: Signer) -> Agreement:
    """Return the agreement that both signed, in this order. Raises: MalformedError, UnverifiedError."""
    payload = jws.verify_general(document.encode("utf-8"), (provider, consumer), AGREEMENT_TYP)
    return decode(payload, Agreement, what="agreement")


def check_same(proposed: Agreement, signed: Agreement) -> None:
    """Return if both copies say the same. Raises: UnverifiedError: the other side changed the terms."""
    if proposed != signed:
        raise UnverifiedError("agreement differs from the one proposed", code="agreement-changed")


def agreement_hash(document: str) -> str:
    """Return the SHA-256 of the agreement document as base64url."""
    return b64(sha256(document.encode("utf-8")))
