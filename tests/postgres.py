"""A real PostgreSQL server for the tests: in a temporary directory, over a Unix socket, as an unprivileged user.

The programs come with the development dependencies; a PostgreSQL of the system does as well. With TEST_POSTGRES_URL the
server stands elsewhere, and its user must be allowed to create schemas.
"""

import itertools
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from cli.demo.cluster import USER, OwnServer, find_programs, make_folder

VARIABLE: Final = "TEST_POSTGRES_URL"
#: A test that dies loses its files anyway, so nothing waits for a disk. Commits stay as durable as they say.
SETTINGS: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "log_min_messages": "log",
}
#: What figures need: commits that wait for a disk, tables that are kept tidy, and the memory of a server in earnest.
EARNEST: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
}


class Cluster:
    """A server that runs; every test has a schema of its own in it."""

    def __init__(self, url: str) -> None:
        self.url = url
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


class OwnCluster(OwnServer, Cluster):
    """A server of ours, which may also be stopped and started again.

    Args:
        durable: whether it works as one in earnest, whose commits wait for the disk; only figures need it.
        port: where it listens on loopback, 0: nowhere; its socket is named by it.
    """

    def __init__(self, programs: Path, folder: Path, *, durable: bool = False, port: int = 0) -> None:
        place = {"listen_addresses": "127.0.0.1", "port": str(port)} if port else {}
        OwnServer.__init__(self, programs, folder, SETTINGS | (EARNEST if durable else {}) | place)
        Cluster.__init__(self, f"postgresql://{USER}@127.0.0.1:{port}/postgres" if port else self.url)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the server do nothing at all while inside, as if it hung: connections stay, and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)  # first, so that it has no more children afterwards
        children = [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in (*children, self.pid):
                os.kill(pid, signal.SIGCONT)

    def crash(self) -> None:
        """Stop the server as a crash does: what it had in memory alone is gone."""
        os.kill(self.pid, signal.SIGQUIT)
        self.stop()

    async def configure(self, setting: str) -> None:
        """Let the server that runs go on with a setting, once it has taken it over."""
        await self.script(f"ALTER SYSTEM SET {setting}")
        await self.script("SELECT pg_reload_conf()")


async def script(url: str, text: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(text)
    finally:
        await connection.close()


@contextmanager
def own_cluster(*, durable: bool = False, port: int = 0) -> Iterator[OwnCluster]:
    """Yield a server that runs and goes away in the end; skips the test where there is no PostgreSQL."""
    folder = make_folder()
    try:
        place = find_programs(folder)
        if place is None:
            pytest.skip(f"NOT TESTED: no PostgreSQL that runs here; install one or set {VARIABLE}")
        server = OwnCluster(place, folder, durable=durable, port=port)
        server.make()
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Yield the server that the environment names, or one of our own."""
    if url := os.environ.get(VARIABLE):
        yield Cluster(url)
        return
    with own_cluster() as server:
        yield server
