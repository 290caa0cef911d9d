"""Sessions with one PostgreSQL database, with the settings that our promises rest on."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import cache
from typing import Any, Final, Protocol, TypeVar, cast

import asyncpg
import msgspec

from federation.ports import Value
from node.store import migrations

from .hosts import WatchedConnection, end_late, first_open, split_hosts

T = TypeVar("T")
Cells = Sequence[Value]

CONNECT_S: Final = 5.0
#: Whoever waits longer for an answer has the server asked whether it is there.
DOUBT_S: Final = 2.0
#: A session that says nothing for longer is given up; the server's own limits below come first.
SILENCE_S: Final = 60.0
_NEVER_S: Final = 1e6

#: Of every session. A holder of locks that hangs, or whose machine is gone, loses them within these times.
SETTINGS: Final = {
    "statement_timeout": "30s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "3s",
    "jit": "off",  # compiling takes longer than any of our statements
}
#: Of a session whose process promises to ask something every second: one that hangs, or was stopped, must not keep
#: what others wait for, whether it is inside a transaction or not: another one is on duty within five seconds.
WATCHED: Final = (
    "SELECT set_config('idle_session_timeout', '3s', false), "
    "set_config('idle_in_transaction_session_timeout', '4s', false)"
)
#: A transaction that changes nothing, and sees one moment.
SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
#: For work on whole tables.
PATIENT: Final = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}

# Acknowledged rows must survive the server's machine; a server told otherwise is told so for our sessions.
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
#: Class of the advisory locks by which each session says what its program knows.
PROGRAM_CLASS: Final = 0x4D4F


def program_key(newest: object) -> str:
    """Return SQL for the second key of such a lock: of a schema, and the newest change of it that a program knows."""
    return f"hashtext(current_schema() || ' ' || {newest})"


class Connection(Protocol):
    """What we use of a connection of `hosts`."""

    place: object

    def execute(  # noqa: D102 -- asyncpg's own
        self, query: str, *args: Value, timeout: float | None = None
    ) -> Coroutine[Any, Any, str]: ...
    def executemany(self, command: str, args: Iterable[Cells]) -> Coroutine[Any, Any, None]: ...  # noqa: D102
    def fetch(self, query: str, *args: Value) -> Coroutine[Any, Any, Sequence[Cells]]: ...  # noqa: D102
    def copy_records_to_table(  # noqa: D102
        self, table_name: str, *, columns: Sequence[str], records: Iterable[Cells]
    ) -> Coroutine[Any, Any, str]: ...
    def add_listener(  # noqa: D102
        self, channel: str, callback: Callable[[Any, int, str, Any], None]
    ) -> Coroutine[Any, Any, None]: ...
    def get_server_pid(self) -> int: ...  # noqa: D102
    def is_closed(self) -> bool: ...  # noqa: D102
    def terminate(self) -> None: ...  # noqa: D102
    def close(self, *, timeout: float) -> Coroutine[Any, Any, None]: ...  # noqa: D102


async def finished(work: Coroutine[Any, Any, T], doubt: Callable[[], None] | None = None) -> T:
    """Return what `work` returns; being cancelled waits for its end, because the session is busy until then.

    `doubt` is called whenever it takes long.
    """
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            done, _ = await asyncio.wait({task}, timeout=DOUBT_S if doubt else None)
            if doubt and not done:
                doubt()
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen, so that nobody warns about it
        raise cancelled
    return task.result()


class Session:
    """One session; a question to it runs to its end, and the next one waits for that.

    Args:
        doubt: called whenever an answer takes long.

    Raises, all methods: one of `errors.FAILURES`.
    """

    def __init__(self, connection: Connection, doubt: Callable[[], None] | None = None) -> None:
        self._connection = connection
        self._doubt = doubt
        self._turn = asyncio.Lock()
        #: The address of the server.
        self.place: Final = connection.place
        #: The server's number of this session, also once it is lost.
        self.pid: Final = connection.get_server_pid()

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return self._connection.is_closed()

    async def listen(self, channel: str, heard: Callable[[int, str], None]) -> None:
        """Have `heard` called with session and text of whatever is told on `channel` from now on."""
        await self._ask(lambda: self._connection.add_listener(channel, lambda _, pid, __, text: heard(pid, text)))

    async def script(self, text: str) -> str:
        """Run statements without values and return what the server says of the last one, such as `COMMIT`."""
        return await self._ask(lambda: self._connection.execute(text))

    async def commit(self) -> str:
        """Return what the server says of `COMMIT`; after a long silence the session is lost.

        The server is never asked to give up: one that waits for its replicas would then commit without them.
        """
        return await self._ask(self._committed)

    async def _committed(self) -> str:
        asked = asyncio.create_task(self._connection.execute("COMMIT", timeout=_NEVER_S))
        if not (await asyncio.wait({asked}, timeout=SILENCE_S))[0]:
            self.drop()
        return await asked

    async def run(self, text: str, values: Cells) -> int:
        """Run one statement and return how many rows it changed."""
        said = await self._ask(lambda: self._connection.execute(text, *values))
        return int(said.rpartition(" ")[2])

    async def run_many(self, text: str, rows: Iterable[Cells]) -> None:
        """Run one statement for each of `rows`."""
        await self._ask(lambda: self._connection.executemany(text, rows))

    async def load(self, table: str, columns: Sequence[str], rows: Iterable[Cells]) -> None:
        """Add rows by COPY, all or none."""
        await self._ask(lambda: self._connection.copy_records_to_table(table, columns=columns, records=rows))

    async def rows(self, text: str, values: Cells = ()) -> Sequence[Cells]:
        """Return the rows of one question."""
        return await self._ask(lambda: self._connection.fetch(text, *values))

    async def _ask(self, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._turn:
            try:
                return await finished(question(), self._doubt)
            except TimeoutError:
                self.drop()  # nobody knows what it is doing
                raise

    def drop(self) -> None:
        """End the session at once; the server undoes what was not committed."""
        self._connection.terminate()

    async def close(self) -> None:
        """End the session in order."""
        try:
            await finished(self._connection.close(timeout=CONNECT_S))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            self.drop()


@cache
def _newest() -> int:
    return migrations.newest(migrations.load())


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """Where the database is. `password` is empty where the server asks for none, or the URL's `passfile` has it.

    `name` is what the server's list of sessions calls this process.
    """

    url: str
    password: str = ""
    #: Number of the newest change of the schema that this program knows.
    knows: int = msgspec.field(default_factory=_newest)
    name: str = "mentormesh"

    def __repr__(self) -> str:
        """Return no secret."""
        return "Server(…)"

    async def session(self, *, patient: bool = False, doubt: Callable[[], None] | None = None) -> Session:
        """Return a new session with a server that takes writes. Raises: one of `errors.FAILURES`."""
        opening = asyncio.create_task(self._connected(PATIENT if patient else {}))
        try:
            return Session(await asyncio.shield(opening), doubt)
        except asyncio.CancelledError:
            opening.add_done_callback(end_late)  # nobody waits for it any more, and nobody else would end it
            raise

    async def _connected(self, more: dict[str, str]) -> Connection:
        try:
            return await first_open(split_hosts(self.url), lambda url: self._connect(url, more))
        except ValueError as error:  # of a port or host list that cannot be
            raise asyncpg.ClientConfigurationError(str(error)) from None

    async def _connect(self, url: str, more: dict[str, str]) -> Connection:
        connection = cast(
            "Connection",
            await asyncpg.connect(
                url,
                password=self.password or None,
                timeout=CONNECT_S,
                command_timeout=None if more else SILENCE_S,
                statement_cache_size=1024,
                max_cached_statement_lifetime=0,
                target_session_attrs="read-write",
                server_settings=SETTINGS | {"application_name": self.name} | more,
                connection_class=WatchedConnection,
            ),
        )
        try:
            known = f"SELECT pg_advisory_lock_shared({PROGRAM_CLASS}, {program_key(self.knows)})"
            await connection.execute(f"{_DURABLE}; {known}")
        except BaseException:
            connection.terminate()
            raise
        return connection
