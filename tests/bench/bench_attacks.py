"""What attackers could measure, and what they leave behind: growth, telling times, memory after idle connections."""

import asyncio
import gc
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from node.keys import same_token
from protocol.errors import MissingError
from tests.attacks.growth import FED, MOST, Task
from tests.attacks.world import NOTHING, World, world
from tests.node.running import ENTITY

from .figures import Figure

PAIRS = 20_000
LOOKS = 4_000
IDLE = 2_000


async def run() -> list[Figure]:
    """Return the worst growth, the strongest difference in time, and what idle connections leave."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * IDLE + 1024)), hard))
    with tempfile.TemporaryDirectory() as folder:
        async with world(
            Path(folder) / "aurora", limits={"connections": 1024, "address_connections": 0, "header_s": 0.2}
        ) as made:
            return [_growth(), _tokens(), await _threads(made), await _memory(made)]


def _best(task: Task) -> float:
    times = []
    gc.disable()  # its rounds come by the number of objects of the whole process
    try:
        for _ in range(30):
            started = time.perf_counter()
            task()
            times.append(time.perf_counter() - started)
    finally:
        gc.enable()
    return min(times)


def _growth() -> Figure:
    found = {name: _best(make(10 * size)) / _best(make(size)) for name, (make, size) in FED.items()}
    worst = max(found, key=lambda name: found[name])
    return Figure(
        name=f"ten times the input, worst of {len(found)}: {worst}",
        value=found[worst],
        unit="×",
        aim=f"≤ {MOST:g}×",
        ratio_to="the time of a tenth",
    )


def _t(one: list[float], other: list[float]) -> float:
    """Return Welch's t of two samples, each without its slowest tenth, which belongs to the machine."""
    cut = [sorted(sample)[: len(sample) * 9 // 10] for sample in (one, other)]
    errors = [statistics.variance(sample) / len(sample) for sample in cut]
    return abs(statistics.mean(cut[0]) - statistics.mean(cut[1])) / (sum(errors) ** 0.5 or 1)


def _tokens() -> Figure:
    right = "A" * 43
    close, far = "A" * 42 + "B", "B" * 43
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * PAIRS):
        given = (close, far)[number % 2]
        started = time.perf_counter()
        same_token(given, right)
        times[number % 2].append(time.perf_counter() - started)
    return Figure(name="a token that is nearly right against one that is not", value=_t(*times), unit="t", aim="< 10 t")


async def _threads(made: World) -> Figure:
    mentee = await made.mentee(made.birch)
    await mentee.accept(await mentee.quote())
    await made.birch.exchanging.outbox.step(ENTITY)
    views = made.node.node.handshakes.views

    async def look(thread: str) -> None:
        try:
            await views.one(made.ana.label, thread, "provider")
        except MissingError:
            return
        raise AssertionError("it is somebody else's")

    there, nowhere = await _timed(lambda: look(mentee.thread), lambda: look(NOTHING))
    return Figure(
        name="somebody else's thread against one that is none",
        value=statistics.median(there) / statistics.median(nowhere),
        unit="×",
        aim="≤ 1.5×",
        ratio_to="the time of none",
    )


async def _timed(*calls: Callable[[], Awaitable[None]]) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in calls]
    for number in range(LOOKS * len(calls)):
        started = time.perf_counter()
        await calls[number % len(calls)]()
        times[number % len(calls)].append(time.perf_counter() - started)
    return times


async def _memory(made: World) -> Figure:
    await _idle(made, 64)
    before = _resident()
    await _idle(made, IDLE)
    return Figure(
        name=f"memory after {IDLE} connections that said nothing",
        value=_resident() / before,
        unit="×",
        aim="≤ 1.1×",
        ratio_to="before",
    )


async def _idle(made: World, count: int) -> None:
    opened = [await asyncio.open_connection("127.0.0.1", made.node.port) for _ in range(count)]
    await asyncio.gather(*(reader.read() for reader, _ in opened))
    for _, writer in opened:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in opened))


def _resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
