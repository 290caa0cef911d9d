"""One process of a node of the demo: started as `mentormesh serve`, ended.

It ends with this program whatever happens: it is stopped at the end, and it stops by itself when the pipe to this
program breaks.
"""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Final

import cli
from cli.node_access import RunningNode
from cli.output import Failure
from node.keys import operator_token
from node.serving import Ready
from protocol.encoding import decode_loose
from protocol.errors import MeshError, UnavailableError

from .patience import PATIENCE_S

_LOG_TAIL: Final = 2000


class ServeProcess:
    """One process; `ready` says where it answers once it was started."""

    def __init__(self, folder: Path, log: str, program: tuple[str, ...] = ()) -> None:
        """Take the directory of the node, the name of its log there, and what Python runs instead of `serve`."""
        self.folder: Final = folder
        self.ready: Ready | None = None
        self._log: Final = folder / log
        self._program: Final = program or ("-m", "cli.main", "serve", "--dir", str(folder), "--json", "--until-eof")
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> asyncio.subprocess.Process:
        """The process, which was started."""
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        """Its number."""
        return self.running.pid

    @property
    def is_there(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def url(self) -> str:
        """Where it answers, such as `http://127.0.0.1:40027`."""
        assert self.ready is not None
        return self.ready.url

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    @property
    def access(self) -> RunningNode:
        """The way in for an operator."""
        return RunningNode(self.url, operator_token(self.folder), certificate=None)

    async def start(self, who: str) -> None:
        """Start it and return once it answers. Raises: UnavailableError: the node of `who` does not."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._program,
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
            async with asyncio.timeout(PATIENCE_S):
                line = await self._process.stdout.readline()
            self.ready = decode_loose(line, Ready, what="first line of the node")
        except (TimeoutError, MeshError):
            raise UnavailableError(f"the node of {who} did not start: {self._last_words()}") from None

    def _last_words(self) -> str:
        """Return why the node says it cannot start, else where its log is."""
        with contextlib.suppress(OSError, MeshError):
            lines = self._log.read_bytes()[-_LOG_TAIL:].splitlines()
            return decode_loose(lines[-1] if lines else b"", Failure, what="last line of the log").detail
        return f"see {self._log}"

    def signal(self, number: int) -> None:
        """Send a signal unless the process has ended."""
        if self.is_there:
            with contextlib.suppress(ProcessLookupError):
                self.running.send_signal(number)

    async def ended(self) -> None:
        """Return once the process has ended."""
        if self._process is not None:
            await self._process.wait()


def _environment() -> dict[str, str]:
    """Return this program's environment without settings, which would override those of every node."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MENTORMESH_")}
