"""A line to the database that swallows everything without a word: who is cut off stops, and another one goes on."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from federation.ports import where
from federation.rows import LogEntryRow
from node.clock import SystemClock
from protocol.encoding import b64, sha256
from protocol.errors import MeshError
from protocol.logleaves import AgreementsLeaf, parse_leaf
from protocol.tlog.checkpoint import parse_checkpoint
from protocol.tlog.merkle import root_hash
from tests.lines import Line
from tests.node.pairing import organization
from tests.node.running import Running, free_port, make_directory, served
from tests.postgres import own_cluster

pytestmark = pytest.mark.slow

#: Another process signs the log by then, as we promise.
TAKEOVER_S: Final = 5.0
#: Whoever asks the process that is cut off is told by then.
TOLD_S: Final = 9.0
PATIENCE_S: Final = 30.0


class Steps:
    """Steps that a process takes one after the other, each a leaf of the log that says who took it."""

    def __init__(self, process: Running, name: str) -> None:
        self._process: Final = process
        self._name: Final = name
        self.acknowledged: Final[list[str]] = []

    async def take(self) -> None:
        """Go on for ever; what failed is not tried again."""
        node, number = self._process.node, 0
        while True:
            number += 1
            root = b64(sha256(f"{self._name} {number}".encode()))
            try:
                async with node.base.store.write() as tx:
                    await node.log.sequencer.append(tx, AgreementsLeaf(root=root, until=number))
            except MeshError:
                await asyncio.sleep(0.05)
            else:
                self.acknowledged.append(root)


class Asked:
    """What came back from a process for its checkpoint, and after how long."""

    def __init__(self, process: Running) -> None:
        self._process: Final = process
        self._under_way: Final[set[asyncio.Task[None]]] = set()
        self.checkpoints: Final[dict[int, bytes]] = {}
        #: After how many seconds, and with which status.
        self.answers: Final[list[tuple[float, int]]] = []

    def is_told_at_once(self, begun: int) -> bool:
        """Tell whether an answer after the first `begun` says at once that the database is away."""
        return any(seconds < 0.5 and status == 503 for seconds, status in self.answers[begun:])

    async def ask(self) -> None:
        """Ask for ever, ten times a second, whether there were answers or not."""
        async with aiohttp.ClientSession(headers=self._process.api) as http:
            try:
                while True:
                    task = asyncio.create_task(self._once(http))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
                    await asyncio.sleep(0.1)
            finally:
                await asyncio.gather(*self._under_way)

    async def _once(self, http: aiohttp.ClientSession) -> None:
        asked = time.monotonic()
        async with http.get(f"{self._process.url}/log/checkpoint") as answer:
            text = await answer.read()
            self.answers.append((time.monotonic() - asked, answer.status))
            if answer.status == 200:
                found = parse_checkpoint(text).checkpoint
                assert self.checkpoints.setdefault(found.size, found.root) == found.root
            elif answer.status != 404:  # nothing is signed yet
                assert answer.status == 503
                assert int(answer.headers["Retry-After"]) >= 1


@asynccontextmanager
async def working(directory: Path, seed: int) -> AsyncIterator[Running]:
    """Run a process with all its jobs."""
    async with served(directory, clock=SystemClock(), seed=seed) as process:
        watch = asyncio.create_task(process.node.base.store.lost())
        process.node.start_jobs()
        yield process
        assert not watch.done()
        watch.cancel()


@asynccontextmanager
async def two(folder: Path) -> AsyncIterator[tuple[Line, Running, Running]]:
    """Yield two processes of a node, the first on duty and at the end of a line that may be cut."""
    port = free_port()
    with own_cluster(port=port) as cluster:
        url = await cluster.fresh()
        async with AsyncExitStack() as stack:
            line = await stack.enter_async_context(Line(port))
            through = url.replace(f":{port}/", f":{line.port}/")
            directory = make_directory(folder / "one", organization("aurora", store={"url": through, "several": True}))
            one = await stack.enter_async_context(working(directory, 1))
            await until(lambda: one.node.base.beside.on_duty)
            shutil.copytree(directory, folder / "other")
            settings = folder / "other" / "mentormesh.toml"
            settings.write_text(settings.read_text().replace(through, url))
            yield line, one, await stack.enter_async_context(working(folder / "other", 2))


async def until(look: Callable[[], bool]) -> float:
    """Return after how many seconds `look` says so."""
    begun = time.monotonic()
    async with asyncio.timeout(PATIENCE_S):
        while not look():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
    return time.monotonic() - begun


def signs_more(process: Running, asked: Asked) -> Callable[[], bool]:
    """Return what tells whether a process has signed more of the log than was shown up to now."""
    known = max(asked.checkpoints, default=0)
    return lambda: process.node.base.beside.on_duty and max(asked.checkpoints, default=0) > known


WAYS: Final = [
    pytest.param(True, id="both"),
    pytest.param(False, id="from the database", marks=pytest.mark.long),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("from_process", WAYS)
async def test_a_process_that_is_cut_off_without_a_word_stops_another_goes_on_and_it_comes_back(
    tmp_path: Path, *, from_process: bool
) -> None:
    async with two(tmp_path) as (line, one, other):
        steps = Steps(one, "one"), Steps(other, "other")
        asked = Asked(one), Asked(other)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each.take()) for each in steps]
            tasks += [group.create_task(each.ask()) for each in asked]
            await until(signs_more(one, asked[1]))
            line.cut(from_process=from_process)
            begun = len(asked[0].answers)
            signs = signs_more(other, asked[1])
            assert await until(lambda: other.node.base.beside.on_duty) < TAKEOVER_S
            await until(signs)
            with pytest.raises(MeshError):
                await one.node.log.sequencer.sequence()
            assert not one.node.base.beside.on_duty
            await until(lambda: asked[0].is_told_at_once(begun))
            taken = len(steps[0].acknowledged)
            line.heal()
            await until(lambda: len(steps[0].acknowledged) > taken and asked[0].answers[-1][1] == 200)
            for task in tasks:
                task.cancel()
        assert max(seconds for seconds, _ in asked[0].answers) < TOLD_S
        assert max(seconds for seconds, _ in asked[1].answers) < TAKEOVER_S
        await check(other, steps, asked)


async def check(process: Running, steps: tuple[Steps, ...], asked: tuple[Asked, ...]) -> None:
    """Fail if an acknowledged step is not in the log, one is there twice, or a checkpoint is not of this log."""
    async with process.node.base.store.read() as rows:
        entries = await rows.find(LogEntryRow, where(log=1), order="number")
    leaves = [parse_leaf(row.entry) for row in entries]
    roots = [leaf.root for leaf in leaves if isinstance(leaf, AgreementsLeaf)]
    assert len(set(roots)) == len(roots)
    assert {root for each in steps for root in each.acknowledged} <= set(roots)
    for seen in asked:
        for size, root in seen.checkpoints.items():
            assert root_hash([row.hash for row in entries[:size]]) == root
