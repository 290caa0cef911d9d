"""Many texts are held against a form at once, as strictly as one by one."""

from collections.abc import Iterator
from itertools import product
from typing import Annotated

import msgspec
import pytest

from protocol.forms import Form
from protocol.ids import RandomId
from protocol.vocabulary import Language, Region, TopicId

#: One of them has bounds that its pattern does not have.
Word = Annotated[str, msgspec.Meta(pattern=r"^[a-z]*(?!\n)$", min_length=2, max_length=3)]
FIELDS = (RandomId, TopicId, Language, Region, Word)
GOOD: dict[object, tuple[str, ...]] = {
    RandomId: ("AAECAwQFBgcICQoLDA0ODw", "-_-_-_-_-_-_-_-_-_-_-w"),
    TopicId: ("mm:a", "esco:" + "~" * 200),
    Language: ("de", "gsw", "pt-BR"),
    Region: ("DE", "world"),
    Word: ("ab", "abc"),
}
#: What a text may become: a line feed within, at an end, or between two that are in form; nothing; too much.
CHANGES = ("\n", "\n\n", "\r", "\x00", "\ud800", "", "A", "a", "-", ":", "de\nde", "DE\n")


@pytest.mark.parametrize("field", FIELDS)
def test_texts_in_form_pass_however_many(field: object) -> None:
    form = Form(field)
    form.check(())
    form.check(GOOD[field] * 3000)


@pytest.mark.parametrize("text", ["", "a", "abcd", "ab\n", "\nab", "ab\nab", "AB"])
def test_a_text_out_of_form_or_bounds_is_found_among_others(text: str) -> None:
    for many in ([text], ["ab", text], [text, "abc"]):
        with pytest.raises(ValueError, match="a text is"):
            Form(Word).check(many)


def test_each_way_of_a_pattern_is_for_the_whole_text() -> None:
    form = Form(Annotated[str, msgspec.Meta(pattern=r"^ab|cd(?!\n)$")])
    form.check(["ab", "cd", "ab"])
    with pytest.raises(ValueError, match="a text is"):
        form.check(["abcd"])


def changed(field: object) -> Iterator[str]:
    """Yield texts in form, and such with a piece put in, or in place of a character or two."""
    for text in GOOD[field]:
        yield text
        for at, piece, gone in product(sorted({0, 1, len(text) - 1, len(text)}), CHANGES, range(3)):
            yield text[:at] + piece + text[at + gone :]


@pytest.mark.parametrize("field", FIELDS)
def test_texts_pass_exactly_when_the_type_of_the_field_takes_each(field: object) -> None:
    form = Form(field)
    for text in changed(field):
        for many in ([text], [text, *GOOD[field]], [*GOOD[field], text], ["", text]):
            assert _passes(form, many) == all(_fits(field, each) for each in many)


def _passes(form: Form, many: list[str]) -> bool:
    try:
        form.check(many)
    except ValueError:
        return False
    return True


def _fits(field: object, text: str) -> bool:
    try:
        msgspec.convert(text, field)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize("field", [str, Annotated[str, msgspec.Meta(max_length=3)], Annotated[str, "word"]])
def test_a_field_without_a_pattern_has_no_form(field: object) -> None:
    with pytest.raises(TypeError):
        Form(field)


def test_a_pattern_for_a_part_of_the_text_is_no_form() -> None:
    with pytest.raises(TypeError):
        Form(Annotated[str, msgspec.Meta(pattern=r"^a")])
