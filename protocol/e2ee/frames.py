"""Content frames: everything two people say and share in a session, typed, bounded, versioned and padded.

A frame is canonical JSON behind its 4-byte length, filled with zeros to 1, 4, 16 or 64 KiB, the smallest that fits.
Nothing is shown that has not passed `decode_frame`. Source: docs/protocol/44-frames.md.
"""

from typing import Annotated, Final, Literal

import msgspec

from protocol.devices import StatementText
from protocol.encoding import Wire, decode, encode
from protocol.errors import LimitError, MalformedError
from protocol.ids import Bytes32, RandomId, Seconds
from protocol.text import check_displayable

from .padding import LENGTH_BYTES, pad, unpad

VERSION: Final = 1
BUCKETS: Final = (1_024, 4_096, 16_384, 65_536)

Line = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
Sentence = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
Paragraph = Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]
Minutes = Annotated[int, msgspec.Meta(ge=1, le=480)]


class Chat(Wire, frozen=True, kw_only=True, tag="chat"):
    """`{"text":"Good morning!","type":"chat"}`."""

    text: Paragraph


class AgendaItem(Wire, frozen=True, kw_only=True):
    """`{"minutes":10,"title":"Explore"}`."""

    title: Line
    minutes: Minutes


class Agenda(Wire, frozen=True, kw_only=True, tag="agenda"):
    """The whole agenda, replacing the last one; the timer runs from `started_at`, absent while it stands."""

    items: Annotated[tuple[AgendaItem, ...], msgspec.Meta(max_length=12)]
    started_at: Seconds | None = None


class Goal(Wire, frozen=True, kw_only=True, tag="goal"):
    """What the mentee wants to leave with; a later one of the same `goal` replaces it."""

    goal: RandomId
    text: Sentence


class Action(Wire, frozen=True, kw_only=True, tag="action"):
    """One thing to do; a later one of the same `action` replaces it. `due_at` is absent when no day is set."""

    action: RandomId
    text: Sentence
    owner: Literal["mentee", "mentor"] = "mentee"
    due_at: Seconds | None = None
    done: bool = False


class Takeaway(Wire, frozen=True, kw_only=True, tag="takeaway"):
    """The one thing that stays, shared with the other person."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class Useful(Wire, frozen=True, kw_only=True, tag="useful"):
    """How useful it was for the question, 1 to 5."""

    score: Annotated[int, msgspec.Meta(ge=1, le=5)]


class Again(Wire, frozen=True, kw_only=True, tag="again"):
    """Whether one would meet again; the receiving client hides it until its own person has answered."""

    yes: bool


class Name(Wire, frozen=True, kw_only=True, tag="name"):
    """Who one is. The identity statement and master key let the other device check it against the key directory."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    identity: StatementText | None = None
    master_key: Bytes32 | None = None


class Slot(Wire, frozen=True, kw_only=True, tag="slot"):
    """A proposed or confirmed time; binding only through a new agreement."""

    start_at: Seconds
    minutes: Minutes


class Place(Wire, frozen=True, kw_only=True, tag="place"):
    """Where to meet: an address, a room, or a link of an outside service."""

    text: Sentence


class Note(Wire, frozen=True, kw_only=True, tag="note"):
    """A shared note; a later one of the same `note` replaces it."""

    note: RandomId
    text: Annotated[str, msgspec.Meta(max_length=12_000)]


class Thanks(Wire, frozen=True, kw_only=True, tag="thanks"):
    """A thank-you, which its receiver may keep."""

    text: Sentence


class Close(Wire, frozen=True, kw_only=True, tag="close"):
    """The sender has closed the session and sends nothing more."""


Content = Chat | Agenda | Goal | Action | Takeaway | Useful | Again | Name | Slot | Place | Note | Thanks | Close


class Frame(Wire, frozen=True, kw_only=True):
    """`{"at":1767006000,"content":{"text":"Good morning!","type":"chat"},"id":…,"v":1}`.

    `id` is random and stays when a frame is encrypted again, so that receivers deduplicate; `at` is the sender's clock.
    """

    v: Literal[1] = VERSION
    id: RandomId
    at: Seconds
    content: Content


class _Version(msgspec.Struct):
    """The one field that every version of a frame has, absent when it is 1."""

    v: int = VERSION


def encode_frame(frame: Frame) -> bytes:
    """Return the padded bytes of `frame`. Raises: MalformedError: a bound or a refused character; LimitError."""
    data = encode(frame)
    _check(decode(data, Frame, what="frame"))
    return pad(data, _bucket(LENGTH_BYTES + len(data)), what="frame")


def decode_frame(padded: bytes) -> Frame:
    """Return the frame of exactly these bytes.

    Raises: MalformedError: not a bucket or not the smallest, non-zero padding, not canonical, a bound exceeded, a
        character that must not be shown; with code `unknown-version` when a newer program wrote it.
    """
    if len(padded) not in BUCKETS:
        raise MalformedError(f"frame must be padded to one of {', '.join(map(str, BUCKETS))} bytes")
    data = unpad(padded, len(padded), what="frame")
    if _bucket(LENGTH_BYTES + len(data)) != len(padded):
        raise MalformedError("frame must be padded to the smallest size that fits")
    frame = decode(_known_version(data), Frame, what="frame")
    _check(frame)
    return frame


def _bucket(size: int) -> int:
    for bucket in BUCKETS:
        if size <= bucket:
            return bucket
    raise LimitError(f"frame takes at most {BUCKETS[-1] - LENGTH_BYTES} bytes")


def _known_version(data: bytes) -> bytes:
    try:
        version = msgspec.json.decode(data, type=_Version).v
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return data  # the strict decoder says what is wrong
    if version != VERSION:
        raise MalformedError("frame was written by a newer program: update yours", code="unknown-version")
    return data


def _check(frame: Frame) -> None:
    """Return when all text of the frame may be shown. Raises: MalformedError."""
    match frame.content:
        case Chat(text=text) | Takeaway(text=text) | Note(text=text) | Thanks(text=text):
            check_displayable(text, "text")
        case Goal(text=text) | Action(text=text) | Place(text=text):
            check_displayable(text, "text", lines=False)
        case Name(name=name):
            check_displayable(name, "name", lines=False)
        case Agenda(items=items):
            for item in items:
                check_displayable(item.title, "title", lines=False)
        case Useful() | Again() | Slot() | Close():
            pass
