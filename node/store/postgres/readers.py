"""Sessions that read: kept open between snapshots, and never more than the database is asked to bear."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NoReturn

from protocol.errors import UnavailableError

from .connection import SNAPSHOT, Session
from .door import Door
from .errors import FAILURES

#: So long a reader waits for another one to finish.
PATIENCE_S: Final = 5.0


class Readers:
    """At most `most` sessions, each for one snapshot at a time.

    Args:
        fail: raises what a caller learns about an exception of the database.
    """

    def __init__(self, door: Door, *, most: int, fail: Callable[[Exception], NoReturn]) -> None:
        self._door: Final = door
        self._fail: Final = fail
        self._free: Final = asyncio.Semaphore(most)
        self._idle: Final[list[Session]] = []
        self._closed = False
        self.most: Final = most
        self.busy = 0
        #: What those who came have waited for a session.
        self.wait_s = 0.0

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Session]:
        """Yield a session in a transaction that sees one moment. Raises: UnavailableError: all in use, or closed."""
        asked = time.perf_counter()
        await self._wait()
        self.wait_s += time.perf_counter() - asked
        self.busy += 1
        try:
            session = await self._begun()
            try:
                yield session
            finally:
                await self._give_back(session)
        finally:
            self.busy -= 1
            self._free.release()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._free.acquire()
        except TimeoutError:
            raise UnavailableError("every session with the database is in use: raise [store] sessions") from None

    async def _begun(self) -> Session:
        """Return a session with an open transaction; one that was lost while nobody used it is passed over."""
        if self._closed:
            raise UnavailableError("the store is closed")
        while self._idle:
            session = self._idle.pop()
            try:
                await session.script(SNAPSHOT)
                return session
            except FAILURES:
                session.drop()
            except BaseException:
                session.drop()
                raise
        try:
            session = await self._door.session()
        except FAILURES as error:
            self._fail(error)
        try:
            await session.script(SNAPSHOT)
        except FAILURES as error:
            session.drop()
            self._fail(error)
        except BaseException:
            session.drop()
            raise
        return session

    async def _give_back(self, session: Session) -> None:
        if session.lost or self._closed:
            session.drop()
            return
        try:
            await session.script("ROLLBACK")
        except FAILURES:
            session.drop()
        except BaseException:
            session.drop()
            raise
        else:
            self._idle.append(session)

    async def close(self) -> None:
        """End the sessions that nobody uses; the others end when they come back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()
