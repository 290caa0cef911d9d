"""Bodies of the handshake messages: what crosses, and which part of it each party can read.

A body travels beside its signed message (`messages.py`). Parts for one reader are sealed: the structured need and the
choice to the provider's *node*, quotes to the mentee's device, the brief and the agreement's private part to devices.
Sealed parts are base64url text here; their plaintext types stand beside them.
Source: docs/protocol/30-messages.md §5, 32-agreement.md.
"""

from typing import Annotated, Final, Literal

import msgspec

from .encoding import Wire
from .ids import Bytes32, Entity, RandomId, Seconds
from .needs import Approach, Experience, Fit, Gap, Need, Reason
from .offers import OrgProfile
from .sealing import SealingText
from .vocabulary import Band, Format, Kind, Length

#: A sealed part as base64url; small enough that every message fits its 32 KiB.
Sealed = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+(?!\n)$", min_length=1516, max_length=27_000)]
#: A brief's box of 14,376 bytes as base64url: every brief has this size (docs/protocol/42-sealing.md §6.4).
BOX_CHARACTERS: Final = 19_168
#: Longest window of a session without a slot, 30 days.
MAX_WINDOW_S: Final = 30 * 86_400

#: Start times on the provider's 30-minute grid, earliest first.
Slots = Annotated[tuple[Seconds, ...], msgspec.Meta(max_length=5)]

#: Why a node says no. Neutral on purpose: a busy, absent, blocked or departed mentor look alike.
Refusal = Literal["no-capacity", "unavailable", "policy", "quote-expired", "too-late"]
#: Why a mentor says no.
DeclineReason = Literal["not-my-topic", "no-time", "conflict", "other"]
CancelReason = Literal["not-needed", "cannot-make-it", "conflict", "unavailable", "fall-through"]


# REQUESTED: consumer's device to the provider's node


class Target(Wire, frozen=True, kw_only=True):
    """What the request is about: one listed offer, a known contact, an invite, or an open need."""

    type: Literal["offer", "contact", "invite", "open-need"]
    id: RandomId


class Request(Wire, frozen=True, kw_only=True):
    """Plaintext of REQUESTED; only the provider's matcher reads it, the mentee's own node does not."""

    target: Target
    need: Need
    reply_key: SealingText


class RequestBody(Wire, frozen=True, kw_only=True):
    """`{"request":"<Request sealed to the provider's envelope key>"}`."""

    request: Sealed


# OFFERED and counter: provider's node to the mentee's device


class Candidate(Wire, frozen=True, kw_only=True):
    """One person proposed, known only by an opaque `ref` that is fresh for this thread."""

    ref: RandomId
    fit: Fit
    reasons: Annotated[tuple[Reason, ...], msgspec.Meta(max_length=2)]
    gap: Gap
    kind: Kind
    band: Band
    experience: Annotated[tuple[Experience, ...], msgspec.Meta(max_length=4)] = ()
    approach: Annotated[tuple[Approach, ...], msgspec.Meta(max_length=4)] = ()
    line: Annotated[str, msgspec.Meta(max_length=140)] = ""
    known_as: Annotated[str, msgspec.Meta(max_length=60)] = ""
    responsiveness: Literal["", "hours", "a-day", "two-days"] = ""
    slots: Slots = ()
    keys: Annotated[tuple[SealingText, ...], msgspec.Meta(min_length=1, max_length=2)]


class Quote(Wire, frozen=True, kw_only=True):
    """Plaintext of OFFERED and of a counter: up to three candidates; holds nothing, valid until `valid_until`."""

    org: OrgProfile
    candidates: Annotated[tuple[Candidate, ...], msgspec.Meta(min_length=1, max_length=3)]
    valid_until: Seconds


class OfferedBody(Wire, frozen=True, kw_only=True):
    """`{"quote":"<Quote sealed to the device's one-time key>"}`; counter and redirect have the same shape."""

    quote: Sealed


class RefusedBody(Wire, frozen=True, kw_only=True):
    """A node's no, to a request or to an acceptance."""

    reason: Refusal


# ACCEPTED: the choice for the provider's node, the brief for the mentor's devices


class Choice(Wire, frozen=True, kw_only=True):
    """Plaintext for the provider's node: whom, when and how, so that place and slots are taken atomically.

    `slots` are ranked, best first; a text session has none and runs in the default window.
    """

    ref: RandomId
    slots: Slots = ()
    format: Format
    length: Length


class Wrapped(Wire, frozen=True, kw_only=True):
    """The brief's content key sealed to one device: `key` is the SHA-256 of that device's sealing key."""

    key: Bytes32
    sealed: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+(?!\n)$", min_length=1558, max_length=1558)]


class SealedBrief(Wire, frozen=True, kw_only=True):
    """The brief, encrypted once (XChaCha20-Poly1305: 24-byte nonce, ciphertext) and wrapped for each device."""

    wrapped: Annotated[tuple[Wrapped, ...], msgspec.Meta(min_length=1, max_length=2)]
    box: Annotated[
        str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+(?!\n)$", min_length=BOX_CHARACTERS, max_length=BOX_CHARACTERS)
    ]


class AcceptedBody(Wire, frozen=True, kw_only=True):
    """`{"brief":{…},"choice":"<Choice sealed to the provider's envelope key>"}`."""

    choice: Sealed
    brief: SealedBrief


# AGREED, VERIFIED, FINALIZED


class Agreement(Wire, frozen=True, kw_only=True):
    """Payload that both nodes sign (General JWS, typ `mentormesh-agreement+jws`): consumer's copy equals provider's.

    `accepted` is the hash of the ACCEPTED message, `consent` the hash of the mentor device's consent; an agreement made
    by mail link has none and says `attested: "node"`. `slot` is absent for a text session, which runs `window_s`.
    """

    thread: RandomId
    consumer: Entity
    provider: Entity
    accepted: Bytes32
    slot: Seconds | None = None
    window_s: Annotated[int, msgspec.Meta(ge=0, le=MAX_WINDOW_S)] = 0
    format: Format
    length: Length
    attested: Literal["device", "node"] = "device"
    consent: Bytes32 | None = None
    agreed_at: Seconds

    def __post_init__(self) -> None:
        if not (self.slot is None) == (self.format == "text") == (self.window_s > 0):
            raise ValueError("a text session has a window and no slot, any other a slot and no window")
        if (self.attested == "device") != (self.consent is not None):
            raise ValueError("a device's consent is named exactly when a device attested")


class AgreedBody(Wire, frozen=True, kw_only=True):
    """Agreement with the provider's signature, and what only the mentee's device reads (absent if a node attested)."""

    agreement: Annotated[str, msgspec.Meta(max_length=4096)]
    private: Sealed | None = None


class VerifiedBody(Wire, frozen=True, kw_only=True):
    """Agreement with both signatures."""

    agreement: Annotated[str, msgspec.Meta(max_length=4096)]


class FinalizedBody(Wire, frozen=True, kw_only=True):
    """Acknowledgement: SHA-256 of the agreement document with both signatures."""

    agreement_hash: Bytes32


# Endings


class DeclinedBody(Wire, frozen=True, kw_only=True):
    """A mentor's no."""

    reason: DeclineReason


class ExpiredBody(Wire, frozen=True, kw_only=True):
    """Nobody answered by the deadline; sent by the provider."""

    deadline: Seconds


class CancelledBody(Wire, frozen=True, kw_only=True):
    """Either side steps back."""

    reason: CancelReason
