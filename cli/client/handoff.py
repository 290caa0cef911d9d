"""What a device tells a sibling that it added to a session: everything that it knows of it, and how to join.

Source: docs/protocol/46-own-devices.md §6.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from node.services.thread_views import SideName
from protocol.e2ee.frames import Frame, read_frame
from protocol.e2ee.siblings import Handoff, Told, Word
from protocol.encoding import b64, decode, encode

from .core import ENGINE
from .records import FrameRecord, SessionRecord, ThreadRecord
from .sibling_records import WordRecord
from .state import ClientState
from .vanishing import wishes

#: Bytes of frames that a sibling is told; the newest that fit.
MAX_FRAME_BYTES: Final = 24 * 1024


def spoken(state: ClientState, word: Word, device: str, *, side: SideName, audience: str) -> ClientState:
    """Return the state with a word that waits to be sent to an own device."""
    kept = WordRecord(thread=word.thread, side=side, audience=audience, device=device, word=encode(word))
    return replace(state, words=(*state.words, kept))


def handed_on(
    state: ClientState,
    record: ThreadRecord,
    session: SessionRecord,
    devices: Iterable[str],
    *,
    welcome: bytes,
    number: int,
    now: int,
) -> ClientState:
    """Return the state with what `devices`, newcomers of `session`, are told, now that they are members."""
    told = Handoff(
        role=record.role,
        consumer=record.consumer,
        provider=record.provider,
        context=b64(ENGINE.context(ENGINE.load(session.state))),
        welcome=b64(welcome),
        number=number,
        peer_identity=record.peer_identity,
        peer_next=record.peer_next,
        peer_chain=record.peer_chain,
        peer_devices=record.peer_devices,
        agreement=record.agreement,
        attested=record.attested,
        format=record.format,
        length=record.length,
        topic=record.topic,
        slot=record.slot,
        ends_at=record.ends_at,
        witnessed=record.witnessed,
        name=session.name,
        master_key=session.master_key,
        former=session.former,
        label=session.label,
        vouched=session.vouched,
        again_mine=session.again_mine,
        again_theirs=session.again_theirs,
        closed_mine=session.closed_mine,
        closed_theirs=session.closed_theirs,
        frames=_told(record, session.frames),
        rejoin=b64(session.rejoin_key) if session.rejoin_key else None,
        left=session.left,
    )
    word = Word(thread=record.thread, at=now, content=told)
    for device in devices:
        state = spoken(state, word, device, side=record.side, audience=record.audience)
    return state


def _told(record: ThreadRecord, frames: Sequence[FrameRecord]) -> tuple[Told, ...]:
    """Return the newest frames that fit, behind the wishes of both sides that words vanish, whenever they were said."""
    newest = _newest(frames)
    before = wishes(record, frames[: len(frames) - len(newest)])
    return (*(_without_place(one) for one in before), *newest)


def _without_place(one: FrameRecord) -> Told:
    """Return a frame without its count, so that what was said between it and the next one is not taken for missing."""
    frame = encode(replace(decode(one.frame, Frame), seq=None))
    return Told(number=one.number, sender=one.sender, frame=frame.decode("utf-8"))


def _newest(frames: Sequence[FrameRecord]) -> tuple[Told, ...]:
    told: list[Told] = []
    left = MAX_FRAME_BYTES
    for one in reversed(frames):
        left -= len(one.frame) + 200
        if left < 0:
            break
        told.append(Told(number=one.number, sender=one.sender, frame=one.frame.decode("utf-8")))
    return tuple(reversed(told))


def frames_told(told: Handoff, *, now: int) -> tuple[FrameRecord, ...]:
    """Return what was said so far; what a newer program of the sibling kept stands here as something not shown yet.

    Raises: MalformedError: one of them is no frame of any version.
    """
    return tuple(
        FrameRecord(
            number=one.number,
            sender=one.sender,
            frame=encode(read_frame(one.frame.encode("utf-8"))),
            taken_at=now,
        )
        for one in told.frames
    )
