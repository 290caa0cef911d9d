"""From a mentor's local rules to concrete start times, correct across daylight saving time.

Every check goes from an instant to the local wall clock, which is a function, never back: an hour that a zone skips
or repeats needs no rule of its own. Starts lie on the 30-minute grid of UTC, so that a start such as :15 never tells
outside in which of the world's three quarter-hour zones somebody lives.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from protocol.errors import MalformedError
from protocol.needs import Window
from protocol.vocabulary import Length

from .profile import Availability, DayException

GRID_S: Final = 30 * 60
CELL_S: Final = 15 * 60
#: Slots are looked for at most this far: nobody plans a short talk later, and the work stays bounded.
HORIZON_S: Final = 42 * 86_400
#: Start of the year 3000: what a peer asks for beyond it has no calendar.
LATEST_S: Final = 32_503_680_000
WORKING_DAYS: Final = range(5)


def require_valid(availability: Availability) -> None:
    """Return when the zone exists and every day of an exception is a day. Raises: MalformedError."""
    zone(availability)
    for number, one in enumerate(availability.exceptions):
        for name in ("first", "last"):
            try:
                date.fromisoformat(getattr(one, name))
            except ValueError:
                raise MalformedError(f"availability.exceptions[{number}].{name} is not a day of the calendar") from None


def zone(availability: Availability) -> tzinfo:
    """Return the zone of the rules. Raises: MalformedError: there is no such zone."""
    try:
        return ZoneInfo(availability.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise MalformedError("availability.zone is not a time zone of the IANA database") from None


def slots(availability: Availability, between: Window, taken: Sequence[Window], *, length: Length) -> Iterator[int]:
    """Yield the start times of sessions of `length` minutes that fit, earliest first, as Unix seconds.

    A session fits when it starts on the grid, lies inside `between` and inside the mentor's windows from its first to
    its last minute, and meets nothing in `taken`.
    """
    days = _Days(availability)
    seconds = length * 60
    first = -(-between.start // GRID_S) * GRID_S
    last = min(between.end, between.start + HORIZON_S, LATEST_S) - seconds
    for start in range(first, last + 1, GRID_S):
        if any(one.start < start + seconds and start < one.end for one in taken):
            continue
        if all(days.open_at(cell) for cell in range(start, start + seconds, CELL_S)):
            yield start


def answer_deadline(availability: Availability, received_at: int, *, working_days: int = 2) -> int:
    """Return the same local clock time `working_days` later in the mentor's calendar, as Unix seconds.

    Monday to Friday count unless the mentor is away all day. A clock time that the day skips counts as the one an
    hour later.
    """
    days = _Days(availability)
    local = datetime.fromtimestamp(received_at, days.zone)
    day = local.date()
    left = working_days
    for _ in range(366):
        if left == 0:
            break
        day += timedelta(days=1)
        left -= day.weekday() in WORKING_DAYS and not days.away(day)
    moved = datetime.combine(day, local.timetz().replace(fold=0))
    return int(moved.astimezone(UTC).timestamp())


class _Days:
    """The windows of each local day, worked out once a day."""

    def __init__(self, availability: Availability) -> None:
        self.zone = zone(availability)
        self._availability = availability
        self._known: dict[date, tuple[tuple[int, int], ...]] = {}

    def open_at(self, instant: int) -> bool:
        """Tell whether the quarter of an hour that starts at `instant` is inside a window."""
        local = datetime.fromtimestamp(instant, self.zone)
        minute = local.hour * 60 + local.minute
        day = local.date()
        if day not in self._known:
            self._known[day] = self._windows(day)
        return any(start <= minute and minute + CELL_S // 60 <= end for start, end in self._known[day])

    def away(self, day: date) -> bool:
        """Tell whether an exception closes this whole day."""
        exception = self._exception(day)
        return exception is not None and not exception.windows

    def _windows(self, day: date) -> tuple[tuple[int, int], ...]:
        exception = self._exception(day)
        if exception is not None:
            return tuple((window.start, window.end) for window in exception.windows)
        weekday = day.weekday()
        return tuple((one.start, one.end) for one in self._availability.weekly if one.weekday == weekday)

    def _exception(self, day: date) -> DayException | None:
        """Return the first exception that covers the day."""
        text = day.isoformat()
        return next((one for one in self._availability.exceptions if one.first <= text <= one.last), None)
