"""`mentormesh session report` and `reports`: report messages of the other person, and see what became of it."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, get_args

import click

from cli.client.person import Person
from cli.client.reportdesk import Reader, Reported
from cli.client.words import time_line
from protocol.e2ee.reports import Reason, Report, encode_report
from protocol.errors import RefusedError, UnavailableError

from . import files  # the session with its files
from .person_access import Terminal, person_command, thread_named
from .report import report_lines, write_new
from .session import session

__all__ = ["files", "session"]

_SHORT: Final = 8
REFUSALS: Final[Mapping[str, str]] = {
    "no-report-contact": "nobody reads reports there",
    "conflict": "their node has another report of this name: report again",
    "unreachable": "their node could not be reached for weeks: write it to a file with --to, and hand that to somebody",
}


@session.command()
@click.argument("thread")
@click.option(
    "--message", "numbers", type=click.IntRange(min=1), multiple=True, required=True, help="Number; may be repeated."
)
@click.option("--reason", type=click.Choice(get_args(Reason)), required=True)
@click.option("--words", default="", help="What happened, in your words.")
@click.option(
    "--to", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this new file instead; nothing is sent."
)
@click.option("--yes", is_flag=True, help="Do it without asking.")
@person_command
async def report(
    me: Person,
    terminal: Terminal,
    *,
    thread: str,
    numbers: tuple[int, ...],
    reason: Reason,
    words: str,
    to: Path | None,
    yes: bool,
) -> None:
    """Report messages of the other person to the contacts of both organizations; shows all of it before it leaves."""
    # Without asking the node: whoever has to report need not wait for it.
    name = thread_named(me.state, thread)
    made = me.report(name, numbers, reason=reason, words=words)
    for line in report_lines(made):
        terminal.say(line)
    terminal.say("This, the proofs of it and their key are in the report, and nothing else that was said.")
    if to is not None:
        _agree(terminal, "Write it?", yes=yes)
        write_new(to, encode_report(made))
        terminal.result(
            {"thread": name, "path": str(to)}, f"Written: {to}. Give it to the contact of both organizations."
        )
        return
    await _hand_in(me, terminal, made, yes=yes)


@session.command()
@person_command
async def reports(me: Person, terminal: Terminal) -> None:
    """Show what became of your reports."""
    found = await me.reports.reports()
    rows = [(one.report[:_SHORT], one.thread[:_SHORT], one.to, standing_of(one)) for one in found]
    terminal.table(found, ("report", "thread", "to", "state"), rows, empty="You have reported nothing.")


async def _hand_in(me: Person, terminal: Terminal, made: Report, *, yes: bool) -> None:
    with suppress(UnavailableError):  # the contacts known here are used then
        await me.accounts.sync()
    readers = me.reports.readers(made)
    for line in _reader_lines(readers):
        terminal.say(line)
    if not any(reader.contact for reader in readers):
        raise RefusedError("neither organization names a contact for reports: write it to a file with --to")
    _agree(terminal, "Send it?", yes=yes)
    done = await me.reports.hand_in(made)
    terminal.result(done, [f"{one.to}: {standing_of(one)}" for one in done])


def _reader_lines(readers: tuple[Reader, ...]) -> Iterator[str]:
    for reader in readers:
        if reader.contact is None:
            yield f"Not sent to {reader.entity}: {reader.why}. Use --to FILE and hand it to somebody there."
        else:
            yield f"Sealed for {reader.contact.name} ({reader.contact.mail}) at {reader.entity}; no node can read it."


def standing_of(one: Reported) -> str:
    """Return in words how a report stands."""
    due = time_line(one.due_at) if one.due_at is not None else ""
    match one.standing:
        case "waiting":
            return "waits here until your node is back"
        case "sent":
            return "on its way"
        case "received":
            return f"received, to be answered by {due}"
        case "overdue":
            return f"overdue since {due}: " + ("nobody answered" if one.received_at else "it has not arrived")
        case "refused":
            return f"not taken: {REFUSALS.get(one.refused, f'their node refuses it ({one.refused})')}"
        case "closed":
            return f"closed: {one.outcome}"


def _agree(terminal: Terminal, question: str, *, yes: bool) -> None:
    """Return if somebody agrees. Raises: RefusedError."""
    if not yes and not terminal.can_ask:
        raise RefusedError("nobody is at the terminal to agree: say --yes")
    if not yes and not click.confirm(question, err=True):
        raise RefusedError("nothing was written or sent")
