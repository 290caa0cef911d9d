"""A mentee's structured need, and the codes by which an answer explains how well a mentor fits it.

A need crosses only sealed to one provider's node; at home it is searched in memory and leaves no trace.
Codes, never sentences: each reader's device words them in its own language.
Source: docs/protocol/10-vocabulary.md §7–§9.
"""

from typing import Annotated, Literal

import msgspec

from .encoding import Wire
from .ids import Seconds
from .vocabulary import Band, Format, Kind, Language, Length, TopicId

#: `exact` the concept asked for; `near` its direct relative; `general` a wider topic that may cover it.
Fit = Literal["exact", "near", "general"]
#: Whether the mentor's sector or function should equal the mentee's.
Wish = Literal["same", "different", "any"]
#: Why this person is proposed; shown best first, at most two.
Reason = Literal[
    "exact-topic",
    "near-topic",
    "several-topics",
    "been-through-it",
    "does-it",
    "knows-it",
    "experience-fits",
    "approach-fits",
    "time-fits",
    "first-language",
    "answers-quickly",
    "sector-as-wished",
    "function-as-wished",
    "senior-enough",
    "speaks-your-language",
    "offers-this-format",
]
#: The one honest gap; empty when nothing asked for is missing.
Gap = Literal[
    "",
    "topic-may-be-covered",
    "topic-near-only",
    "other-kind",
    "some-topics-missing",
    "experience-not-stated",
    "approach-not-stated",
    "sector-not-as-wished",
    "function-not-as-wished",
    "not-first-language",
    "few-times",
    "answers-slowly",
]
#: How a mentor works, from the approach card.
Approach = Literal[
    "asks-questions-first",
    "shares-own-story",
    "gives-frameworks",
    "challenges-assumptions",
    "rehearses-with-you",
    "reviews-your-draft",
    "listens-first",
    "direct-feedback",
]
#: What kind of experience stands behind a topic.
Experience = Literal[
    "did-it-once",
    "did-it-often",
    "did-it-recently",
    "led-others-through-it",
    "built-it-from-scratch",
    "learned-the-hard-way",
    "saw-both-sides",
    "teaches-it",
]
#: How fast a mentor usually answers; empty when there is nothing to tell yet.
Responsiveness = Literal["", "hours", "a-day", "two-days"]


class Window(Wire, frozen=True, kw_only=True):
    """When a session may start and must have ended: `{"end":1767006000,"start":1766998800}`, Unix seconds."""

    start: Seconds
    end: Seconds

    def __post_init__(self) -> None:
        """Refuse a window that is empty or runs backwards."""
        if self.start >= self.end:
            raise ValueError("a window must end after it starts")


class Need(Wire, frozen=True, kw_only=True):
    """What one mentee looks for.

    `{"format":"call","kind":"been-through","languages":["en","de"],"length":30,"topics":["mm:first-board-presentation"],
    "windows":[{"end":1767006000,"start":1766998800}]}`

    The first topic and the first language count most. Windows are in order and disjoint; none means any time.
    """

    topics: Annotated[tuple[TopicId, ...], msgspec.Meta(min_length=1, max_length=3)]
    kind: Kind
    languages: Annotated[tuple[Language, ...], msgspec.Meta(min_length=1, max_length=4)]
    format: Format
    length: Length
    windows: Annotated[tuple[Window, ...], msgspec.Meta(max_length=8)] = ()
    band: Band = "any"
    sector: Wish = "any"
    function: Wish = "any"
    experience: Annotated[tuple[Experience, ...], msgspec.Meta(max_length=2)] = ()
    approach: Annotated[tuple[Approach, ...], msgspec.Meta(max_length=2)] = ()
    reverse: bool = False

    def __post_init__(self) -> None:
        """Refuse what is said twice and windows that are out of order or overlap."""
        for name in ("topics", "languages", "experience", "approach"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} must not repeat a value")
        if any(left.end > right.start for left, right in zip(self.windows, self.windows[1:], strict=False)):
            raise ValueError("windows must be in order and must not overlap")
