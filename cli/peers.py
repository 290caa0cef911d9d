"""`mentormesh peer`: invite and accept other organizations, set what they may do, examine the way to them."""

from typing import Final

import click

from federation.checkup import Finding
from federation.peer_views import Accepted, Invitation, PeerInfo, Preview
from federation.pending import PendingKey
from node.clock import SystemClock
from node.services.keys import ConfirmKey, ListPending
from node.services.peers import (
    ExaminePeer,
    InvitePeer,
    ListPeers,
    OnePeer,
    SetPeerMode,
    UseTicket,
)
from protocol.errors import MissingError, RefusedError
from protocol.tickets import Mode
from protocol.times import when

from .board import board
from .ledger import ledger
from .node_access import NodeAccess, operator_command
from .output import Output, confirmed

SAME_WORDS: Final = "Does the other administrator read you the same words by phone?"


@click.group()
def peer() -> None:
    """Connect this node with those of other organizations."""


peer.add_command(board)
peer.add_command(ledger)


@peer.command()
@click.argument("entity", required=False)
@click.option(
    "--policy",
    type=click.Choice(["full", "no-new-requests", "catalog-hidden"]),
    default="full",
    show_default=True,
    help="What the new peer may do at first.",
)
@click.option("--days", type=click.IntRange(1, 30), default=7, show_default=True, help="The ticket works this long.")
@operator_command
async def invite(node: NodeAccess, output: Output, *, entity: str | None, policy: Mode, days: int) -> None:
    """Make a ticket for another organization, for ENTITY alone when it is given."""
    command = InvitePeer(entity=entity, policy=policy, days=days)
    made = await node.call("peer.invite", command, Invitation)
    output.result(made, made.ticket)
    if not output.as_json:
        output.say(f"\nThis ticket works once, until {when(made.expires_at)}. Send it to the other administrator, who")
        output.say("runs `mentormesh peer accept TICKET`. Then compare these words by phone:")
        output.say(f"\n    {made.words}")
        if not node.runs:
            output.say("\nThis node does not run: start it with `mentormesh serve`, or the ticket cannot be used.")


@peer.command()
@click.argument("ticket")
@click.option("--yes", is_flag=True, help="Do not ask whether the words were compared.")
@operator_command
async def accept(node: NodeAccess, output: Output, *, ticket: str, yes: bool) -> None:
    """Become a peer of the node that made TICKET."""
    seen = await node.call("peer.preview", UseTicket(ticket=ticket), Preview)
    output.say(f"{seen.entity} invites this node. Its words:\n\n    {seen.words}\n")
    if not yes and not confirmed(SAME_WORDS):
        raise RefusedError("not accepted: compare the words by phone first, or pass --yes", code="not-confirmed")
    done = await node.call("peer.accept", UseTicket(ticket=ticket), Accepted)
    output.result(done, f"{done.peer.display_name} ({done.peer.entity}) is a peer now, mode {done.peer.mode}")
    output.say(f"Read them this node's words too:\n\n    {done.own_words}")


@peer.command(name="list")
@operator_command
async def list_peers(node: NodeAccess, output: Output) -> None:
    """List all peers."""
    peers = await node.call("peer.list", ListPeers(), tuple[PeerInfo, ...])
    rows = [(one.entity, one.display_name, _mode(one), _via(one), when(one.added_at)) for one in peers]
    empty = "There are no peers: begin with `mentormesh peer invite`, or accept a ticket."
    output.table(peers, ("entity", "name", "mode", "met", "since"), rows, empty=empty)


@peer.command()
@click.argument("entity")
@operator_command
async def show(node: NodeAccess, output: Output, *, entity: str) -> None:
    """Show one peer."""
    one = await node.call("peer.show", OnePeer(entity=entity), PeerInfo)
    lines = [
        f"{one.display_name} ({one.entity})",
        f"  mode      {_mode(one)}" + (f": {one.mode_reason}" if one.mode_reason else ""),
        f"  met       {_via(one) or 'nowhere now'}",
        f"  words     {one.words}",
        f"  address   {one.api}" + (f", asked at {one.connect_to}" if one.connect_to else ""),
        f"  speaks    {one.protocol or 'no common protocol'}; {', '.join(one.capabilities)}",
        f"  since     {when(one.added_at)}, document of {when(one.fetched_at)}",
    ]
    output.result(one, lines)


@peer.command()
@click.argument("entity")
@click.argument("mode", type=click.Choice(["full", "no-new-requests", "catalog-hidden", "blocked"]))
@click.option("--reason", required=True, help="Why; kept for whoever asks later.")
@click.option("--days", type=click.IntRange(1, 366), help="Back to `full` after so many days.")
@operator_command
async def mode(node: NodeAccess, output: Output, *, entity: str, mode: Mode, reason: str, days: int | None) -> None:
    """Set what ENTITY may do: everything, no new requests, not see the catalog either, or nothing at all."""
    command = SetPeerMode(entity=entity, mode=mode, reason=reason, days=days)
    one = await node.call("peer.mode", command, PeerInfo)
    output.result(one, f"{one.entity} is now in mode {_mode(one)}")


