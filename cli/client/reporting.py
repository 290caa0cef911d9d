"""Makes a report of what the other person said: chosen messages with their proofs, and nothing else of the session.

Source: docs/protocol/44-frames.md §8.
"""

from collections.abc import Sequence
from typing import Final

from protocol.e2ee.consent import consent_hash
from protocol.e2ee.crypto import Member
from protocol.e2ee.frames import Frame
from protocol.e2ee.reports import MAX_FRAMES, Reason, Report, Said
from protocol.encoding import b64, decode
from protocol.errors import MissingError, RefusedError
from protocol.text import displayable

from .members import peer_of
from .records import FrameRecord, SessionRecord, ThreadRecord
from .state import ClientState

_LONGEST: Final = 2_000


def report_of(
    state: ClientState, thread: str, numbers: Sequence[int], *, reason: Reason, words: str, now: int
) -> Report:
    """Return a report of the other person's messages with these numbers, also of what they took back.

    Raises: MissingError: no session, or no such message of theirs; RefusedError: it cannot be proved.
    """
    record, session = state.thread(thread), state.session(thread)
    chosen = [_named(record, session, number) for number in dict.fromkeys(numbers)]
    if len(chosen) > MAX_FRAMES:
        raise RefusedError(f"a report has at most {MAX_FRAMES} messages")
    devices = list(dict.fromkeys(one.sender for one in chosen))
    consent = consent_hash(record.consent) if record.consent else record.consented
    if not consent or not all(one.proof for one in chosen) or not set(devices) <= session.certificates.keys():
        raise RefusedError("this cannot be proved: it was received by an earlier version, or its time was over")
    senders = (Member(device=one, certificate=session.certificates[one]) for one in devices)
    identities = {peer_of(record, one, now=now) or record.peer_identity for one in senders}
    if len(identities) > 1:
        raise RefusedError("they have changed their keys meanwhile: report what was said before and after apart")
    return Report(
        thread=thread,
        consumer=record.consumer,
        provider=record.provider,
        accepted=record.accepted,
        consent=consent,
        audience=record.audience,
        about="mentor" if record.role == "mentee" else "mentee",
        identity_key=identities.pop(),
        certificates=tuple(session.certificates[one] for one in devices),
        said=tuple(
            Said(frame=decode(one.frame, Frame), by=devices.index(one.sender), proof=b64(one.proof)) for one in chosen
        ),
        reason=reason,
        words=displayable(words)[:_LONGEST],
        made_at=now,
    )


def _named(record: ThreadRecord, session: SessionRecord, number: int) -> FrameRecord:
    for one in session.frames:
        if one.number == number and one.sender in record.peer_devices:
            return one
    raise MissingError(f"the other person has said no message #{number}: `session show --numbers` lists them")
