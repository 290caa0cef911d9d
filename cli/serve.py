"""`mentormesh serve`: run the node until it is stopped."""

import asyncio
import os
from pathlib import Path

import click

from .node_access import directory_option
from .output import Output, json_option


@click.command()
@directory_option
@json_option
def serve(directory: Path, *, as_json: bool) -> None:
    """Run the node until it is stopped.

    Prints one line on standard output once the node answers; the log goes to standard error. Ctrl-C or SIGTERM stops
    it within ten seconds.
    """
    from node.serving import Ready
    from node.serving import serve as run

    output = Output(as_json=as_json)

    def announce(ready: Ready) -> None:
        output.result(ready, f"ready: {ready.name} answers at {ready.url}, pages at {ready.pages}")

    asyncio.run(run(directory, os.environ, announce=announce))
