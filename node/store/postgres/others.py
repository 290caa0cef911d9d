"""The other processes of a node: what they change, what this one alone does for all, and who they are.

One session listens. While it is gone everything may have changed, so nobody relies on what is kept in memory. It also
holds claims, such as on a peer to send to. Being on duty hangs on the session that writes: who has lost it can write
nothing more as the one on duty, whatever it believes itself.
"""

import asyncio
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NoReturn

from federation.ports import Clock
from node.store.processes import Changed as Heard
from node.store.processes import Process
from protocol.errors import MeshError, UnavailableError

from .commits import LOCK_CLASS, Commits
from .connection import WATCHED, Session
from .door import Door
from .errors import FAILURES
from .news import parse_news, render_hint

#: So often the listening session is asked whether it is there, and so long it has for the answer.
BEAT_S: Final = 1.0
SILENT_S: Final = 2.0

#: Names that are claimed share so many locks: a server has some thousands for all its sessions together, and without
#: one nobody writes.
PLACES: Final = 256

_SCHEMA: Final = "hashtext(current_schema())"
_DUTY: Final = f"SELECT pg_try_advisory_lock({LOCK_CLASS + 2}, {_SCHEMA})"
_CLAIM: Final = f"SELECT pg_try_advisory_lock({LOCK_CLASS + 3}, hashtext(current_schema() || ' ' || $1))"
_CHANNEL: Final = f"SELECT 'mentormesh ' || {_SCHEMA}"
#: Keeps all other processes out; a session that shares the schema with nobody may ask for it too.
OWN: Final = f"SELECT pg_try_advisory_lock({LOCK_CLASS + 1}, {_SCHEMA})"
_SHARE_AGAIN: Final = f"SELECT pg_advisory_unlock({LOCK_CLASS + 1}, {_SCHEMA})"
_TELL: Final = "SELECT pg_notify($1, $2)"
#: Who holds the schema: its sessions that write, and which of them is on duty. An oid has no sign, a hash has one.
_WHO: Final = f"""
SELECT a.application_name, coalesce(host(a.client_addr), ''), extract(epoch FROM a.backend_start)::bigint, a.pid,
    bool_or(l.classid = {LOCK_CLASS + 2})
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
    AND l.classid IN ({LOCK_CLASS + 1}, {LOCK_CLASS + 2}) AND l.objid::bigint = {_SCHEMA}::bigint & 4294967295
GROUP BY 1, 2, 3, 4 ORDER BY 3, 4
"""  # noqa: S608 -- our own numbers


