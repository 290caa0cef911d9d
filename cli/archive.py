"""`mentormesh person archive`: sessions that are kept when they end, sealed for their owner alone."""

from pathlib import Path

import click
import msgspec
from msgspec.structs import replace

from cli.client.archived import sessions_of
from cli.client.book import book_of, shortlists_of
from cli.client.person import Person
from cli.client.vault import replace_file
from cli.client.views import View
from cli.client.words import REASONS, word
from protocol.e2ee.kept import Book, KeptSession, KeptShortlist
from protocol.encoding import decode
from protocol.errors import MissingError, UnavailableError
from protocol.times import when

from .person_access import Terminal, person_command, thread_named


class ArchiveView(View, frozen=True, kw_only=True):
    """Everything that the archive holds, readable."""

    on: bool
    book: Book
    sessions: tuple[KeptSession, ...]


@click.group()
def archive() -> None:
    """Keep sessions for yourself; without it a session that ends leaves contacts and takeaways alone."""


@archive.command("on")
@click.option("--session", "thread", default="", help="Keep this one session only.")
@person_command
async def turn_on(me: Person, terminal: Terminal, thread: str) -> None:
    """Keep sessions when they end, from now on. Your node stores them sealed, and needs two ways back for it."""
    me.archive.turn(on=True, thread=thread_named(me.state, thread) if thread else "")
    what = "This session is" if thread else "Sessions are"
    terminal.result({"on": True}, f"{what} kept when they end, readable for you alone; the other person is not asked.")


@archive.command("off")
@click.option("--session", "thread", default="", help="Do not keep this one session.")
@person_command
async def turn_off(me: Person, terminal: Terminal, thread: str) -> None:
    """Keep sessions no longer; what is in the archive stays until you delete it."""
    me.archive.turn(on=False, thread=thread_named(me.state, thread) if thread else "")
    terminal.result({"on": False}, "Not kept. What is in the archive stays: `mentormesh person archive delete`.")


@archive.command()
@click.argument("thread", required=False)
@person_command
async def show(me: Person, terminal: Terminal, thread: str | None) -> None:
    """List the archived sessions, or read the one of THREAD."""
    kept = sessions_of(me.state)
    if thread is not None:
        found = _one(kept, thread)
        other = found.name or "they"
        lines = [f"{when(one.at)} {'you' if one.mine else other}: {one.text}" for one in found.said]
        terminal.result(found, [f"{found.topic} with {found.name or 'somebody'} ({found.entity})", *lines])
        return
    rows = [(one.thread[:8], when(one.ended_at), one.name, one.entity, len(one.said)) for one in kept]
    said = "Sessions are kept when they end." if me.state.archive.on else "Sessions are not kept when they end."
    if not terminal.as_json:
        terminal.say(said)
    terminal.table(kept, ("thread", "ended", "with", "at", "lines"), rows, empty="No session is in the archive.")


@archive.command()
@person_command
async def shortlists(me: Person, terminal: Terminal) -> None:
    """List who was proposed to you in the last thirty days, on this device or on another one of yours."""
    kept = shortlists_of(me.state, now=me.now())
    names = await me.api.labels([one.need.topics[0] for one in kept], terminal.language)
    lines: list[str] = []
    for one in reversed(kept):
        lines += [f"{when(one.at)} {names.get(one.need.topics[0], one.need.topics[0])}", *_people(one), ""]
    terminal.result(kept, lines or ["Nobody was proposed to you in the last thirty days."])


def _people(shortlist: KeptShortlist) -> list[str]:
    return [
        f"  {one.org}: " + "; ".join([one.known_as, *(word(REASONS, each) for each in one.reasons)]).lstrip("; ")
        for one in shortlist.people
    ]


@archive.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@person_command
async def export(me: Person, terminal: Terminal, file: Path) -> None:
    """Write contacts, takeaways and archived sessions to FILE, readable: look after it."""
    state = me.state
    # What is open has a key, and nothing to read.
    book = replace(decode(book_of(state, now=me.now()), Book), places=())
    value = ArchiveView(on=state.archive.on, book=book, sessions=sessions_of(state))
    try:
        replace_file(file, msgspec.json.format(msgspec.json.encode(value)))
    except OSError as error:
        raise UnavailableError(f"cannot write {file}: {error.strerror}") from None
    terminal.result({"file": str(file)}, f"Written to {file}, which anybody who has it can read.")


@archive.command()
@click.argument("threads", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Delete every archived session.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@person_command
async def delete(me: Person, terminal: Terminal, *, threads: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Delete the archived sessions THREADS, here and at your node."""
    if not (threads or everything):
        raise click.UsageError("name sessions, or say --all")
    kept = sessions_of(me.state)
    if everything and kept and terminal.can_ask and not yes:
        click.confirm(
            f"Delete {len(kept)} archived sessions, on all your devices and at your node?", abort=True, err=True
        )
    names = [one.thread for one in kept] if everything else [_one(kept, thread).thread for thread in threads]
    await me.archive.delete(*names)
    terminal.result({"deleted": names}, f"{len(names)} deleted.")
    _warn(me, terminal)


def _warn(me: Person, terminal: Terminal) -> None:
    for warning in me.archive.warnings:
        terminal.warn(warning)


def _one(kept: tuple[KeptSession, ...], name: str) -> KeptSession:
    found = [one for one in kept if one.thread == name or (len(name) >= 4 and one.thread.startswith(name))]
    if len(found) != 1:
        raise MissingError("the archive has no such session: `mentormesh person archive show` lists them")
    return found[0]
