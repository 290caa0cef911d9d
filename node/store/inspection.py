"""Looks into the database of a node from outside, as its administrator can: read only, also while it runs.

It is the path of a file, or where a PostgreSQL schema is.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias, Union

from federation.ports import Reader

from .connection import open_reader
from .errors import raise_explained
from .transactions import Snapshot

if TYPE_CHECKING:
    from .postgres.connection import Server

Where: TypeAlias = Union[Path, "Server"]


@asynccontextmanager
async def look_into(where: Where, *, now: int) -> AsyncIterator[Reader]:
    """Yield a reader of the database as it is at this moment.

    Args:
        now: Unix seconds, for the answer when it is busy.
    Raises: MeshError: there is no such database, or it cannot be read.
    """
    if not isinstance(where, Path):
        from .postgres import looking

        async with looking.look_into(where, now=now) as reader:
            yield reader
        return

    def fail(error: Exception) -> NoReturn:
        raise_explained(error, now=now)

    try:
        connection = _open(where)
    except sqlite3.Error as error:
        fail(error)
    with closing(connection):
        connection.execute("BEGIN")
        yield Snapshot(connection, fail)


def cells(where: Where, *, now: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield every text and blob of every row as (table, column, bytes): what pages and overflow pages add up to.

    Called in a thread without an event loop. Raises: MeshError: as `look_into`.
    """
    if not isinstance(where, Path):
        from .postgres import looking

        yield from asyncio.run(looking.cells(where, now=now))
        return
    try:
        with closing(_open(where)) as connection:
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
