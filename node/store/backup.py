"""Copies of the database: `backup` of a node that may be running, `restore` of one that is not.

These block; a running node calls them in a thread.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from node.disk import sync
from node.rows import MetaRow
from protocol.errors import RefusedError, UnavailableError, UnverifiedError

from . import migrations
from .connection import DirectoryLock, open_reader
from .errors import DiskFullError, raise_explained

_SPARE_BYTES: Final = 1 << 20


def backup(source: Path, target: Path, *, now: int) -> int:
    """Write a whole, checked copy of the database `source` to the new file `target`; return its size in bytes.

    The copy is the state at one moment; a running node goes on writing meanwhile.

    Raises:
        RefusedError: `target` exists.
        DiskFullError: no room beside `target`.
        UnverifiedError: the copy does not pass SQLite's check, or `source` is no database of a node.
        UnavailableError: a file is missing or cannot be read or written.
    """
    refuse_existing(target)
    with copied(source, target.parent, now=now) as copy:
        size = copy.stat().st_size
        place(copy, target)
    return size


def restore(source: Path, target: Path, *, now: int, folder: Path = migrations.FOLDER) -> MetaRow:
    """Make the backup `source` the database `target` of a node that is not running; return its new meta row.

    The row's `generation` has grown and `restored_at` is `now`, so that the node refuses what it may have forgotten.

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
            place(copy, target)
        return meta
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


def place(copy: Path, target: Path) -> None:
    """Give the copy its name once its bytes are on the disk, so that the name never stands for half a file."""
    sync(copy)
    copy.rename(target)
    sync(target.parent)
