"""`mentormesh peer board`: how things stand with every peer, kept up to date on a terminal until Ctrl-C."""

import asyncio
import signal
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import click

from node.services.board import ShowBoard
from node.services.standing import BoardView
from protocol.errors import UnavailableError

from .node_access import NodeAccess, operator_command
from .output import Output

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

EVERY_S: Final = 2.0
#: Columns below which every peer gets a block of lines instead of a row.
WIDE: Final = 118
#: A pipe has no width; lines are not broken there.
PIPE_WIDTH: Final = 200


@click.command()
@click.option("--once", is_flag=True, help="Show it once; without a terminal this is the default.")
@operator_command
async def board(node: NodeAccess, output: Output, *, once: bool) -> None:
    """Show how things stand with every peer, anew every two seconds until Ctrl-C.

    One row a peer: what it may do, the age of its sets, attestations, cosignatures, how far its log is read, both
    breakers, what waits, the last contact. Above it, this node's own log. With --json it is printed once.
    """
    view = await node.call("peer.board", ShowBoard(), BoardView)
    if output.as_json:
        output.result(view, "")
        return
    from rich.console import Console

    live = sys.stdout.isatty()
    console = Console(highlight=False, width=None if live else PIPE_WIDTH)
    if once or not live or not node.runs:
        for part in screen(view, console.width):
            console.print(part)
        if not node.runs:
            output.say("This node does not run: what is in memory only, such as breakers, is not shown.")
        return
    await _follow(node, console, view)


async def _follow(node: NodeAccess, console: "Console", view: BoardView) -> None:
    """Show the board until Ctrl-C; a node that does not answer leaves the last one, and says so."""
    from rich.console import Group
    from rich.live import Live

    loop, told = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, told.set)
    note = ""
    try:
        with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
            while True:
                live.update(Group(*screen(view, console.width, note=note)), refresh=True)
                if await _told(told):
                    return
                try:
                    view, note = await node.call("peer.board", ShowBoard(), BoardView), ""
                except UnavailableError as error:
                    note = f"The node does not answer ({error}). This is what it said last."
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _told(told: asyncio.Event) -> bool:
    """Return whether the person ended it within the time between two looks."""
    try:
        async with asyncio.timeout(EVERY_S):
            await told.wait()
    except TimeoutError:
        return False
    return True


def screen(view: BoardView, width: int, *, note: str = "") -> "Iterable[RenderableType]":
    """Return the board for a terminal of so many columns."""
    from .board_lines import header, part_of_it, rows_of, stacked, table, warning

    yield header(view)
    if note:
        yield warning(note)
    if view.several:
        yield part_of_it(view)
    if not view.peers:
        yield "There are no peers: begin with `mentormesh peer invite`, or accept a ticket with `peer accept`."
        return
    lines = rows_of(view)
    yield table(lines) if width >= WIDE else stacked(lines)
