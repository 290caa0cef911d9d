"""`mentormesh log`: show and check the node's own log, verify any node's log over HTTP, start a successor."""

import click
import msgspec

from federation.cosigning import WitnessStatus
from federation.startcheck import Override
from federation.watchwords import WatchStatus
from node.nodelog import CheckLog, LogChecked, ShowLog, SucceedLog
from node.services.witness_operations import ListWatched, ListWitnesses, OverrideLog
from node.status import LogStatus
from protocol.errors import RefusedError, UnverifiedError
from protocol.logaudit import LogAudit
from protocol.peers import DOCUMENT_PATH, MAX_DOCUMENT_BYTES, open_document
from protocol.tlog.checkpoint import open_checkpoint, parse_checkpoint
from protocol.tlog.lines import base64_text
from protocol.tlog.note import MAX_NOTE_BYTES, LogKey, parse_vkey
from protocol.tlog.tiles import MAX_BUNDLE_BYTES, Bundle, Tile, tile_path

from .bar import Bar
from .evidence import evidence, moment
from .log_reader import LogReader
from .node_access import NodeAccess, operator_command
from .output import Output, json_option


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """A log that was read whole: every entry and tile leads to the signed root (base64)."""

    origin: str
    size: int
    root: str
    vkey: str


@click.group()
def log() -> None:
    """Show, check and verify transparency logs."""


@log.command()
@operator_command
async def show(node: NodeAccess, output: Output) -> None:
    """Show the newest checkpoint of this node's log, and what keeps it from growing."""
    found = await node.call("log.show", ShowLog(), LogStatus)
    output.result(found, _status_lines(found, runs=node.runs))


@log.command()
@operator_command
async def check(node: NodeAccess, output: Output) -> None:
    """Read the stored log whole and compare every tile and entry with the newest checkpoint."""
    if not (await node.call("log.show", ShowLog(), LogStatus)).size:
        raise RefusedError("the log has no checkpoint yet: start the node, then check again")
    start = 0
    with Bar(output, "Checking") as bar:
        while True:
            found = await node.call("log.check", CheckLog(start=start), LogChecked)
            bar.show(found.checked, found.size)
            if found.checked == found.size:
                break
            start = found.checked
    output.result(found, f"Good: all {found.size} entries of {found.origin} belong to its checkpoint.")


@log.command()
@click.argument("url")
@click.option("--key", "vkey", metavar="VKEY", help="Verifier key of the log; without it, that of the node's document.")
@json_option
def verify(url: str, vkey: str | None, *, as_json: bool) -> None:
    """Read the log of the node at URL whole and recompute its root; needs no node of one's own.

    Without --key the node vouches for its key itself: compare the key that is shown with what you know of it.
    """
    output = Output(as_json=as_json)
    with LogReader(url) as reader:
        found = _verified(reader, _key(reader, vkey), output)
    output.result(
        found,
        [f"Good: all {found.size} entries of {found.origin} belong to its signed checkpoint.", f"key: {found.vkey}"],
    )


@log.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_command
async def successor(node: NodeAccess, output: Output, *, yes: bool) -> None:
    """Start a new log after the database came back from a backup; the old one stays readable as it is."""
    if not yes:
        click.confirm("Everybody will see that this log ended. Start a successor?", abort=True, err=True)
    found = await node.call("log.successor", SucceedLog(), LogStatus)
    output.result(found, _status_lines(found, runs=node.runs))
    if node.runs:
        output.say("Restart the node, so that its document names the new log.")


@log.command()
@operator_command
async def witnesses(node: NodeAccess, output: Output) -> None:
    """List who cosigns this node's log, and up to which size they have."""
    found = await node.call("log.witnesses", ListWitnesses(), tuple[WitnessStatus, ...])
    rows = [(one.name, one.size, moment(one.at), one.problem) for one in found]
    empty = "Nobody watches this log: peers do by themselves, and [log] policy can name other witnesses."
    output.table(found, ("witness", "size", "cosigned", "problem"), rows, empty=empty)


@log.command()
@operator_command
async def watched(node: NodeAccess, output: Output) -> None:
    """List the logs of others that this node follows, and what does not fit in them."""
    found = await node.call("log.watched", ListWatched(), tuple[WatchStatus, ...])
    rows = [(one.origin, one.size, one.read, moment(one.at), one.problem) for one in found]
    output.table(found, ("log", "size", "read", "looked at", "problem"), rows, empty="There are no peers yet.")


@log.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_command
async def override(node: NodeAccess, output: Output, *, yes: bool) -> None:
    """Sign the log although its witnesses have not answered since the start; holds until it has grown once.

    Never do this after restoring or copying the database by hand: start a successor instead.
    """
    if not yes:
        question = "Is this the newest state of the database, never set back? Otherwise this forks the log. Sign it?"
        click.confirm(question, abort=True, err=True)
    found = await node.call("log.override", OverrideLog(), Override)
    output.result(found, f"The log may be signed from {found.size} entries on; this is noted.")


log.add_command(evidence)


def _key(reader: LogReader, vkey: str | None) -> LogKey:
    if vkey is None:
        document = open_document(reader.get(DOCUMENT_PATH, limit=MAX_DOCUMENT_BYTES).decode("ascii", "replace"))
        vkey = document.log_vkey
    key = parse_vkey(vkey)
    if not isinstance(key, LogKey):
        raise UnverifiedError("the key is that of a witness, not of a log")
    return key


def _verified(reader: LogReader, key: LogKey, output: Output) -> Verified:
    # A log is served where its origin says: below the host, such as /log, or /log/2 for a successor.
    prefix = f"/{key.name.partition('/')[2]}"
    note = reader.get(f"{prefix}/checkpoint", limit=MAX_NOTE_BYTES)
    checkpoint = open_checkpoint(parse_checkpoint(note), [key]).checkpoint
    audit = LogAudit(checkpoint)
    tiles: dict[Tile, bytes] = {}
    with Bar(output, "Verifying") as bar:
        while (wanted := audit.next) is not None:
            # The tiles of higher levels come up in every portion, those of the lowest in one.
            tiles = {name: data for name, data in tiles.items() if name.level and name in wanted.tiles}
            for name in wanted.tiles:
                tiles[name] = tiles.get(name) or reader.get(f"{prefix}/{tile_path(name)}", limit=MAX_BUNDLE_BYTES)
            bundles: dict[Bundle, bytes] = {
                each: reader.get(f"{prefix}/{tile_path(each)}", limit=MAX_BUNDLE_BYTES) for each in wanted.bundles
            }
            audit.take(wanted, tiles, bundles)
            bar.show(audit.size, checkpoint.size)
    return Verified(origin=checkpoint.origin, size=checkpoint.size, root=base64_text(checkpoint.root), vkey=key.vkey)


def _status_lines(found: LogStatus, *, runs: bool) -> list[str]:
    lines = [f"log: {found.origin}, {found.size} entries, {found.waiting} waiting", f"key: {found.vkey}"]
    if found.problem:
        lines.append(f"not signed: {found.problem}; `mentormesh log check` looks closer, `log successor` starts anew")
    elif runs and not found.on_duty:
        lines.append("another process of this node is on duty and signs it; ask there what keeps it from growing")
    return lines
