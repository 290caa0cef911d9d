"""Every code that can cross has words in both languages, and nothing else is needed to read a card."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest

from cli.client import words
from cli.client.words import content_line, somebody, time_line, word
from protocol.bodies import CancelReason, DeclineReason, Refusal
from protocol.e2ee.frames import (
    Action,
    Again,
    Agenda,
    AgendaItem,
    Chat,
    Close,
    Content,
    Goal,
    Name,
    Note,
    Place,
    Slot,
    Takeaway,
    Thanks,
    Useful,
)
from protocol.needs import Approach, Experience, Fit, Gap, Reason
from protocol.vocabulary import Band, Format, Kind

ID = "AAECAwQFBgcICQoLDA0ODw"


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        (words.REASONS, Reason),
        (words.GAPS, Gap),
        (words.APPROACHES, Approach),
        (words.EXPERIENCES, Experience),
        (words.FITS, Fit),
        (words.KINDS, Kind),
        (words.BANDS, Band),
        (words.FORMATS, Format),
    ],
)
def test_a_table_has_exactly_the_codes_there_are(table: Mapping[str, tuple[str, str]], codes: Any) -> None:  # noqa: ANN401 -- a Literal
    assert set(table) == set(get_args(codes))


def test_every_no_has_words() -> None:
    codes = {*get_args(Refusal), *get_args(DeclineReason), *get_args(CancelReason), "expired", "no-answer", "lost"}
    assert set(words.NOS) == codes


def test_both_languages_say_something_of_their_own() -> None:
    for name, table in vars(words).items():
        if name.isupper() and isinstance(table, Mapping) and name not in {"ROLES", "BANDS"}:
            for code, (english, german) in table.items():
                assert english, code
                assert german, code
                assert english != german, code


def test_a_code_of_a_newer_program_is_shown_as_it_is() -> None:
    assert word(words.REASONS, "reads-your-mind", "de") == "reads-your-mind"


def test_a_mentor_reads_where_somebody_works_and_why() -> None:
    assert somebody(("sector-h",), "been-through-it", 4) == (
        "Somebody in logistics chose you from 4 mentors: has been through it."
    )
    assert somebody((), "does-it", 1, "de") == "Jemand hat dich gewählt: macht es im Beruf."


@pytest.fixture
def utc() -> Iterator[None]:
    """Let this machine be in UTC."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("utc")
def test_a_time_names_its_zone() -> None:
    assert time_line(1_799_049_600, 30) == "Mon 2027-01-04, 08:00–08:30 UTC"
    assert time_line(1_799_049_600, 30, "de") == "Mo 04.01.2027, 08:00–08:30 UTC"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (Chat(text="Hello"), ("chat", "Hello")),
        (Goal(goal=ID, text="A plan"), ("goal", "A plan")),
        (Takeaway(text="Be brief"), ("takeaway", "Be brief")),
        (Note(note=ID, text="Notes"), ("note", "Notes")),
        (Place(text="Room 3"), ("place", "Room 3")),
        (Thanks(text="Thank you"), ("thanks", "Thank you")),
        (Name(name="Ben"), ("name", "Ben")),
        (Action(action=ID, text="Send it", done=True), ("action", "✓ Send it (mentee)")),
        (Agenda(items=(AgendaItem(title="Start", minutes=5),)), ("agenda", "Start (5 min)")),
        (Useful(score=4), ("useful", "4/5")),
        (Again(yes=False), ("again", "no")),
        (Close(), ("close", "closed")),
    ],
)
def test_every_frame_has_a_line(content: Content, expected: tuple[str, str]) -> None:
    assert content_line(content) == expected


@pytest.mark.usefixtures("utc")
def test_a_proposed_time_is_a_line_too() -> None:
    assert content_line(Slot(start_at=1_799_049_600, minutes=30)) == ("slot", "Mon 2027-01-04, 08:00–08:30 UTC")
