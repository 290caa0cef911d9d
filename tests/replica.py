"""A streaming replica of a server of ours, which may be promoted."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cli.demo.cluster import USER, find_programs, make_folder, unprivileged

from .postgres import OwnCluster

_WAIT_S: Final = "30"


class Replica(OwnCluster):
    """Copies the server at a port of loopback, and follows it from there on."""

    STARTED = OwnCluster.STARTED | {"standby"}

    def copy(self, port: int) -> None:
        """Make its files as `docs/how-to/use-postgresql.md` says: a base backup that knows where to go on."""
        source = f"host=127.0.0.1 port={port} user={USER} application_name=replica"
        self._run("pg_basebackup", "-D", str(self.data), "-R", "-X", "stream", "--checkpoint=fast", "-d", source)

    def promote(self) -> None:
        """Return once it takes writes."""
        self._run("pg_ctl", "promote", "-D", str(self.data), "-w", "-t", _WAIT_S)

    def _run(self, program: str, *words: str) -> None:
        run = [str(self._programs / program), *words]
        subprocess.run(run, check=True, capture_output=True, user=unprivileged(), cwd=self.folder)


@contextmanager
def replica_of(primary: OwnCluster, *, through: int, port: int) -> Iterator[Replica]:
    """Yield a replica that follows `primary`, whose port it sees as `through`."""
    folder = make_folder()
    try:
        place = find_programs(folder)
        assert place is not None, f"{primary.folder} runs with them"
        made = Replica(place, folder, port=port)
        made.copy(through)
        try:
            made.start()
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder)
