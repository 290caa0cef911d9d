"""An administrator's look into a schema, past the node that it is of: read only, also while the node runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NoReturn

from federation.ports import Reader

from .connection import SNAPSHOT, Server, Session
from .errors import FAILURES, raise_explained
from .rows import patient
from .transactions import Snapshot

_TABLES: Final = (
    "SELECT table_name::text, string_agg(column_name, ',' ORDER BY ordinal_position) FROM information_schema.columns "
    "WHERE table_schema = current_schema() GROUP BY table_name ORDER BY table_name"
)


@asynccontextmanager
async def look_into(server: Server, *, now: int) -> AsyncIterator[Reader]:
    """Yield a reader of the schema as it is at this moment.

    Args:
        now: Unix seconds, for the answer when the database is busy.
    Raises: MeshError: it cannot be reached or read.
    """

    def fail(error: Exception) -> NoReturn:
        raise_explained(error, now=now)

    async with _looking(server, now=now) as session:
        yield Snapshot(session, fail)


async def cells(server: Server, *, now: int) -> list[tuple[str, str, bytes]]:
    """Return every text and blob of every row of the schema as (table, column, bytes), unpacked by the server.

    Raises: MeshError: as `look_into`.
    """
    found = []
    try:
        async with _looking(server, now=now) as session:
            for table, columns in await session.rows(_TABLES):
                assert isinstance(table, str)
                assert isinstance(columns, str)
                rows = await session.rows(f'SELECT * FROM "{table}"')  # noqa: S608 -- a name out of the schema itself
                names = columns.split(",")
                found += [
                    (table, name, value.encode() if isinstance(value, str) else value)
                    for row in rows
                    for name, value in zip(names, row, strict=True)
                    if isinstance(value, str | bytes)
                ]
    except FAILURES as error:
        raise_explained(error, now=now)
    return found


@asynccontextmanager
async def _looking(server: Server, *, now: int) -> AsyncIterator[Session]:
    """Yield a session that can change nothing, and sees one moment. Raises: MeshError: there is none."""
    async with patient(server, now=now) as rows:
        await rows.session.script(SNAPSHOT)
        yield rows.session
