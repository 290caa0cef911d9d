"""What a vault remembers of needs: whom was asked, who was proposed, and who is asked next."""

from typing import Literal

from protocol.bodies import Candidate
from protocol.needs import Need
from protocol.offers import OrgProfile

from .records import Record


class OfferedRecord(Record, frozen=True, kw_only=True):
    """One person of a shortlist; `key` (hash of their first sealing key) tells that two proposals are one person."""

    thread: str
    entity: str
    org: OrgProfile
    candidate: Candidate
    valid_until: int
    key: str


class TargetRecord(Record, frozen=True, kw_only=True):
    """One offer that can be asked about; inside one's own organization `offer_id` is any random id.

    `audience` is the one in which the offer is shown; empty: that of the two organizations alone. With `kind` contact
    the id is a contact token.
    """

    entity: str
    offer_id: str
    audience: str = ""
    kind: Literal["offer", "contact"] = "offer"


class AskRecord(Record, frozen=True, kw_only=True):
    """One need on its way: who was proposed, the brief's words, whom to ask next, and who said no.

    `active` is the thread that waits for an answer; `order` are keys of people in the order of preference; `goes_on`
    says whether the next person is asked after a no.
    """

    id: str
    need: Need
    created_at: int
    companies: int
    asked: int
    targets: tuple[TargetRecord, ...]
    offered: tuple[OfferedRecord, ...] = ()
    refused: tuple[str, ...] = ()
    prompts: tuple[str, str, str] = ("", "", "")
    about: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    said_no: tuple[str, ...] = ()
    active: str = ""
    goes_on: bool = False
    attempts: int = 0
    requotes: int = 0
