"""Read the member file: HRIS-style CSV (RFC 4180, UTF-8), strictly, into typed records and row errors.

The list of fields is published (docs/reference/member-csv.md) and closed: a column that is not on it is refused by
name, so that nothing about people enters a node by accident. No message ever repeats what stands in a row.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from protocol.errors import LimitError, MalformedError
from protocol.vocabulary import Band, Country, Language, TopicId

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_ROWS: Final = 250_000
#: Reading stops after this many row errors: whoever made the file has seen enough.
MAX_ERRORS: Final = 1000
LIST_SEPARATOR: Final = ";"
#: Rows between two calls of a progress callback.
PROGRESS_EVERY: Final = 2_000

#: Called with (rows done, rows in all).
Progress = Callable[[int, int], None]

_DNS_LABEL: Final = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_MAIL: Final = rf"(?=.{{6,254}}\Z)[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_DNS_LABEL}(?:\.{_DNS_LABEL})+"


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One published column; `most` > 0 makes it a list of at most so many parts separated by `;`."""

    name: str
    needed: str  # who must have it: "always", "active" members, or nobody ("")
    rule: str
    example: str
    pattern: re.Pattern[str]
    most: int = 0


# No control characters, line ends or marks that reorder a line: terminals and pages would obey them.
_TEXT: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]{1,80}")

FIELDS: Final = (
    Field(
        name="id",
        needed="always",
        rule="1 to 64 visible ASCII characters without spaces; one row per id, never given to another person",
        example="E-1001",
        pattern=re.compile(r"[!-~]{1,64}"),
    ),
    Field(
        name="mail",
        needed="active",
        rule="one mail address, used by one active member only",
        example="ana@aurora.example",
        pattern=re.compile(_MAIL),
    ),
    Field(
        name="status",
        needed="always",
        rule="`active` or `not`",
        example="active",
        pattern=re.compile(r"active|not"),
    ),
    Field(
        name="job_family",
        needed="active",
        rule="1 to 80 printable characters",
        example="Finance",
        pattern=_TEXT,
    ),
    Field(
        name="band",
        needed="active",
        rule="`any`, `senior` or `lead`",
        example="senior",
        pattern=re.compile(r"any|senior|lead"),
    ),
    Field(
        name="country",
        needed="active",
        rule="two capital letters (ISO 3166-1 alpha-2)",
        example="DE",
        pattern=re.compile(r"[A-Z]{2}"),
    ),
    Field(name="group", needed="", rule="1 to 80 printable characters", example="Cohort North", pattern=_TEXT),
    Field(
        name="supervisor",
        needed="",
        rule="the id of another member",
        example="E-1000",
        pattern=re.compile(r"[!-~]{1,64}"),
    ),
    Field(
        name="languages",
        needed="",
        rule="at most 8 tags such as `en` or `pt-BR`, separated by `;`",
        example="en;de",
        pattern=re.compile(r"[a-z]{2,3}(-[A-Z]{2})?"),
        most=8,
    ),
    Field(
        name="skills",
        needed="",
        rule="at most 50 concept ids such as `mm:first-board-presentation`, separated by `;`",
        example="mm:first-board-presentation",
        pattern=re.compile(r"(esco|onet|mm|ext):[!-:<-~]{1,200}"),
        most=50,
    ),
)
_UNREADABLE: Final = "quotes must follow RFC 4180, and a cell has at most 131,072 characters; the rest was not read"
FIELD_NAMES: Final = tuple(field.name for field in FIELDS)
#: A file must have these columns; the others may be missing altogether.
NEEDED_COLUMNS: Final = tuple(field.name for field in FIELDS if field.needed)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One good row. A record that is not active may have only its id."""

    id: str
    active: bool
    mail: str = ""
    job_family: str = ""
    band: Band = "any"
    country: Country | None = None
    group: str = ""
    supervisor: str = ""
    languages: tuple[Language, ...] = ()
    skills: tuple[TopicId, ...] = ()


class RowError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong in one row: the line where it starts, the column, the rule. Never the value."""

    line: int
    field: str
    rule: str


class MemberFile(msgspec.Struct, frozen=True, kw_only=True):
    """All of a file: either every row is good, or `errors` says which are not."""

    records: tuple[Record, ...]
    errors: tuple[RowError, ...]


class _RowRefusedError(Exception):
    """A rule broken inside one row."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(rule)
        self.field = field
        self.rule = rule


def parse_members(data: bytes, *, progress: Progress | None = None) -> MemberFile:
    """Return the records and the row errors of a member file.

    Raises:
        MalformedError: not UTF-8, no header, a column that is missing, doubled or not published, no rows.
        LimitError: over 64 MiB or 250,000 rows.
    """
    rows = _rows(_text(data), data.count(b"\n"), progress)
    columns = _columns(next(rows, (1, []))[1])
    reading = _Reading(columns)
    for line, cells in rows:
        reading.take(line, cells)
        if len(reading.errors) >= MAX_ERRORS:
            break
    if not reading.records and not reading.errors:
        raise MalformedError("the file has a header but no rows; nobody would remain")
    return MemberFile(records=tuple(reading.records), errors=tuple(reading.errors))


def refused_rows(errors: Sequence[RowError]) -> str:
    """Return the sentence about a file with errors; a row may break several rules."""
    count = len({error.line for error in errors})
    rows = "1 row was" if count == 1 else f"{count} rows were"
    return f"{rows} refused: mend the file and import it again; nothing was imported"


def _text(data: bytes) -> str:
    if len(data) > MAX_FILE_BYTES:
        raise LimitError(f"the file is over {MAX_FILE_BYTES // 1024 // 1024} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MalformedError(f"line {line} is not UTF-8; save the file as 'CSV UTF-8' and import it again") from None


def _rows(text: str, lines: int, progress: Progress | None) -> Iterator[tuple[int, list[str] | None]]:
    """Yield each row with the line where it starts; None stands for a row after which nothing can be read."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    count = 0
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error:
            yield line, None
            return
        if not cells:
            continue
        count += 1
        if count > MAX_ROWS + 1:
            raise LimitError(f"the file has over {MAX_ROWS:,} rows")
        if progress and count % PROGRESS_EVERY == 0:
            progress(reader.line_num, max(lines, reader.line_num))
        yield line, cells
    if progress:
        progress(reader.line_num, reader.line_num)


