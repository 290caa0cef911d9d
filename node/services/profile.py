"""A mentor's private profile: what the matcher may use and what a candidate card may show. It never leaves the node.

What crosses in a quote is minimized from it by the handshake (docs/protocol/31-handshake.md §6.4).
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from protocol.ids import Seconds
from protocol.needs import Approach, Experience
from protocol.text import check_displayable
from protocol.vocabulary import Format, Kind, Language, Length, TopicId

#: Windows start and end on this grid, so that every time zone of today cuts them at whole grid cells.
GRID_MINUTES: Final = 15
DAY_MINUTES: Final = 24 * 60

#: Minutes after local midnight; 1440 is the midnight that ends the day.
Minute = Annotated[int, msgspec.Meta(ge=0, le=DAY_MINUTES, multiple_of=GRID_MINUTES)]
#: IANA time zone name, such as `Europe/Berlin`.
Zone = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}(?!\n)$", max_length=64)]
#: A local calendar day, such as `2026-12-24`.
Day = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?!\n)$", max_length=10)]


class Closed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of everything a person sends about themselves: unknown fields are refused."""


class DayWindow(Closed, frozen=True, kw_only=True):
    """Part of one local day, `{"start":540,"end":720}` for 09:00–12:00. One over midnight is written as two."""

    start: Minute
    end: Minute

    def __post_init__(self) -> None:
        """Refuse a window that is empty or runs backwards."""
        if self.start >= self.end:
            raise ValueError("a window must end after it starts")


class WeeklyWindow(Closed, frozen=True, kw_only=True):
    """The same window every week; `weekday` 0 is Monday."""

    weekday: Annotated[int, msgspec.Meta(ge=0, le=6)]
    start: Minute
    end: Minute

    def __post_init__(self) -> None:
        """Refuse a window that is empty or runs backwards."""
        if self.start >= self.end:
            raise ValueError("a window must end after it starts")


class DayException(Closed, frozen=True, kw_only=True):
    """On these local days (both included) `windows` hold instead of the weekly ones; none means away."""

    first: Day
    last: Day
    windows: Annotated[tuple[DayWindow, ...], msgspec.Meta(max_length=4)] = ()

    def __post_init__(self) -> None:
        """Refuse days that run backwards."""
        if self.first > self.last:
            raise ValueError("an exception must not end before it starts")


class Availability(Closed, frozen=True, kw_only=True):
    """When a mentor can meet, in their own time zone. Without any window only text sessions are possible."""

    zone: Zone
    weekly: Annotated[tuple[WeeklyWindow, ...], msgspec.Meta(max_length=21)] = ()
    exceptions: Annotated[tuple[DayException, ...], msgspec.Meta(max_length=60)] = ()


class ProfileTopic(Closed, frozen=True, kw_only=True):
    """One thing the mentor helps with, and what kind of experience stands behind it."""

    id: TopicId
    kind: Kind
    experience: Annotated[tuple[Experience, ...], msgspec.Meta(max_length=4)] = ()

    def __post_init__(self) -> None:
        """Refuse an experience that is said twice."""
        _refuse_repeats("experience", self.experience)


class ShowMore(Closed, frozen=True, kw_only=True):
    """What people who ask may see before anything is agreed, because its owner chose so. Default: absent."""

    line: Annotated[str, msgspec.Meta(max_length=140)] = ""
    known_as: Annotated[str, msgspec.Meta(max_length=60)] = ""

    def __post_init__(self) -> None:
        """Refuse characters that could disturb a terminal or a page."""
        for name in ("line", "known_as"):
            check_displayable(getattr(self, name), name, lines=False)


class MentorProfile(Closed, frozen=True, kw_only=True):
    """Everything a mentor says about mentoring.

    `{"topics":[{"id":"mm:first-board-presentation","kind":"been-through"}],"languages":["en"],"formats":["call"],
    "lengths":[30],"availability":{"zone":"Europe/Berlin","weekly":[{"weekday":1,"start":840,"end":960}]}}`

    `per_week` is the number of open places: requests and sessions that may stand at once in one week.
    """

    topics: Annotated[tuple[ProfileTopic, ...], msgspec.Meta(min_length=1, max_length=20)]
    languages: Annotated[tuple[Language, ...], msgspec.Meta(min_length=1, max_length=8)]
    formats: Annotated[tuple[Format, ...], msgspec.Meta(min_length=1, max_length=4)]
    lengths: Annotated[tuple[Length, ...], msgspec.Meta(min_length=1, max_length=5)]
    availability: Availability
    per_week: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1
    approach: Annotated[tuple[Approach, ...], msgspec.Meta(max_length=4)] = ()
    show_more: ShowMore | None = None
    paused_until: Seconds | None = None

    def __post_init__(self) -> None:
        """Refuse what is said twice."""
        for name in ("languages", "formats", "lengths", "approach"):
            _refuse_repeats(name, getattr(self, name))
        _refuse_repeats("topics", [(topic.id, topic.kind) for topic in self.topics])

    def paused(self, now: int) -> bool:
        """Tell whether the mentor takes no new requests at `now`."""
        return self.paused_until is not None and now < self.paused_until


def _refuse_repeats(name: str, values: Sequence[object]) -> None:
    if len(set(values)) != len(values):
        raise ValueError(f"{name} must not repeat a value")
