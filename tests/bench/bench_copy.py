"""A peer's 1,000 signed offers copied over HTTP with the proof that its log lists them, against the floor's copy.

Ours: the signed head, its pages, every commitment under the head's root, every offer validated and stored durably, then
the growth of the peer's log since the last look with its proofs. Both nodes are in the process of the benchmark, so the
work of the one that serves counts in full. The floor copies the same bodies in two processes and verifies a signature
of each. Every copy is of offers that were not there before. Without the floor nothing is measured.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import aiohttp

from protocol.addresses import audience_id
from tests.fakes.clock import SteppedClock
from tests.node.pairing import nodes
from tests.node.running import Running

from .bench_ingest import openings
from .figures import Figure
from .floor import Floor, floor, floor_program

OFFERS: Final = 1_000
ROUNDS: Final = 5


def run() -> list[Figure]:
    """Return how long a copy takes, as a multiple of the floor's."""
    program = floor_program()
    if program is None:
        print("bench_copy: the floor is missing; set MENTORMESH_SHARED. Nothing was measured.", file=sys.stderr)
        return []
    return asyncio.run(_measure(program))


async def _measure(program: Path) -> list[Figure]:
    clock, ours, bare = SteppedClock(), [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with floor(folder, program) as other, nodes(folder, "aurora", "birch", clock=clock) as (aurora, birch):
            for number in range(ROUNDS):
                clock.advance(1)
                logged = await _publish(aurora, birch, seed=number)
                ours.append(await _copied(birch, logged=logged))
                bare.append(await _floor_copied(other, seed=number))
    return [
        Figure(name=f"copy of {OFFERS:,} offers with log proof", value=min(ours) * 1000, unit="ms"),
        Figure(name="floor: copy of the same, each signed", value=min(bare) * 1000, unit="ms"),
        Figure(
            name="copy of offers with log proof",
            value=min(ours) / min(bare),
            unit="×",
            aim="≤ 3, better 2",
            ratio_to="the floor's copy",
        ),
    ]


async def _publish(aurora: Running, birch: Running, *, seed: int) -> int:
    """Publish other offers than before; return the size of the log that lists their head."""
    node = aurora.node
    pair = audience_id(node.base.entity, birch.node.base.entity)
    async with node.base.store.write() as tx:
        published = await node.catalog.publisher.publish(tx, pair, "offers", openings(OFFERS, seed=seed))
    assert published.outcome == "changed"
    checkpoint = await node.log.sequencer.sequence()
    assert checkpoint is not None
    return checkpoint.size


async def _copied(birch: Running, *, logged: int) -> float:
    """Copy what is published, and read a log of so many entries to its end; return how many seconds it takes."""
    node = birch.node
    started = time.perf_counter()
    for source in await node.catalog.sources.sources():
        if source.kind == "offers":
            await node.catalog.mirror.poll(source)
    for known in node.witnessing.logs.all():
        await node.witnessing.watch.poll(known)
    seconds = time.perf_counter() - started
    (shown,) = node.catalog.mirror.index.sets(node.base.clock.now())
    assert len(shown.offers) == OFFERS
    (looked,) = await node.witnessing.watch.status()
    assert (looked.read, looked.problem) == (logged, "")
    return seconds


async def _floor_copied(other: Floor, *, seed: int) -> float:
    first, second = other.nodes
    # Filled once: the floor copies everything that it has each time.
    rows = [] if seed else [(str(at), one.body.decode()) for at, one in enumerate(openings(OFFERS, seed=seed))]
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{first.url}/fill", json=rows) as answer:
            assert answer.status == 200
        started = time.perf_counter()
        async with http.get(f"{second.url}/mirror") as answer:
            assert await answer.json() == OFFERS
        return time.perf_counter() - started
