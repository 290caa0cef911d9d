"""Reports on their way: whom an organization names for them, and the sealed item that nodes pass on unread.

Source: docs/protocol/44-frames.md §9.
"""

import re
from typing import Annotated, Final, Literal, cast, get_args

import msgspec

from .encoding import Wire, decode, sha256, unb64
from .errors import MalformedError
from .ids import Entity, RandomId, Seconds, id_bytes, parse_entity
from .sealing import OVERHEAD_BYTES, SealingPublicKey, SealingText, info
from .text import check_displayable

#: The largest plaintext, padding included.
MAX_PADDED_BYTES: Final = 512 * 1024
#: The largest item: base64url of that, and its head.
MAX_ITEM_BYTES: Final = 704 * 1024
#: No organization gives itself longer to answer.
LONGEST_DAYS: Final = 60

#: How a contact can answer a report.
Outcome = Literal["no-action", "not-a-breach", "talked-to", "warned", "excluded", "passed-on"]
OUTCOMES: Final = cast("tuple[Outcome, ...]", get_args(Outcome))

_MAIL: Final = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,189}", re.ASCII)


class ReportContact(Wire, frozen=True, kw_only=True):
    """Who reads reports at an organization: `{"mail":"speakup@aurora.example","name":"Dana Reyes","seal":"…"}`.

    `seal` is their own X-Wing key; its private half is at no node.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    mail: Annotated[str, msgspec.Meta(min_length=3, max_length=254)]
    seal: SealingText


class SealedReport(Wire, frozen=True, kw_only=True):
    """A report that only the contact of `to` opens; `source` is the reporter's organization.

    {"report":"…","sealed":"…","source":"https://cobalt.example","to":"https://aurora.example"}
    """

    v: Literal[1] = 1
    report: RandomId
    source: Entity
    to: Entity
    sealed: Annotated[str, msgspec.Meta(min_length=1, max_length=(MAX_PADDED_BYTES + OVERHEAD_BYTES + 2) // 3 * 4)]


class ReportState(Wire, frozen=True, kw_only=True):
    """What the receiving node says about a report that is there: `{"due_at":1800000000,"outcome":"warned"}`."""

    due_at: Seconds
    outcome: Outcome | None = None


def check_contact(contact: ReportContact) -> ReportContact:
    """Return a contact that can be shown and sealed to. Raises: MalformedError."""
    check_displayable(contact.name, "name of the contact for reports", lines=False)
    if not _MAIL.fullmatch(contact.mail):
        raise MalformedError("mail of the contact for reports must be an address")
    SealingPublicKey.parse(contact.seal)
    return contact


def parse_sealed(data: bytes) -> SealedReport:
    """Return a sealed report, unopened. Raises: MalformedError."""
    if len(data) > MAX_ITEM_BYTES:
        raise MalformedError(f"a sealed report takes at most {MAX_ITEM_BYTES} bytes")
    item = decode(data, SealedReport, what="sealed report")
    for name in (item.source, item.to):
        parse_entity(name)
    unb64(item.sealed, what="sealed")
    return item


def report_info(report: str, source: str, to: str, key: SealingPublicKey) -> bytes:
    """Return the context that a sealed report is bound to; the thread is inside, where no node sees it."""
    return info("report", id_bytes(report, what="report"), source.encode(), to.encode(), sha256(key.raw))
