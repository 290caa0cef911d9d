"""The middle of the story where several processes serve each node: one of each is killed, and nothing is lost."""

from collections.abc import Iterable, Sequence
from typing import Final

from protocol.errors import UnavailableError

from .actors import Actor
from .events import ProcessServed
from .scenes import Stage
from .several import PROCESSES, SeveralProcesses
from .words import number

TITLE: Final = "A process of each company is killed"


def introduce(stage: Stage, store: str) -> None:
    """Say what serves the nodes."""
    stage.line("servers", f"{PROCESSES} processes for each company, behind a balancer; all rows in one {store}.")


async def kill(stage: Stage, nodes: Iterable[SeveralProcesses]) -> None:
    """End the process on duty of each node as a power button would, and tell nobody."""
    stage.scene(TITLE)
    for node in nodes:
        gone = await node.kill()
        stage.line("servers", f"{node.plan.short}: process {gone.pid} was on duty, {_took(gone)}. Killed.", "bad")
    stage.line("servers", "No client and no peer is told. From here on the other process of each does it all.")


async def survived(
    stage: Stage, nodes: Iterable[SeveralProcesses], actors: Sequence[Actor], thread: str
) -> tuple[ProcessServed, ...]:
    """Return what the processes did. Raises: UnavailableError: the actors' devices do not show the same session."""
    first, *others = (_said(one, thread) for one in actors)
    if any(one != first for one in others):
        raise UnavailableError("two devices do not show the same session after a process was killed")
    served: list[ProcessServed] = []
    for node in nodes:
        each = await node.served()
        left = next(one for one in each if one.on_duty)
        stage.line("servers", f"{node.plan.short}: process {left.pid} is on duty now, {_took(left)}.")
        served += each
    told = f"{number(len(first), 'line')} of the session in the same order on both laptops: none lost, none doubled."
    stage.line("servers", told, "good")
    return tuple(served)


def _said(actor: Actor, thread: str) -> list[tuple[str, str]]:
    """Return everything that was said, in order; both said their names at the same moment."""
    return [(line.kind, line.text) for line in actor.person.session(thread).lines if line.kind != "name"]


def _took(process: ProcessServed) -> str:
    return f"{number(process.connections, 'connection')} so far"
