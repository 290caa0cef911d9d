"""A person who lost their devices proves to their own node that they have the account secret, and may enrol again.

The proof is by the identity key that the account showed for an audience, which only the account secret gives; the node
knows its public half. It names one certificate and one sign-in, so that nobody who reads a mailbox can use it again.
Source: docs/protocol/49-recovery.md §6.
"""

from typing import Final

from . import jws
from .authorization import MAX_AGE_S, MAX_SKEW_S, Authorization, certificate_name
from .encoding import decode, encode
from .errors import UnverifiedError
from .signing import SigningKey, VerifyKey

REGAIN_TYP: Final = "mentormesh-regain+jws"


def sign_regain(statement: Authorization, identity: SigningKey) -> str:
    """Return the statement as a JWS by the person's identity key for the audience of the certificate."""
    return jws.sign(encode(statement), identity, REGAIN_TYP)


def check_regain(text: str, identity: VerifyKey, *, certificate: str, sign_in: str, now: int) -> None:
    """Return when `identity` stated that exactly this certificate is added in exactly this sign-in, not long ago.

    Raises: MalformedError, UnverifiedError: signature, other certificate, other sign-in, too old or ahead of time.
    """
    stated = decode(jws.parse(text, REGAIN_TYP).verify(identity), Authorization, what="recovery statement")
    if stated.certificate != certificate_name(certificate):
        raise UnverifiedError("recovery statement is for another certificate", code="wrong-certificate")
    if stated.sign_in != sign_in:
        raise UnverifiedError("recovery statement is for another sign-in", code="wrong-sign-in")
    if not now - MAX_AGE_S <= stated.created_at <= now + MAX_SKEW_S:
        raise UnverifiedError("recovery statement is too old or ahead of time", code="expired")
