"""Companies of a consortium, real nodes on loopback that were never peered with each other, and its registries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from federation.directory import Peer
from federation.registry_views import Pushed
from protocol.errors import MissingError
from tests.cli.client.world import Company, company
from tests.patience import comes_true


@asynccontextmanager
async def registry(folder: Path, name: str) -> AsyncIterator[Company]:
    """Run a company that is the registry of a consortium."""
    settings: dict[str, Any] = {"enabled": True, "name": f"{name.title()} consortium", "charter": "We answer."}
    async with company(folder, name, registry=settings) as made:
        yield made


async def join(guild: Company, *companies: Company) -> None:
    """Let companies apply and be admitted."""
    for one in companies:
        ticket = (await guild.node.peering.service.invite(**_scope(guild))).ticket
        await one.node.consortia.memberships.join(ticket)
        await guild.node.consortia.registry.admit(one.entity)


def _scope(guild: Company) -> dict[str, Any]:
    return {"consortium": guild.node.base.config.registry.consortium(), "policy": "catalog-hidden"}


async def ticket_of(guild: Company) -> str:
    """Return a ticket of a registry."""
    return (await guild.node.peering.service.invite(**_scope(guild))).ticket


def seen(one: Company, other: Company) -> Peer | None:
    """Return `other` as a peer of `one`, None for a stranger."""
    try:
        return one.node.peering.directory.get(other.entity)
    except MissingError:
        return None


def meets(one: Company, other: Company) -> bool:
    """Tell whether `one` lets `other` in now."""
    peer = seen(one, other)
    return peer is not None and peer.mode_at(one.node.base.clock.now()) != "blocked"


async def all_meet(*companies: Company) -> None:
    """Return once each company lets every other one in."""
    await comes_true(lambda: all(meets(one, other) for one in companies for other in companies if one is not other))


async def suspend(guild: Company, one: Company) -> Pushed:
    """Have the registry take a company out."""
    return await guild.node.consortia.registry.suspend(one.entity, "late with the fee")
