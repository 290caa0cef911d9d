"""Two or more real nodes on loopback that are peers of each other, on one stepped clock; their jobs do not run."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from node.app import Node
from tests.fakes.clock import SteppedClock
from tests.node.running import Running, running, settings


def organization(name: str, **sections: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the settings of `https://NAME.example`."""
    node = {"entity": f"https://{name}.example"}
    org = {"display_name": name.title()}
    return dict(settings(node=node, org=org, **sections))


@asynccontextmanager
async def nodes(
    folder: Path, *names: str, clock: SteppedClock | None = None, **sections: Mapping[str, Any]
) -> AsyncIterator[tuple[Running, ...]]:
    """Yield one running node for each of `names`, each with all others as peers and its log begun."""
    clock = clock or SteppedClock()
    async with AsyncExitStack() as stack:
        made = []
        for seed, name in enumerate(names, 1):
            started = running(folder / name, organization(name, **sections), clock=clock, seed=seed)
            made.append(await stack.enter_async_context(started))
        for at, one in enumerate(made):
            for other in made[at + 1 :]:
                await befriend(one.node, other.node)
        for each in made:
            await each.node.log.announce()
            await each.node.log.sequencer.sequence()
        yield tuple(made)


async def befriend(one: Node, other: Node) -> None:
    """Make two nodes peers by ticket."""
    invitation = await one.peering.service.invite()
    await other.peering.service.accept(invitation.ticket)


async def grow(node: Node, leaves: int = 1) -> None:
    """Let the log of a node grow by so many leaves."""
    for _ in range(leaves):
        await node.log.periods.end()
    await node.log.sequencer.sequence()


async def publish(node: Node, audience: str) -> None:
    """Publish an empty set of offers."""
    async with node.base.store.write() as tx:
        await node.catalog.publisher.publish(tx, audience, "offers", ())
    await node.log.sequencer.sequence()
