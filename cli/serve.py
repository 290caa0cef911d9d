"""`mentormesh serve`: run the node until it is stopped."""

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

import click

from .late import certificates_later
from .node_access import directory_option
from .output import Output, json_option


@click.command()
@directory_option
@click.option(
    "--until-eof",
    is_flag=True,
    help="Also stop when standard input ends, as it does when the starting program is gone.",
)
@click.option(
    "--standby",
    is_flag=True,
    help="Wait until no other process serves the node, which keeps its rows in PostgreSQL; then take over.",
)
@json_option
def serve(directory: Path, *, until_eof: bool, standby: bool, as_json: bool) -> None:
    """Run the node until it is stopped.

    Prints one line on standard output once the node answers; the log goes to standard error. Ctrl-C or SIGTERM stops
    it within ten seconds.
    """
    with certificates_later():
        from node.serving import Ready
        from node.serving import serve as run

    output = Output(as_json=as_json)
    if until_eof:
        threading.Thread(target=_stop_at_eof, name="until-eof", daemon=True).start()

    def announce(ready: Ready) -> None:
        output.result(ready, f"ready: {ready.name} answers at {ready.url}, pages at {ready.pages}")

    asyncio.run(run(directory, os.environ, announce=announce, standby=standby))


def _stop_at_eof() -> None:
    """Wait for the end of standard input, then stop this process as SIGTERM does."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
