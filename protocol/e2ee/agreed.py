"""The private part of an agreement: who the mentor is, proven to the mentee's device and to nobody else.

It answers one question before any name is shown: could somebody else have read the brief? Every key that the brief
was sealed to must be stated by a device of the mentor, and that device must hang from the mentor's master key.
Source: docs/protocol/42-sealing.md §8.
"""

from typing import Annotated, Final

import msgspec

from protocol import contexts
from protocol.bodies import Agreement
from protocol.contexts import ThreadContext
from protocol.devices import StatementText, open_device, open_identity, open_sealing_key
from protocol.encoding import Wire, b64, decode, encode, length_prefixed, split_prefixed, unb64
from protocol.errors import UnverifiedError
from protocol.ids import Bytes32, RandomId, Seconds
from protocol.sealing import SealingPublicKey
from protocol.signing import VerifyKey

from .consent import consent_hash, open_consent
from .keys import ReplyKey
from .masterchange import Changes
from .padding import pad, unpad

#: Every private part is this long before it is sealed.
AGREED_BYTES: Final = 18_432


class ForeignReaderError(UnverifiedError):
    """A key that the brief was sealed to belongs to no device of the mentor: stop before names."""

    code = "foreign-reader"

    def __init__(self) -> None:
        super().__init__("someone else could read your brief: it was sealed to a key that your mentor does not own")


class DeviceProof(Wire, frozen=True, kw_only=True):
    """One device of the mentor: its certificate, and its statement about the sealing key that the quote carried."""

    certificate: StatementText
    sealing_key: StatementText


class AgreedProof(Wire, frozen=True, kw_only=True):
    """`{"consent":…,"devices":[{"certificate":…,"sealing_key":…}],"identity":…,"master_key":…}`.

    `changes` lead to this master key from earlier ones of the same person.
    """

    consent: StatementText
    identity: StatementText
    master_key: Bytes32
    devices: Annotated[tuple[DeviceProof, ...], msgspec.Meta(min_length=1, max_length=2)]
    changes: Changes = ()


class AgreedPrivate(msgspec.Struct, frozen=True, kw_only=True):
    """The proof, and the session engine's welcome (opaque)."""

    proof: AgreedProof
    welcome: bytes


class SentBrief(msgspec.Struct, frozen=True, kw_only=True):
    """What the mentee's device remembers of its ACCEPTED: hash of the message, hashes of the keys it sealed to."""

    context: ThreadContext
    ref: RandomId
    audience: Bytes32
    accepted: Bytes32
    sealed_to: tuple[Bytes32, ...]


class Mentor(msgspec.Struct, frozen=True, kw_only=True):
    """Who agreed, checked link by link; whether the key directory lists them is checked beside it."""

    label: RandomId
    master_key: VerifyKey
    identity_key: VerifyKey
    identity_seq: int
    devices: tuple[VerifyKey, ...]
    slot: Seconds | None
    consent: Bytes32


def seal_agreed(
    private: AgreedPrivate, reply_key: SealingPublicKey, context: ThreadContext, *, ref: str, audience: str
) -> str:
    """Return the private part sealed to the reply key of the brief, as base64url. Raises: LimitError: too long."""
    plain = pad(length_prefixed(encode(private.proof), private.welcome), AGREED_BYTES, what="private part")
    info = contexts.agreed_private(context, ref=ref, audience=audience, reply_key=reply_key)
    return b64(reply_key.seal(plain, info))


def open_agreed(sealed: str, key: ReplyKey, context: ThreadContext, *, ref: str, audience: str) -> AgreedPrivate:
    """Return the private part, whose proof is still to be checked. Raises: MalformedError, UnverifiedError."""
    info = contexts.agreed_private(context, ref=ref, audience=audience, reply_key=key.public)
    padded = key.open(unb64(sealed, what="private part"), info, what="private part")
    proof, welcome = split_prefixed(unpad(padded, AGREED_BYTES, what="private part"), 2, what="private part")
    return AgreedPrivate(proof=decode(proof, AgreedProof, what="private part"), welcome=welcome)


def check_agreed(proof: AgreedProof, agreement: Agreement, sent: SentBrief, *, now: int) -> Mentor:
    """Return the mentor once the whole chain holds and covers every key that the brief was sealed to.

    Args:
        agreement: as signed by the provider.
    Raises: ForeignReaderError: a key that the brief was sealed to is stated by no device; UnverifiedError: another
        broken link, or an agreement about something else; MalformedError.
    """
    master = VerifyKey.parse(proof.master_key)
    identity = open_identity(proof.identity, master, audience=sent.audience)
    identity_key = VerifyKey.parse(identity.identity_key)
    devices = _check_devices(proof, identity_key, sent, now=now)
    _check_consent(proof.consent, agreement, devices, sent)
    return Mentor(
        label=identity.label,
        master_key=master,
        identity_key=identity_key,
        identity_seq=identity.seq,
        devices=devices,
        slot=agreement.slot,
        consent=consent_hash(proof.consent),
    )


def _check_devices(proof: AgreedProof, identity: VerifyKey, sent: SentBrief, *, now: int) -> tuple[VerifyKey, ...]:
    devices: tuple[VerifyKey, ...] = ()
    stated: set[str] = set()
    for one in proof.devices:
        certificate = open_device(one.certificate, identity, audience=sent.audience, now=now)
        device = VerifyKey.parse(certificate.device_key)
        stated.add(open_sealing_key(one.sealing_key, device, now=now).sealing_key)
        devices += (device,)
    if not sent.sealed_to or not stated.issuperset(sent.sealed_to):
        raise ForeignReaderError
    return devices


def _check_consent(text: str, agreement: Agreement, devices: tuple[VerifyKey, ...], sent: SentBrief) -> None:
    consent = open_consent(text, devices)
    agreed = ThreadContext(thread=agreement.thread, consumer=agreement.consumer, provider=agreement.provider)
    if (agreed, agreement.accepted) != (sent.context, sent.accepted):
        raise UnverifiedError("agreement is about another thread or message", code="wrong-context")
    if agreement.consent != consent_hash(text):
        raise UnverifiedError("agreement names another consent", code="wrong-consent")
    said = (consent.thread, consent.ref, consent.accepted, consent.slot)
    if said != (agreement.thread, sent.ref, agreement.accepted, agreement.slot):
        raise UnverifiedError("consent is for another thread, person, message or slot", code="wrong-consent")
