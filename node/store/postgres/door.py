"""The way to the server: when it has stopped answering, everybody who waits is told, and nobody waits anew.

A server that is gone refuses at once. One that hangs, or stands behind a line that is dead without a word, says nothing
at all: then whoever waits for an answer has it asked whether it still takes anybody in.
"""

import asyncio
import errno
import weakref
from typing import Final

from . import schema
from .connection import Server, Session
from .errors import FAILURES
from .hosts import when_late

#: So long nobody asks a server again that has just not answered; who comes meanwhile is told at once.
PAUSE_S: Final = 1.0

#: A process that has no descriptor or memory left for a connection learns nothing about the server.
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class SilentError(OSError):
    """The server did not answer a moment ago, and is not asked now."""


class Door:
    """Opens the sessions of one process, and ends them all when the server turns out to hang.

    Args:
        tables_made: whether the tables were this program's, so that each session looks whether they still are.
    """

    def __init__(self, server: Server, *, tables_made: bool = False) -> None:
        self.server: Final = server
        self.tables_made = tables_made
        self._open: Final[weakref.WeakSet[Session]] = weakref.WeakSet()
        self._opening: Final[set[asyncio.Task[Session]]] = set()
        self._silent = False
        self._asking = False
        self._again_at = 0.0
        self._look: asyncio.Task[None] | None = None

    async def session(self) -> Session:
        """Return a new session.

        Raises:
            SilentError: the server hangs; at once for all but one at a time.
            TakenOverError: a newer program took away what this one uses.
            One of `errors.FAILURES`.
        """
        if self._silent and (self._asking or asyncio.get_running_loop().time() < self._again_at):
            raise SilentError
        self._asking = True
        try:
            session = await self._opened()
        finally:
            self._asking = False
        self._silent = False
        self._open.add(session)
        if self.tables_made:
            await self._look_at_tables(session)
        return session

    async def _opened(self) -> Session:
        """Return a new session. Raises: SilentError: somebody else found out meanwhile that the server hangs."""
        opening = asyncio.create_task(self.server.session(doubt=self._doubt))
        self._opening.add(opening)
        try:
            await asyncio.wait({opening})
        except asyncio.CancelledError:
            opening.add_done_callback(when_late(Session.drop))
            opening.cancel()
            raise
        finally:
            self._opening.discard(opening)
        if opening.cancelled():
            raise SilentError
        if isinstance(opening.exception(), TimeoutError):
            self._fall_silent()
        return opening.result()

    async def _look_at_tables(self, session: Session) -> None:
        try:
            await schema.require_bearable(session, knows=self.server.knows)
        except BaseException:
            session.drop()
            raise

    async def close(self) -> None:
        """Wait for a look that is under way."""
        if self._look is not None:
            await asyncio.wait({self._look})

    def _doubt(self) -> None:
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._looked(), name="look whether the database answers")

    async def _looked(self) -> None:
        """End all sessions if the server takes nobody in; whatever it says otherwise, it is there.

        If another one takes us in now, that of before is no primary any more, and says nothing of it if it is gone.
        """
        try:
            session = await self.server.session()
        except OSError as error:
            if error.errno in _OURS:
                return
            if isinstance(error, TimeoutError):
                self._fall_silent()
            for each in list(self._open):
                each.drop()
        except FAILURES:
            return
        else:
            for each in [each for each in self._open if each.place != session.place]:
                each.drop()
            session.drop()

    def _fall_silent(self) -> None:
        """Tell who comes from now on, and who waits to be let in."""
        for opening in self._opening:
            opening.cancel()
        self._silent = True
        self._again_at = asyncio.get_running_loop().time() + PAUSE_S
