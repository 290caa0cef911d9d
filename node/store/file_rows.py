"""The rows of a SQLite file, as `copying` reads and adds them."""

import sqlite3
from collections.abc import Sequence
from typing import Final, NoReturn

from .copying import Cells, Table
from .errors import raise_explained


class FileRows:
    """A connection to a file that this process alone uses; made for a node that does not run, so its calls block."""

    def __init__(self, connection: sqlite3.Connection, *, now: int) -> None:
        self._connection: Final = connection
        self._now: Final = now

    async def query(self, text: str, values: Cells = ()) -> Sequence[Cells]:
        """Return the rows of a question."""
        try:
            return self._connection.execute(text, values).fetchall()
        except sqlite3.Error as error:
            self._fail(error)

    async def change(self, text: str, values: Cells) -> None:
        """Run one statement, durably."""
        await self.query(text, values)

    async def append(self, table: Table, rows: Sequence[Cells]) -> None:
        """Add rows, durably."""
        marks = ", ".join("?" * len(table.columns))
        text = f'INSERT INTO "{table.name}" VALUES ({marks})'  # noqa: S608 -- a name of ours
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(text, rows)
                self._connection.commit()
            except sqlite3.Error:
                self._connection.rollback()
                raise
        except sqlite3.Error as error:
            self._fail(error)

    def _fail(self, error: sqlite3.Error) -> NoReturn:
        raise_explained(error, now=self._now)
