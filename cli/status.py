"""`mentormesh status`: how the node is."""

import click
import msgspec

from node.status import NodeStatus, ShowStatus
from node.store.processes import Process

from .node_access import NodeAccess, operator_command
from .output import Output


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The status of a node, and whether a process serves it."""

    runs: bool
    status: NodeStatus


def _process(one: Process) -> str:
    roles = [role for role, is_so in (("on duty", one.on_duty), ("this one", one.here)) if is_so]
    return ", ".join([f"process {one.name}" + (f" from {one.address}" if one.address else ""), *roles])


@click.command()
@operator_command
async def status(node: NodeAccess, output: Output) -> None:
    """Show how the node is."""
    found = await node.call("node.status", ShowStatus(), NodeStatus)
    lines = [
        f"{found.name} ({found.entity}), version {found.version}: {'runs' if node.runs else 'is stopped'}",
        f"listens on {found.listen}, pages at {found.pages}" if node.runs else f"would listen on {found.listen}",
        f"database: generation {found.generation}, {found.database_bytes:,} bytes",
        *(_process(one) for one in found.processes),
        *(f"{name}: {count}" for name, count in found.counts.items()),
        *(
            f"job {job.job}: {job.state}{f', failed {job.failures} times' if job.failures else ''}"
            for job in found.jobs
        ),
    ]
    lines += [f"LOOK: {alert.about}: {alert.detail} ({alert.fix})" for alert in found.alerts]
    output.result(Shown(runs=node.runs, status=found), lines)
