"""Tests of reading member files."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.services import member_csv
from node.services.member_csv import FIELD_NAMES, FIELDS, Record, parse_members, refused_rows, render_csv
from protocol.errors import LimitError, MalformedError

from .world import HEADER, people_file, row, staff

SECRET = "zebra@secret.example"


def refused(*rows: str) -> list[tuple[int, str]]:
    return [(error.line, error.field) for error in parse_members(people_file(*rows)).errors]


def test_a_full_row_becomes_a_record() -> None:
    line = 'E1,Ana@Aurora.example,active,"Finance, planning",lead,DE,North,E0,en;de,mm:a-b;esco:x'
    (record,) = parse_members(people_file(line)).records
    assert record == Record(
        id="E1",
        active=True,
        mail="ana@aurora.example",
        job_family="Finance, planning",
        band="lead",
        country="DE",
        group="North",
        supervisor="E0",
        languages=("en", "de"),
        skills=("mm:a-b", "esco:x"),
    )


def test_the_published_example_row_is_a_good_file() -> None:
    text = render_csv([field.name for field in FIELDS], [[field.example for field in FIELDS]])
    assert parse_members(text.encode()).errors == ()


@pytest.mark.parametrize("prefix", ["", "\ufeff"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_and_both_line_ends_are_understood(prefix: str, end: str) -> None:
    text = prefix + end.join((HEADER, row("E1"), "", row("E2"))) + end
    assert [record.id for record in parse_members(text.encode()).records] == ["E1", "E2"]


def test_columns_may_stand_in_any_order_and_optional_ones_may_be_missing() -> None:
    text = "Country, status,id,band,mail,job_family\nDE,active,E1,any,a@b.example,Finance\n"
    (record,) = parse_members(text.encode()).records
    assert (record.id, record.country, record.skills) == ("E1", "DE", ())


def test_somebody_who_is_not_active_needs_no_more_than_an_id() -> None:
    (record,) = parse_members(people_file("E1,,not,,,,,,,")).records
    assert (record.active, record.mail, record.country) == (False, "", None)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": "E 1"}, "id"),
        ({"id": "E" * 65}, "id"),
        ({"mail": ""}, "mail"),
        ({"mail": "nobody"}, "mail"),
        ({"mail": "a@b"}, "mail"),
        ({"mail": "a@b.example>"}, "mail"),
        ({"mail": "ü@b.example"}, "mail"),
        ({"mail": "a@-b.example"}, "mail"),
        ({"mail": f"a@{'b' * 64}.example"}, "mail"),
        ({"status": "Active"}, "status"),
        ({"status": ""}, "status"),
        ({"job_family": ""}, "job_family"),
        ({"job_family": "x" * 81}, "job_family"),
        ({"job_family": "a\x07b"}, "job_family"),
        ({"band": "chief"}, "band"),
        ({"country": "Germany"}, "country"),
        ({"country": "de"}, "country"),
        ({"group": "\u2028x"}, "group"),
        ({"supervisor": "E 2"}, "supervisor"),
        ({"supervisor": "E1"}, "supervisor"),
        ({"languages": "english"}, "languages"),
        ({"languages": ";".join(f"{a}{b}" for a in "abc" for b in "xyz")}, "languages"),
        ({"skills": "Cooking"}, "skills"),
        ({"skills": ";".join(f"mm:{number}" for number in range(51))}, "skills"),
    ],
)
def test_a_value_that_breaks_its_rule_is_named_by_line_and_column(changed: dict[str, str], field: str) -> None:
    assert refused(row("E0"), row("E1", **changed)) == [(3, field)]


def test_every_wrong_value_of_a_row_is_named_at_once() -> None:
    assert refused(row("E1", band="x", country="x")) == [(2, "band"), (2, "country")]


def test_ids_and_active_addresses_stand_once() -> None:
    same = {"mail": "a@b.example"}
    assert refused(row("E1"), row("E1")) == [(3, "id")]
    assert refused(row("E1", **same), row("E2", **same)) == [(3, "mail")]
    assert refused(row("E1", "not", **same), row("E2", **same)) == []


def test_a_row_of_several_lines_is_named_by_its_first_one() -> None:
    lines = (row("E1", group='"North\nSouth"'), row("E2", band="x"))
    assert refused(*lines) == [(2, "group"), (4, "band")]


@pytest.mark.parametrize("line", ["E1,a", row("E1") + ",more"])
def test_a_row_with_another_number_of_columns_is_refused(line: str) -> None:
    assert refused(line, row("E2")) == [(2, "")]


def test_reading_stops_at_quotes_that_nobody_can_follow() -> None:
    assert refused(row("E1"), 'E2,"a"b,active', row("E3", band="x")) == [(3, "")]


def test_no_error_repeats_what_stands_in_a_row() -> None:
    lines = (row("E1", band=SECRET, country=SECRET, skills=SECRET), f"{SECRET},1", f'"{SECRET}"x')
    assert SECRET not in str(parse_members(people_file(*lines)).errors)


def test_a_file_without_a_header_is_refused_without_repeating_its_first_row() -> None:
    with pytest.raises(MalformedError, match="header") as caught:
        parse_members(f"E1,{SECRET},Finance\n".encode())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "named"),
    [
        (HEADER + ",salary", "'salary'"),
        (HEADER.replace("band,", ""), "missing in the header: band"),
        (HEADER + ",group", "twice in the header: group"),
        (HEADER.replace(",", ";"), "separated by commas"),
        ("", "header"),
    ],
)
def test_a_header_that_is_not_as_published_is_refused_by_name(header: str, named: str) -> None:
    with pytest.raises(MalformedError, match=named):
        parse_members(f"{header}\n{row('E1')}\n".encode())


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", HEADER.encode(), HEADER.encode() + b"\r\n\r\n"])
def test_an_empty_file_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_members(data)


def test_a_file_in_another_encoding_is_refused_with_the_line() -> None:
    with pytest.raises(MalformedError, match="line 3 is not UTF-8"):
        parse_members(people_file(row("E1"), row("E2", group="Zürich")).decode().encode("latin-1"))
    with pytest.raises(MalformedError, match="UTF-8"):
        parse_members(staff(1).decode().encode("utf-16"))


def test_the_limits_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_csv, "MAX_ROWS", 3)
    assert len(parse_members(staff(3)).records) == 3
    with pytest.raises(LimitError, match="rows"):
        parse_members(staff(4))
    monkeypatch.setattr(member_csv, "MAX_FILE_BYTES", len(staff(2)) - 1)
    with pytest.raises(LimitError, match="MiB"):
        parse_members(staff(2))


def test_errors_stop_when_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_csv, "MAX_ERRORS", 2)
    assert refused(*(row(f"E{number}", band="x") for number in range(5))) == [(2, "band"), (3, "band")]


def test_progress_reaches_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_csv, "PROGRESS_EVERY", 2)
    seen: list[tuple[int, int]] = []
    parse_members(staff(5), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (6, 6)
    assert seen == sorted(seen)
    assert len(seen) > 1


WORDS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=80).filter(
    lambda text: text.strip() == text and text.strip(" ") == text
)
RECORDS = st.lists(
    st.builds(
        Record,
        id=st.from_regex(r"[!-~]{1,64}", fullmatch=True),
        active=st.just(True),
        mail=st.from_regex(r"[a-z0-9.+-]{1,20}@[a-z0-9]{1,20}\.example", fullmatch=True),
        job_family=WORDS,
        band=st.sampled_from(("any", "senior", "lead")),
        country=st.from_regex(r"[A-Z]{2}", fullmatch=True),
        group=st.just("") | WORDS,
        languages=st.lists(st.sampled_from(("en", "de", "pt-BR")), unique=True).map(tuple),
        skills=st.lists(st.from_regex(r"mm:[a-z-]{1,20}", fullmatch=True), unique=True, max_size=6).map(tuple),
    ),
    min_size=1,
    max_size=5,
    unique_by=(lambda record: record.id, lambda record: record.mail),
)


@pytest.mark.slow
@settings(max_examples=50)
@given(RECORDS)
def test_reading_is_the_inverse_of_writing(records: list[Record]) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(FIELD_NAMES)
    for one in records:
        writer.writerow(
            (
                one.id,
                one.mail,
                "active",
                one.job_family,
                one.band,
                one.country,
                one.group,
                one.supervisor,
                ";".join(one.languages),
                ";".join(one.skills),
            )
        )
    assert parse_members(out.getvalue().encode()).records == tuple(records)


@given(st.binary(max_size=300))
def test_no_bytes_at_all_end_in_anything_but_records_errors_or_a_refusal(data: bytes) -> None:
    for raw in (data, people_file() + data):
        try:
            parse_members(raw)
        except (MalformedError, LimitError):
            continue


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "|calc", "%x"])
def test_no_cell_of_written_csv_is_a_formula(cell: str) -> None:
    text = render_csv(["family", cell], [[cell, 3]])
    header, first = csv.reader(io.StringIO(text, newline=""))
    assert header[1] == first[0] == f"'{cell}"
    assert first[1] == "3"


def test_rows_are_counted_not_the_rules_they_break() -> None:
    parsed = parse_members(people_file(row("E1"), row("", "maybe"), "too,few"))
    assert len(parsed.errors) == 4
    assert refused_rows(parsed.errors).startswith("2 rows were refused")
    assert refused_rows(parsed.errors[-1:]).startswith("1 row was refused")


def test_a_cell_too_large_to_be_read_is_said_to_be_that() -> None:
    (error,) = parse_members(people_file(row("E1", group="x" * 200_000))).errors
    assert "131,072 characters" in error.rule
