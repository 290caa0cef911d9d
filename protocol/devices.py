"""Public halves of a person's keys: identity statement, device certificates, sealing-key statements.

Chain: master key → audience identity key → device key → sealing key. A node checks all of it except the first link:
the identity statement and the master key are shown to the other person only, end to end, because the master key
would tie one person's audiences together. Source: docs/protocol/43-devices.md.
"""

from typing import Annotated, Final

import msgspec

from . import jws
from .encoding import Wire, b64, decode, encode, sha256
from .errors import MalformedError, UnverifiedError
from .ids import Bytes32, RandomId, Seconds
from .sealing import SealingPublicKey, SealingText
from .signing import SigningKey, VerifyKey

IDENTITY_TYP: Final = "mentormesh-identity+jws"
DEVICE_TYP: Final = "mentormesh-device+jws"
SEALING_KEY_TYP: Final = "mentormesh-sealing-key+jws"

#: A clock of another machine may be this far ahead of ours.
MAX_SKEW_S: Final = 300
#: A certificate lives at most this long, so that a lost device ends by itself.
MAX_DEVICE_LIFETIME_S: Final = 400 * 86_400
#: A sealing key is replaced after at most this long.
MAX_SEALING_LIFETIME_S: Final = 100 * 86_400

#: A short statement as compact JWS.
StatementText = Annotated[str, msgspec.Meta(min_length=100, max_length=700)]


class IdentityStatement(Wire, frozen=True, kw_only=True):
    """`{"audience":…,"identity_key":…,"label":…,"seq":1}`: the master key's word for one audience's identity key."""

    label: RandomId
    audience: Bytes32
    identity_key: Bytes32
    seq: Annotated[int, msgspec.Meta(ge=1, le=2**31)]


class DeviceCertificate(Wire, frozen=True, kw_only=True):
    """`{"audience":…,"created_at":…,"device_id":…,"device_key":…,"expires_at":…}`, by the audience identity key."""

    device_id: RandomId
    device_key: Bytes32
    audience: Bytes32
    created_at: Seconds
    expires_at: Seconds

    def __post_init__(self) -> None:
        """Refuse a certificate that is empty in time or lives too long."""
        if not 0 < self.expires_at - self.created_at <= MAX_DEVICE_LIFETIME_S:
            raise MalformedError(f"device certificate must live between 1 s and {MAX_DEVICE_LIFETIME_S} s")


class SealingStatement(Wire, frozen=True, kw_only=True):
    """`{"device_key":…,"expires_at":…,"sealing_key":"<SHA-256 of the key>"}`, signed by that device; names no `ref`."""

    sealing_key: Bytes32
    device_key: Bytes32
    expires_at: Seconds


class Vouch(Wire, frozen=True, kw_only=True):
    """Salted commitments to the display name and to the identity statement: `{"identity":"…43…","name":"…43…"}`."""

    name: Bytes32
    identity: Bytes32


class StatedKey(Wire, frozen=True, kw_only=True):
    """A sealing key with its device's statement about it."""

    key: SealingText
    statement: StatementText


class Enrolment(Wire, frozen=True, kw_only=True):
    """What a device tells its own node for one audience: `{"certificate":…,"identity_key":…,"label":…,"sealing":[…]}`.

    Several sealing keys let the node show different peers different keys, so that no key links two offers. `vouch` goes
    into the key directory; without one the node puts random bytes there.
    """

    label: RandomId
    identity_key: Bytes32
    certificate: StatementText
    sealing: Annotated[tuple[StatedKey, ...], msgspec.Meta(min_length=1, max_length=32)]
    vouch: Vouch | None = None


def sealing_key_hash(key: SealingPublicKey) -> str:
    """Return the SHA-256 of a sealing key as base64url: its name in statements, briefs and contexts."""
    return b64(sha256(key.raw))


def sign_identity(statement: IdentityStatement, master: SigningKey) -> str:
    """Return the statement as a JWS by the master key."""
    return jws.sign(encode(statement), master, IDENTITY_TYP)


