"""`mentormesh doctor`: check this machine and node."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import msgspec

from federation.checkup import Finding
from federation.peer_views import PeerInfo
from node import lock as locking
from node.checks import (
    Check,
    check_clock,
    check_clock_beside,
    check_configuration,
    check_database,
    check_disk,
    check_files,
    check_machine,
    check_mail,
    check_port,
    check_tls,
    green,
    red,
)
from node.clock import SystemClock
from node.sections import Config
from node.services.peers import ExaminePeer, ListPeers
from node.status import NodeStatus, ShowStatus
from node.store.processes import Process
from protocol.addresses import host_of
from protocol.errors import MeshError
from protocol.peers import DOCUMENT_PATH

from .node_access import NodeAccess, RunningNode, directory_option, open_node
from .output import FAILED, Output, json_option, shown

#: Peers examined; each takes a few requests.
MOST_PEERS: Final = 50
AT_ONCE: Final = 8
MARKS: Final = {"green": ("ok ", "green"), "yellow": ("see", "yellow"), "red": ("BAD", "red")}


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """All findings; `well` when none is red."""

    well: bool
    checks: tuple[Check, ...]


@click.command()
@directory_option
@json_option
@click.option("--no-peers", is_flag=True, help="Do not examine the way to each peer.")
@click.pass_context
def doctor(context: click.Context, directory: Path, *, as_json: bool, no_peers: bool) -> None:
    """Check this machine and node; every red line comes with its fix.

    Exit code 1 when a line is red. Nothing is changed, and no mail is sent.
    """
    checks = tuple(asyncio.run(diagnose(directory, peers=not no_peers)))
    well = all(check.level != "red" for check in checks)
    lines = [line for check in checks for line in _lines(check)]
    Output(as_json=as_json).result(Diagnosis(well=well, checks=checks), lines, coloured=True)
    if not well:
        context.exit(FAILED)


def _lines(check: Check) -> list[str]:
    mark, colour = MARKS[check.level]
    lines = [f"{click.style(mark, fg=colour)}  {check.check:<14} {shown(check.detail)}"]
    if check.fix:
        lines.append(f"     {'':<14} do: {shown(check.fix)}")
    return lines


async def diagnose(directory: Path, *, peers: bool) -> list[Check]:
    """Return what was found, in the order in which things depend on each other."""
    checks = list(check_machine())
    config, found = check_configuration(directory, os.environ)
    checks += found
    if config is None:
        return checks
    now = SystemClock().now()
    checks += check_files(directory, config)
    checks.append(check_disk(directory, config))
    checks.append(check_clock(directory, config, now=now))
    checks += await check_database(directory, config, now=now)
    checks += check_tls(directory, config, now=now)
    checks.append(await check_mail(directory, config))
    if locking.serving_at(directory) is None:
        checks.append(check_port(config))
    checks += await _check_node(directory, config, peers=peers)
    return checks


async def _check_node(directory: Path, config: Config, *, peers: bool) -> list[Check]:
    """Return how the node itself is, whether it runs or not, and its way to each peer."""
    try:
        async with open_node(directory) as node:
            checks = [await _check_ready(node)]
            status = await node.call("node.status", ShowStatus(), NodeStatus)
            checks += [
                red("jobs", f"{job.job} fails again and again", "see the log of the node")
                for job in status.jobs
                if job.state == "waiting"
            ]
            checks += _of_processes(status.processes)
            checks += [red(alert.about, alert.detail, alert.fix) for alert in status.alerts]
            if peers:
                checks += await _check_name(node, config)
                checks += await _check_peers(node)
    except MeshError as error:
        return [red("node", str(error), f"mend what is said, then run `mentormesh serve` in {config.name}'s directory")]
    return checks


def _of_processes(found: Sequence[Process]) -> list[Check]:
    """Return how the processes of a node are, where several serve it."""
    if not found:
        return []
    if any(one.on_duty for one in found):
        return [green("processes", f"{len(found)} serve the node, and one is on duty")]
    fix = "run it again: within five seconds a process that serves the node goes on duty"
    return [Check(check="processes", level="yellow", detail=f"{len(found)}, and none on duty", fix=fix)]


async def _check_ready(node: NodeAccess) -> Check:
    if not isinstance(node, RunningNode):
        return green("node", "the database opens; the node does not run")
    try:
        await asyncio.to_thread(node.ask, "GET", "/ready")
    except MeshError:
        return red("node", "the node runs but is not ready", "see its log; `mentormesh status` names failing jobs")
    return green("node", "runs and is ready")


async def _check_name(node: NodeAccess, config: Config) -> list[Check]:
    """Return whether the host of the entity identifier names this node, where the node itself is at another one."""
    name, here = config.node.entity, config.api_base
    if config.development.enabled or host_of(here) == host_of(name):
        return []
    findings = await node.call("peer.doctor", ExaminePeer(address=name), tuple[Finding, ...])
    wrong = [one for one in findings if not one.ok and one.check in {"reachable", "document"}]
    fix = f"let {name} serve the node's document at {DOCUMENT_PATH}, or nobody new will peer with this node"
    return [red("name", f"{name}: {one.detail}", fix) for one in wrong] or [green("name", f"{name} names a node")]


async def _check_peers(node: NodeAccess) -> list[Check]:
    known = await node.call("peer.list", ListPeers(), tuple[PeerInfo, ...])
    if not known:
        return [green("peers", "there are none yet")]
    turn = asyncio.Semaphore(AT_ONCE)

    async def examine(entity: str) -> tuple[Finding, ...]:
        async with turn:
            return await node.call("peer.doctor", ExaminePeer(address=entity), tuple[Finding, ...])

    entities = [peer.entity for peer in known[:MOST_PEERS]]
    examined = await asyncio.gather(*map(examine, entities))
    ahead = [one.ahead_s for findings in examined for one in findings if one.ahead_s is not None]
    clock = check_clock_beside(ahead)
    ours = clock is not None and clock.level == "red"
    checks = [clock] if clock is not None else []
    for entity, findings in zip(entities, examined, strict=True):
        checks += _of_peer(entity, [one for one in findings if not (ours and one.check == "clock")])
    return checks


def _of_peer(entity: str, findings: Sequence[Finding]) -> list[Check]:
    bad = [
        red("peers", f"{entity}: {one.detail}", one.fix or "see its administrator") for one in findings if not one.ok
    ]
    return bad or [green("peers", f"{entity} is well")]
