"""Two processes for each company against one, and requests while one of three processes is killed every 2 s.

All companies have schemas of one server over a Unix socket, whose commits wait for the disk, and a balancer in front.
On few processors, a second process shares them with the first one, the server, and the clients that measure.
"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.postgres import OwnCluster, own_cluster
from tests.system.balanced import Company, Served
from tests.system.two_nodes import Device, Pair, paired

from .delivery import AT_ONCE, Speed, Way, listening, many, way
from .figures import Figure, percentile

ROUNDS: Final = 3
MANY: Final = 300
#: People who write at once while processes are killed, each message a little after the last one was taken.
WRITERS: Final = 4
PAUSE_S: Final = 0.05
KILL_EVERY_S: Final = 2
KILLS: Final = 10


async def run() -> list[Figure]:
    """Return the table."""
    with own_cluster(durable=True) as cluster, tempfile.TemporaryDirectory() as name:
        return [*await _two_against_one(cluster, Path(name)), *await _killed(cluster, Path(name))]


@asynccontextmanager
async def pair_of(cluster: OwnCluster, folder: Path, aurora: int, cobalt: int) -> AsyncIterator[Pair]:
    """Yield two companies of so many processes, with a session."""
    made = [
        Company(folder, name, await cluster.fresh(), processes=count)
        for name, count in (("aurora", aurora), ("cobalt", cobalt))
    ]
    async with paired(folder, *made) as pair:
        await pair.calm()
        yield pair


async def _two_against_one(cluster: OwnCluster, folder: Path) -> list[Figure]:
    async with (
        pair_of(cluster, folder / "one", 1, 1) as one,
        pair_of(cluster, folder / "two", 2, 2) as two,
    ):
        ways = [await _out(pair) for pair in (one, two)]
        speeds = [Speed(), Speed()]
        for _ in range(ROUNDS):
            for (measured, reader), speed in zip(ways, speeds, strict=True):
                async with listening(reader):
                    await many(measured, speed, MANY)
    single, double = speeds
    alone = {"unit": "×", "ratio_to": "one process each"}
    name = f"two processes each, {AT_ONCE} in flight"
    return [
        Figure(name=f"one process each, {AT_ONCE} in flight", value=max(single.rate), unit="messages/s"),
        Figure(name=f"{name}, messages a second", value=max(double.rate) / max(single.rate), **alone),
        Figure(name=f"{name}, CPU a message", value=min(double.cpu_many) / min(single.cpu_many), **alone),
    ]


async def _out(pair: Pair) -> tuple[Way, Device]:
    mentee, mentor = await pair.devices()
    return way(pair, mentor, mentee), mentee


async def _killed(cluster: OwnCluster, folder: Path) -> list[Figure]:
    """Write at a steady pace, first undisturbed, then while processes of the writer's company are killed."""
    async with pair_of(cluster, folder / "three", 1, 3) as pair:
        company = pair.cobalt
        assert isinstance(company, Company)
        mentee, mentor = await pair.devices()
        async with listening(mentee):
            calm = await _write_during(mentor, asyncio.sleep(KILL_EVERY_S * KILLS / 2))
            killed = await _write_during(mentor, _kill(company.processes))
            await mentee.until(len(mentor.sent))
    said, came = Counter(mentor.sent), Counter(text for text, _ in mentee.read)
    name = f"{KILLS} × kill -9 of one of three processes"
    usual_s = percentile(calm, 99)
    return [
        Figure(name=f"three processes undisturbed: requests, p99 of {len(calm)}", value=usual_s * 1000, unit="ms"),
        Figure(name=f"{name}: p50 of {len(killed)}", value=percentile(killed, 50) * 1000, unit="ms"),
        Figure(name=f"{name}: p99", value=percentile(killed, 99) * 1000, unit="ms"),
        Figure(name=f"{name}: p99", value=percentile(killed, 99) / usual_s, unit="×", ratio_to="undisturbed"),
        Figure(name=f"{name}: longest", value=max(killed), unit="s"),
        Figure(name=f"{name}: lost", value=(said - came).total(), unit="messages", aim="0"),
        Figure(name=f"{name}: doubled", value=(came - said).total(), unit="messages", aim="0"),
    ]


async def _write_during(device: Device, disturbance: Coroutine[None, None, None]) -> list[float]:
    """Return how long each message took to be taken, asking again included, until the disturbance has ended."""
    seconds: list[float] = []
    over = asyncio.Event()

    async def write(writer: int) -> None:
        while not over.is_set():
            started = time.perf_counter()
            await device.send(f"{writer} {started}")
            seconds.append(time.perf_counter() - started)
            await asyncio.sleep(PAUSE_S)

    writing = [asyncio.create_task(write(number)) for number in range(WRITERS)]
    await disturbance
    over.set()
    await asyncio.gather(*writing)
    return seconds


async def _kill(processes: Sequence[Served]) -> None:
    """Kill one process after the other, and start each again at once."""
    starting = []
    for number in range(KILLS):
        doomed = processes[number % len(processes)]
        await doomed.kill()
        starting.append(asyncio.create_task(doomed.start()))
        await asyncio.sleep(KILL_EVERY_S)
    await asyncio.gather(*starting)
