"""Looks into the database file of a node from outside, as its administrator can: read only, also while it runs."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import NoReturn

from federation.ports import Reader

from .connection import open_reader
from .errors import raise_explained
from .transactions import Snapshot


@asynccontextmanager
async def look_into(path: Path, *, now: int) -> AsyncIterator[Reader]:
    """Yield a reader of the database `path` as it is at this moment.

    Args:
        now: Unix seconds, for the answer when the file is busy.
    Raises: UnavailableError: there is no such database, or it cannot be read.
    """

    def fail(error: Exception) -> NoReturn:
        raise_explained(error, now=now)

    try:
        connection = _open(path)
    except sqlite3.Error as error:
        fail(error)
    with closing(connection):
        connection.execute("BEGIN")
        yield Snapshot(connection, fail)


def cells(path: Path, *, now: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield every text and blob of every row as (table, column, bytes): what pages and overflow pages add up to.

    Raises: UnavailableError: as `look_into`.
    """
    try:
        with closing(_open(path)) as connection:
            named = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
            for (table,) in connection.execute(named).fetchall():
                rows = connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608 -- a name out of the schema itself
                columns = [description[0] for description in rows.description]
                for row in rows:
                    for column, value in zip(columns, row, strict=True):
                        if isinstance(value, str | bytes):
                            yield table, column, value.encode() if isinstance(value, str) else value
    except sqlite3.Error as error:
        raise_explained(error, now=now)


def _open(path: Path) -> sqlite3.Connection:
    return open_reader(path.resolve())
