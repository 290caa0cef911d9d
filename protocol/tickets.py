"""Tickets: one line of text by which one node invites another, and what the other node answers with.

The ticket names the inviting node, the thumbprint of its federation key and a secret code that works once. It grants
contact, so it travels by a channel the two administrators trust; they compare `fingerprint_words` by phone. A ticket
with `consortium` is a registry's: who accepts it also asks to be admitted as a member.
Source: docs/protocol/20-identity.md §5, 22-members.md §2.
"""

from typing import Annotated, Final, Literal

import msgspec

from .addresses import ApiBase, parse_api, parse_loopback
from .encoding import Wire, b64, decode, encode, label, sha256, unb64
from .errors import MalformedError
from .ids import Bytes32, Entity, RandomId, Seconds, parse_entity
from .text import check_displayable

PREFIX: Final = "mm1-"
MAX_TICKET: Final = 4096
PEERINGS_PATH: Final = "/federation/v1/peerings"

_MISTYPED: Final = "ticket is cut short or mistyped: copy it again as one line"
_CHECK_BYTES: Final = 4

#: What a peer may do, from everything to nothing; each mode forbids what the ones before it forbid, and more.
Mode = Literal["full", "no-new-requests", "catalog-hidden", "blocked"]
#: `127.0.0.1:PORT` for nodes on one machine, or empty.
Loopback = Annotated[str, msgspec.Meta(max_length=21)]


class Consortium(Wire, frozen=True, kw_only=True):
    """What a registry says about its consortium: `{"charter":"…","charter_url":"https://…","name":"Freight guild"}`.

    One line each; `charter` says in a sentence what members promise, `charter_url` where it stands whole.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    charter: Annotated[str, msgspec.Meta(max_length=280)] = ""
    charter_url: Annotated[str, msgspec.Meta(pattern=r"^(https://[!-~]{1,192})?(?!\n)$", max_length=200)] = ""

    def __post_init__(self) -> None:
        for field, text in (("name", self.name), ("charter", self.charter)):
            check_displayable(text, f"consortium {field}", lines=False)


class Ticket(Wire, frozen=True, kw_only=True):
    """Invitation of one node: `mm1-…` is base64url of the canonical JSON and four bytes of its hash.

    {"api":"https://aurora.example","code":"AAECAwQFBgcICQoLDA0ODw","entity":"https://aurora.example",
     "expires_at":1767830400,"fingerprint":"…"}
    """

    entity: Entity
    api: ApiBase
    fingerprint: Bytes32
    code: RandomId
    policy: Mode = "full"
    expires_at: Seconds
    consortium: Consortium | None = None
    connect_to: Loopback = ""


class Redemption(Wire, frozen=True, kw_only=True):
    """What the invited node sends: the ticket's code and its own node document.

    {"code":"AAECAwQFBgcICQoLDA0ODw","document":"<JWS>"}
    """

    code: RandomId
    document: Annotated[str, msgspec.Meta(max_length=32 * 1024)]
    connect_to: Loopback = ""


class Redeemed(Wire, frozen=True, kw_only=True):
    """The inviting node's answer: its own document as it is now, and the mode it set."""

    document: Annotated[str, msgspec.Meta(max_length=32 * 1024)]
    mode: Mode


def render_ticket(ticket: Ticket) -> str:
    """Return the one line to hand over."""
    _check(ticket)
    payload = encode(ticket)
    return PREFIX + b64(payload + _checksum(payload))


def parse_ticket(text: str) -> Ticket:
    """Return the ticket of `text`, spaces around it aside.

    Raises: MalformedError: not a ticket, cut short, or mistyped (the checksum finds that).
    """
    line = text.strip()
    if not line.startswith(PREFIX) or len(line) > MAX_TICKET:
        raise MalformedError(f"a ticket is one line that begins with {PREFIX}")
    try:
        raw = unb64(line.removeprefix(PREFIX), what="ticket")
    except MalformedError:
        raise MalformedError(_MISTYPED) from None
    payload, checksum = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if checksum != _checksum(payload):
        raise MalformedError(_MISTYPED)
    ticket = decode(payload, Ticket, what="ticket")
    _check(ticket)
    return ticket


def code_hash(code: str) -> bytes:
    """Return what the inviting node keeps instead of the code."""
    return sha256(label("ticket-code"), code.encode("ascii"))


def _checksum(payload: bytes) -> bytes:
    return sha256(label("ticket"), payload)[:_CHECK_BYTES]


def _check(ticket: Ticket) -> None:
    parse_entity(ticket.entity)
    parse_api(ticket.api)
    if ticket.connect_to:
        parse_loopback(ticket.connect_to)
    if ticket.policy == "blocked":
        raise MalformedError("a ticket cannot propose to block")