@peer.command()
@click.argument("entity")
@click.option("--reason", default="suspended", show_default=True, help="Why; kept for whoever asks later.")
@click.option(
    "--days", type=click.IntRange(1, 366), help="Back to `full` after so many days.  [default: until resumed]"
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_command
async def suspend(node: NodeAccess, output: Output, *, entity: str, reason: str, days: int | None, yes: bool) -> None:
    """Let nothing of ENTITY in and nothing out to it, at once; `peer resume` undoes it.

    Sessions with its people wait. Its offers disappear here, and its log is neither witnessed nor read.
    """
    before = await node.call("peer.show", OnePeer(entity=entity), PeerInfo)
    until = f"for {days} days" if days else "until `peer resume`"
    question = f"Suspend {before.display_name} ({before.entity}), now in mode {_mode(before)}, {until}?"
    if not yes and not confirmed(question):
        raise RefusedError("nothing was suspended: confirm it, or pass --yes", code="not-confirmed")
    command = SetPeerMode(entity=entity, mode="blocked", reason=reason, days=days)
    one = await node.call("peer.mode", command, PeerInfo)
    output.result(one, f"{one.entity} is suspended: mode {_mode(one)}")
    if before.mode not in {"blocked", "full"}:
        output.say(f"It was in mode {before.mode}: resume it with `--mode {before.mode}` to limit it again.")


@peer.command()
@click.argument("entity")
@click.option(
    "--mode",
    type=click.Choice(["full", "no-new-requests", "catalog-hidden"]),
    default="full",
    show_default=True,
    help="What it may do from now on.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_command
async def resume(node: NodeAccess, output: Output, *, entity: str, mode: Mode, yes: bool) -> None:
    """Let the suspended peer ENTITY in again, at once."""
    before = await node.call("peer.show", OnePeer(entity=entity), PeerInfo)
    if before.mode != "blocked":
        raise RefusedError(f"that peer is not suspended: its mode is {_mode(before)}", code="not-suspended")
    why = f" ({before.mode_reason})" if before.mode_reason else ""
    if not yes and not confirmed(f"{before.display_name} ({before.entity}) is suspended{why}. Let it in again?"):
        raise RefusedError("nothing was resumed: confirm it, or pass --yes", code="not-confirmed")
    one = await node.call("peer.mode", SetPeerMode(entity=entity, mode=mode, reason="resumed"), PeerInfo)
    output.result(one, f"{one.entity} is let in again: mode {_mode(one)}")


@peer.command()
@click.argument("entity")
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_command
async def remove(node: NodeAccess, output: Output, *, entity: str, yes: bool) -> None:
    """Forget ENTITY; to be a peer again it needs a new ticket."""
    question = f"Forget {entity}? Its offers disappear here, and it is let in no more."
    if not yes and not click.confirm(question, err=True):
        raise RefusedError("nothing was removed", code="not-confirmed")
    await node.call("peer.remove", OnePeer(entity=entity), type(None))
    output.result({"removed": entity}, f"{entity} is no peer any more")


@peer.command(name="confirm-key")
@click.argument("entity")
@click.option("--yes", is_flag=True, help="Do not ask whether the words were compared.")
@operator_command
async def confirm_key(node: NodeAccess, output: Output, *, entity: str, yes: bool) -> None:
    """Take the new federation key that ENTITY has shown for 72 hours, after its words were compared by phone."""
    pending = await node.call("peer.pending", ListPending(), tuple[PendingKey, ...])
    seen = next((one for one in pending if one.entity == entity), None)
    if seen is None:
        raise MissingError("no changed key of that peer awaits confirmation", code="nothing-pending")
    output.say(f"{entity} shows another key since {when(seen.first_seen)}.\n\n    known  {seen.known_words}")
    output.say(f"    new    {seen.new_words}\n")
    if SystemClock().now() >= seen.confirm_from and not yes and not confirmed(SAME_WORDS):
        raise RefusedError("not confirmed: compare the words by phone first, or pass --yes", code="not-confirmed")
    done = await node.call("peer.confirm-key", ConfirmKey(entity=entity, words=seen.new_words), PendingKey)
    output.result(done, f"{entity} is known by its new key now")


@peer.command()
@click.argument("address")
@operator_command
async def doctor(node: NodeAccess, output: Output, *, address: str) -> None:
    """Examine the way to a peer, or to any node at ADDRESS: reachable, document, clock, key, signatures.

    Of a peer it also says what is known here: whether it is suspended or frozen, whether its witness signs this node's
    log, and how its own log is.
    """
    findings = await node.call("peer.doctor", ExaminePeer(address=address), tuple[Finding, ...])
    lines = [line for finding in findings for line in _finding(finding)]
    output.result(findings, lines)
    if not all(finding.ok for finding in findings):
        raise RefusedError("the way to that node is not well", code="unwell")


def _finding(finding: Finding) -> list[str]:
    first = f"{'ok ' if finding.ok else 'BAD'}  {finding.check:<12} {finding.detail}"
    return [first, f"     {'':<12} do: {finding.fix}"] if finding.fix else [first]


def _via(one: PeerInfo) -> str:
    """Return where this node meets a peer: as a pair, in consortia by their registries, or both."""
    pair = () if one.via else ("pair",)
    return ", ".join((*pair, *(f"via {registry.removeprefix('https://')}" for registry in one.registries)))


def _mode(one: PeerInfo) -> str:
    if one.via and not one.registries:
        return f"out: no registry states it as a member ({one.via} did)"
    return f"{one.mode} until {when(one.mode_until)}" if one.mode_until is not None else one.mode