def open_identity(text: str, master: VerifyKey, *, audience: str) -> IdentityStatement:
    """Return the statement once `master` signed it for `audience`. Raises: MalformedError, UnverifiedError."""
    payload = jws.parse(text, IDENTITY_TYP).verify(master)
    statement = decode(payload, IdentityStatement, what="identity statement")
    if statement.audience != audience:
        raise UnverifiedError("identity statement is for another audience", code="wrong-audience")
    return statement


def sign_device(certificate: DeviceCertificate, identity: SigningKey) -> str:
    """Return the certificate as a JWS by the audience identity key."""
    return jws.sign(encode(certificate), identity, DEVICE_TYP)


def open_device(text: str, identity: VerifyKey, *, audience: str, now: int) -> DeviceCertificate:
    """Return the certificate once `identity` signed it for `audience` and it is valid at `now`.

    Raises: MalformedError, UnverifiedError: signature, audience, not yet valid, expired.
    """
    return _valid_device(jws.parse(text, DEVICE_TYP).verify(identity), audience=audience, now=now)


def reopen_device(text: str, *, audience: str, now: int) -> DeviceCertificate:
    """Return what `open_device` returns, for a text that it opened before under the same identity key."""
    return _valid_device(jws.parse(text, DEVICE_TYP).payload, audience=audience, now=now)


def _valid_device(payload: bytes, *, audience: str, now: int) -> DeviceCertificate:
    certificate = decode(payload, DeviceCertificate, what="device certificate")
    if certificate.audience != audience:
        raise UnverifiedError("device certificate is for another audience", code="wrong-audience")
    if certificate.created_at > now + MAX_SKEW_S:
        raise UnverifiedError("device certificate is not valid yet", code="not-yet-valid")
    _check_expiry(certificate.expires_at, now, "device certificate")
    return certificate


def sign_sealing_key(key: SealingPublicKey, device: SigningKey, *, expires_at: int) -> str:
    """Return the device's statement that `key` is its own, as a JWS."""
    statement = SealingStatement(
        sealing_key=sealing_key_hash(key), device_key=device.public.text, expires_at=expires_at
    )
    return jws.sign(encode(statement), device, SEALING_KEY_TYP)


def open_sealing_key(text: str, device: VerifyKey, *, now: int) -> SealingStatement:
    """Return the statement once `device` signed it about itself and it is valid at `now`.

    Raises: MalformedError, UnverifiedError: signature, other device, expired, or valid for too long.
    """
    payload = jws.parse(text, SEALING_KEY_TYP).verify(device)
    statement = decode(payload, SealingStatement, what="sealing-key statement")
    if statement.device_key != device.text:
        raise UnverifiedError("sealing-key statement is about another device", code="wrong-device")
    if statement.expires_at > now + MAX_SEALING_LIFETIME_S + MAX_SKEW_S:
        raise UnverifiedError("sealing-key statement is valid for too long", code="too-long")
    _check_expiry(statement.expires_at, now, "sealing-key statement")
    return statement


def open_enrolment(enrolment: Enrolment, *, audience: str, now: int) -> DeviceCertificate:
    """Return the device's certificate once every link from the identity key to each sealing key holds.

    Raises: MalformedError, UnverifiedError: certificate, a statement, or a key that its statement does not name.
    """
    identity = VerifyKey.parse(enrolment.identity_key)
    certificate = open_device(enrolment.certificate, identity, audience=audience, now=now)
    device = VerifyKey.parse(certificate.device_key)
    for stated in enrolment.sealing:
        open_stated_key(stated, device, now=now)
    return certificate


def open_stated_key(stated: StatedKey, device: VerifyKey, *, now: int) -> SealingPublicKey:
    """Return the sealing key once its device's statement names it. Raises: MalformedError, UnverifiedError."""
    key = SealingPublicKey.parse(stated.key)
    if open_sealing_key(stated.statement, device, now=now).sealing_key != sealing_key_hash(key):
        raise UnverifiedError("sealing-key statement names another key", code="wrong-key")
    return key


def _check_expiry(expires_at: int, now: int, what: str) -> None:
    if now >= expires_at:
        raise UnverifiedError(f"{what} has expired", code="expired")
