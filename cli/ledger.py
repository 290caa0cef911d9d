"""`mentormesh peer ledger`: what travelled to and from other organizations, in counts and nobody's."""

from datetime import UTC, datetime

import click

from node.services.board import LedgerDay, PeerLedger, PeerStanding, ShowBoard, ShowLedger
from node.services.standing import BoardView
from protocol.times import when

from .node_access import NodeAccess, operator_command
from .output import Output


@click.command()
@click.argument("entity", required=False)
@operator_command
async def ledger(node: NodeAccess, output: Output, *, entity: str | None) -> None:
    """Show what travelled to and from ENTITY, or how delivery with every peer goes.

    It ends at the receiving node, to the minute: whether a person has read something, no operator learns.
    """
    if entity is None:
        board = (await node.call("peer.board", ShowBoard(), BoardView)).peers
        heads = ("entity", "sending", "taking", "waiting", "oldest", "last contact")
        output.table(board, heads, [_row(one) for one in board], empty="There are no peers.")
        return
    found = await node.call("peer.ledger", ShowLedger(entity=entity), PeerLedger)
    sent, received = found.sent, found.received
    lines = [
        found.entity,
        f"  sent      {sent.sent}: {sent.stored} stored there, {sent.waiting} waiting, {sent.dead} given up",
        f"            last stored {_minute(sent.stored_at)}, oldest waiting {_minute(sent.oldest_at)}",
        f"  received  {received.stored} stored here, {received.refused} refused, last {_minute(received.stored_at)}",
        *(_day(day) for day in found.days),
    ]
    output.result(found, lines)


def _row(one: PeerStanding) -> tuple[str, ...]:
    sending = "ok" if one.sending.state == "closed" else f"pausing: {one.sending.last_error}"
    taking = "ok" if one.taking.state == "closed" else f"turned away until {_minute(one.taking.until)}"
    if one.comparing:
        sending = "comparing threads after a restore"
    return one.entity, sending, taking, str(one.waiting), _minute(one.oldest_at), _minute(one.contact_at)


def _day(day: LedgerDay) -> str:
    date = datetime.fromtimestamp(day.day_at, tz=UTC).strftime("%Y-%m-%d")
    return f"  {date}  sent {day.sent}, given up {day.dead}, received {day.received}, refused {day.refused}"


def _minute(at: int | None) -> str:
    return when(at) if at is not None else "-"