def _columns(header: list[str] | None) -> tuple[Field, ...]:
    """Return the field of each column. A first line without any known name may be data: it is not repeated."""
    names = [cell.strip().lower() for cell in header or ()]
    if not set(names) & set(FIELD_NAMES):
        raise MalformedError(f"the first line must be a header, separated by commas, with {', '.join(NEEDED_COLUMNS)}")
    strange = [name for name in names if name not in FIELD_NAMES]
    if strange:
        listed = ", ".join(repr(name[:40]) for name in strange[:10])
        raise MalformedError(f"these columns are not on the published list, remove them: {listed}")
    _refuse("twice in the header", [name for name in FIELD_NAMES if names.count(name) > 1])
    _refuse("missing in the header", [name for name in NEEDED_COLUMNS if name not in names])
    by_name = {field.name: field for field in FIELDS}
    return tuple(by_name[name] for name in names)


def _refuse(what: str, names: Sequence[str]) -> None:
    if names:
        raise MalformedError(f"columns {what}: {', '.join(names)}")


class _Reading:
    """What one pass over the rows has found so far."""

    def __init__(self, columns: tuple[Field, ...]) -> None:
        self.columns = columns
        self.records: list[Record] = []
        self.errors: list[RowError] = []
        self._ids: set[str] = set()
        self._mails: set[str] = set()

    def take(self, line: int, cells: list[str] | None) -> None:
        """Add the row's record, or its errors."""
        try:
            values = self._values(cells)
            wrong = list(_broken(self.columns, values))
            if not wrong:
                record = _record(values)
                self._require_alone(record)
                self.records.append(record)
        except _RowRefusedError as error:
            wrong = [(error.field, error.rule)]
        self.errors.extend(RowError(line=line, field=field, rule=rule) for field, rule in wrong)

    def _values(self, cells: list[str] | None) -> dict[str, str]:
        if cells is None:
            raise _RowRefusedError("", _UNREADABLE)
        if len(cells) != len(self.columns):
            raise _RowRefusedError("", f"the row must have {len(self.columns)} columns, as the header has")
        return {field.name: cell.strip(" \t") for field, cell in zip(self.columns, cells, strict=True)}

    def _require_alone(self, record: Record) -> None:
        if record.id in self._ids:
            raise _RowRefusedError("id", "this id stands in an earlier row already")
        self._ids.add(record.id)
        if not record.active:
            return
        if record.mail in self._mails:
            raise _RowRefusedError("mail", "this address stands in an earlier active row already")
        self._mails.add(record.mail)
        if record.supervisor == record.id:
            raise _RowRefusedError("supervisor", "nobody is their own supervisor")


def _broken(columns: Iterable[Field], values: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the field and the rule of every value that breaks its rule."""
    active = values["status"] != "not"
    for field in columns:
        value = values[field.name]
        if not value:
            if field.needed == "always" or (field.needed == "active" and active):
                yield field.name, f"must not be empty: {field.rule}"
            continue
        parts = _parts(value) if field.most else (value,)
        if (field.most and len(parts) > field.most) or not all(field.pattern.fullmatch(part) for part in parts):
            yield field.name, f"must be {field.rule}"


def _parts(value: str) -> tuple[str, ...]:
    """Return the distinct parts of a list cell in their order; a separator at the end is forgiven."""
    return tuple(dict.fromkeys(part for cell in value.split(LIST_SEPARATOR) if (part := cell.strip())))


def _record(values: dict[str, str]) -> Record:
    return msgspec.convert(
        {
            "id": values["id"],
            "active": values["status"] == "active",
            "mail": values["mail"].lower(),
            "job_family": values["job_family"],
            "band": values["band"] or "any",
            "country": values["country"] or None,
            "group": values.get("group", ""),
            "supervisor": values.get("supervisor", ""),
            "languages": _parts(values.get("languages", "")),
            "skills": _parts(values.get("skills", "")),
        },
        Record,
    )


def render_csv(header: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """Return RFC 4180 text in which no cell can act as a formula when a spreadsheet opens it.

    A text cell that starts with a formula sign gets an apostrophe in front (OWASP: CSV injection).
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([_harmless(cell) for cell in header])
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return out.getvalue()


def _harmless(cell: str | int) -> str | int:
    if isinstance(cell, str) and cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")):
        return f"'{cell}"
    return cell
