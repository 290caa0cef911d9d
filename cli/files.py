"""`mentormesh session file`: send, list, fetch and delete files of a session."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from cli.client.person import Person
from cli.client.words import size_words, time_line
from protocol.errors import MalformedError

from .person_access import Terminal, person_command, thread_named
from .session import opened, session


@session.group()
def file() -> None:
    """Files of a session: encrypted on this device, kept at your node until the other person fetches them."""


@contextmanager
def _bar(terminal: Terminal, what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what moves a bar on standard error, if somebody watches."""
    if terminal.as_json or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@file.command()
@click.argument("thread")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", default="", help="What the file is called for the other person; by default as it is here.")
@person_command
async def send(me: Person, terminal: Terminal, *, thread: str, path: Path, name: str) -> None:
    """Send the file PATH; after an interruption the same command goes on."""
    where = await opened(me, terminal, thread)
    with _bar(terminal, path.name) as progress:
        delivered = await me.files.send(where, path, name=name, progress=progress)
    view = [one for one in me.files.list(where) if one.mine][-1]
    note = "" if delivered else " The other person hears of it when your node is back."
    terminal.result(view, f"Sent: {view.name}, kept until {time_line(view.expires_at)}.{note}")


@file.command("list")
@click.argument("thread")
@person_command
async def list_files(me: Person, terminal: Terminal, *, thread: str) -> None:
    """List the files of a session."""
    where = await opened(me, terminal, thread)
    files = me.files.list(where)
    rows = [
        (one.number, one.name, size_words(one.size), "me" if one.mine else "them", _until(one.expires_at, one.expired))
        for one in files
    ]
    terminal.table(files, ("FILE", "name", "size", "from", "kept until"), rows, empty="No files yet.")


def _until(expires_at: int, expired: bool) -> str:  # noqa: FBT001 -- a pair of one view
    return "gone" if expired else time_line(expires_at)


@file.command()
@click.argument("thread")
@click.argument("name", metavar="FILE")
@click.option("--to", type=click.Path(path_type=Path), default=None, help="Folder or new file; by default here.")
@person_command
async def get(me: Person, terminal: Terminal, *, thread: str, name: str, to: Path | None) -> None:
    """Fetch FILE, a number or name of the list; it gets its name once all of it was verified."""
    where = await opened(me, terminal, thread)
    target = to or Path()
    if not target.is_dir() and not target.parent.is_dir():
        raise MalformedError(f"there is no folder {target.parent}")
    with _bar(terminal, name) as progress:
        path = await me.files.get(where, name, to=target, progress=progress)
    terminal.result({"thread": where, "path": str(path)}, f"Saved: {path}")


@file.command()
@click.argument("thread")
@click.argument("name", metavar="FILE")
@person_command
async def delete(me: Person, terminal: Terminal, *, thread: str, name: str) -> None:
    """Delete a FILE of yours from your node; who has fetched it keeps it."""
    where = thread_named(me.state, thread)
    view = await me.files.delete(where, name)
    terminal.result({"thread": where, "deleted": view.name}, f"Deleted at your node: {view.name}.")
