"""Processes of a node that take steps while their database fails them, and what was seen of it by those who asked."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

from federation.ports import where
from federation.rows import LogEntryRow
from node.clock import SystemClock
from protocol.encoding import b64, sha256
from protocol.errors import MeshError
from protocol.logleaves import AgreementsLeaf, parse_leaf
from protocol.tlog.checkpoint import parse_checkpoint
from protocol.tlog.merkle import root_hash
from tests.node.running import Running, served

#: Less than after what a process doubts that its database is there (`connection.DOUBT_S`).
AT_ONCE_S: Final = 2.0


class Steps:
    """Steps that a process takes one after the other, each a leaf of the log that says who took it."""

    def __init__(self, process: Running, name: str) -> None:
        self._process: Final = process
        self._name: Final = name
        self.acknowledged: Final[list[str]] = []
        #: What was refused for sure.
        self.refused: Final[list[str]] = []

    async def take(self) -> None:
        """Go on for ever; what failed is not tried again."""
        node, number = self._process.node, 0
        while True:
            number += 1
            root = b64(sha256(f"{self._name} {number}".encode()))
            try:
                async with node.base.store.write() as tx:
                    await node.log.sequencer.append(tx, AgreementsLeaf(root=root, until=number))
            except MeshError as error:
                if error.code != "commit-unknown":
                    self.refused.append(root)
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
        return any(seconds < AT_ONCE_S and status == 503 for seconds, status in self.answers[begun:])

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


def signs_more(process: Running, asked: Asked) -> Callable[[], bool]:
    """Return what tells whether a process has signed more of the log than was shown up to now."""
    known = max(asked.checkpoints, default=0)
    return lambda: process.node.base.beside.on_duty and max(asked.checkpoints, default=0) > known


async def check(process: Running, steps: Sequence[Steps], asked: Sequence[Asked]) -> None:
    """Fail if an acknowledged step is not in the log or a refused one is, or a checkpoint is not of this log."""
    async with process.node.base.store.read() as rows:
        entries = await rows.find(LogEntryRow, where(log=1), order="number")
    leaves = [parse_leaf(row.entry) for row in entries]
    roots = [leaf.root for leaf in leaves if isinstance(leaf, AgreementsLeaf)]
    assert len(set(roots)) == len(roots)
    for each in steps:
        assert set(each.acknowledged) <= set(roots)
        assert not set(each.refused) & set(roots)
    for seen in asked:
        for size, root in seen.checkpoints.items():
            assert root_hash([row.hash for row in entries[:size]]) == root
