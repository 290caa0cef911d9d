"""What the two halves of the mentor's side share: notes, answers, and what they ask of their surroundings."""

from typing import Annotated, Final, Protocol

import msgspec

from federation.ports import Reader, Writer
from federation.rows import ThreadRow
from protocol import contexts
from protocol.bodies import Agreement, Choice, DeclineReason, Quote, Sealed, Slots
from protocol.encoding import Wire, b64, encode
from protocol.handshake import Side
from protocol.ids import Bytes32, Seconds
from protocol.messages import ITEM_BYTES
from protocol.sealing import SealingPublicKey
from protocol.vocabulary import Format, Length

SIDE: Final = Side.PROVIDER
#: A quote is honoured this much longer than it says: clocks and the flush take time.
GRACE_S: Final = 600
DAY_S: Final = 86_400
#: A handshake item as base64url.
ITEM_TEXT: Final = -(-ITEM_BYTES * 4 // 3)


class Asked(Wire, frozen=True, kw_only=True):
    """What of a need outlives its quote: the key to answer to, the first topic, and the form of the session."""

    reply_key: str
    topic: str
    format: Format
    length: Length
    quoted_at: int
    quote_until: int


class ProviderNotes(Wire, frozen=True, kw_only=True):
    """What the mentor's node keeps beside the book; of a request that was refused nothing at all."""

    asked: Asked | None = None
    ref: str = ""
    choice: Choice | None = None
    accepted: Bytes32 | None = None
    agreement: str = ""


class RequestEntry(Wire, frozen=True, kw_only=True):
    """What a mentor's devices get: the signed ACCEPTED, the choice as the node took it, and until when to answer.

    `topic` is the first topic asked for: the brief has the mentee's own words only.
    Source: docs/protocol/41-envelopes.md §5.
    """

    item: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+(?!\n)$", min_length=ITEM_TEXT, max_length=ITEM_TEXT)]
    choice: Choice
    held: Slots
    deadline: Seconds
    topic: Annotated[str, msgspec.Meta(pattern=r"^((esco|onet|mm|ext):[!-~]{1,200})?(?!\n)$", max_length=205)] = ""


class Agree(msgspec.Struct, frozen=True, kw_only=True, tag="agree", forbid_unknown_fields=True):
    """The mentor says yes; without `consent` (a mail link) the node attests it."""

    slot: int | None = None
    consent: Bytes32 | None = None
    private: Sealed | None = None


class Decline(msgspec.Struct, frozen=True, kw_only=True, tag="decline", forbid_unknown_fields=True):
    """The mentor says no, and perhaps takes a break."""

    reason: DeclineReason
    pause: bool = False


class Counter(msgspec.Struct, frozen=True, kw_only=True, tag="counter", forbid_unknown_fields=True):
    """The mentor proposes other times."""

    slots: Slots


Answer = Agree | Decline | Counter


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`quote_valid_s`: life of a quote; `tick_ms`: quotes are answered at a multiple of it.

    A mentor answers within `deadline_days` working days, or within `deadline_s` seconds if that is not 0.
    """

    quote_valid_s: int = 900
    tick_ms: int = 250
    deadline_s: int = 0
    deadline_days: int = 2


class Mentors(Protocol):
    """What the handshake asks of mentors' profiles."""

    async def capacity(self, tx: Reader, label: str) -> int:
        """Return the places of an active, unpaused mentor; 0 for anybody else."""
        ...

    async def answer_deadline(self, tx: Reader, label: str, received_at: int, *, working_days: int) -> int:
        """Return until when this mentor may answer, in their own calendar."""
        ...

    async def answered(self, tx: Writer, label: str, *, pause: bool) -> None:
        """Note an answer: missed deadlines are forgotten; `pause` takes no new requests for a while."""
        ...

    async def missed(self, tx: Writer, label: str) -> None:
        """Note a missed deadline; after the second in a row the mentor is paused and asked."""
        ...


class Notices(Protocol):
    """Mail to the node's own people; rows are written in the transaction of the effect."""

    async def request(self, tx: Writer, thread: ThreadRow, topic: str, entry: RequestEntry) -> None:
        """Tell a mentor that somebody chose them."""
        ...

    async def agreed(self, tx: Writer, thread: ThreadRow, agreement: Agreement) -> None:
        """Tell a person that a session is agreed."""
        ...

    async def ended(self, tx: Writer, thread: ThreadRow, verb: str, *, goes_on: bool = False) -> None:
        """Tell a person that a thread ended otherwise; `goes_on`: the next candidate is asked already."""
        ...


def sealed_quote(quote: Quote, reply_key: SealingPublicKey, context: contexts.ThreadContext) -> str:
    """Return a quote sealed to the one-time key of the device that asked, as base64url."""
    return b64(reply_key.seal(encode(quote), contexts.quote(context, reply_key)))
