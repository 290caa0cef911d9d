"""A person's secrets and what is derived from them; no key of another type can be passed by mistake.

Account secret (one a person) → master key, and per audience an identity key and a label. Device secret (one a device)
→ per audience a device key and id. Sealing keys are fresh seeds, not derived, so that deleting one ends it.
Source: docs/protocol/43-devices.md §2.
"""

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.devices import (
    MAX_DEVICE_LIFETIME_S,
    MAX_SEALING_LIFETIME_S,
    DeviceCertificate,
    Enrolment,
    IdentityStatement,
    StatedKey,
    sign_device,
    sign_identity,
    sign_sealing_key,
)
from protocol.encoding import label, length_prefixed, unb64
from protocol.ids import ID_BYTES, random_id
from protocol.keyentries import VouchOpening, make_vouch
from protocol.sealing import PrivateSealingKey
from protocol.signing import SigningKey

SECRET_BYTES: Final = 32


class MasterKey(SigningKey):
    """Signs a person's identity statements; never reaches a node."""

    __slots__ = ()


class IdentityKey(SigningKey):
    """Signs a person's device certificates for one audience."""

    __slots__ = ()


class DeviceKey(SigningKey):
    """One device's signature key for one audience."""

    __slots__ = ()


class PersonSealingKey(PrivateSealingKey):
    """Opens briefs that were sealed to this device."""

    __slots__ = ()


class ReplyKey(PrivateSealingKey):
    """One-time key: opens the quote, or the agreement's private part, that answers one message of this device."""

    __slots__ = ()


class _Secret:
    """32 random bytes that other keys are derived from; its repr shows nothing of them."""

    __slots__ = ("_seed",)

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SECRET_BYTES:
            raise ValueError("a secret is 32 bytes")
        self._seed: Final = seed

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for the vault only."""
        return self._seed

    def _derive(self, purpose: str, *context: bytes, size: int = SECRET_BYTES) -> bytes:
        """Return HKDF-SHA256 (RFC 5869, no salt) bound to one purpose and its context parts."""
        bound = label(f"derive/{purpose}") + length_prefixed(*context)
        return HKDF(algorithm=SHA256(), length=size, salt=None, info=bound).derive(self._seed)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class AccountSecret(_Secret):
    """What makes a person the same person on every device: recovery words restore exactly this."""

    __slots__ = ()

    def master(self) -> MasterKey:
        """Return the master key."""
        return MasterKey(self._derive("master"))

    def identity(self, audience: str) -> IdentityKey:
        """Return the identity key for `audience` (an audience id); two audiences cannot be linked by it."""
        return IdentityKey(self._derive("identity", _audience(audience)))

    def label(self, audience: str) -> str:
        """Return the person's random-looking name in the key directory of `audience`."""
        return random_id(self._derive("label", _audience(audience), size=ID_BYTES))

    def state_identity(self, audience: str, *, seq: int = 1) -> str:
        """Return the identity statement for `audience`, signed by the master key; shown end to end only."""
        statement = IdentityStatement(
            label=self.label(audience),
            audience=audience,
            identity_key=self.identity(audience).public.text,
            seq=seq,
        )
        return sign_identity(statement, self.master())

    def open_vouch(self, audience: str, name: str) -> VouchOpening:
        """Return what opens the vouch of `audience` for somebody who is told `name`; the salts are this audience's."""
        place = _audience(audience)
        return VouchOpening(
            name=name,
            name_salt=self._derive("vouch-name", place, size=ID_BYTES),
            identity=self.state_identity(audience),
            identity_salt=self._derive("vouch-identity", place, size=ID_BYTES),
            master_key=self.master().public.text,
        )


class DeviceSecret(_Secret):
    """What makes a device itself; it never leaves the device."""

    __slots__ = ()

    def key(self, audience: str) -> DeviceKey:
        """Return this device's signature key for `audience`."""
        return DeviceKey(self._derive("device", _audience(audience)))

    def device_id(self, audience: str) -> str:
        """Return this device's id for `audience`; another audience sees another one."""
        return random_id(self._derive("device-id", _audience(audience), size=ID_BYTES))


def certify(account: AccountSecret, device: DeviceSecret, *, audience: str, now: int) -> str:
    """Return the certificate of `device` for `audience`, valid from `now` for the longest time allowed."""
    certificate = DeviceCertificate(
        device_id=device.device_id(audience),
        device_key=device.key(audience).public.text,
        audience=audience,
        created_at=now,
        expires_at=now + MAX_DEVICE_LIFETIME_S,
    )
    return sign_device(certificate, account.identity(audience))


def state_key(key: PersonSealingKey, device: DeviceKey, *, now: int) -> StatedKey:
    """Return the public half of `key` with the device's statement that it is its own."""
    statement = sign_sealing_key(key.public, device, expires_at=now + MAX_SEALING_LIFETIME_S)
    return StatedKey(key=key.public.text, statement=statement)


def enrol(
    account: AccountSecret,
    device: DeviceSecret,
    keys: tuple[PersonSealingKey, ...],
    *,
    audience: str,
    now: int,
    name: str = "",
    certificate: str = "",
) -> Enrolment:
    """Return what the device tells its own node for `audience`: label, identity key, certificate, 1–32 sealing keys.

    `name` is committed to in the vouch, and told to the other person of an agreement only. `certificate` is one that
    another device of the person made, if there is one.
    """
    return Enrolment(
        label=account.label(audience),
        identity_key=account.identity(audience).public.text,
        certificate=certificate or certify(account, device, audience=audience, now=now),
        sealing=tuple(state_key(key, device.key(audience), now=now) for key in keys),
        vouch=make_vouch(account.open_vouch(audience, name)),
    )


def _audience(audience: str) -> bytes:
    return unb64(audience, size=32, what="audience")
