"""Messages between two real node processes, against a trivial relay in the same run.

The people's clients are in the process of the benchmark and encrypt end to end; processor time is that of both nodes.
`out` is what a mentor writes: the mentor's node orders a session and sends each message on. `in` is what a mentee
writes: it goes to that node, and comes back numbered to the writer's own devices, a second transfer that the floor does
not have. Without the floor nothing is measured: set MENTORMESH_SHARED to the folder that holds it.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from cli.client.views import Shown
from tests.cli.client.world import happens
from tests.system.kills import survive
from tests.system.two_nodes import Pair, met, paired, peered

from .delivery import (
    TEXT,
    Speed,
    Way,
    away,
    compared,
    kept_when_full,
    listening,
    many,
    one_by_one,
    shown_fullness,
    shown_kills,
    shown_outage,
    skip,
    way,
)
from .figures import Figure, percentile
from .floor import Floor, floor, floor_program

ONE_BY_ONE: Final = 200
ROUNDS: Final = 2
MANY: Final = 2000
SOAK: Final = 10_000
STORED: Final = 50_000
AWAY: Final = 60
KILLS: Final = 20
FLOOR: Final = "the floor"
#: In the order of `delivery.compared`.
AIMS: Final = (
    "≤ 2, better 1.4",
    "≤ 2.5, better 1.5",
    "≥ 0.35, better 0.6",
    "≤ 2, better 1.3",
    "≤ 3, better 1.7",
)


def run() -> list[Figure]:
    """Return the delivery table of the design."""
    program = floor_program()
    if program is None:
        print("bench_delivery: the floor is missing; set MENTORMESH_SHARED. Nothing was measured.", file=sys.stderr)
        return []
    return asyncio.run(_measure(program))


async def _measure(program: Path) -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tempfile.TemporaryDirectory() as first:
            figures = await _first_message(Path(first), program)
        async with paired(folder) as pair, floor(folder, program) as other:
            await pair.calm()
            figures += await _speeds(pair, other)
            figures += await _soak(pair, other)
            figures += shown_outage(await away(pair, AWAY))
            figures.append(shown_fullness(await kept_when_full(pair, stored=STORED, count=MANY), stored=STORED))
        async with paired(folder / "kills") as pair:
            figures += shown_kills(await survive(pair, folder / "kills", cycles=KILLS, seed=1, handshakes=False))
    return figures


# Latency and throughput


async def _speeds(pair: Pair, other: Floor) -> list[Figure]:
    mentee, mentor = await pair.devices()
    ways = {
        FLOOR: Way(send=other.send, until=other.until, read=lambda: other.read, nodes=other.nodes),
        "out": way(pair, mentor, mentee),
        "in": way(pair, mentee, mentor),
    }
    listeners = {"out": mentee, "in": mentor}
    found = {name: Speed() for name in ways}
    for _ in range(ROUNDS):
        for name, each in ways.items():
            async with listening(listeners.get(name)):
                await one_by_one(each, found[name], ONE_BY_ONE)
                await many(each, found[name], MANY)
    base = found.pop(FLOOR)
    figures = [
        Figure(name="floor: latency p50", value=percentile(base.seconds, 50) * 1000, unit="ms"),
        Figure(name="floor: 32 in flight", value=max(base.rate), unit="messages/s"),
        Figure(name="floor: CPU a message, 1 / 32 in flight: 1", value=min(base.cpu_one) * 1000, unit="ms"),
    ]
    for name, speed in found.items():
        figures += compared(name, speed, base, ratio_to=FLOOR, aims=AIMS)
    return figures


# Memory and disk


async def _soak(pair: Pair, other: Floor) -> list[Figure]:
    """Measure memory and disk over many messages."""
    mentee, mentor = await pair.devices()
    idle, disk = [node.resident_mib for node in pair.nodes], sum(node.disk_bytes for node in pair.nodes)
    await skip(mentee)
    async with listening(mentee):
        await many(way(pair, mentor, mentee), Speed(), SOAK)
    after = [node.resident_mib for node in pair.nodes]
    grown = max(late / early - 1 for late, early in zip(after, idle, strict=True))
    used = (sum(node.disk_bytes for node in pair.nodes) - disk) / SOAK
    resident = max(idle) / max(node.resident_mib for node in other.nodes)
    return [
        Figure(name="resident memory", value=max(idle), unit="MiB"),
        Figure(name="resident memory", value=resident, unit="×", aim="≤ 1.7, better 1.3", ratio_to=FLOOR),
        Figure(name=f"growth over {SOAK:,} messages", value=grown * 100, unit="%", aim="≤ 10 %, better 5 %"),
        Figure(name="disk a message, both nodes", value=used / 1024, unit="KiB", aim="≤ 4, better 2.5"),
    ]


# Outages and beginnings


async def _first_message(folder: Path, program: Path) -> list[Figure]:
    """Measure from nothing to the first message."""
    started = time.perf_counter()
    async with floor(folder, program) as other:
        await other.send(TEXT)
        await other.until(1)
        floor_s = time.perf_counter() - started
    started = time.perf_counter()
    nodes = await peered(folder / "peered")
    peered_s = time.perf_counter() - started
    for node in nodes:
        await node.stop()
    started = time.perf_counter()
    async with met(folder / "met") as pair:
        await pair.ben.send_chat(pair.thread, TEXT)
        shown = await happens(pair.ana, Shown)
        first_s = time.perf_counter() - started
    assert shown.text == TEXT
    return [
        Figure(name="floor: nothing to first message", value=floor_s, unit="s"),
        Figure(name="nothing to two peers", value=peered_s / floor_s, unit="×", aim="≤ 6", ratio_to=FLOOR),
        Figure(
            name="nothing to first message of a session, people included",
            value=first_s / floor_s,
            unit="×",
            aim="≤ 6, better 2",
            ratio_to=FLOOR,
        ),
    ]
