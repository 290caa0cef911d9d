"""A report of what somebody said in a session: chosen frames, each provable by its sender's signature.

Whoever is given one checks it without a network and learns nothing beyond it: no key and no other frame.
Source: docs/protocol/44-frames.md §8.
"""

from typing import Annotated, Final, Literal

import msgspec

from protocol import contexts
from protocol.devices import open_device
from protocol.encoding import Wire, decode, encode, unb64
from protocol.errors import UnverifiedError
from protocol.ids import Bytes32, Entity, RandomId, Seconds
from protocol.signing import VerifyKey
from protocol.text import check_displayable

from .crypto import S, SessionCrypto
from .frames import Frame, encode_frame

MAX_FRAMES: Final = 50
MAX_REPORT_BYTES: Final = 4 * 1024 * 1024

Reason = Literal["harassment", "threat", "discrimination", "fraud", "confidential", "other"]
Certificate = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]


class Said(Wire, frozen=True, kw_only=True):
    """One frame, which certificate's device said it (its place in the report), and the engine's proof."""

    frame: Frame
    by: Annotated[int, msgspec.Meta(ge=0, lt=MAX_FRAMES)] = 0
    proof: Annotated[str, msgspec.Meta(min_length=1, max_length=8_000)]


class Report(Wire, frozen=True, kw_only=True):
    """Everything that a receiver needs; `about` is the side whose words these are, `identity_key` who it is there."""

    v: Literal[1] = 1
    thread: RandomId
    consumer: Entity
    provider: Entity
    accepted: Bytes32
    consent: Bytes32
    audience: Bytes32
    engine: Literal["mls-1"] = "mls-1"
    about: Literal["mentee", "mentor"]
    identity_key: Bytes32
    certificates: Annotated[tuple[Certificate, ...], msgspec.Meta(min_length=1, max_length=MAX_FRAMES)]
    said: Annotated[tuple[Said, ...], msgspec.Meta(min_length=1, max_length=MAX_FRAMES)]
    reason: Reason
    words: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    made_at: Seconds

    @property
    def accused(self) -> str:
        """The organization of the person whose words these are."""
        return self.consumer if self.about == "mentee" else self.provider


def encode_report(report: Report) -> bytes:
    """Return the bytes of a report."""
    return encode(report)


def open_report(data: bytes, engine: SessionCrypto[S]) -> Report:
    """Return a report once each frame of it is proven to be the word of `identity_key` in this one session.

    Who has that key is told by the key directory of their organization, not by the report.

    Raises: MalformedError: not canonical, or a bound; UnverifiedError: a certificate, signature or another session.
    """
    if len(data) > MAX_REPORT_BYTES:
        raise UnverifiedError("a report is smaller than this", code="too-large")
    report = decode(data, Report, what="report")
    check_displayable(report.words, "words")
    identity = VerifyKey.parse(report.identity_key)
    devices = [
        open_device(one, identity, audience=report.audience, now=report.made_at).device_key
        for one in report.certificates
    ]
    bound = contexts.session(thread=report.thread, accepted=report.accepted, consent=report.consent)
    for said in report.said:
        if said.by >= len(devices):
            raise UnverifiedError("a frame names a device that the report has no certificate of", code="wrong-device")
        proven = engine.proven(unb64(said.proof, what="proof"), encode_frame(said.frame), device=devices[said.by])
        if proven != bound:
            raise UnverifiedError("a frame was said in another session", code="wrong-context")
    return report
