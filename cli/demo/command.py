"""`mentormesh demo`: the whole story in a minute, on this machine alone."""

import asyncio
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from cli.output import json_option
from protocol.errors import MeshError

if TYPE_CHECKING:
    from .companies import Count


@click.command()
@click.option("--once", is_flag=True, help="Ask nothing; without a terminal on standard input this is the default.")
@click.option("--keep", is_flag=True, help="Keep the nodes running after the story, until Ctrl-C or SIGTERM.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    help="New or empty directory for nodes, vaults and report; it is kept.  [default: a fresh temporary one]",
)
@click.option("--message", help="What Ana writes to Ben.  [default: asked at a terminal]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Draws the companies' people.  [default: random]")
@click.option(
    "--companies",
    type=click.IntRange(1, 3),
    default=3,
    show_default=True,
    help="1: a match inside one company; 2: between two; 3: with one more to choose from.",
)
@click.option(
    "--attack",
    type=click.Choice(["equivocation", "read-as-admin", "key-swap"]),
    help="Instead of the story: one company tells two others two stories; or two administrators try to read a "
    "session; or one shows another key as that of a colleague. Exit code 0 when the attack fails or is caught.",
)
@click.option(
    "--store",
    default="file",
    show_default=True,
    metavar="file|postgresql|URL",
    help="Where the nodes keep their rows. postgresql: all on one server that is started for the demo, each node "
    "served by two processes, of which one is killed; URL: the same in an existing database, which is left clean.",
)
@json_option
@click.pass_context
def demo(
    context: click.Context,
    *,
    once: bool,
    keep: bool,
    folder: Path | None,
    message: str | None,
    seed: int | None,
    companies: int,
    attack: str | None,
    store: str,
    as_json: bool,
) -> None:
    """Show the whole story with three fictional companies on this machine.

    Ana needs advice before Thursday. Her company's node finds who can help, the first choice is busy, Ben at another
    company says yes, they write, and then every file of every server is searched for their words. The nodes listen on
    loopback only and stop at the end.
    """
    from .play import Options, play
    from .prompt import check_message

    if message is not None:
        try:
            check_message(message)
        except MeshError as error:
            raise click.BadParameter(str(error), context, param_hint="--message") from None
    if attack is not None and (message is not None or companies != 3):
        raise click.BadParameter("takes neither --message nor --companies", context, param_hint="--attack")
    if store not in {"file", "postgresql"} and not store.startswith(("postgresql://", "postgres://")):
        raise click.BadParameter("is neither file nor postgresql nor a URL of it", context, param_hint="--store")
    options = Options(
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
        companies=cast("Count", companies),
        folder=folder,
        message=message,
        once=once,
        keep=keep,
        as_json=as_json,
        attack=attack,
        store=store,
    )
    context.exit(asyncio.run(play(options)))
