"""Sessions for what needs no transaction and must hold nobody up: the bytes of encrypted files."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

from federation.ports import Clock
from node.store.copying import Cells

from .connection import Server, Session
from .dialect import numbered
from .door import Door
from .errors import FAILURES, raise_explained

#: As many portions of files travel at once; others wait their turn.
SESSIONS: Final = 2


class Spare:
    """At most `SESSIONS` sessions, opened when they are needed; each statement is a transaction of its own."""

    def __init__(self, server: Server, *, clock: Clock) -> None:
        self._door: Final = Door(server, tables_made=True)
        self._clock: Final = clock
        self._free: Final = asyncio.Semaphore(SESSIONS)
        self._idle: Final[list[Session]] = []

    async def query(self, text: str, values: Cells = ()) -> Sequence[Cells]:
        """Return the rows of a question. Raises: MeshError: the database is away."""
        async with self._session() as session:
            return await session.rows(numbered(text), values)

    async def change(self, text: str, values: Cells) -> None:
        """Run one statement, durably. Raises: MeshError: the database is away."""
        async with self._session() as session:
            await session.run(numbered(text), values)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        async with self._free:
            try:
                session = await self._open()
                try:
                    yield session
                finally:
                    self._idle.append(session)
            except FAILURES as error:
                raise_explained(error, now=self._clock.now())

    async def _open(self) -> Session:
        """Return a session that nobody uses; one that was lost meanwhile is passed over."""
        while self._idle:
            session = self._idle.pop()
            if not session.lost:
                return session
        return await self._door.session()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._idle:
            await self._idle.pop().close()
        await self._door.close()
