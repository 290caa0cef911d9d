"""The nodes of the demo: made, started as `mentormesh serve` processes of their own, asked as an operator, stopped.

A node ends with this program whatever happens: it is stopped at the end, and it stops by itself when the pipe to this
program breaks.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

import cli
from cli.node_access import RunningNode
from cli.output import Failure
from node.birth import create_node
from node.clock import SystemEntropy
from node.keys import operator_token
from node.operations import Command
from node.serving import Ready
from protocol.encoding import decode_loose
from protocol.errors import MeshError, UnavailableError

from .companies import Company, Plan

T = TypeVar("T")

START_S: Final = 30.0
#: Stopping takes at most this long; the nodes themselves get `[limits] stop_s` for what runs.
STOP_S: Final = 7.0
KILL_S: Final = 2.0
LOG_FILE: Final = "serve.log"
FAMILIES_FILE: Final = "families.json"
_LOG_TAIL: Final = 2000

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
    """One node; `ready` says where it answers once it was started."""

    def __init__(self, company: Company, folder: Path, changes: Settings | None = None) -> None:
        """Take where it lives; `changes` are settings on top of those of every demo node."""
        self.company: Final = company
        self.folder: Final = folder
        self._changes: Final = changes or {}
        self.ready: Ready | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def plan(self) -> Plan:
        """What the company is."""
        return self.company.plan

    @property
    def database(self) -> Path:
        """The database file."""
        return self.folder / "data" / "node.db"

    @property
    def url(self) -> str:
        """Where the node answers, such as `http://127.0.0.1:40027`."""
        assert self.ready is not None
        return self.ready.url

    @property
    def program(self) -> tuple[str, ...]:
        """What Python runs as this node."""
        return "-m", "cli.main", "serve", "--dir", str(self.folder), "--json", "--until-eof"

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def make(self) -> None:
        """Make the node's directory. Raises: RefusedError: it cannot be made."""
        chosen = settings(self.plan)
        for section, values in self._changes.items():
            chosen[section] = {**chosen.get(section, {}), **values}
        create_node(self.folder, chosen, SystemEntropy())
        (self.folder / FAMILIES_FILE).write_bytes(msgspec.json.encode(self.company.family_map()))

    async def start(self) -> None:
        """Start the process and return once it answers. Raises: UnavailableError: it does not."""
        with (self.folder / LOG_FILE).open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.program,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=Path(cli.__file__).parent.parent,
                env=_environment(),
                # Ctrl-C at the terminal reaches this program alone, which then stops the nodes in order.
                start_new_session=True,
            )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                line = await self._process.stdout.readline()
            self.ready = decode_loose(line, Ready, what="first line of the node")
        except (TimeoutError, MeshError):
            raise UnavailableError(
                f"the node of {self.plan.display_name} did not start: {self._last_words()}"
            ) from None

    def _last_words(self) -> str:
        """Return why the node says it cannot start, else where its log is."""
        with contextlib.suppress(OSError, MeshError):
            lines = (self.folder / LOG_FILE).read_bytes()[-_LOG_TAIL:].splitlines()
            return decode_loose(lines[-1] if lines else b"", Failure, what="last line of the log").detail
        return f"see {self.folder / LOG_FILE}"

    async def ask(self, name: str, command: Command, kind: type[T]) -> T:
        """Return the result of an operator's operation."""
        access = RunningNode(self.url, operator_token(self.folder), certificate=None)
        return await access.call(name, command, kind)

    def signal(self, number: int) -> None:
        """Send a signal unless the process has ended."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def ended(self) -> None:
        """Return once the process has ended."""
        if self._process is not None:
            await self._process.wait()


def _environment() -> dict[str, str]:
    """Return this program's environment without settings, which would override those of every node."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MENTORMESH_")}


async def start_all(nodes: Iterable[NodeProcess]) -> None:
    """Make and start the nodes side by side. Raises: MeshError: of the first that failed, after all have settled."""
    results = await asyncio.gather(*(_make_and_start(node) for node in nodes), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def _make_and_start(node: NodeProcess) -> None:
    node.make()
    await node.start()


async def stop_all(nodes: Iterable[NodeProcess]) -> None:
    """Stop every node within ten seconds; what does not end in time is killed."""
    everybody = tuple(nodes)
    for number, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, KILL_S)):
        for node in everybody:
            node.signal(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await asyncio.gather(*(node.ended() for node in everybody))
                return
