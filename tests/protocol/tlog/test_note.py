"""Notes and keys: limits, what is written is what is read, and whatever is read is written the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MeshError
from protocol.signing import SigningKey
from protocol.tlog.note import (
    MAX_NOTE_BYTES,
    KeyNameError,
    LogKey,
    Note,
    NoteLimitError,
    RepeatedSignerError,
    SignatureLine,
    WitnessKey,
    lines_of,
    parse_note,
    parse_vkey,
    render_note,
    with_signatures,
)

KEY = SigningKey(bytes(32))
LINE = SignatureLine(name="a.example", key_id=b"1234", signature=b"5")
LINES = st.builds(
    SignatureLine,
    name=st.text(st.characters(exclude_categories=("Cc", "Cs", "Z"), exclude_characters="+"), min_size=1, max_size=60),
    key_id=st.binary(min_size=4, max_size=4),
    signature=st.binary(min_size=1, max_size=80),
)
TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), include_characters="\n")).map(
    lambda t: t + "\n"
)


@pytest.mark.slow
@given(TEXTS, st.lists(LINES, min_size=1, max_size=16))
def test_what_is_written_is_read_back(text: str, lines: list[SignatureLine]) -> None:
    note = Note(text=text, signatures=tuple(lines))
    assert parse_note(render_note(note)) == note


@given(st.data())
def test_what_is_read_is_written_the_same(data: st.DataObject) -> None:
    good = bytearray(render_note(Note(text="a\nb\n", signatures=(LINE, LINE))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(good) - 1))
        match data.draw(st.sampled_from(["replace", "insert", "delete"])):
            case "replace":
                good[at] = data.draw(st.integers(0, 255))
            case "insert":
                good.insert(at, data.draw(st.sampled_from(b"\n\r +=\xe2A0")))
            case _:
                del good[at]
    try:
        note = parse_note(bytes(good))
    except MeshError:
        return
    assert render_note(note) == bytes(good)


def test_a_thousand_signatures_are_refused_by_their_number() -> None:
    line = render_note(Note(text="t\n", signatures=(LINE,))).decode().removeprefix("t\n\n")
    with pytest.raises(NoteLimitError, match="signatures"):
        parse_note(f"t\n\n{line * 1000}".encode())


def test_the_size_of_a_note_is_bounded_to_the_byte() -> None:
    line = render_note(Note(text="t\n", signatures=(LINE,))).removeprefix(b"t\n")
    fits = b"t" * (MAX_NOTE_BYTES - len(line) - 1) + b"\n" + line
    assert len(parse_note(fits).text) == MAX_NOTE_BYTES - len(line)
    with pytest.raises(NoteLimitError, match="bytes"):
        parse_note(b"t" + fits)


@pytest.mark.parametrize(
    "note",
    [
        Note(text="no line feed", signatures=(LINE,)),
        Note(text="tail\n", signatures=()),
        Note(text="tail\n", signatures=(SignatureLine(name="a", key_id=b"123", signature=b"45"),)),
    ],
)
def test_a_note_that_would_be_read_as_something_else_is_not_written(note: Note) -> None:
    with pytest.raises((ValueError, MeshError)):
        render_note(note)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2028b", "a\ud800b", "n" * 256, "é" * 128])
def test_a_key_cannot_be_made_under_a_name_that_no_line_can_carry(name: str) -> None:
    with pytest.raises(KeyNameError):
        LogKey(name=name, key=KEY.public)


def test_one_public_key_has_another_id_as_log_and_as_witness() -> None:
    log, witness = LogKey(name="a.example", key=KEY.public), WitnessKey(name="a.example", key=KEY.public)
    assert log.key_id != witness.key_id
    assert parse_vkey(log.vkey) == log
    assert parse_vkey(witness.vkey) == witness


def test_a_later_signature_of_one_key_takes_the_place_of_the_earlier() -> None:
    other = SignatureLine(name="b.example", key_id=b"1234", signature=b"5")
    newer = SignatureLine(name="a.example", key_id=b"1234", signature=b"6")
    note = with_signatures(Note(text="t\n", signatures=(LINE,)), [other, newer])
    assert note.signatures == (newer, other)


def test_only_the_lines_of_known_keys_are_given_and_each_key_once() -> None:
    key = LogKey(name="a.example", key=KEY.public)
    ours = SignatureLine(name=key.name, key_id=key.key_id, signature=b"5")
    assert lines_of(Note(text="t\n", signatures=(LINE, ours, LINE)), [key]) == ((key, ours),)
    with pytest.raises(RepeatedSignerError):
        lines_of(Note(text="t\n", signatures=(ours, LINE, ours)), [key])


def test_two_known_keys_that_nobody_can_tell_apart_are_a_programming_mistake() -> None:
    key = LogKey(name="a.example", key=KEY.public)
    with pytest.raises(ValueError, match="share name and id"):
        lines_of(Note(text="t\n", signatures=(LINE,)), [key, key])
