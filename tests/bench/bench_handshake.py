"""Handshakes between two real nodes over loopback sockets and SQLite, with tick and flush 0 and instant answers.

The people's devices are part of the time: they seal the need and the brief, open the quote, sign the consent.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from node import config as configuration
from node.api.app import build_app
from node.api.server import Runner, bind
from node.app import Node, open_node
from node.birth import create_node
from node.clock import SystemClock, SystemEntropy
from protocol.addresses import audience_id
from protocol.messages import parse_item
from protocol.offers import Offer
from tests.node.exchange.people import Mentee, agree, waiting_request
from tests.node.exchange.world import Site, Somebody, mentor_profile

from .figures import Figure, percentile

HANDSHAKES = 40


def run() -> list[Figure]:
    """Return the times from the sealed request to the quote, and to the agreement both signed."""
    with tempfile.TemporaryDirectory() as folder:
        offered, finalized = asyncio.run(_measure(Path(folder)))
    return [
        Figure(name="request to OFFERED, p50", value=percentile(offered, 50) * 1000, unit="ms"),
        Figure(name="request to OFFERED, p99", value=percentile(offered, 99) * 1000, unit="ms"),
        Figure(name="request to FINALIZED, p50", value=percentile(finalized, 50) * 1000, unit="ms"),
        Figure(name="request to FINALIZED, p99", value=percentile(finalized, 99) * 1000, unit="ms"),
    ]


async def _measure(folder: Path) -> tuple[list[float], list[float]]:
    async with AsyncExitStack() as stack:
        aurora = await stack.enter_async_context(_site(folder, "aurora"))
        cobalt = await stack.enter_async_context(_site(folder, "cobalt"))
        ticket = await aurora.node.peering.service.invite()
        await cobalt.node.peering.service.accept(ticket.ticket)
        offer = await cobalt.list_offer(aurora.entity)
        audience = (audience_id(aurora.entity, cobalt.entity),)
        ana = await aurora.add_person("ana", audiences=audience)
        ben = await cobalt.add_person("ben", audiences=audience, profile=mentor_profile(per_week=10))
        times = [await _handshake(ana, ben, offer) for _ in range(HANDSHAKES + 1)]
    warm = times[1:]
    return [offered for offered, _ in warm], [finalized for _, finalized in warm]


async def _handshake(ana: Somebody, ben: Somebody, offer: Offer) -> tuple[float, float]:
    """Return the seconds to the quote and to FINALIZED of one handshake; it is called off afterwards."""
    started = time.perf_counter()
    mentee = Mentee(ana, ben.node, offer)
    quote = await mentee.quote()
    offered = time.perf_counter() - started
    asked = (await ben.entries())[-1].cursor if await ben.entries() else 0
    answering = asyncio.create_task(_answer(ben, ana.node, asked))
    await mentee.accept(quote, slots=quote.candidates[0].slots[:1])
    await _until(ana, mentee, "finalize")
    finalized = time.perf_counter() - started
    await answering
    await ana.node.exchanging.consumer.cancel(ana.label, mentee.thread, "not-needed")
    await _until_free(ben)
    return offered, finalized


async def _answer(ben: Somebody, consumer: Site, after: int) -> None:
    rows = await ben.node.exchanging.mailboxes.wait(ben.label, after, 10)
    assert rows, "the request never came"
    await agree(ben, consumer, slot=(await waiting_request(ben)).held[0])


async def _until(ana: Somebody, mentee: Mentee, verb: str) -> None:
    after = 0
    while True:
        rows = await ana.node.exchanging.mailboxes.wait(ana.label, after, 10)
        assert rows, f"{verb} never came"
        after = rows[-1].cursor
        heads = [parse_item(row.data).claimed for row in rows if row.kind == "message"]
        if any((head.thread, head.type) == (mentee.thread, verb) for head in heads):
            return


async def _until_free(ben: Somebody) -> None:
    """Wait until the cancel has arrived, so that the place is free for the next handshake."""
    after = 0
    while True:
        rows = await ben.node.exchanging.mailboxes.wait(ben.label, after, 10)
        assert rows, "the cancel never came"
        after = rows[-1].cursor
        if rows[-1].kind == "message" and parse_item(rows[-1].data).claimed.type == "cancel":
            return


class _RealSite(Site):
    """A whole node on a socket."""

    def __init__(self, node: Node) -> None:
        base = node.base
        super().__init__(
            base.entity,
            clock=base.clock,
            store=base.store,
            entropy=base.entropy,
            keys=base.keys,
            exchanging=node.handshakes,
        )
        self.node = node


@asynccontextmanager
async def _site(folder: Path, name: str) -> AsyncIterator[_RealSite]:
    directory = folder / name
    settings: dict[str, dict[str, Any]] = {
        "node": {"entity": f"https://{name}.example", "listen": "127.0.0.1:0"},
        "org": {"display_name": name.title(), "countries": ["DE"]},
        "handshake": {"tick_ms": 0, "flush_s": 0, "quota_least": 1000},
        "telemetry": {"level": "error"},
        "development": {"enabled": True},
    }
    create_node(directory, settings, SystemEntropy())
    config = configuration.load(directory, {})
    with bind(config.listen_host, config.listen_port) as listening:
        port = listening.getsockname()[1]
        async with open_node(directory, config, port=port, clock=SystemClock(), entropy=SystemEntropy()) as node:
            runner = Runner(build_app(node), limits=config.limits, gauge=node.base.events.metrics.connections)
            await runner.setup()
            await web.SockSite(runner, listening).start()
            node.base.jobs.start("outbox", node.handshakes.outbox.run)
            try:
                yield _RealSite(node)
            finally:
                await runner.cleanup()
                await node.base.jobs.stop(1)
