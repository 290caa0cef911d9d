"""Copies of a file of rows: `backup` of a node that may be running, `restore` of one that is not.

The bytes of encrypted files travel in a table of their own, so that a backup is one file. These block while they copy
rows; they are made for commands, not for a node that runs.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from node.disk import sync
from node.rows import MetaRow
from protocol.errors import RefusedError, UnavailableError, UnverifiedError

from . import migrations
from .blobs import FileBytes
from .connection import DirectoryLock, open_reader, open_writer
from .copying import Progress
from .errors import DiskFullError, raise_explained
from .file_copying import Files, Place, carry_files
from .file_rows import FileRows
from .pieces import FilePieces

_SPARE_BYTES: Final = 1 << 20
_HAS_FILES: Final = "SELECT name FROM sqlite_schema WHERE name = 'blob_piece'"


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was written."""

    size_bytes: int
    files: Files


def silent(done: int, total: int) -> None:
    """Show nobody how far it is."""


async def backup(
    source: Path, target: Path, *, now: int, files: FileBytes | None = None, progress: Progress = silent
) -> Copy:
    """Write a whole, checked copy of the database `source` to the new file `target`; return what is in it.

    The copy is the state at one moment; a running node goes on writing meanwhile.

    Args:
        files: where the encrypted files are; None leaves them out.

    Raises:
        RefusedError: `target` exists.
        DiskFullError: no room beside `target`.
        UnverifiedError: the copy does not pass SQLite's check, or `source` is no database of a node.
        UnavailableError: a file is missing or cannot be read or written.
    """
    refuse_existing(target)
    with copied(source, target.parent, now=now) as copy:
        kept = Files() if files is None else await _pack(copy, files, now=now, progress=progress)
        size = copy.stat().st_size
        place(copy, target)
    return Copy(size_bytes=size, files=kept)


async def restore(
    source: Path,
    target: Path,
    *,
    now: int,
    files: FileBytes | None = None,
    progress: Progress = silent,
    folder: Path = migrations.FOLDER,
) -> tuple[MetaRow, Files]:
    """Make the backup `source` the database `target` of a node that is not running; return its new meta row.

    With it what there is of files, which go to `files` unless that is None. The row's `generation` has grown and
    `restored_at` is `now`, so that the node refuses what it may have forgotten.

    Raises:
        DirectoryInUseError: a node runs on the directory of `target`.
        SchemaError: the backup is from a newer program.
        RefusedError, DiskFullError, UnverifiedError, UnavailableError: as for `backup`.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = DirectoryLock.take(target.parent)
    try:
        for path in (target, target.with_name(target.name + "-wal")):
            refuse_existing(path)
        with copied(source, target.parent, now=now) as copy:
            meta = _mark(copy, now=now, folder=folder)
            found = Files() if files is None else await _unpack(copy, files, now=now, progress=progress)
            place(copy, target)
        return meta, found
    finally:
        lock.release()


def refuse_existing(target: Path) -> None:
    """Return if nothing is at `target`. Raises: RefusedError."""
    if target.exists():
        raise RefusedError(f"{target} exists already; choose a new place")


@contextmanager
def passing_file(directory: Path) -> Iterator[Path]:
    """Yield a new, empty file in `directory` that goes away if nobody moves it. Raises: UnavailableError."""
    try:
        descriptor, name = tempfile.mkstemp(dir=directory, prefix=".copy-", suffix=".db")
        os.close(descriptor)
        try:
            yield Path(name)
        finally:
            for suffix in ("", "-journal", "-wal", "-shm"):
                Path(name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise UnavailableError(f"cannot write in {directory}: {error.strerror}") from error


@contextmanager
def copied(source: Path, directory: Path, *, now: int) -> Iterator[Path]:
    """Yield a checked copy of `source` in a file in `directory` that goes away if nobody moves it.

    Raises: as `backup`.
    """
    try:
        with passing_file(directory) as copy:
            _copy(source, copy)
            yield copy
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            raise UnverifiedError(f"{source} is damaged or not a database of a node", code="damaged") from error
        raise_explained(error, now=now)


def _copy(source: Path, copy: Path) -> None:
    if not source.is_file():
        raise UnavailableError(f"there is no database {source}")
    with closing(open_reader(source.resolve())) as connection:
        _check_room(connection, copy.parent)
        # One statement, one snapshot: a copy in steps would start again with every commit of a busy node.
        connection.execute("VACUUM INTO ?", (str(copy),))
    with closing(open_reader(copy)) as connection:
        _check(connection, source)


def _check_room(connection: sqlite3.Connection, directory: Path) -> None:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    needed = (pages - free) * size + _SPARE_BYTES
    if shutil.disk_usage(directory).free < needed:
        raise DiskFullError(f"a copy takes {needed} bytes, and {directory} has less room")


def _check(connection: sqlite3.Connection, source: Path) -> None:
    """Return if the copy is sound and a node's. Raises: UnverifiedError."""
    sound = connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not sound or not tables.issuperset({"meta", "migration"}):
        raise UnverifiedError(f"{source} is damaged or not a database of a node", code="damaged")


def _mark(copy: Path, *, now: int, folder: Path) -> MetaRow:
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        migrations.pending(connection, migrations.load(folder))
        connection.execute("UPDATE meta SET generation = generation + 1, restored_at = ?", (now,))
        found = connection.execute("SELECT generation, created_at FROM meta").fetchone()
    if found is None:
        raise UnverifiedError("the backup does not say what it is", code="damaged")
    return MetaRow(generation=found[0], created_at=found[1], restored_at=now)


async def _pack(copy: Path, files: FileBytes, *, now: int, progress: Progress) -> Files:
    """Add the bytes of files to a copy; one of a program that had none yet stays as it is."""
    with _opened(copy, now=now) as rows:
        if not await rows.query(_HAS_FILES):
            return Files()
        return await carry_files(Place(rows, files), FilePieces(rows), progress=progress)


async def _unpack(copy: Path, files: FileBytes, *, now: int, progress: Progress) -> Files:
    """Put the bytes of files where they belong, and out of the copy."""
    with _opened(copy, now=now) as rows:
        if not await rows.query(_HAS_FILES):
            return Files()
        pieces = FilePieces(rows)
        found = await carry_files(Place(rows, pieces), files, progress=progress)
        if names := await pieces.names():
            await pieces.drop(names)
            await rows.query("VACUUM")
        return found


@contextmanager
def _opened(copy: Path, *, now: int) -> Iterator[FileRows]:
    with closing(open_writer(copy)) as connection:
        yield FileRows(connection, now=now)


def place(copy: Path, target: Path) -> None:
    """Give the copy its name once its bytes are on the disk, so that the name never stands for half a file."""
    sync(copy)
    copy.rename(target)
    sync(target.parent)
