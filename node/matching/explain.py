"""Why somebody is proposed and what is missing: two reasons and one honest gap, as codes.

What the mentee asked for comes first. Facts that the node may not tell about one person never decide between two codes.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from protocol.needs import Fit, Gap, Need, Reason, Responsiveness, Wish
from protocol.vocabulary import Band, Kind, Language, band_reaches

from .filters import common_language

_KIND_REASON: Final[dict[Kind, Reason]] = {"do": "does-it", "know": "knows-it", "been-through": "been-through-it"}


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What may be told about an offer or a mentor, seen from one need.

    `experience`, `approach`, `sector` and `function` are None when nothing was asked for or nothing is known; `slots`
    is the number of suitable start times, None when times do not matter or are not known yet; `topics_answered` of the
    need's topics, None when only one was looked at.
    """

    fit: Fit
    kind: Kind
    band: Band
    languages: tuple[Language, ...]
    topics_answered: int | None = None
    experience: bool | None = None
    approach: bool | None = None
    sector: bool | None = None
    function: bool | None = None
    slots: int | None = None
    responsiveness: Responsiveness = ""


def wish_met(wish: Wish, own: str, other: str) -> bool | None:
    """Return whether a wish about sector or function is met; None when there is none or a side is not known."""
    if wish == "any" or not own or not other:
        return None
    return (own == other) is (wish == "same")


def reasons(need: Need, found: Findings) -> tuple[Reason, ...]:
    """Return the two strongest reasons; the last two always hold, because filters come first."""
    answered = found.topics_answered or 1
    first_language = any(common_language(need.languages[0], language) for language in found.languages)
    ordered: Iterable[tuple[bool, Reason]] = (
        (found.experience is True, "experience-fits"),
        (found.approach is True, "approach-fits"),
        (found.sector is True, "sector-as-wished"),
        (found.function is True, "function-as-wished"),
        (found.kind == need.kind, _KIND_REASON[found.kind]),
        (answered > 1, "several-topics"),
        (found.fit == "exact", "exact-topic"),
        (found.slots is not None and found.slots > 2, "time-fits"),
        (found.responsiveness == "hours", "answers-quickly"),
        (found.fit == "near", "near-topic"),
        (need.band != "any" and not need.reverse and band_reaches(found.band, need.band), "senior-enough"),
        (first_language and len(need.languages) > 1, "first-language"),
        (True, "speaks-your-language"),
        (True, "offers-this-format"),
    )
    return tuple(reason for holds, reason in ordered if holds)[:2]


def gap(need: Need, found: Findings) -> Gap:
    """Return the most serious thing missing, or the empty code."""
    missing = 0 if found.topics_answered is None else len(need.topics) - found.topics_answered
    first_language = any(common_language(need.languages[0], language) for language in found.languages)
    ordered: Iterable[tuple[bool, Gap]] = (
        (found.fit == "near", "topic-near-only"),
        (found.fit == "general", "topic-may-be-covered"),
        (found.kind != need.kind, "other-kind"),
        (missing > 0, "some-topics-missing"),
        (found.experience is False, "experience-not-stated"),
        (found.approach is False, "approach-not-stated"),
        (found.sector is False, "sector-not-as-wished"),
        (found.function is False, "function-not-as-wished"),
        (not first_language, "not-first-language"),
        (found.slots == 1, "few-times"),
        (found.responsiveness == "two-days", "answers-slowly"),
    )
    return next((code for holds, code in ordered if holds), "")
