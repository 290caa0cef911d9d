"""`mentormesh report`: check and open reports on any machine without a network, and look after those at a node."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
import msgspec

from cli.client.core import ENGINE, fresh_secret
from cli.client.words import content_line, time_line
from node.keyfiles import KeyFile, read_key_file, render_key_file, write_private
from node.services.report_operations import (
    CloseReport,
    ListReports,
    NamedPerson,
    NamePerson,
    ReportInfo,
    SealedItem,
    ShowReport,
)
from protocol.e2ee.reports import MAX_REPORT_BYTES, Report, encode_report, open_report
from protocol.e2ee.sealedreports import ReportKey, open_sealed
from protocol.errors import ConflictError, MalformedError, RefusedError
from protocol.reportitems import OUTCOMES, Outcome

from .node_access import NodeAccess, operator_command
from .output import Output, json_option

SHORT: Final = 8
_ROLE: Final = "report"
_NEW_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)


class MadeKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new key of a contact: where the private half is, and the public one."""

    path: str
    key: str


@click.group()
def report() -> None:
    """Check and handle reports of what was said in a session."""


@report.command()
@click.argument("path", metavar="FILE", type=_FILE)
@json_option
def verify(path: Path, *, as_json: bool) -> None:
    """Check that the messages in FILE were said in one session by the holder of one key, and show them."""
    found = open_report(_read(path), ENGINE)
    Output(as_json=as_json).result(found, [*report_lines(found), *_meaning(found)])


@report.command()
@click.argument("path", metavar="FILE", type=_NEW_FILE)
@json_option
def key(path: Path, *, as_json: bool) -> None:
    """Make the key of the person who reads reports: the private half into the new FILE, for that person alone.

    Run it on that person's machine, not on the node's. The public half belongs into the node's [reports] settings.
    """
    made = ReportKey(fresh_secret())
    try:
        write_private(path, render_key_file(KeyFile(role=_ROLE, seed=made.seed)))
    except FileExistsError:
        raise ConflictError(f"{path} exists already: choose another name") from None
    lines = (
        f"Written: {path}. Whoever has this file reads reports: keep it, and a copy, away from the node.",
        "For mentormesh.toml of the node:",
        f'[reports]\nname = "…"\nmail = "…"\nkey = "{made.public.text}"',
    )
    Output(as_json=as_json).result(
        MadeKey(path=str(path), key=made.public.text), [part for line in lines for part in line.split("\n")]
    )


@report.command(name="open")
@click.argument("path", metavar="FILE", type=_FILE)
@click.option("--key", "key_file", type=_FILE, required=True, help="Private half of the contact's key.")
@click.option("--to", type=_NEW_FILE, help="New file for the opened report, which `report verify` checks.")
@json_option
def open_file(path: Path, *, key_file: Path, to: Path | None, as_json: bool) -> None:
    """Open the sealed report in FILE as its contact, check it and show it; needs no node and no network."""
    opened = open_sealed(_read(path), ReportKey(read_key_file(key_file, _ROLE).seed), ENGINE)
    if to is not None:
        write_new(to, encode_report(opened))
    Output(as_json=as_json).result(opened, [*report_lines(opened), *_meaning(opened)])


@report.command(name="list")
@operator_command
async def list_reports(node: NodeAccess, output: Output) -> None:
    """List reports for the contact of this organization; what they say only the contact can open."""
    found = await node.call("report.list", ListReports(), tuple[ReportInfo, ...])
    rows = [(one.report[:SHORT], one.source, time_line(one.received_at), _due(one)) for one in found]
    output.table(found, ("report", "from", "received", "answer"), rows, empty="There is no report.")


@report.command()
@click.argument("name", metavar="REPORT")
@click.option("--to", type=_NEW_FILE, help="New file for the sealed report, to hand to the contact.")
@operator_command
async def show(node: NodeAccess, output: Output, *, name: str, to: Path | None) -> None:
    """Show when the report whose name begins with REPORT came and is due, and write it for the contact."""
    found = await node.call("report.show", ShowReport(report=name), SealedItem)
    lines = [
        f"Report {found.info.report} from {found.info.source}",
        f"Received {time_line(found.info.received_at)}; {_due(found.info)}",
    ]
    if to is not None:
        write_new(to, found.item.encode())
        lines.append(f"Written: {to}. The contact opens it with `mentormesh report open {to.name} --key KEYFILE`.")
    output.result(found.info, lines)


@report.command()
@click.argument("name", metavar="REPORT")
@click.argument("path", metavar="FILE", type=_FILE)
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_command
async def person(node: NodeAccess, output: Output, *, name: str, path: Path, yes: bool) -> None:
    """Say which member the report whose name begins with REPORT is about; its contact gives you the opened FILE.

    That you asked stays with the report and in the log. One report leads to one key. Only where `[reports] name_people`
    says that your organization has agreed on it.
    """
    found = open_report(_read(path), ENGINE)
    if not yes and not click.confirm("That you ask is recorded. Does the contact need to know who it is?", err=True):
        raise RefusedError("nobody was looked up", code="not-confirmed")
    asked = NamePerson(report=name, identity_key=found.identity_key, audience=found.audience)
    named = await node.call("report.person", asked, NamedPerson)
    output.result(named, f"The key is that of member {named.id}. This was recorded.")


@report.command()
@click.argument("name", metavar="REPORT")
@click.option("--outcome", type=click.Choice(OUTCOMES), required=True)
@operator_command
async def close(node: NodeAccess, output: Output, *, name: str, outcome: Outcome) -> None:
    """Close the report whose name begins with REPORT, as its contact decided; its reporter is told the outcome."""
    found = await node.call("report.close", CloseReport(report=name, outcome=outcome), ReportInfo)
    output.result(found, f"Closed: {found.report[:SHORT]} ({outcome}). Its reporter reads that, and nothing else.")


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


def _due(one: ReportInfo) -> str:
    asked = f"; person looked up {time_line(one.named_at)}" if one.named_at else ""
    return (f"closed: {one.outcome}" if one.outcome else f"due {time_line(one.due_at)}") + asked


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_REPORT_BYTES + 1)
    if len(data) > MAX_REPORT_BYTES:
        raise MalformedError("a report is smaller than this file")
    return data


def write_new(path: Path, data: bytes) -> None:
    """Write a new file for its owner only. Raises: ConflictError: there is one."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConflictError(f"{path} exists already: choose another name") from None
    with os.fdopen(handle, "wb") as file:
        file.write(data)
