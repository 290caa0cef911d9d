"""How long nobody signs the log: the process on duty is killed with -9, or stands still with its sessions open.

Two processes serve one node. From the blow until the other one says at `/ready` that it is on duty. A kill ends the
sessions of a process at once; one that stands still leaves the server with sessions that say nothing, as a cut of the
network does.
"""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import aiohttp

from tests.postgres import own_cluster
from tests.system.balanced import Company, Served

from .figures import Figure, percentile

ROUNDS: Final = 4
AIM: Final = "≤ 5 s"
BLOWS: Final = {"kill -9": signal.SIGKILL, "standstill": signal.SIGSTOP}


async def run() -> list[Figure]:
    """Return the usual and the longest time of each blow."""
    with own_cluster() as cluster, tempfile.TemporaryDirectory() as name:
        async with company(Path(name), await cluster.fresh()) as node, aiohttp.ClientSession() as http:
            found = {name: [await _without(node, http, blow) for _ in range(ROUNDS)] for name, blow in BLOWS.items()}
    return [figure for name, seconds in found.items() for figure in shown(f"{name} of the process on duty", seconds)]


def shown(name: str, seconds: list[float]) -> list[Figure]:
    """Return the figures of some takeovers."""
    return [
        Figure(name=f"{name}: takeover, p50 of {len(seconds)}", value=percentile(seconds, 50), unit="s"),
        Figure(name=f"{name}: takeover, worst", value=max(seconds), unit="s", aim=AIM),
    ]


@asynccontextmanager
async def company(folder: Path, url: str) -> AsyncIterator[Company]:
    """Yield a node whose two processes serve."""
    made = Company(folder, "aurora", url)
    await made.make()
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


async def on_duty(served: Served, http: aiohttp.ClientSession) -> bool:
    """Tell whether a process says that it is on duty."""
    try:
        async with http.get(f"http://127.0.0.1:{served.port}/ready") as answer:
            return bool((await answer.json())["on_duty"])
    except aiohttp.ClientError:
        return False


async def _takes_over(candidates: list[Served], http: aiohttp.ClientSession) -> Served:
    """Return the first process that says it is on duty."""
    async with asyncio.timeout(60):
        while True:
            for each in candidates:
                if await on_duty(each, http):
                    return each
            await asyncio.sleep(0.01)


async def _without(node: Company, http: aiohttp.ClientSession, blow: signal.Signals) -> float:
    """Strike the process on duty; return how long it takes until another one is, once the struck one is back."""
    doomed = await _takes_over(list(node.processes), http)
    assert doomed.process is not None
    started = time.perf_counter()
    doomed.process.send_signal(blow)
    await _takes_over([each for each in node.processes if each is not doomed], http)
    took_s = time.perf_counter() - started
    with suppress(ProcessLookupError):
        doomed.process.kill()
    await doomed.process.wait()
    await doomed.start()
    return took_s
