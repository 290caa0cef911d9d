"""One of a person's devices allows a certificate to be added to the account, and only in one client's sign-in.

A sign-in link proves no more than access to a mailbox, which an employer has. So an account that has a device takes
another certificate only with this statement by a device key that it knows already. A device that signs in again states
it for its own certificate. Source: docs/explanation/accounts-and-devices.md.
"""

from typing import Final

from . import jws
from .encoding import Wire, b64, decode, encode, label, sha256, unb64
from .errors import UnverifiedError
from .ids import Bytes32, Seconds
from .signing import SigningKey, VerifyKey

AUTHORIZATION_TYP: Final = "mentormesh-authorization+jws"
#: Long enough to carry a code from one screen to another.
MAX_AGE_S: Final = 600
MAX_SKEW_S: Final = 300


class Authorization(Wire, frozen=True, kw_only=True):
    """`{"certificate":"<SHA-256 of its text>","created_at":…,"sign_in":"<sign_in_name of the client's token>"}`."""

    certificate: Bytes32
    sign_in: Bytes32
    created_at: Seconds


def sign_in_name(token: str) -> str:
    """Return the name of a sign-in, from which nobody gets back to its bearer token. Raises: MalformedError."""
    return b64(sha256(label("sign-in"), unb64(token, size=32, what="token")))


def certificate_name(certificate: str) -> str:
    """Return the SHA-256 of the certificate's text as base64url."""
    return b64(sha256(certificate.encode()))


def sign_authorization(authorization: Authorization, device: SigningKey) -> str:
    """Return the statement as a JWS by a device key of the account."""
    return jws.sign(encode(authorization), device, AUTHORIZATION_TYP)


def check_authorization(text: str, device: VerifyKey, *, certificate: str, sign_in: str, now: int) -> None:
    """Return when `device` allowed exactly this certificate text for exactly this sign-in, not long ago.

    Args:
        sign_in: `sign_in_name` of the token of the client that adds the certificate.
    Raises: MalformedError, UnverifiedError: signature, other certificate, other sign-in, too old or ahead of time.
    """
    payload = jws.parse(text, AUTHORIZATION_TYP).verify(device)
    stated = decode(payload, Authorization, what="authorization")
    if stated.certificate != certificate_name(certificate):
        raise UnverifiedError("authorization is for another certificate", code="wrong-certificate")
    if stated.sign_in != sign_in:
        raise UnverifiedError("authorization is for another sign-in", code="wrong-sign-in")
    if not now - MAX_AGE_S <= stated.created_at <= now + MAX_SKEW_S:
        raise UnverifiedError("authorization is too old or ahead of time", code="expired")
