"""Opens the store that the settings name: the embedded file, or a PostgreSQL database."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from federation.ports import Clock, Store
from node.keyfiles import read_private
from node.sections import StoreSection
from protocol.errors import RefusedError

from .blobs import BlobFiles, FileBytes
from .figures import StoreFigures
from .pieces import FilePieces
from .processes import Others
from .sqlite import SqliteStore

if TYPE_CHECKING:
    from .postgres.connection import Server

BLOB_FOLDER: Final = "blobs"


class NodeStore(Store, Protocol):
    """A store with what a node asks of its own; `others` is None where one process serves a node."""

    @property
    def others(self) -> Others | None:
        """The other processes that serve the node."""
        ...

    @property
    def history(self) -> str:
        """Return which history of the database is written to; that of a promoted replica may lack the newest rows."""
        ...

    @property
    def restored_at(self) -> int:
        """Return when the database was restored last, 0 if never."""
        ...

    @property
    def generation(self) -> int:
        """Return 1 for a database that was never restored, and one more for each restore."""
        ...

    async def lost(self) -> None:
        """Return once another process has the database, which then serves the node; perhaps never."""
        ...

    @property
    def away_s(self) -> int:
        """Return for how many seconds `lost` has not heard of the database; 0: it is there."""
        ...

    async def size_bytes(self) -> int:
        """Return what the rows and their indexes take."""
        ...

    async def figures(self) -> StoreFigures:
        """Return what the store says of its own work. Raises: UnavailableError."""
        ...

    async def scrub(self) -> None:
        """Make erased rows unreadable, as far as the database can. Raises: UnavailableError: try again."""
        ...

    async def close(self) -> None:
        """Wait for the last commit and let go of the database."""
        ...


@asynccontextmanager
async def open_store(
    directory: Path, settings: StoreSection, *, clock: Clock, listen: str = ""
) -> AsyncIterator[NodeStore]:
    """Yield the store of the node in `directory`, which answers at `listen`.

    Raises: MeshError: it cannot be used; the message says what to do.
    """
    window_s = settings.commit_window_ms / 1000
    if settings.url:
        server = database(directory, settings)
        from .postgres.store import PostgresStore

        server = msgspec.structs.replace(server, name=f"mentormesh {socket.gethostname()[:24]} {listen}".strip()[:63])
        async with await PostgresStore.open(
            server, clock=clock, window_s=window_s, sessions=settings.sessions, alone=not settings.several
        ) as rows:
            yield rows
        return
    path = directory / settings.path
    path.parent.mkdir(mode=0o700, exist_ok=True)
    async with SqliteStore.open(path, clock=clock, window_s=window_s) as file:
        yield file


@asynccontextmanager
async def open_files(directory: Path, settings: StoreSection, *, clock: Clock) -> AsyncIterator[FileBytes]:
    """Yield where the bytes of encrypted files stand: beside the file of rows, or in the database with them.

    Raises: RefusedError: the driver or the password file of the database is missing.
    """
    if settings.url:
        server = database(directory, settings)
        from .postgres.spare import Spare

        async with Spare(server, clock=clock) as spare:
            yield FilePieces(spare)
        return
    yield folder_of(directory, settings, now=clock.now)


def folder_of(directory: Path, settings: StoreSection, *, now: Callable[[], int]) -> BlobFiles:
    """Return the folder of encrypted files beside the file of rows."""
    folder = (directory / settings.path).parent / BLOB_FOLDER
    return BlobFiles(folder, least_free_bytes=settings.least_free_mib * 2**20, now=now)


async def wait_for_turn(directory: Path, settings: StoreSection, *, clock: Clock) -> None:
    """Return once no other process serves the node.

    Raises: RefusedError: the node keeps its rows in a file, or its database cannot be used.
    """
    if not settings.url:
        raise RefusedError("only a node that keeps its rows in PostgreSQL has a standby: set [store] url", code="file")
    if settings.several:
        raise RefusedError("with [store] several = true nobody stands by: start it without --standby", code="several")
    server = database(directory, settings)
    from .postgres import turn

    await turn.wait_for_turn(server, clock=clock)


def database(directory: Path, settings: StoreSection) -> "Server":
    """Return where the PostgreSQL database is. Raises: RefusedError: its driver or the password file is missing."""
    try:
        from .postgres.connection import Server
    except ImportError:
        raise RefusedError(
            "[store] url needs the PostgreSQL driver: install mentormesh[postgres]", code="driver"
        ) from None
    password = read_private(directory / settings.password_file).strip() if settings.password_file else ""
    return Server(url=settings.url, password=password)
