"""The mentor's yes: signed by the mentor's device over exactly what it agrees to (`mentormesh-consent+jws`).

Nodes see its hash only, in the agreement; the consent itself goes to the mentee's device.
Source: docs/protocol/42-sealing.md §7.
"""

from typing import Final

from protocol import jws
from protocol.encoding import Wire, b64, decode, encode, sha256
from protocol.errors import UnverifiedError
from protocol.ids import Bytes32, RandomId, Seconds
from protocol.signing import VerifyKey

from .keys import DeviceKey

CONSENT_TYP: Final = "mentormesh-consent+jws"


class Consent(Wire, frozen=True, kw_only=True):
    """`{"accepted":"<hash of ACCEPTED>","ref":…,"slot":1767006000,"thread":…}`; a text session has no slot."""

    thread: RandomId
    ref: RandomId
    slot: Seconds | None = None
    accepted: Bytes32


def sign_consent(consent: Consent, device: DeviceKey) -> str:
    """Return the consent as a JWS by the mentor's device."""
    return jws.sign(encode(consent), device, CONSENT_TYP)


def open_consent(text: str, devices: tuple[VerifyKey, ...]) -> Consent:
    """Return the consent once one of `devices` signed it. Raises: MalformedError, UnverifiedError."""
    signed = jws.parse(text, CONSENT_TYP)
    for device in devices:
        if device.keyid == signed.header.kid:
            return decode(signed.verify(device), Consent, what="consent")
    raise UnverifiedError("consent is signed by another device", code="wrong-device")


def consent_hash(text: str) -> str:
    """Return the SHA-256 of the consent's JWS text, as the agreement names it."""
    return b64(sha256(text.encode("ascii")))