class Others:
    """What one process of several knows of the others; `open` it before anything is read to be kept in memory.

    Args:
        fail: raises what a caller learns about an exception of the database.
    """

    def __init__(
        self, door: Door, clock: Clock, commits: Commits, *, channel: str, fail: Callable[[Exception], NoReturn]
    ) -> None:
        self._door: Final = door
        self._clock: Final = clock
        self._commits: Final = commits
        self._channel: Final = channel
        self._fail: Final = fail
        #: Commits of others, by table, and how often there may have been any.
        self.changes: Final[Counter[str]] = Counter()
        self.gaps = 0
        self._watchers: Final[list[Callable[[Heard], None]]] = []
        self._hints: Final[dict[str, Callable[[str], None]]] = {}
        self._session: Session | None = None
        self._claims: Final[set[str]] = set()
        self._duty: Session | None = None
        self._sending: Final[set[asyncio.Task[None]]] = set()
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen from now on. Raises: one of `errors.FAILURES`."""
        await self._listen()
        self._listening = asyncio.create_task(self._go_on(), name="listening")

    async def close(self) -> None:
        """Listen no more."""
        tasks = [*self._sending, *([self._listening] if self._listening else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    @property
    def heard(self) -> bool:
        """Whether all that others commit is heard of at the moment."""
        return self._session is not None and not self._session.lost

    def watch(self, call: Callable[[Heard], None]) -> None:
        """Call `call` after every commit of another process, and with None when something may have been missed."""
        self._watchers.append(call)

    def on_hint(self, what: str, call: Callable[[str], None]) -> None:
        """Call `call` with the text of each hint of this name that another process gives."""
        self._hints[what] = call

    def hint(self, what: str, text: str) -> None:
        """Give the others a hint, soon; it may be lost."""
        said = render_hint(what, text)
        if said is not None and self._session is not None:
            task = asyncio.create_task(self._tell(self._session, said), name="hint")
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def claim(self, name: str) -> bool:
        """Tell whether this process has `name` to itself; once it has, it keeps it as long as it hears of others."""
        session, place = self._session, place_of(name)
        if session is None or session.lost:
            return False
        if place in self._claims:
            return True
        try:
            won = await session.rows(_CLAIM, (place,)) == [(True,)]
        except FAILURES:
            return False
        if won and session is self._session:
            self._claims.add(place)
        return place in self._claims

    @property
    def on_duty(self) -> bool:
        """Whether this process does what one alone does for all.

        Asked inside a transaction, it holds to its commit: the lock and the transaction are of one session.
        """
        return self._duty is self._commits.session and not self._commits.session.lost

    async def seek_duty(self) -> bool:
        """Go on duty if nobody is; return whether this process is on duty. Raises: UnavailableError."""
        if self.on_duty:
            await self._commits.beat()
        else:
            session, yes = await self._commits.ask(_DUTY)
            if yes:
                self._duty = session
        return self.on_duty

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        """Yield whether no other process has the node, and keep it so while inside. Raises: UnavailableError.

        The lock answers, not the list of `processes`: it cannot miss one.
        """
        session, won = await self._commits.ask(OWN)
        try:
            yield won
        finally:
            if won:
                await self._share_again(session)

    async def _share_again(self, session: Session) -> None:
        """Let others begin again; with the session the lock is gone anyway."""
        try:
            if session is self._commits.session:
                await self._commits.ask(_SHARE_AGAIN)
        except MeshError:
            session.drop()

    async def processes(self) -> tuple[Process, ...]:
        """Return all processes of the node, the oldest first. Raises: UnavailableError."""
        session = self._session
        if session is None:
            raise UnavailableError("this process does not hear of the others at the moment")
        try:
            found = await session.rows(_WHO)
        except FAILURES as error:
            self._fail(error)
        own = self._commits.session.pid
        return tuple(
            Process(name=str(name), address=str(address), since=since, on_duty=bool(on_duty), here=pid == own)
            for name, address, since, pid, on_duty in found
            if isinstance(since, int)
        )

    async def _tell(self, session: Session, said: str) -> None:
        try:
            await session.rows(_TELL, (self._channel, said))
        except FAILURES:
            return  # it was a hint

    async def _go_on(self) -> None:
        while True:
            await self._clock.sleep(BEAT_S)
            try:
                if not self.heard or not await self._answers():
                    await self._listen()
            except (*FAILURES, MeshError):
                continue

    async def _answers(self) -> bool:
        """Tell whether the listening session answers in time; a line that is dead says nothing at all."""
        assert self._session is not None
        asked = asyncio.create_task(self._session.rows(WATCHED))
        asked.add_done_callback(lambda task: task.cancelled() or task.exception())
        done, _ = await asyncio.wait({asked}, timeout=SILENT_S)
        return bool(done) and asked.exception() is None

    async def _listen(self) -> None:
        """Open a new session that listens; what was said meanwhile, nobody knows."""
        if self._session is not None:
            self._session.drop()
        self._session = None
        self._claims.clear()
        session = await self._door.session()
        try:
            await session.listen(self._channel, lambda pid, text: self._hear(session, pid, text))
        except BaseException:
            session.drop()
            raise
        self._session = session
        self._missed()

    def _hear(self, session: Session, pid: int, text: str) -> None:
        if pid in {each.pid for each in (session, self._commits.session) if not each.lost}:
            return
        news = parse_news(text)
        if news is None:
            self._missed()
        elif news.hint is not None:
            what, said = news.hint
            if what in self._hints:
                self._hints[what](said)
        else:
            self.changes.update(news.changed.keys())
            for call in self._watchers:
                call(news.changed)

    def _missed(self) -> None:
        self.gaps += 1
        for call in self._watchers:
            call(None)


def place_of(name: str) -> str:
    """Return the claim that a name shares with others, the same in every process."""
    return f"place {zlib.crc32(name.encode()) % PLACES}"


async def channel_of(session: Session) -> str:
    """Return where the processes of a schema's node tell each other. Raises: one of `errors.FAILURES`."""
    ((channel,),) = await session.rows(_CHANNEL)
    return str(channel)
