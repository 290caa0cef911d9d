"""Opens the databases that rows are carried between, each for this process alone and with this program's tables."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING

from node.sections import StoreSection
from protocol.errors import UnavailableError

from . import migrations
from .connection import DirectoryLock, open_writer
from .errors import raise_explained
from .file_copying import Place
from .file_rows import FileRows
from .opening import database, folder_of
from .pieces import FilePieces

if TYPE_CHECKING:
    from .postgres.connection import Server
    from .postgres.rows import DatabaseRows


@asynccontextmanager
async def place_of(directory: Path, settings: StoreSection, *, now: int) -> AsyncIterator[Place]:
    """Yield what the node in `directory` keeps. Raises: MeshError: it cannot be used, or a node uses it."""
    if settings.url:
        async with database_rows(database(directory, settings), now=now) as rows:
            yield Place(rows, FilePieces(rows))
    else:
        async with file_rows(directory / settings.path, now=now) as file:
            yield Place(file, folder_of(directory, settings, now=lambda: now))


@asynccontextmanager
async def file_rows(path: Path, *, now: int) -> AsyncIterator[FileRows]:
    """Yield the rows of a file, which is made if need be.

    Raises:
        DirectoryInUseError: a node runs on it.
        SchemaError, UnavailableError: as for `SqliteStore.open`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = DirectoryLock.take(path.parent)
    try:
        with closing(open_current(path, now=now)) as connection:
            yield FileRows(connection, now=now)
    finally:
        lock.release()


def open_current(path: Path, *, now: int) -> sqlite3.Connection:
    """Return the writing connection of a file with this program's tables. Raises: SchemaError, UnavailableError."""
    try:
        connection = open_writer(path.resolve())
        try:
            migrations.migrate(connection, now=now)
        except BaseException:
            connection.close()
            raise
    except OSError as error:
        raise UnavailableError(f"cannot open {path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise_explained(error, now=now)
    return connection


@asynccontextmanager
async def database_rows(server: "Server", *, now: int) -> AsyncIterator["DatabaseRows"]:
    """Yield the rows of a PostgreSQL schema, whose tables are made if need be.

    Raises:
        DatabaseInUseError: a node runs on it.
        MeshError: as for `PostgresStore.open`.
    """
    from .postgres import schema
    from .postgres.errors import FAILURES
    from .postgres.errors import raise_explained as explain
    from .postgres.rows import patient
    from .postgres.store import own, prepare

    async with patient(server, now=now) as rows:
        try:
            await schema.check_server(rows.session)
            await own(rows.session, alone=True)
            await prepare(rows.session, now=now, folder=migrations.FOLDER)
            await schema.require_current(rows.session)  # rows of tables that we do not know would stay behind
        except FAILURES as error:
            explain(error, now=now)
        yield rows
