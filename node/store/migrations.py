"""Numbered changes of the schema: plain SQL files, each run once, whole, and recorded with its hash.

A change expands: what programs before it say to the database still works. One that does not is a contraction, named
`NNNN_contract_EEEE_topic.sql`: it may run once every connected program knows change EEEE, since when none says what it
takes away.
"""

import hashlib
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from .errors import SchemaError

if TYPE_CHECKING:
    from sqlite_utils import Database

FOLDER: Final = Path(__file__).parent / "migrations"
_FILE: Final = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")
_CONTRACTION: Final = re.compile(r"[0-9]{4}_contract_([0-9]{4})_[a-z0-9_]+\.sql")


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One file; `sha256` is over its bytes, in hex."""

    number: int
    name: str
    text: str
    sha256: str


def load(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """Return the changes this program knows, by number. Raises: ValueError: a file is misnamed or a number doubled."""
    found = tuple(_read(path) for path in sorted(folder.glob("*.sql")))
    if len({migration.number for migration in found}) < len(found):
        raise ValueError(f"two files in {folder} have the same number")
    return found


def _read(path: Path) -> Migration:
    named = _FILE.fullmatch(path.name)
    if not named:
        raise ValueError(f"{path.name} must be named like 0001_topic.sql")
    data = path.read_bytes()
    return Migration(
        number=int(named[1]), name=path.name, text=data.decode("utf-8"), sha256=hashlib.sha256(data).hexdigest()
    )


def migrate(connection: sqlite3.Connection, *, now: int, folder: Path = FOLDER) -> int:
    """Bring a database to the schema of this program and return how many changes ran.

    Raises:
        SchemaError: the database knows a change that this program does not, or a change was edited after it ran.
        sqlite3.Error: a change failed; the ones before it stay unless the database is new, nothing of it does.
    """
    known = load(folder)
    missing = pending(connection, known)
    if missing:
        # A new database is made whole or not at all, and waits for the disk once instead of once a change.
        steps: list[tuple[Migration, ...]] = [missing] if missing == known else [(each,) for each in missing]
        _run(connection, steps, now=now)
    return len(missing)


def pending(connection: sqlite3.Connection, known: tuple[Migration, ...]) -> tuple[Migration, ...]:
    """Return the changes that the database has not been through. Raises: SchemaError: see `migrate`."""
    return not_in(_recorded(connection), known)


def needs(name: str) -> int:
    """Return the number of the change that every program beside the change `name` must know; 0 if it expands."""
    found = _CONTRACTION.fullmatch(name)
    return int(found[1]) if found else 0


def newest(known: tuple[Migration, ...]) -> int:
    """Return the number of the last change that a program knows, 0 for none."""
    return known[-1].number if known else 0


def not_in(
    done: Mapping[int, tuple[str, str]], known: tuple[Migration, ...], *, beside_newer: bool = False
) -> tuple[Migration, ...]:
    """Return the changes that are not `done`, which holds name and hash by number.

    Args:
        beside_newer: whether changes of a newer program do, as far as they leave alone what this one uses.

    Raises: SchemaError.
    """
    by_number = {migration.number: migration for migration in known}
    last = newest(known)
    for number, (name, sha256) in done.items():
        if number not in by_number:
            if beside_newer and number > last >= needs(name):
                continue
            raise SchemaError(
                f"the database has been used by a newer mentormesh (it knows {name}); "
                "install that version, or restore a backup made before the update"
            )
        if by_number[number].sha256 != sha256:
            raise SchemaError(f"{name} was changed after it ran on this database; install the original program again")
    return tuple(migration for migration in known if migration.number not in done)


def _recorded(connection: sqlite3.Connection) -> dict[int, tuple[str, str]]:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not tables:
        return {}
    if "migration" not in tables:
        raise SchemaError("the file is a database of another program; choose another data directory")
    rows = connection.execute("SELECT number, name, sha256 FROM migration ORDER BY number")
    return {number: (name, sha256) for number, name, sha256 in rows}


def _run(connection: sqlite3.Connection, steps: list[tuple[Migration, ...]], *, now: int) -> None:
    # Imported only when there is something to do: a start with a current schema must stay quick.
    from sqlite_utils import Database

    database = Database(connection, recursive_triggers=False, execute_plugins=False)
    for step in steps:
        with database.atomic():
            for migration in step:
                _apply(database, migration, now=now)


def _apply(database: "Database", migration: Migration, *, now: int) -> None:
    for statement in statements(migration.text):
        database.execute(statement)
    database.execute(
        "INSERT INTO migration (number, name, sha256, applied_at) VALUES (?, ?, ?, ?)",
        (migration.number, migration.name, migration.sha256, now),
    )


def statements(text: str) -> Iterator[str]:
    """Yield the statements of a file one by one: `executescript` would commit between them."""
    collected = ""
    for line in text.splitlines(keepends=True):
        collected += line
        if sqlite3.complete_statement(collected):
            yield collected
            collected = ""
    if re.sub(r"--.*", "", collected).strip():
        raise ValueError("the last statement has no semicolon")
