"""The nodes of the demo: made, started as processes of their own, asked as an operator, looked into, stopped."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from cli.node_access import RunningNode
from federation.ports import Reader
from node.birth import create_node
from node.clock import SystemEntropy
from node.keys import operator_token
from node.operations import Command
from node.store.inspection import Where, look_into

from .companies import Company, Plan
from .process import ServeProcess

T = TypeVar("T")

#: Stopping takes at most this long; the nodes themselves get `[limits] stop_s` for what runs.
STOP_S: Final = 7.0
KILL_S: Final = 2.0
LOG_FILE: Final = "serve.log"
FAMILIES_FILE: Final = "families.json"

#: Values by section and name.
Settings = Mapping[str, Mapping[str, Any]]


def settings(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return the settings of a demo node: the product's own, but for clocks that run in seconds."""
    return {
        "node": {"entity": plan.entity, "listen": "127.0.0.1:0", "name": plan.name},
        "org": {
            "display_name": plan.display_name,
            "kind": "company",
            "sector": plan.sector,
            "size_band": plan.size_band,
            "countries": [plan.country],
            "website": plan.entity,
            "languages": ["en", plan.language],
            "time_zone": plan.zone,
        },
        "mail": {"mode": "drop", "sender": f"mentoring@{plan.name}.example"},
        "limits": {"stop_s": 2.0},
        # Editions of seconds. Purge rounds count editions, so they must be far apart: nothing ends during a demo.
        # Heads too, so that a log can be watched growing.
        "editions": {"edition_s": 5.0, "purge_every": 1_000_000, "mean_delay": 0, "poll_s": 1.0, "head_every_s": 5.0},
        "directory": {"gap_s": 1.0},
        # One visitor asks more often in a minute than a company of this size in a day.
        "handshake": {"tick_ms": 50, "flush_s": 0.05, "quota_least": 50, "sweep_s": 0.5},
        "log": {"watch_s": 2.0},
        "vocabulary": {"families": FAMILIES_FILE},
        "development": {"enabled": True},
    }


class NodeProcess:
    """One node, which one process serves."""

    def __init__(self, company: Company, folder: Path, changes: Settings | None = None) -> None:
        """Take where it lives; `changes` are settings on top of those of every demo node."""
        self.company: Final = company
        self.folder: Final = folder
        self._changes: Final = changes or {}
        self.processes: Final = self._planned()

    def _planned(self) -> tuple[ServeProcess, ...]:
        return (ServeProcess(self.folder, LOG_FILE),)

    @property
    def plan(self) -> Plan:
        """What the company is."""
        return self.company.plan

    @property
    def database(self) -> Where:
        """The file of its rows."""
        return self.folder / "data" / "node.db"

    @property
    def url(self) -> str:
        """Where the node answers, such as `http://127.0.0.1:40027`."""
        return self.processes[0].url

    async def open(self) -> None:
        """Get ready what the node's directory needs to name. Raises: MeshError."""

    def make(self) -> None:
        """Make the node's directory. Raises: RefusedError: it cannot be made."""
        chosen = settings(self.plan)
        for section, values in self._settings():
            chosen[section] = {**chosen.get(section, {}), **values}
        create_node(self.folder, chosen, SystemEntropy())
        (self.folder / FAMILIES_FILE).write_bytes(msgspec.json.encode(self.company.family_map()))

    def _settings(self) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """Return settings on top of those of every demo node."""
        return self._changes.items()

    async def start(self) -> None:
        """Start its processes and return once all answer. Raises: UnavailableError: one does not."""
        for process in self.processes:
            await process.start(self.plan.display_name)

    async def ask(self, name: str, command: Command, kind: type[T]) -> T:
        """Return the result of an operator's operation."""
        access = RunningNode(self.url, operator_token(self.folder), certificate=None)
        return await access.call(name, command, kind)

    def look(self) -> AbstractAsyncContextManager[Reader]:
        """Read its rows as its administrator can, passing by the node. Raises: MeshError."""
        return look_into(self.database, now=int(time.time()))

    async def close(self) -> None:
        """Let go of what `open` has got, after all processes have ended."""


async def start_all(nodes: Iterable[NodeProcess]) -> None:
    """Make and start the nodes side by side. Raises: MeshError: of the first that failed, after all have settled."""
    results = await asyncio.gather(*(_make_and_start(node) for node in nodes), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def _make_and_start(node: NodeProcess) -> None:
    await node.open()
    node.make()
    await node.start()


async def stop_all(nodes: Iterable[NodeProcess]) -> None:
    """Stop every node within ten seconds; what does not end in time is killed."""
    everybody = tuple(nodes)
    processes = [process for node in everybody for process in node.processes]
    for number, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, KILL_S)):
        for process in processes:
            process.signal(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await asyncio.gather(*(process.ended() for process in processes))
                break
    await asyncio.gather(*(node.close() for node in everybody))
