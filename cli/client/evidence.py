"""What a received frame leaves in the vault: the words, and what proves to others who said them.

Source: docs/protocol/44-frames.md §8.4.
"""

from msgspec.structs import replace

from protocol.e2ee.crypto import Received
from protocol.e2ee.frames import Frame, Unknown
from protocol.encoding import encode
from protocol.envelope import Envelope

from .core import ENGINE
from .records import FrameRecord, SessionRecord


def taken_in(frame: Frame, received: Received, envelope: Envelope, *, mine: bool, now: int) -> FrameRecord:
    """Return the record of a frame that was received; `mine`: another device of one's own said it."""
    return FrameRecord(
        number=envelope.header.number or 0,
        sender=received.sender,
        frame=encode(frame),
        envelope=envelope.header.id,
        taken_at=now,
        # What cannot be shown cannot be reported either: its bytes are not kept.
        proof=b"" if mine or isinstance(frame.content, Unknown) else received.proof,
    )


def certified(session: SessionRecord, sender: str, *, mine: bool) -> SessionRecord:
    """Return the session with the certificate of the other person's device, which may be removed later."""
    if mine or sender in session.certificates:
        return session
    members = ENGINE.members(ENGINE.load(session.state))
    known = {one.device: one.certificate for one in members if one.device == sender}
    return replace(session, certificates={**session.certificates, **known})
