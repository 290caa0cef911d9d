"""`mentormesh member`: import the member file, count members, look up, export or erase one."""

from pathlib import Path
from typing import Any, Final

import click
import msgspec

from node.services.erasure import PersonExport, render_html
from node.services.erasure_operations import Erasures, ListErasures
from node.services.member_csv import FIELDS, MAX_FILE_BYTES, Progress, parse_members, refused_rows, render_csv
from node.services.member_operations import (
    ApplyImport,
    Erased,
    Link,
    ListMembers,
    MemberCounts,
    MemberView,
    OneMember,
    PlanImport,
    PlanView,
    pack,
)
from protocol.errors import LimitError, RefusedError
from protocol.times import when

from .node_access import NodeAccess, operator_command
from .output import Output, json_option

#: Ids and row errors printed for people; `--json` has all.
MOST_LINES: Final = 20


@click.group()
def member() -> None:
    """Import and look after the people of this organization."""


class PublishedField(msgspec.Struct, frozen=True, kw_only=True):
    """One column of the member file."""

    name: str
    needed: str
    rule: str
    example: str


@member.command()
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print a member file with one example row.")
def fields(*, as_json: bool, as_csv: bool) -> None:
    """Print the published list of columns of the member file."""
    listed = [PublishedField(name=f.name, needed=f.needed, rule=f.rule, example=f.example) for f in FIELDS]
    if as_csv:
        click.echo(render_csv([f.name for f in listed], [[f.example for f in listed]]), nl=False)
        return
    rows = [(f.name, f.needed or "no", f.rule, f.example) for f in listed]
    Output(as_json=as_json).table(listed, ("column", "needed", "what it holds", "example"), rows, empty="")


@member.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--force", is_flag=True, help="Import although many members would leave.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_command
async def import_file(node: NodeAccess, output: Output, *, file: Path, dry_run: bool, force: bool, yes: bool) -> None:
    """Import the member file: shows the difference, asks, then changes all of it or nothing."""
    data = _read(file)
    _check_rows(data, output)
    packed = pack(data)
    plan = await node.call("member.plan", PlanImport(packed=packed), PlanView)
    if dry_run or not (plan.added or plan.changed or plan.reactivated or plan.leaving):
        output.result(plan, _plan_lines(plan, done=False))
        return
    if not yes:
        _ask(plan, output)
    applied = ApplyImport(packed=packed, digest=plan.digest, force=force)
    result = await node.call("member.import", applied, PlanView)
    output.result(result, _plan_lines(result, done=True))


def _read(file: Path) -> bytes:
    if file.stat().st_size > MAX_FILE_BYTES:
        raise LimitError(f"the file is over {MAX_FILE_BYTES // 1024 // 1024} MiB")
    return file.read_bytes()


def _check_rows(data: bytes, output: Output) -> None:
    """Read the file here first, with a progress bar, so that mistakes show before anything is sent."""
    with _bar(output) as progress:
        errors = parse_members(data, progress=progress).errors
    if not errors:
        return
    rows = [(error.line, error.field or "–", error.rule) for error in errors]
    output.table(errors, ("line", "column", "rule"), rows[:MOST_LINES], empty="")
    if len(rows) > MOST_LINES:
        output.say(f"… and {len(rows) - MOST_LINES} more; --json lists up to a thousand.")
    raise RefusedError(refused_rows(errors))


