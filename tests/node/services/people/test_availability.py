"""Tests of free slots, above all around daylight saving time."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.services.availability import answer_deadline, require_valid, slots
from node.services.profile import Availability, DayException, DayWindow, MentorProfile, WeeklyWindow
from protocol.encoding import decode_loose
from protocol.errors import MalformedError
from protocol.needs import Window
from protocol.vocabulary import Length

HOUR = 3600
DAYS = tuple(range(7))


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def daily(zone: str, start: int, end: int, *, exceptions: tuple[DayException, ...] = ()) -> Availability:
    weekly = tuple(WeeklyWindow(weekday=day, start=start, end=end) for day in DAYS)
    return Availability(zone=zone, weekly=weekly, exceptions=exceptions)


def found(
    availability: Availability, start: str, end: str, *, length: Length = 30, taken: tuple[Window, ...] = ()
) -> list[str]:
    window = Window(start=at(start), end=at(end))
    return [
        datetime.fromtimestamp(slot, UTC).isoformat()[:16] for slot in slots(availability, window, taken, length=length)
    ]


def test_slots_lie_on_the_grid_inside_the_window_and_what_was_asked() -> None:
    berlin = daily("Europe/Berlin", 14 * 60, 16 * 60)
    assert found(berlin, "2027-01-11T13:10", "2027-01-11T23:00") == [
        "2027-01-11T13:30",
        "2027-01-11T14:00",
        "2027-01-11T14:30",
    ]
    assert found(berlin, "2027-01-11T00:00", "2027-01-11T14:29") == ["2027-01-11T13:00", "2027-01-11T13:30"]


@pytest.mark.parametrize(("length", "count"), [(15, 4), (20, 4), (30, 4), (45, 3), (60, 3)])
def test_a_session_must_end_inside_the_window(length: Length, count: int) -> None:
    assert len(found(daily("UTC", 600, 720), "2027-01-11T00:00", "2027-01-12T00:00", length=length)) == count


def test_a_slot_that_touches_what_is_taken_is_free_and_one_that_overlaps_is_not() -> None:
    taken = (Window(start=at("2027-01-11T10:30"), end=at("2027-01-11T11:00")),)
    assert found(daily("UTC", 600, 720), "2027-01-11T00:00", "2027-01-12T00:00", taken=taken) == [
        "2027-01-11T10:00",
        "2027-01-11T11:00",
        "2027-01-11T11:30",
    ]


def test_only_the_weekday_counts_and_it_is_the_local_one() -> None:
    monday = Availability(zone="Asia/Tokyo", weekly=(WeeklyWindow(weekday=0, start=0, end=60),))
    assert found(monday, "2027-01-04T00:00", "2027-01-18T00:00") == [
        "2027-01-10T15:00",  # Monday 00:00 in Tokyo
        "2027-01-10T15:30",
        "2027-01-17T15:00",
        "2027-01-17T15:30",
    ]


def test_two_windows_that_meet_at_midnight_are_one() -> None:
    late = daily("UTC", 23 * 60, 24 * 60)
    early = daily("UTC", 0, 60)
    both = Availability(zone="UTC", weekly=late.weekly + early.weekly)
    assert "2027-01-11T23:30" in found(both, "2027-01-11T22:00", "2027-01-12T02:00", length=60)
    assert "2027-01-11T23:30" not in found(late, "2027-01-11T22:00", "2027-01-12T02:00", length=60)


def test_an_exception_replaces_the_weekly_windows_on_its_days() -> None:
    away = DayException(first="2027-01-11", last="2027-01-12")
    short = DayException(first="2027-01-13", last="2027-01-13", windows=(DayWindow(start=600, end=630),))
    availability = daily("UTC", 540, 600, exceptions=(away, short))
    assert found(availability, "2027-01-11T00:00", "2027-01-15T00:00") == [
        "2027-01-13T10:00",
        "2027-01-14T09:00",
        "2027-01-14T09:30",
    ]


def test_the_hour_that_spring_skips_holds_nothing() -> None:
    berlin = daily("Europe/Berlin", 2 * 60, 3 * 60)
    assert found(berlin, "2027-03-28T00:00", "2027-03-28T06:00") == []
    assert found(berlin, "2027-03-29T00:00", "2027-03-29T06:00") == ["2027-03-29T00:00", "2027-03-29T00:30"]


def test_a_window_over_the_skipped_hour_is_an_hour_shorter() -> None:
    berlin = daily("Europe/Berlin", 60, 4 * 60)
    assert found(berlin, "2027-03-28T00:00", "2027-03-28T06:00", length=60) == [
        "2027-03-28T00:00",
        "2027-03-28T00:30",
        "2027-03-28T01:00",
    ]


def test_the_hour_that_autumn_repeats_counts_twice() -> None:
    berlin = daily("Europe/Berlin", 2 * 60, 3 * 60)
    assert found(berlin, "2027-10-30T22:00", "2027-10-31T06:00") == [
        "2027-10-31T00:00",
        "2027-10-31T00:30",
        "2027-10-31T01:00",
        "2027-10-31T01:30",
    ]


def test_a_zone_with_a_quarter_of_an_hour_gets_starts_on_the_common_grid() -> None:
    nepal = daily("Asia/Kathmandu", 9 * 60, 10 * 60)  # 03:15 to 04:15 UTC
    assert found(nepal, "2027-01-11T00:00", "2027-01-12T00:00") == ["2027-01-11T03:30"]


def test_looking_ahead_ends_at_the_horizon_and_far_years_do_no_harm() -> None:
    assert found(daily("UTC", 0, 60), "2027-01-11T00:00", "2099-01-01T00:00")[-1] == "2027-02-21T00:30"
    end_of_time = Window(start=253402300799 - 86_400, end=253402300799)
    assert list(slots(daily("Pacific/Kiritimati", 0, 1440), end_of_time, (), length=15)) == []


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Chatham", "UTC")


@settings(max_examples=40)
@given(
    st.sampled_from(ZONES),
    st.integers(0, 94),
    st.integers(1, 96),
    st.sampled_from((15, 20, 30, 45, 60)),
    st.integers(at("2027-01-01T00:00"), at("2027-12-31T00:00")),
)
def test_every_minute_of_every_slot_is_inside_the_local_window(
    zone: str, first: int, size: int, length: Length, start: int
) -> None:
    begin, end = first * 15, min(first + size, 96) * 15
    window = Window(start=start, end=start + 3 * 86_400)
    got = set(slots(daily(zone, begin, end), window, (), length=length))
    clock = ZoneInfo(zone)

    def inside(instant: int) -> bool:
        local = datetime.fromtimestamp(instant, clock)
        return begin <= local.hour * 60 + local.minute < end

    for slot in range(-(-start // 1800) * 1800, window.end - length * 60 + 1, 1800):
        assert (slot in got) == all(inside(minute) for minute in range(slot, slot + length * 60, 60))


@pytest.mark.parametrize(
    ("received", "deadline"),
    [
        ("2027-01-11T10:00", "2027-01-13T10:00"),  # Monday to Wednesday
        ("2027-01-14T10:00", "2027-01-18T10:00"),  # Thursday to Monday
        ("2027-01-16T10:00", "2027-01-19T10:00"),  # Saturday to Tuesday
        ("2027-03-26T10:00", "2027-03-30T10:00"),  # over the change to summer time
        ("2027-10-29T10:00", "2027-11-02T10:00"),  # and back
    ],
)
def test_a_deadline_is_the_same_clock_time_two_working_days_later(received: str, deadline: str) -> None:
    availability = daily("Europe/Berlin", 0, 1440)
    assert answer_deadline(availability, at(received, "Europe/Berlin")) == at(deadline, "Europe/Berlin")


def test_days_away_are_no_working_days() -> None:
    away = DayException(first="2027-01-12", last="2027-01-14")
    availability = daily("UTC", 0, 60, exceptions=(away,))
    assert answer_deadline(availability, at("2027-01-11T10:00")) == at("2027-01-18T10:00")


def test_a_deadline_in_the_skipped_hour_is_an_hour_later() -> None:
    availability = Availability(zone="Europe/Berlin")
    received = at("2027-03-27T02:30", "Europe/Berlin")
    assert answer_deadline(availability, received, working_days=0) == received
    for_sunday = Availability(zone="America/New_York")
    assert answer_deadline(for_sunday, at("2027-03-11T02:30", "America/New_York")) == at("2027-03-15T06:30")


@given(st.sampled_from(ZONES), st.integers(at("2027-01-01T00:00"), at("2027-12-31T00:00")))
def test_a_deadline_is_two_to_six_days_ahead_on_a_working_day(zone: str, received: int) -> None:
    deadline = answer_deadline(Availability(zone=zone), received)
    assert 2 * 86_400 - 2 * HOUR <= deadline - received <= 4 * 86_400 + 2 * HOUR
    assert date.weekday(datetime.fromtimestamp(deadline, ZoneInfo(zone))) < 5


def test_someone_away_for_years_still_gets_a_deadline() -> None:
    away = DayException(first="2027-01-01", last="2031-01-01")
    deadline = answer_deadline(Availability(zone="UTC", exceptions=(away,)), at("2027-01-11T00:00"))
    assert deadline == at("2027-01-11T00:00") + timedelta(days=366).total_seconds()


@pytest.mark.parametrize(
    ("availability", "named"),
    [
        (Availability(zone="Europe/Atlantis"), "zone"),
        (Availability(zone="Etc"), "zone"),
        (Availability(zone="UTC", exceptions=(DayException(first="2027-02-30", last="2027-03-01"),)), "first"),
        (Availability(zone="UTC", exceptions=(DayException(first="2027-02-01", last="2027-02-31"),)), "last"),
    ],
)
def test_a_zone_or_day_that_does_not_exist_is_refused_by_name(availability: Availability, named: str) -> None:
    with pytest.raises(MalformedError, match=named):
        require_valid(availability)


@pytest.mark.parametrize(
    ("part", "rule"),
    [
        ('"weekly":[{"weekday":7,"start":0,"end":60}]', "<= 6"),
        ('"weekly":[{"weekday":0,"start":60,"end":60}]', "must end after"),
        ('"weekly":[{"weekday":0,"start":5,"end":60}]', "multiple"),
        ('"weekly":[{"weekday":0,"start":0,"end":1455}]', "<= 1440"),
        ('"exceptions":[{"first":"2027-01-02","last":"2027-01-01"}]', "must not end before"),
        ('"exceptions":[{"first":"2027-1-2","last":"2027-01-03"}]', "regex"),
        ('"zone":"../etc/passwd"', "regex"),
        ('"zone":"UTC","colour":1', "unknown field"),
    ],
)
def test_rules_that_make_no_sense_are_refused(part: str, rule: str) -> None:
    zone = "" if '"zone"' in part else '"zone":"UTC",'
    with pytest.raises(MalformedError, match=rule):
        decode_loose(f"{{{zone}{part}}}".encode(), Availability)


@pytest.mark.parametrize("field", ["languages", "formats", "lengths", "approach", "topics"])
def test_a_profile_says_nothing_twice(field: str) -> None:
    values: dict[str, Any] = {
        "topics": [{"id": "mm:x", "kind": "do"}],
        "languages": ["en"],
        "formats": ["call"],
        "lengths": [30],
        "approach": ["listens-first"],
        "availability": {"zone": "UTC"},
    }
    assert decode_loose(msgspec.json.encode(values), MentorProfile).per_week == 1
    values[field] += values[field]
    with pytest.raises(MalformedError, match=f"{field} must not repeat"):
        decode_loose(msgspec.json.encode(values), MentorProfile)
