"""`mentormesh session report`: put messages of the other person, with their proofs, into a file."""

import os
from pathlib import Path
from typing import get_args

import click

from cli.client.person import Person
from protocol.e2ee.reports import Reason, encode_report
from protocol.errors import ConflictError, RefusedError

from . import files  # the session with its files
from .person_access import Terminal, person_command, thread_named
from .report import report_lines
from .session import session

__all__ = ["files", "session"]


@session.command()
@click.argument("thread")
@click.option(
    "--message", "numbers", type=click.IntRange(min=1), multiple=True, required=True, help="Number; may be repeated."
)
@click.option("--reason", type=click.Choice(get_args(Reason)), required=True)
@click.option("--words", default="", help="What happened, in your words.")
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), required=True, help="New file for the report.")
@click.option("--yes", is_flag=True, help="Write it without asking.")
@person_command
async def report(
    me: Person,
    terminal: Terminal,
    *,
    thread: str,
    numbers: tuple[int, ...],
    reason: Reason,
    words: str,
    to: Path,
    yes: bool,
) -> None:
    """Report messages of the other person: shows what is in the report, then writes it; nothing is sent."""
    # Without asking the node: whoever has to report need not wait for it.
    name = thread_named(me.state, thread)
    made = me.report(name, numbers, reason=reason, words=words)
    for line in report_lines(made):
        terminal.say(line)
    terminal.say("This, the proofs of it and their key are in the report, and nothing else that was said.")
    if not yes and not terminal.can_ask:
        raise RefusedError("nobody is at the terminal to agree: say --yes")
    if not yes and not click.confirm("Write it?", err=True):
        raise RefusedError("not written")
    _write(to, encode_report(made))
    terminal.result({"thread": name, "path": str(to)}, f"Written: {to}. Give it to the contact of both organizations.")


def _write(path: Path, data: bytes) -> None:
    """Write a new file for its owner only. Raises: ConflictError: there is one."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConflictError(f"{path} exists already: choose another name") from None
    with os.fdopen(handle, "wb") as file:
        file.write(data)
