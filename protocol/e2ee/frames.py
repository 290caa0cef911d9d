"""Content frames: everything two people say and share in a session, typed, bounded, versioned and padded.

A frame is canonical JSON behind its 4-byte length, filled with zeros to 1, 4, 16 or 64 KiB, the smallest that fits.
Nothing is shown that has not passed `decode_frame`. Source: docs/protocol/44-frames.md.
"""

from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from protocol.devices import StatementText
from protocol.encoding import Wire, decode, encode
from protocol.errors import LimitError, MalformedError
from protocol.ids import Bytes32, RandomId, Seconds
from protocol.text import check_displayable

from .masterchange import Changes, StatedChange
from .padding import LENGTH_BYTES, pad, unpad
from .shortcode import CodeAnswer, CodeCommit, CodeReveal
from .signals import CallAnswer, CallCandidate, CallEnd, CallOffer, check_signal

VERSION: Final = 1
BUCKETS: Final = (1_024, 4_096, 16_384, 65_536)

Line = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
Sentence = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
Paragraph = Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]
Minutes = Annotated[int, msgspec.Meta(ge=1, le=480)]
#: The largest file, before it is padded.
MAX_FILE_BYTES: Final = 2**30
#: How many frames one device can say in one session.
MAX_SEQ: Final = 2**31
_MEDIA: Final = "^[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}(?!\\n)$"


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


class ContactToken(Wire, frozen=True, kw_only=True, tag="contact-token"):
    """From the mentor's device once both would meet again: lets the mentee ask the same mentor until `until`."""

    token: RandomId
    until: Seconds


class Name(Wire, frozen=True, kw_only=True, tag="name"):
    """Who one is. Identity statement, master key and both salts open the vouch of the key directory (13 §2).

    A frame without them says a name that nobody vouches for.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    identity: StatementText | None = None
    master_key: Bytes32 | None = None
    name_salt: RandomId | None = None
    identity_salt: RandomId | None = None
    changes: Changes = ()


class MasterChanged(Wire, frozen=True, kw_only=True, tag="master-change"):
    """The sender has another master key from now on; this session goes on with the keys that it began with.

    `identity`: the new key's statement for the session's audience, by which a device of the sender may be let in again.
    """

    change: StatedChange
    identity: StatementText | None = None


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


class Checkpoints(Wire, frozen=True, kw_only=True, tag="checkpoints"):
    """What the sender's client saw of both organizations' logs: signed notes without cosignatures (51-checkpoints)."""

    logs: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=2_048)], ...],
        msgspec.Meta(min_length=1, max_length=2),
    ]


class Close(Wire, frozen=True, kw_only=True, tag="close"):
    """The sender has closed the session and sends nothing more."""


class File(Wire, frozen=True, kw_only=True, tag="file"):
    """A file that waits at the sender's node as `blob` until `expires_at`; `key` and `header` open it.

    `hash` is the SHA-256 of the ciphertext, `size` the bytes of the file itself (40-files §2).
    """

    blob: RandomId
    name: Line
    media_type: Annotated[str, msgspec.Meta(pattern=_MEDIA)]
    size: Annotated[int, msgspec.Meta(ge=0, le=MAX_FILE_BYTES)]
    hash: Bytes32
    key: Bytes32
    header: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{32}(?!\\n)$")]
    expires_at: Seconds


class Retract(Wire, frozen=True, kw_only=True, tag="retract"):
    """The sender takes back their own earlier `frame`: clients hide it, and nothing can make anybody forget it."""

    frame: RandomId


class Vanish(Wire, frozen=True, kw_only=True, tag="vanish"):
    """The sender's wish how long words stay: so long after the session's end, or after each was said.

    A later one of the same side and `after` replaces it; without `seconds` the wish is gone. The shortest wish counts.
    """

    after: Literal["end", "said"]
    seconds: Annotated[int, msgspec.Meta(ge=60, le=30 * 86_400)] | None = None


class Unknown(Wire, frozen=True, kw_only=True, tag="unknown"):
    """Something of a newer program, of which only the kind can be told; it stands on this device and is never sent."""

    kind: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9-]{0,29}(?!\\n)$")]


class Gone(Wire, frozen=True, kw_only=True, tag="gone"):
    """Words that were destroyed when their time was over; it stands on this device and is never sent."""


Local = Unknown | Gone
Sent = (
    Chat
    | Agenda
    | Goal
    | Action
    | Takeaway
    | Useful
    | Again
    | ContactToken
    | Name
    | MasterChanged
    | Slot
    | Place
    | Note
    | Thanks
    | File
    | Retract
    | Vanish
    | CallOffer
    | CallAnswer
    | CallCandidate
    | CallEnd
    | CodeCommit
    | CodeAnswer
    | CodeReveal
    | Checkpoints
    | Close
)
Content = Sent | Local

_KINDS: Final = frozenset(str(one.__struct_config__.tag) for one in get_args(Sent))


class Frame(Wire, frozen=True, kw_only=True):
    """`{"at":1767006000,"content":{"text":"Good morning!","type":"chat"},"id":…,"v":1}`.

    `id` is random and stays when a frame is encrypted again, so that receivers deduplicate; `at` is the sender's clock.
    `seq` counts what this device of the sender says in the session, from 1, and stays, too: a gap is an omission.
    """

    v: Literal[1] = VERSION
    id: RandomId
    at: Seconds
    content: Content
    seq: Annotated[int, msgspec.Meta(ge=1, le=MAX_SEQ)] | None = None


class _Kind(msgspec.Struct):
    """What can be told of content that this program does not know."""

    type: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9-]{0,29}(?!\\n)$")]


class _Head(msgspec.Struct):
    """What every version of a frame has."""

    id: RandomId
    at: Seconds
    content: _Kind
    v: int = VERSION
    seq: Any = None

    @property
    def place(self) -> int | None:
        """The sender's count, if it is one."""
        return self.seq if type(self.seq) is int and 1 <= self.seq <= MAX_SEQ else None


