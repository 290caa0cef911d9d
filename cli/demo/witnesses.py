"""Who has signed whose log: what the nodes of the demo say of their witnesses."""

import asyncio
from collections.abc import Iterable
from typing import Final

from federation.cosigning import WitnessStatus
from node.services.witness_operations import ListWitnesses

from .events import LogWitnessed
from .nodes import NodeProcess
from .patience import waiting

LOOK_EVERY_S: Final = 0.05

MEANING: Final = (
    "A witness signs a log only if it continues what it signed before: no company can change its past, or show two "
    "companies two pasts, without leaving proof."
)


async def witnessed(nodes: Iterable[NodeProcess]) -> tuple[LogWitnessed, ...]:
    """Return the newest signature of every witness under every log, once there is one each.

    Raises: UnavailableError: a witness does not sign.
    """
    everybody = tuple(nodes)
    names = {node.plan.entity: node.plan.name for node in everybody}
    async with waiting("the companies' witnesses did not sign each other's logs"):
        found = await asyncio.gather(*(_signed(node, names) for node in everybody))
    return tuple(one for some in found for one in some)


async def _signed(node: NodeProcess, names: dict[str, str]) -> tuple[LogWitnessed, ...]:
    while True:
        asked = await node.ask("log.witnesses", ListWitnesses(), tuple[WitnessStatus, ...])
        if len(asked) == len(names) - 1 and all(each.size for each in asked):
            return tuple(
                LogWitnessed(log=node.plan.name, witness=names[each.name], size=each.size)
                for each in sorted(asked, key=lambda each: each.name)
            )
        await asyncio.sleep(LOOK_EVERY_S)
