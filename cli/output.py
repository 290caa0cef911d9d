"""What commands print: data on standard output as text or JSON, messages on standard error, and exit codes.

0 done · 1 refused or failed · 2 the command was not understood · 3 not available now, try again later
"""

import errno
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click
import msgspec

from protocol.errors import MeshError, UnavailableError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 3

#: Where the current command keeps whether it speaks JSON, for errors that leave it.
_JSON_KEY: Final = "cli.json"

#: What to do about an error whose sentence does not say so itself, by its code.
NEXT_STEPS: Final[Mapping[str, str]] = {
    "config": "Correct it, then run `mentormesh config check`; docs/reference/configuration.md lists all settings.",
    "disk-full": "Make room on the disk, then run the command again; nothing was half-written.",
    "locked": "Wait for the other command, or stop the node, then try again.",
    "database-in-use": "Wait for the other command, or stop the node, then try again.",
    "taken-over": "Nothing is lost. Start it again with --standby, so that it can take over in turn.",
    "directory-in-use": "Wait for the other command, or stop the node, then try again.",
    "unavailable": "Try again later; `mentormesh doctor` says what is wrong.",
    "limit": "Wait a little, then try again.",
    "link": "Ask for another one: mentormesh person sign-in --url ADDRESS --mail YOURS.",
    "node-away": "Check its address and your network, then try again; nothing is lost.",
    "token": "Ask for a link: mentormesh person sign-in --url ADDRESS --mail YOURS. Your keys stay where they are.",
    "wrong-key": "Try again; nobody can recover a passphrase, and a copy opens with the one of its time.",
}

F = TypeVar("F", bound=Callable[..., Any])


#: What a terminal obeys instead of showing, and marks that make a line read other than it is stored.
_OBEYED: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def shown(text: str) -> str:
    """Return `text` for a terminal: whoever wrote it, nothing in it moves a cursor, hides or reorders a line."""
    return _OBEYED.sub("\ufffd", text)


def confirmed(question: str) -> bool:
    """Return whether the person at the terminal says yes; nobody there is a no."""
    try:
        return click.confirm(shown(question), err=True)
    except click.Abort:
        return False


class Output:
    """Prints the results of one command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json: Final = as_json

    def result(self, value: object, text: str | Sequence[str], *, coloured: bool = False) -> None:
        """Print a result: `value` as one line of JSON, or `text` (a line, or several) for people.

        `coloured` text is printed as it is: its parts have passed `shown`.
        """
        if self.as_json:
            self._line(msgspec.json.encode(value).decode())
            return
        for line in (text,) if isinstance(text, str) else text:
            self._line(line if coloured else shown(line))

    def table(self, value: object, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
        """Print a result that is a list: `value` as one line of JSON, or a table; `empty` is said without rows."""
        if self.as_json:
            self._line(msgspec.json.encode(value).decode())
            return
        cells = [[shown(str(cell)) for cell in row] for row in rows]
        if not cells:
            self.say(empty)
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in cells:
            table.add_row(*map(Text, row))
        # A pipe has no width: give lines room enough not to break.
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
        console.print(table)

    def say(self, message: str) -> None:
        """Print a message for the person at the terminal."""
        click.echo(shown(message), err=True)

    def _line(self, text: str) -> None:
        click.echo(text)


def _remember(context: click.Context, _parameter: click.Parameter, value: bool) -> bool:  # noqa: FBT001 -- click's call
    context.meta[_JSON_KEY] = value
    return value


def json_option(function: F) -> F:
    """Give a command `--json`, as the argument `as_json`."""
    option = click.option(
        "--json", "as_json", is_flag=True, callback=_remember, is_eager=True, help="Print JSON, one object a line."
    )
    return option(function)


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """How an error looks with `--json`: `{"error":"refused","detail":"…","do":"…"}` on standard error."""

    error: str
    detail: str
    do: str = ""


def fail(context: click.Context, error: MeshError) -> int:
    """Print `error` as one sentence and what to do; return the exit code."""
    detail = str(error)
    step = NEXT_STEPS.get(error.code, "")
    if context.meta.get(_JSON_KEY):
        failure = Failure(error=error.code, detail=detail, do=step)
        click.echo(msgspec.json.encode(failure).decode(), err=True)
    else:
        problems: tuple[str, ...] = getattr(error, "problems", ())
        listed = "".join(f"\n  - {one}" for one in problems)
        sentence = "the configuration has mistakes:" + listed if len(problems) > 1 else shown(detail)
        click.echo(f"Error: {sentence}{'' if listed and len(problems) > 1 else '.'}", err=True)
        if step:
            click.echo(step, err=True)
    return UNAVAILABLE if isinstance(error, UnavailableError) else FAILED


def explain_os_error(error: OSError) -> MeshError:
    """Return a file system error as a sentence that says what to do."""
    name = str(error.filename) if error.filename else "a file"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return MeshError("the disk is full, or this user's part of it", code="disk-full")
        case errno.ENOENT:
            return MeshError(f"there is no {name}: check the path", code="system")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return MeshError(f"this user may not use {name}: choose another place, or change its rights", code="system")
        case _:
            return MeshError(f"the system refused {name}: {error.strerror or type(error).__name__}", code="system")
