"""Offers and organization profiles: what a node tells its peers about the help its people can give.

An offer is a capability of an organization, never a person: it has no pseudonym, count, slot or free text.
Source: docs/protocol/11-offers.md §1–§3.
"""

from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec

from .encoding import Wire, decode, encode
from .errors import MalformedError
from .ids import RandomId
from .text import check_displayable
from .vocabulary import Band, Country, Format, Language, Length, Region, Topic

MAX_OFFER_BYTES: Final = 1024

ExtKey = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,31}(?!\n)$", max_length=32)]
ExtValue = Annotated[str, msgspec.Meta(max_length=120)]
#: Declared room for later fields; a reader keeps what it does not know and never acts on it.
Ext = Annotated[dict[ExtKey, ExtValue], msgspec.Meta(max_length=4)]

Sector = Annotated[str, msgspec.Meta(pattern=r"^[A-U](?!\n)$", max_length=1)]
SizeBand = Literal["<50", "50-250", "250-1k", "1k-5k", ">5k"]
Website = Annotated[str, msgspec.Meta(pattern=r"^(https://[!-~]{1,192})?(?!\n)$", max_length=200)]


Formats = Annotated[tuple[Format, ...], msgspec.Meta(min_length=1, max_length=4)]
Lengths = Annotated[tuple[Length, ...], msgspec.Meta(min_length=1, max_length=5)]


class Offer(Wire, frozen=True, kw_only=True, gc=False):
    """People here can help with this.

    {"band":"senior","formats":["call"],"language":"en","lengths":[30],"offer_id":"AAECAwQFBgcICQoLDA0ODw",
     "region":"DE","topic":{"id":"mm:replacing-legacy-system","kind":"been-through"}}
    """

    offer_id: RandomId
    topic: Topic
    band: Band
    language: Language
    region: Region
    formats: Formats
    lengths: Lengths
    ext: Ext = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_lists(self.formats, self.lengths)


class OrgProfile(Wire, frozen=True, kw_only=True):
    """Who an organization is, signed inside its node document; `version` grows with every change.

    {"countries":["DE"],"display_name":"Aurora Freight","kind":"company","sector":"H","size_band":"50-250",
     "website":"https://aurora.example"}
    """

    display_name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    kind: Literal["company", "association"]
    sector: Sector
    size_band: SizeBand
    countries: Annotated[tuple[Country, ...], msgspec.Meta(min_length=1, max_length=64)]
    website: Website = ""
    version: Annotated[int, msgspec.Meta(ge=1, le=2**31)] = 1

    def __post_init__(self) -> None:
        require_ascending(self.countries, "countries")
        check_org_name(self.display_name)


def check_org_name(name: str) -> None:
    """Return when an organization may be shown under `name`. Raises: MalformedError."""
    check_displayable(name, "display_name", lines=False)
    if name != name.strip():
        raise MalformedError("display_name must have no spaces around it")


def require_ascending(values: tuple[str, ...] | tuple[int, ...], field: str) -> None:
    """Return when `values` are distinct and ascending, so that one set has one spelling. Raises: ValueError."""
    if any(a >= b for a, b in pairwise(values)):  # type: ignore[operator]
        raise ValueError(f"{field} must be distinct and ascending")


# The offers of a catalog have few different formats and lengths between them.
@lru_cache(1024)
def _check_lists(formats: Formats, lengths: Lengths) -> None:
    require_ascending(formats, "formats")
    require_ascending(lengths, "lengths")


def encode_offer(offer: Offer) -> bytes:
    """Return the canonical bytes that are committed to."""
    return encode(offer)


def open_offer(body: bytes) -> Offer:
    """Return the offer of a body whose commitment was checked before (`heads.open_pages`). Raises: MalformedError."""
    if len(body) > MAX_OFFER_BYTES:
        raise MalformedError(f"offer is over {MAX_OFFER_BYTES} bytes")
    return decode(body, Offer, what="offer")
