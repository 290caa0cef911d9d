"""What a mail may say: one type for each, with codes, times and links only.

There is no field that a brief, a name or any words of a person could stand in, so no mail can hold them.
"""

from typing import Annotated, Final, Literal

import msgspec

from protocol.ids import Seconds
from protocol.vocabulary import Format, Length

#: An address of this node, opened by a person; opening it changes nothing, the page behind it asks first.
Link = Annotated[str, msgspec.Meta(pattern=r"^https?://[!-~]{1,600}(?!\n)$", max_length=610)]
ZoneName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}(?!\n)$", max_length=64)]


class Notice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="notice"):
    """Base of all notices; the tag names the template."""


class SignInLink(Notice, frozen=True, kw_only=True, tag="sign-in-link"):
    """The one-time link that its owner asked for."""

    link: Link
    minutes: Annotated[int, msgspec.Meta(ge=1, le=1440)]


class NewDevice(Notice, frozen=True, kw_only=True, tag="new-device"):
    """A device was added to the account; `first` when it had none before, `regained` by recovery after a loss."""

    hint: Annotated[str, msgspec.Meta(max_length=60)]
    first: bool
    regained: bool = False
    added_on: Seconds


class KeysChanged(Notice, frozen=True, kw_only=True, tag="keys-changed"):
    """The account goes on under another secret, with one device."""

    changed_on: Seconds


class SlotLink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One proposed start and the page that accepts it."""

    start: Seconds
    link: Link


class MentorRequest(Notice, frozen=True, kw_only=True, tag="mentor-request"):
    """Somebody chose this mentor. `topic` is a label of the vocabulary, and empty when it is sensitive.

    A text session has no slots and is accepted by `accept`.
    """

    topic: Annotated[str, msgspec.Meta(max_length=200)] = ""
    format: Format
    length: Length
    slots: Annotated[tuple[SlotLink, ...], msgspec.Meta(max_length=3)] = ()
    accept: Link | None = None
    other_time: Link
    decline: Link
    decline_and_pause: Link
    deadline: Seconds
    zone: ZoneName


class Agreed(Notice, frozen=True, kw_only=True, tag="agreed"):
    """A session is agreed; a text session has no start."""

    role: Literal["mentor", "mentee"]
    format: Format
    length: Length
    start: Seconds | None = None
    cancel: Link | None = None
    zone: ZoneName


class RequestEnded(Notice, frozen=True, kw_only=True, tag="request-ended"):
    """A request of the reader ended without an agreement; `goes_on` when the next candidate is asked already."""

    outcome: Literal["declined", "expired"]
    goes_on: bool


class Reminder(Notice, frozen=True, kw_only=True, tag="reminder"):
    """A session starts soon."""

    format: Format
    length: Length
    start: Seconds
    cancel: Link | None = None
    zone: ZoneName


class Cancelled(Notice, frozen=True, kw_only=True, tag="cancelled"):
    """A request or a session was called off."""

    start: Seconds | None = None
    zone: ZoneName


class ReportCame(Notice, frozen=True, kw_only=True, tag="report-came"):
    """A report waits at the node for the contact who reads this; nothing of it stands here."""

    due: Seconds
    zone: ZoneName


AnyNotice = (
    SignInLink | NewDevice | KeysChanged | MentorRequest | Agreed | RequestEnded | Reminder | Cancelled | ReportCame
)


_decoder: Final[msgspec.json.Decoder[AnyNotice]] = msgspec.json.Decoder(AnyNotice)


def encode_notice(notice: AnyNotice) -> str:
    """Return the stored form. Raises: msgspec.ValidationError: a value breaks its bounds (a programming mistake)."""
    text = msgspec.json.encode(notice).decode()
    decode_notice(text)
    return text


def decode_notice(text: str) -> AnyNotice:
    """Return the notice of its stored form."""
    return _decoder.decode(text)
