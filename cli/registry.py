"""`mentormesh registry`: be the registry of a consortium, or belong to consortia of others."""

import click

from federation.membership_views import Fellow, Joined, Left, Membership
from federation.peer_views import Invitation, Preview
from federation.registry_views import Pushed, Registration
from node.services.peers import UseTicket
from node.services.registry import (
    InviteMember,
    JoinConsortium,
    ListMemberships,
    ListRegistrations,
    OneConsortium,
    OneOrganization,
    PutOut,
    Rotated,
    RotateStatements,
)
from protocol.errors import RefusedError
from protocol.tickets import Mode
from protocol.times import when

from .node_access import NodeAccess, operator_command
from .output import Output, confirmed


@click.group()
def registry() -> None:
    """Be the registry of a consortium, or join consortia of others."""


@registry.command()
@click.argument("entity", required=False)
@click.option(
    "--policy",
    type=click.Choice(["full", "no-new-requests", "catalog-hidden"]),
    default="catalog-hidden",
    show_default=True,
    help="What this node and the new member show each other as a pair, beside the consortium.",
)
@click.option("--days", type=click.IntRange(1, 30), default=7, show_default=True, help="The ticket works this long.")
@operator_command
async def invite(node: NodeAccess, output: Output, *, entity: str | None, policy: Mode, days: int) -> None:
    """Make a ticket by which an organization, ENTITY alone when it is given, may ask to be admitted."""
    made = await node.call("registry.invite", InviteMember(entity=entity, policy=policy, days=days), Invitation)
    output.result(made, made.ticket)
    if not output.as_json:
        output.say(f"\nThis ticket works once, until {when(made.expires_at)}. Send it to the other administrator, who")
        output.say("runs `mentormesh registry join TICKET`. Compare these words by phone, then admit them:")
        output.say(f"\n    {made.words}")


@registry.command()
@click.argument("entity")
@operator_command
async def admit(node: NodeAccess, output: Output, *, entity: str) -> None:
    """Make ENTITY, which has accepted a ticket, a member."""
    one = await node.call("registry.admit", OneOrganization(entity=entity), Registration)
    output.result(one, f"{one.entity} is a member from now on")


@registry.command()
@click.argument("entity")
@click.option("--reason", required=True, help="Why; kept here, and told to nobody.")
@operator_command
async def suspend(node: NodeAccess, output: Output, *, entity: str, reason: str) -> None:
    """Take ENTITY out for now, and tell all members at once."""
    pushed = await node.call("registry.suspend", PutOut(entity=entity, reason=reason), Pushed)
    _tell(output, pushed, f"{entity} is suspended")


@registry.command()
@click.argument("entity")
@operator_command
async def resume(node: NodeAccess, output: Output, *, entity: str) -> None:
    """Let ENTITY, which is suspended, in again."""
    one = await node.call("registry.resume", OneOrganization(entity=entity), Registration)
    output.result(one, f"{one.entity} is a member again")


@registry.command()
@click.argument("entity")
@click.option("--reason", required=True, help="Why; kept here, and told to nobody.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_command
async def remove(node: NodeAccess, output: Output, *, entity: str, reason: str, yes: bool) -> None:
    """Take ENTITY out for good; to be a member again it needs a new ticket."""
    if not yes and not click.confirm(f"Remove {entity} from the consortium?", err=True):
        raise RefusedError("nothing was removed", code="not-confirmed")
    pushed = await node.call("registry.remove", PutOut(entity=entity, reason=reason), Pushed)
    _tell(output, pushed, f"{entity} is no member any more")


@registry.command(name="list")
@operator_command
async def list_members(node: NodeAccess, output: Output) -> None:
    """List applicants and members of this node's own consortium."""
    found = await node.call("registry.list", ListRegistrations(), tuple[Registration, ...])
    rows = [
        (
            one.entity,
            f"{one.status}: {one.reason}" if one.reason else one.status,
            when(one.since) if one.since else "",
            when(one.expires_at) if one.expires_at else "",
            "yes" if one.attester else "",
        )
        for one in found
    ]
    empty = "There are no members: begin with `mentormesh registry invite`."
    output.table(found, ("entity", "status", "member since", "stated until", "attests"), rows, empty=empty)


@registry.command()
@operator_command
async def rotate(node: NodeAccess, output: Output) -> None:
    """Make all statements anew under the keys of now, such as after keys were changed."""
    done = await node.call("registry.rotate", RotateStatements(), Rotated)
    output.result(done, f"{done.statements} statements are made anew")


@registry.command()
@click.argument("ticket")
@click.option("--yes", is_flag=True, help="Do not ask whether the words were compared.")
@operator_command
async def join(node: NodeAccess, output: Output, *, ticket: str, yes: bool) -> None:
    """Ask the registry that made TICKET to be admitted to its consortium."""
    seen = await node.call("peer.preview", UseTicket(ticket=ticket), Preview)
    if seen.consortium is None:
        raise RefusedError("this ticket is no registry's: use `mentormesh peer accept`", code="other-ticket")
    output.say(f"{seen.entity} invites this node to {seen.consortium.name}.")
    for line in filter(None, (seen.consortium.charter, seen.consortium.charter_url)):
        output.say(f"  {line}")
    output.say(f"The registry's words:\n\n    {seen.words}\n")
    if not yes and not confirmed("Does the registry's administrator read you the same words by phone?"):
        raise RefusedError("not joined: compare the words by phone first, or pass --yes", code="not-confirmed")
    done = await node.call("registry.join", JoinConsortium(ticket=ticket), Joined)
    output.result(done, f"This node has asked to be admitted to {done.name}")
    output.say(f"Read them this node's words too; they admit it then:\n\n    {done.accepted.own_words}")


@registry.command()
@click.argument("entity", metavar="REGISTRY")
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_command
async def leave(node: NodeAccess, output: Output, *, entity: str, yes: bool) -> None:
    """Leave the consortium of REGISTRY; who was met through it alone is a stranger then."""
    if not yes and not click.confirm(f"Leave the consortium of {entity}?", err=True):
        raise RefusedError("nothing was left", code="not-confirmed")
    done = await node.call("registry.leave", OneConsortium(registry=entity), Left)
    output.result(done, f"This node has left the consortium of {done.registry}")
    if not done.told:
        output.say("Its registry could not be told: ask its administrator to remove this node.")


@registry.command()
@operator_command
async def memberships(node: NodeAccess, output: Output) -> None:
    """List the consortia this node has joined, and their members."""
    found = await node.call("registry.memberships", ListMemberships(), tuple[Membership, ...])
    lines = [line for one in found for line in _membership(one)]
    output.result(found, lines or ["This node is in no consortium: `mentormesh registry join TICKET` asks for one."])


def _membership(one: Membership) -> list[str]:
    until = f", stated until {when(one.expires_at)}" if one.expires_at else ""
    return [
        f"{one.name} ({one.registry})",
        f"  this node  {one.standing}{until}",
        *(f"  {fellow.entity}  {_fellow(fellow)}" for fellow in one.fellows),
    ]


def _fellow(one: Fellow) -> str:
    words = [one.status, *(["attests"] if one.attester else []), *([f"not met: {one.problem}"] if one.problem else [])]
    return ", ".join(words)


def _tell(output: Output, pushed: Pushed, line: str) -> None:
    output.result(pushed, f"{line}; {pushed.told} told")
    if pushed.missed:
        output.say("Not reached, told again within the hour: " + ", ".join(pushed.missed))
