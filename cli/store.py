"""`mentormesh store`: move a node's rows from the file into a PostgreSQL database, or back."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from node import config as configuration
from node import lock as locking
from node.clock import SystemClock
from node.sections import StoreSection
from node.toml import value_text
from protocol.errors import RefusedError

from .bar import Bar
from .node_access import directory_option
from .output import Output, json_option

if TYPE_CHECKING:
    from node.store.moving import Moved as Everything

#: What `--to` is called with to come back from a database.
FILE: Final = "file"


class MovedTable(msgspec.Struct, frozen=True, kw_only=True):
    """One table, the same on both sides: how many rows, and their SHA-256 in the order of the key."""

    table: str
    rows: int
    sha256: str


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """All rows and files are at the new place; `settings` belong into [store] before the node starts again.

    `files_gone` files of sessions were at the old place neither, only their rows.
    """

    rows: int
    files: int
    files_gone: int
    tables: tuple[MovedTable, ...]
    settings: dict[str, str]


@click.group()
def store() -> None:
    """Move what the node keeps into a PostgreSQL database, or back into a file."""


@store.command()
@click.option(
    "--to", "to", metavar="URL|file", required=True, help="PostgreSQL database with an empty schema, or `file`."
)
@click.option("--password-file", default="", help="File that holds the password of the database at URL.")
@directory_option
@json_option
def move(to: str, password_file: str, directory: Path, *, as_json: bool) -> None:
    """Move all rows and files of a stopped node to another place, and prove that they arrived.

    Broken off, the same command goes on. The old place is then closed to every node, but still holds everything.
    """
    there = {"URL": "" if to == FILE else to, "PASSWORD_FILE": password_file}
    here = configuration.load(directory, os.environ).store
    wanted = configuration.load(
        directory, os.environ | {f"{configuration.PREFIX}STORE_{name}": value for name, value in there.items()}
    ).store
    if here.url == wanted.url:
        raise RefusedError("the rows are there already: name another place", code="same")
    output = Output(as_json=as_json)
    with locking.hold(directory), Bar(output, "Moving") as bar:
        there_now = asyncio.run(_move(directory, here, wanted, bar))
    tables = tuple(MovedTable(table=one.table, rows=one.rows, sha256=one.sha256) for one in there_now.contents)
    settings = {"url": wanted.url} | ({"password_file": password_file} if password_file else {})
    moved = Moved(
        rows=sum(table.rows for table in tables),
        files=there_now.files.files,
        files_gone=there_now.files.gone,
        tables=tables,
        settings=settings,
    )
    output.result(moved, list(_lines(moved, directory, here)))


async def _move(directory: Path, here: StoreSection, wanted: StoreSection, bar: Bar) -> "Everything":
    from node.store.moving import move as carry_over
    from node.store.places import place_of

    now = SystemClock().now()
    async with place_of(directory, here, now=now) as source, place_of(directory, wanted, now=now) as target:
        return await carry_over(source, target, progress=bar.show)


def _lines(moved: Moved, directory: Path, here: StoreSection) -> list[str]:
    from node.store.opening import BLOB_FOLDER

    file = directory / here.path
    old = "The old database" if here.url else f"{file} (with {file.parent / BLOB_FOLDER})"
    return [
        f"Moved {moved.rows:,} rows of {len(moved.tables)} tables, and {moved.files:,} files of sessions.",
        "Each table and each file is the same on both sides.",
        "Before the node starts again, set in mentormesh.toml:",
        "    [store]",
        *(f"    {name} = {value_text(value)}" for name, value in moved.settings.items()),
        f"{old} still holds everything, and no node uses it: delete it once the node runs and is backed up.",
    ]
