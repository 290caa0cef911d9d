"""What people show each other reads as it is stored and obeys nobody's terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MalformedError
from protocol.text import check_displayable, displayable

REFUSED = [
    "\x00", "\x07", "\t", "\r", "\x1b", "\x7f", "\x85", "\x9b", "\xad", "\u061c", "\u180e", "\u200b", "\u200e",
    "\u200f", "\u2028", "\u2029", "\u202a", "\u202e", "\u2060", "\u2064", "\u2066", "\u2069", "\u206f", "\ufeff",
    "\ufff9", "\ufffe", "\uffff", "\ufdd0", "\ue000", "\uf8ff", "\ud800", "\udfff", "\U000e0001", "\U000e0041",
    "\U000e007f", "\U000f0000", "\U0010ffff",
]  # fmt: skip
KEPT = [
    "a",
    " ",
    "ß",
    "Ω",
    "é",
    "e\u0301",
    "日本",
    "नमस्ते",
    "می‌خواهم",
    "👩‍🚀",
    "❤️",
    "\xa0",
    "\u3000",
    "\U000e0100",
    "\ufffd",
]


@pytest.mark.parametrize("bad", REFUSED, ids=ascii)
def test_a_character_that_is_invisible_or_gives_orders_is_refused_and_taken_out(bad: str) -> None:
    with pytest.raises(MalformedError) as caught:
        check_displayable(f"a{bad}b", "text")
    assert caught.value.code == "not-displayable"
    assert displayable(f"a{bad}b") in {"ab", "a b", "a\nb"}


@pytest.mark.parametrize("good", KEPT, ids=ascii)
def test_what_scripts_and_emoji_need_is_kept(good: str) -> None:
    check_displayable(f"a{good}b", "text", lines=False)
    assert displayable(f"a{good}b") == f"a{good}b"


def test_lines_are_kept_where_lines_may_be() -> None:
    check_displayable("one\ntwo", "text")
    assert displayable(" one\r\ntwo\rthree\x0bfour\n") == "one\ntwo\nthree\nfour"


def test_a_name_takes_no_line_feed() -> None:
    with pytest.raises(MalformedError):
        check_displayable("one\ntwo", "name", lines=False)
    assert displayable("one\ntwo", lines=False) == "one two"


def test_the_message_of_a_refusal_does_not_repeat_the_text() -> None:
    with pytest.raises(MalformedError) as caught:
        check_displayable("private\x1bwords", "brief")
    assert "private" not in str(caught.value)


@given(st.text(alphabet=st.characters()), st.booleans())
def test_what_was_made_displayable_is_displayable_and_stays_as_it_is(text: str, lines: bool) -> None:
    made = displayable(text, lines=lines)
    check_displayable(made, "text", lines=lines)
    assert displayable(made, lines=lines) == made
