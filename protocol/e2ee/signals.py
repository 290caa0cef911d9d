"""What two devices tell each other to set up a call: offer, answer, candidates, end.

Inside a session these are authenticated like every frame, so the certificate fingerprints in them are too (RFC 8122,
RFC 8827). Nothing here starts a call; bounds and forms only. Source: docs/protocol/44-frames.md §5.
"""

import re
from typing import Annotated, Final, Literal

import msgspec

from protocol.encoding import Wire
from protocol.errors import MalformedError
from protocol.ids import RandomId

Sdp = Annotated[str, msgspec.Meta(min_length=1, max_length=32_000)]

_SDP: Final = re.compile(r"v=0\r\n(?:[a-z]=[\x20-\x7e]{1,2000}\r\n)+")
_FINGERPRINT: Final = re.compile(r"^a=fingerprint:(.*)\r$", re.MULTILINE)
#: SHA-256 and nothing weaker.
_STRONG: Final = re.compile(r"sha-256 [0-9A-F]{2}(?::[0-9A-F]{2}){31}")
_CANDIDATE: Final = re.compile(r"candidate:[\x20-\x7e]{1,1000}")


class CallOffer(Wire, frozen=True, kw_only=True, tag="call-offer"):
    """A call that the sender proposes; `call` names it in what follows."""

    call: RandomId
    sdp: Sdp


class CallAnswer(Wire, frozen=True, kw_only=True, tag="call-answer"):
    """The answer to the offer of this call."""

    call: RandomId
    sdp: Sdp


class CallCandidate(Wire, frozen=True, kw_only=True, tag="call-candidate"):
    """One way to reach the sender; `mid` is the media section's name. An empty candidate ends the list."""

    call: RandomId
    candidate: Annotated[str, msgspec.Meta(max_length=1_010)]
    mid: Annotated[str, msgspec.Meta(min_length=1, max_length=32, pattern="^[!-~]*(?!\\n)$")]


class CallEnd(Wire, frozen=True, kw_only=True, tag="call-end"):
    """The sender takes the call no further."""

    call: RandomId
    reason: Literal["hung-up", "busy", "declined", "failed"] = "hung-up"


Signal = CallOffer | CallAnswer | CallCandidate | CallEnd


def check_signal(signal: Signal) -> None:
    """Return when a signal has its form. Raises: MalformedError."""
    match signal:
        case CallOffer(sdp=sdp) | CallAnswer(sdp=sdp):
            _check_sdp(sdp)
        case CallCandidate(candidate=candidate):
            if candidate and not _CANDIDATE.fullmatch(candidate):
                raise MalformedError("candidate must be one line that begins with `candidate:`")
        case CallEnd():
            pass


def _check_sdp(sdp: str) -> None:
    """Require lines of visible ASCII and, as all authentication of the call hangs on it, strong fingerprints only."""
    if not _SDP.fullmatch(sdp):
        raise MalformedError("sdp must be lines of visible ASCII, the first one `v=0`, each with its CR LF")
    prints = _FINGERPRINT.findall(sdp)
    if not prints or not all(_STRONG.fullmatch(one) for one in prints):
        raise MalformedError("sdp must carry fingerprints, and only SHA-256 ones", code="weak-fingerprint")
