"""The rows of a PostgreSQL schema, as `node.store.copying` reads and adds them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NoReturn

from node.store.copying import Cells, Table

from .connection import Server, Session
from .dialect import numbered
from .errors import FAILURES, raise_explained


class DatabaseRows:
    """A session whose reader or writer this process alone is."""

    def __init__(self, session: Session, *, now: int) -> None:
        self.session: Final = session
        self._now: Final = now

    async def query(self, text: str, values: Cells = ()) -> Sequence[Cells]:
        """Return the rows of a question."""
        try:
            return await self.session.rows(numbered(text), values)
        except FAILURES as error:
            self._fail(error)

    async def change(self, text: str, values: Cells) -> None:
        """Run one statement, durably."""
        try:
            await self.session.run(numbered(text), values)
        except FAILURES as error:
            self._fail(error)

    async def append(self, table: Table, rows: Sequence[Cells]) -> None:
        """Add rows, durably."""
        try:
            await self.session.load(table.name, table.columns, rows)
        except FAILURES as error:
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        raise_explained(error, now=self._now)


@asynccontextmanager
async def patient(server: Server, *, now: int) -> AsyncIterator[DatabaseRows]:
    """Yield a session for work on whole tables. Raises: MeshError: the database cannot be reached or used."""
    try:
        session = await server.session(patient=True)
    except FAILURES as error:
        raise_explained(error, now=now)
    try:
        yield DatabaseRows(session, now=now)
    finally:
        await session.close()