class _bar:  # noqa: N801 -- used like a function
    """A progress bar on standard error, for people at a terminal only."""

    def __init__(self, output: Output) -> None:
        self._shown = not output.as_json
        self._bar: Any = None

    def __enter__(self) -> Progress | None:
        from rich.console import Console
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        if not (self._shown and console.is_terminal):
            return None
        self._bar = Bar(console=console, transient=True)
        self._bar.start()
        task = self._bar.add_task("Reading", total=None)
        return lambda done, total: self._bar.update(task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _ask(plan: PlanView, output: Output) -> None:
    if output.as_json:
        raise RefusedError("with --json, say --yes or --dry-run: there is nobody to ask")
    for line in _plan_lines(plan, done=False):
        output.say(line)
    click.confirm("Import this?", abort=True, err=True)


def _plan_lines(plan: PlanView, *, done: bool) -> list[str]:
    changed = [f"{change.id} ({', '.join(change.fields)})" for change in plan.changed]
    lines = [
        *_listed("joined" if done else "would join", plan.added),
        *_listed("changed" if done else "would change", changed),
        *_listed("came back" if done else "would come back", plan.reactivated),
        *_listed("left" if done else "would leave", plan.leaving),
        f"{plan.unchanged} unchanged",
    ]
    if plan.skipped:
        lines.append(f"{plan.skipped} not active and never known here: passed over")
    if plan.needs_force and not done:
        lines.append(
            f"Careful: {len(plan.leaving)} of {plan.active_before} active members would leave. If the file is right, "
            "import it with --force."
        )
    return lines


def _listed(what: str, ids: tuple[str, ...] | list[str]) -> list[str]:
    if not ids:
        return []
    more = f" … and {len(ids) - MOST_LINES} more" if len(ids) > MOST_LINES else ""
    return [f"{len(ids)} {what}: {', '.join(ids[:MOST_LINES])}{more}"]


@member.command(name="list")
@click.option("--all", "exact", is_flag=True, help="Show small groups too (not in works-council mode).")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV for a spreadsheet.")
@operator_command
async def count(node: NodeAccess, output: Output, *, exact: bool, as_csv: bool) -> None:
    """Count members by status and job family; nobody is named."""
    counts = await node.call("member.list", ListMembers(exact=exact), MemberCounts)
    rows = [(group.status, group.job_family or "(smaller ones)", group.members) for group in counts.groups]
    if as_csv and not output.as_json:
        click.echo(render_csv(("status", "job_family", "members"), rows), nl=False)
        return
    output.table(counts, ("status", "job family", "members"), rows, empty="No counts to show.")
    for status in counts.hidden:
        output.say(f"{status}: fewer than {counts.smallest_group}")


@member.command()
@click.argument("id")
@operator_command
async def show(node: NodeAccess, output: Output, *, id: str) -> None:  # noqa: A002 -- the argument's name
    """Show what the member file said about ID."""
    view = await node.call("member.show", OneMember(id=id), MemberView)
    rows = [(name, _plain(value)) for name, value in msgspec.structs.asdict(view).items()]
    output.table(view, ("column", "value"), rows, empty="")


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return "; ".join(map(str, value))
    return "" if value is None else str(value)


@member.command()
@click.argument("id")
@operator_command
async def link(node: NodeAccess, output: Output, *, id: str) -> None:  # noqa: A002 -- the argument's name
    """Print a sign-in link for ID, in development only."""
    made = await node.call("member.link", OneMember(id=id), Link)
    output.result(made, made.link)


@member.command()
@click.argument("id")
@click.option("--html", is_flag=True, help="Print a page for reading instead of JSON.")
@operator_command
async def export(node: NodeAccess, output: Output, *, id: str, html: bool) -> None:  # noqa: A002 -- the argument's name
    """Print everything that the node holds about ID."""
    exported = await node.call("member.export", OneMember(id=id), PersonExport)
    text = render_html(exported) if html else msgspec.json.format(msgspec.json.encode(exported)).decode()
    output.result(exported, text)


@member.command()
@click.argument("entry", required=False, default="")
@operator_command
async def erasures(node: NodeAccess, output: Output, *, entry: str) -> None:
    """Show what peers confirmed about erased entries of the key directory.

    ENTRY, from the receipt that somebody got when they were erased, prints the peers' signed confirmations of it.
    """
    found = await node.call("member.erasures", ListErasures(entry=entry), Erasures)
    if entry:
        output.result(found, "\n".join(found.receipts) or "No peer has confirmed this entry.")
        return
    rows = [
        (one.peer, one.confirmed, one.waiting, when(one.waiting_since) if one.waiting_since else "")
        for one in found.peers
    ]
    output.table(found, ("peer", "confirmed", "waiting", "since"), rows, empty="Nothing was erased at peers yet.")


@member.command()
@click.argument("id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_command
async def erase(node: NodeAccess, output: Output, *, id: str, yes: bool) -> None:  # noqa: A002 -- the argument's name
    """Erase everything that the node holds about ID; this cannot be undone."""
    if not yes:
        if output.as_json:
            raise RefusedError("with --json, say --yes: there is nobody to ask")
        click.confirm(f"Erase everything about {id}?", abort=True, err=True)
    receipt = await node.call("member.erase", OneMember(id=id), Erased)
    output.result(
        receipt,
        "Erased. Backups made before still hold what was; a later member file adds the person again as somebody new.",
    )
