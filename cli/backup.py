"""`mentormesh backup` and `mentormesh restore`."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from node import config as configuration
from node import lock as locking
from node.clock import SystemClock
from node.rows import MetaRow
from node.sections import StoreSection
from protocol.errors import RefusedError

from .bar import Bar
from .node_access import directory_option
from .output import Output, json_option

if TYPE_CHECKING:
    from node.store.backup import Copy
    from node.store.file_copying import Files


class BackedUp(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of the database was written and checked; so many encrypted files of sessions are in it."""

    file: str
    size_bytes: int
    files: int


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """A backup is the database now; `generation` grows with every restore.

    Of the encrypted files of sessions `files` came back, and `files_gone` were not in the backup.
    """

    generation: int
    files: int = 0
    files_gone: int = 0
    set_aside: str = ""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--without-files", is_flag=True, help="Leave the encrypted files of sessions out.")
@directory_option
@json_option
def backup(file: Path, directory: Path, *, without_files: bool, as_json: bool) -> None:
    """Write a copy of the database and of the encrypted files of sessions, also while the node runs.

    The copy in FILE is the state at one moment and is checked before it gets its name. Keep the folder `keys` and the
    configuration in a backup of their own: without the keys a database is of little use, and the keys alone can
    speak for the organization.
    """
    settings, now = configuration.load(directory, os.environ).store, SystemClock().now()
    output = Output(as_json=as_json)
    with Bar(output, "Copying") as bar:
        copy = asyncio.run(_back_up(file, directory, settings, files=not without_files, now=now, bar=bar))
    file.chmod(0o600)
    done = BackedUp(file=str(file), size_bytes=copy.size_bytes, files=copy.files.files)
    left_out = "; files of sessions are not in it" if without_files else ""
    output.result(done, f"Wrote {file} ({done.size_bytes:,} bytes, {done.files:,} files of sessions{left_out}).")


async def _back_up(file: Path, directory: Path, settings: StoreSection, *, files: bool, now: int, bar: Bar) -> "Copy":
    if settings.url:
        from node.store.database_backup import back_up
        from node.store.opening import database

        return await back_up(database(directory, settings), file, files=files, now=now, progress=bar.show)
    from node.store.backup import backup as copy
    from node.store.opening import folder_of

    folder = folder_of(directory, settings, now=lambda: now) if files else None
    return await copy(directory / settings.path, file, now=now, files=folder, progress=bar.show)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--replace", is_flag=True, help="Set the present database aside, in a file beside it.")
@directory_option
@json_option
def restore(file: Path, directory: Path, *, replace: bool, as_json: bool) -> None:
    """Put a backup in place of the database of a stopped node.

    The restored node refuses requests signed before the restore, because it may have forgotten which it had seen.
    """
    settings, now = configuration.load(directory, os.environ).store, SystemClock().now()
    output = Output(as_json=as_json)
    with locking.hold(directory), Bar(output, "Restoring") as bar:
        aside = None
        if settings.url:
            meta, files = _restore_database(file, directory, settings, now=now, replace=replace, bar=bar)
        else:
            aside = _set_aside(directory / settings.path, now) if replace else None
            meta, files = _restore_file(file, directory, settings, now=now, aside=aside, bar=bar)
    restored = Restored(
        generation=meta.generation, files=files.files, files_gone=files.gone, set_aside=str(aside or "")
    )
    output.result(restored, list(_lines(restored, file)))


def _lines(restored: Restored, file: Path) -> Iterator[str]:
    yield f"Restored {file} as generation {restored.generation}, with {restored.files:,} files of sessions."
    if restored.files_gone:
        yield f"{restored.files_gone:,} further files are not in it: who sent one is told that it is gone."
    if restored.set_aside:
        yield f"The database it replaced is {restored.set_aside}."


def _restore_database(
    file: Path, directory: Path, settings: StoreSection, *, now: int, replace: bool, bar: Bar
) -> "tuple[MetaRow, Files]":
    from node.store.database_backup import bring_back
    from node.store.opening import database

    if replace:
        raise RefusedError("a PostgreSQL schema is not replaced: name an empty one in [store] url", code="postgresql")
    server, folder = database(directory, settings), directory / Path(settings.path).parent
    return asyncio.run(bring_back(file, server, folder, now=now, progress=bar.show))


def _restore_file(
    file: Path, directory: Path, settings: StoreSection, *, now: int, aside: Path | None, bar: Bar
) -> "tuple[MetaRow, Files]":
    from node.store.backup import restore as put_back
    from node.store.opening import folder_of

    target, files = directory / settings.path, folder_of(directory, settings, now=lambda: now)
    try:
        return asyncio.run(put_back(file, target, now=now, files=files, progress=bar.show))
    except BaseException:
        if aside is not None:
            _move(aside, target)
        raise


def _set_aside(target: Path, now: int) -> Path | None:
    """Move the present database out of the way, its write-ahead file with it; return where it is now."""
    if not target.exists():
        return None
    aside = target.with_name(f"{target.stem}-before-{now}{target.suffix}")
    if aside.exists():
        raise RefusedError("a database was set aside this very second: try again")
    _move(target, aside)
    return aside


def _move(source: Path, target: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        part = source.with_name(source.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))
