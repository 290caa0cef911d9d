"""Hard filters: what breaks one of these is never shown, whatever its score.

Filtering comes before ranking: the other way round most shown results break a constraint.
"""

from collections.abc import Iterable

from protocol.needs import Need
from protocol.offers import Offer
from protocol.vocabulary import Band, Format, Language, Length, band_reaches

from .facts import MentorFacts

#: These agree a start time; a text session runs in a window instead.
TIMED: frozenset[Format] = frozenset({"call", "in-person", "link"})


def offer_passes(need: Need, offer: Offer, *, country: str) -> bool:
    """Tell whether an offer keeps every constraint of a need that an offer can be held against.

    An offer of band `any` says nothing about bands, often because a narrower one would single people out; the provider
    filters by the real band.
    """
    elsewhere = need.format == "in-person" and country and offer.region.isupper() and offer.region != country
    return (
        not elsewhere
        and (offer.band == "any" or _band_passes(need, offer.band))
        and _meets(need, (offer.language,), offer.formats, offer.lengths)
    )


def mentor_passes(need: Need, mentor: MentorFacts) -> bool:
    """Tell whether a mentor has an open place, keeps every constraint and can meet at a time that suits."""
    return (
        mentor.open_places > 0
        and _band_passes(need, mentor.band)
        and _meets(need, mentor.languages, mentor.formats, mentor.lengths)
        and (need.format not in TIMED or bool(suitable_slots(need, mentor.slots)))
    )


def suitable_slots(need: Need, slots: Iterable[int]) -> tuple[int, ...]:
    """Return the start times, ascending, whose whole session fits into one window; all of them without windows."""
    length_s = need.length * 60
    return tuple(
        sorted(
            slot
            for slot in set(slots)
            if not need.windows
            or any(window.start <= slot and slot + length_s <= window.end for window in need.windows)
        )
    )


def common_language(wanted: Language, offered: Language) -> bool:
    """Tell whether two tags name one language; `de` meets `de-AT`, while `pt-BR` and `pt-PT` stay apart."""
    if "-" in wanted and "-" in offered:
        return wanted == offered
    return wanted.partition("-")[0] == offered.partition("-")[0]


def _meets(
    need: Need, languages: tuple[Language, ...], formats: tuple[Format, ...], lengths: tuple[Length, ...]
) -> bool:
    return (
        need.format in formats
        and need.length in lengths
        and any(common_language(wanted, offered) for wanted in need.languages for offered in languages)
    )


def _band_passes(need: Need, held: Band) -> bool:
    """Reverse mentoring turns the filter round: the mentor is at most of the band named."""
    return band_reaches(need.band, held) if need.reverse else band_reaches(held, need.band)
