"""`mentormesh report`: check what somebody was given as a report, on any machine and without a network."""

from collections.abc import Iterable
from pathlib import Path

import click

from cli.client.core import ENGINE
from cli.client.words import content_line, time_line
from protocol.e2ee.reports import MAX_REPORT_BYTES, Report, open_report
from protocol.errors import MalformedError

from .output import Output, json_option


@click.group()
def report() -> None:
    """Check reports of what was said in a session."""


@report.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def verify(path: Path, *, as_json: bool) -> None:
    """Check that the messages in FILE were said in one session by the holder of one key, and show them."""
    with path.open("rb") as file:
        data = file.read(MAX_REPORT_BYTES + 1)
    if len(data) > MAX_REPORT_BYTES:
        raise MalformedError("a report is smaller than this file")
    found = open_report(data, ENGINE)
    Output(as_json=as_json).result(found, [*report_lines(found), *_meaning(found)])


def report_lines(found: Report) -> Iterable[str]:
    """Return everything that a report says."""
    yield f"Session {found.thread} of {found.consumer} (mentee) and {found.provider} (mentor)"
    yield f"Reported: {found.reason}, {time_line(found.made_at)}"
    if found.words:
        yield f"  {found.words}"
    for said in found.said:
        kind, text = content_line(said.frame.content)
        yield f"{time_line(said.frame.at)} {found.about} [{kind}]: {text}"


def _meaning(found: Report) -> Iterable[str]:
    yield "Verified: all of it was signed, in this session and in these words, by the devices of one person."
    yield f"Their key at {found.accused}: {found.identity_key}"
    yield "Who that is only the key directory of that organization tells. Times are the sender's own."
    yield "The reason and the words about it are the reporter's, who has not signed them."