class _Version(msgspec.Struct):
    """The one field that says by which rules the others are read, absent when it is 1."""

    v: int = VERSION


def encode_frame(frame: Frame) -> bytes:
    """Return the padded bytes of `frame`.

    Raises: MalformedError: a bound, a refused character, or content that stands on this device alone; LimitError.
    """
    if isinstance(frame.content, Local):
        raise MalformedError("frame stands on this device alone and is never sent", code="local-only")
    data = encode(frame)
    _check(decode(data, Frame, what="frame"))
    return pad(data, _bucket(LENGTH_BYTES + len(data)), what="frame")


def decode_frame(padded: bytes) -> Frame:
    """Return the frame of exactly these bytes; content of a newer program becomes `Unknown`.

    Raises: MalformedError: not a bucket or not the smallest, non-zero padding, not canonical, a bound exceeded, a
        character that must not be shown; with code `unknown-version` when a newer program wrote what has no head.
    """
    if len(padded) not in BUCKETS:
        raise MalformedError(f"frame must be padded to one of {', '.join(map(str, BUCKETS))} bytes")
    data = unpad(padded, len(padded), what="frame")
    if _bucket(LENGTH_BYTES + len(data)) != len(padded):
        raise MalformedError("frame must be padded to the smallest size that fits")
    frame = _newer(data) or decode(data, Frame, what="frame")
    _check(frame)
    return frame


def read_frame(data: bytes) -> Frame:
    """Return a frame that another device of this person kept, which may have a newer program; so may its frames.

    Raises: MalformedError: neither this version's nor one with a head.
    """
    try:
        return decode(data, Frame, what="frame")
    except MalformedError:
        newer = _newer(data)
        if newer is None:
            raise
        return newer


def _bucket(size: int) -> int:
    for bucket in BUCKETS:
        if size <= bucket:
            return bucket
    raise LimitError(f"frame takes at most {BUCKETS[-1] - LENGTH_BYTES} bytes")


def _newer(data: bytes) -> Frame | None:
    """Return what can be told of a frame of a newer program; None for a frame that this one should be able to read."""
    try:
        head = msgspec.json.decode(data, type=_Head)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        _require_version(data)
        return None  # the strict decoder says what is wrong
    if head.v == VERSION and head.content.type in _KINDS:
        return None
    decode(data, dict[str, Any], what="frame")  # canonical, whatever it says
    return Frame(id=head.id, at=head.at, content=Unknown(kind=head.content.type), seq=head.place)


def _require_version(data: bytes) -> None:
    try:
        version = msgspec.json.decode(data, type=_Version).v
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return
    if version != VERSION:
        raise MalformedError("frame was written by a newer program: update yours", code="unknown-version")


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
        case File(name=name):
            check_file_name(name)
        case CallOffer() | CallAnswer() | CallCandidate() | CallEnd():
            check_signal(frame.content)
        case (
            Useful()
            | Again()
            | ContactToken()
            | MasterChanged()
            | Slot()
            | Retract()
            | Vanish()
            | Unknown()
            | Gone()
            | Close()
        ):
            pass
        case CodeCommit() | CodeAnswer() | CodeReveal() | Checkpoints():
            pass


def check_file_name(name: str) -> None:
    """Return when a name is that of a file and not of a place. Raises: MalformedError."""
    check_displayable(name, "name", lines=False)
    if set(name) & set('/\\:*?"<>|') or name[0] in ". " or name[-1] in ". ":
        raise MalformedError("name must be that of a file, without path", code="file-name")
