"""`mentormesh inbox`, `accept`, `decline`, `counter`: what a mentor does with a request."""

from typing import get_args

import click

from cli.client.person import Person
from cli.client.render import waiting_lines
from cli.client.render_cautions import gap_lines
from cli.client.views import Arrived
from protocol.bodies import DeclineReason
from protocol.errors import MissingError, RefusedError

from .ask import parse_time
from .person_access import Terminal, follow, numbered, person_command, thread_named


@click.command()
@click.option("--follow", "stay", is_flag=True, help="Stay and print what happens.")
@person_command
async def inbox(me: Person, terminal: Terminal, *, stay: bool) -> None:
    """Show the requests that await your answer; the briefs are opened by this device."""
    for event in await me.poll():
        if not isinstance(event, Arrived):  # listed below
            terminal.event(event)
    waiting = me.requests()
    labels = await me.api.labels([one.topic for one in waiting if one.topic], terminal.language)
    lines: list[str] = []
    for one in waiting:
        lines += [*waiting_lines(one, labels.get(one.topic, one.topic), terminal.language), ""]
    terminal.result(waiting, lines or ["No request waits for your answer."])
    for sentence in gap_lines(me.state, terminal.language, now=me.now()):
        terminal.warn(sentence)
    if stay:
        await follow(me, terminal)


async def _named(me: Person, terminal: Terminal, thread: str) -> str:
    """Return the id of a request; one that is not known yet may be in the mailbox."""
    try:
        return thread_named(me.state, thread)
    except MissingError:
        for event in await me.poll():
            terminal.event(event)
        return thread_named(me.state, thread)


@click.command()
@click.argument("thread")
@click.option("--slot", type=int, help="Number of the time in `inbox`; by default the mentee's first choice.")
@person_command
async def accept(me: Person, terminal: Terminal, *, thread: str, slot: int | None) -> None:
    """Say yes to the request THREAD; names are exchanged once both nodes have signed."""
    name = await _named(me, terminal, thread)
    slots = me.state.thread(name).slots
    await me.accept(name, slot=None if slot is None else numbered(slots, (slot,))[0])
    after = f"Said yes. Follow with `mentormesh session {name}`."
    terminal.result({"thread": name, "accepted": True}, after)


@click.command()
@click.argument("thread")
@click.option("--reason", type=click.Choice(get_args(DeclineReason)), default="other", show_default=True)
@click.option("--pause", is_flag=True, help="Take no new requests for two weeks.")
@person_command
async def decline(me: Person, terminal: Terminal, *, thread: str, reason: DeclineReason, pause: bool) -> None:
    """Say no to the request THREAD; nobody learns who you are."""
    name = await _named(me, terminal, thread)
    await me.decline(name, reason=reason, pause=pause)
    terminal.result({"thread": name, "declined": reason}, "Said no. The brief is forgotten on this device.")


@click.command()
@click.argument("thread")
@click.option("--slot", "slots", multiple=True, required=True, help="Start time, such as 2026-11-26T15:00; up to five.")
@person_command
async def counter(me: Person, terminal: Terminal, *, thread: str, slots: tuple[str, ...]) -> None:
    """Propose other times for the request THREAD, on full or half hours."""
    if len(slots) > 5:
        raise RefusedError("propose at most five times")
    name = await _named(me, terminal, thread)
    times = tuple(sorted({parse_time(slot) for slot in slots}))
    await me.counter(name, times)
    terminal.result({"thread": name, "slots": times}, "Proposed. The request comes again when one of them suits.")
