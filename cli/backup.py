"""`mentormesh backup` and `mentormesh restore`."""

import asyncio
import os
from pathlib import Path

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


class BackedUp(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of the database was written and checked."""

    file: str
    size_bytes: int


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """A backup is the database now; `generation` grows with every restore."""

    generation: int
    set_aside: str = ""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@directory_option
@json_option
def backup(file: Path, directory: Path, *, as_json: bool) -> None:
    """Write a copy of the database, also while the node runs.

    The copy in FILE is the state at one moment and is checked before it gets its name. Keep the folder `keys` and the
    configuration in a backup of their own: without the keys a database is of little use, and the keys alone can
    speak for the organization.
    """
    settings, now = configuration.load(directory, os.environ).store, SystemClock().now()
    output = Output(as_json=as_json)
    if settings.url:
        from node.store.database_backup import back_up
        from node.store.opening import database

        with Bar(output, "Copying") as bar:
            size = asyncio.run(back_up(database(directory, settings), file, now=now, progress=bar.show))
    else:
        from node.store.backup import backup as copy

        size = copy(directory / settings.path, file, now=now)
    file.chmod(0o600)
    output.result(BackedUp(file=str(file), size_bytes=size), f"Wrote {file} ({size:,} bytes).")


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
    with locking.hold(directory):
        if settings.url:
            meta, aside = _restore_database(file, directory, settings, now=now, replace=replace, output=output), None
        else:
            meta, aside = _restore_file(file, directory / settings.path, now=now, replace=replace)
    restored = Restored(generation=meta.generation, set_aside=str(aside or ""))
    note = f" The database it replaced is {aside}." if aside else ""
    output.result(restored, f"Restored {file} as generation {meta.generation}.{note}")


def _restore_database(
    file: Path, directory: Path, settings: StoreSection, *, now: int, replace: bool, output: Output
) -> MetaRow:
    from node.store.database_backup import bring_back
    from node.store.opening import database

    if replace:
        raise RefusedError("a PostgreSQL schema is not replaced: name an empty one in [store] url", code="postgresql")
    server, folder = database(directory, settings), directory / Path(settings.path).parent
    with Bar(output, "Restoring") as bar:
        return asyncio.run(bring_back(file, server, folder, now=now, progress=bar.show))


def _restore_file(file: Path, target: Path, *, now: int, replace: bool) -> tuple[MetaRow, Path | None]:
    from node.store.backup import restore as put_back

    aside = _set_aside(target, now) if replace else None
    try:
        return put_back(file, target, now=now), aside
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
