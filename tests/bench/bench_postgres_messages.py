"""Messages between two node processes on PostgreSQL, against the same on SQLite in the same run.

The table of `bench_delivery` with another floor: what a node on PostgreSQL takes as a multiple of what one on SQLite
takes. Both pairs take turns, so that a busy machine is busy for both. All databases wait for the disk; those of a pair
on PostgreSQL are two schemas of one server over a Unix socket.
"""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from node.status import NodeStatus, ShowStatus
from tests.postgres import OwnCluster, own_cluster
from tests.system.two_nodes import Device, NodeProcess, Pair, cpu_seconds, paired

from .delivery import Speed, Way, compared, kept_when_full, listening, many, one_by_one, shown_fullness, way
from .figures import Figure

ROUNDS: Final = 2
ONE_BY_ONE: Final = 60
MANY: Final = 500
STORED: Final = 20_000
EMBEDDED: Final = "SQLite"


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """An open session on one kind of store, and both ways of it with the end that reads."""

    pair: Pair
    ways: dict[str, tuple[Way, Device]]
    speeds: dict[str, Speed]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What both nodes hold."""

    resident_mib: float
    disk_bytes: int


async def run() -> list[Figure]:
    """Return the table."""
    with own_cluster(durable=True) as cluster, tempfile.TemporaryDirectory() as name:
        async with served(Path(name) / "file") as file, served(Path(name) / "database", cluster) as database:
            before = [await held(each.pair) for each in (file, database)]
            server_s = [await _round(file, database, cluster) for _ in range(ROUNDS)]
            after = [await held(each.pair) for each in (file, database)]
            figures = []
            for direction, speed in database.speeds.items():
                figures += compared(f"PostgreSQL, {direction}", speed, file.speeds[direction], ratio_to=EMBEDDED)
            figures.append(Figure(name="PostgreSQL itself, CPU a message", value=min(server_s) * 1000, unit="ms"))
            figures += _kept(before, after)
            full = await kept_when_full(database.pair, stored=STORED, count=MANY)
            return [*figures, shown_fullness(full, stored=STORED, of="PostgreSQL, ")]


@asynccontextmanager
async def served(folder: Path, cluster: OwnCluster | None = None) -> AsyncIterator[Served]:
    """Yield two nodes with a session; on SQLite where no server is named."""
    async with paired(folder, *[await node(folder, name, cluster) for name in ("aurora", "cobalt")]) as pair:
        await pair.calm()
        mentee, mentor = await pair.devices()
        ways = {"out": (way(pair, mentor, mentee), mentee), "in": (way(pair, mentee, mentor), mentor)}
        yield Served(pair=pair, ways=ways, speeds={name: Speed() for name in ways})


async def node(folder: Path, name: str, cluster: OwnCluster | None) -> NodeProcess:
    """Return a node that is not made yet."""
    return NodeProcess(folder, name, **({"store": {"url": await cluster.fresh()}} if cluster is not None else {}))


async def held(pair: Pair) -> Held:
    """Return the larger memory, and the bytes of both databases."""
    said: list[NodeStatus] = [await node.operate("node.status", ShowStatus(), NodeStatus) for node in pair.nodes]
    return Held(
        resident_mib=max(node.resident_mib for node in pair.nodes),
        disk_bytes=sum(status.database_bytes for status in said),
    )


async def _round(file: Served, database: Served, cluster: OwnCluster) -> float:
    """Measure all ways once; return processor seconds of the server for each of many messages."""
    server_s = 0.0
    for direction in file.ways:
        for each in (file, database):
            measured, reader = each.ways[direction]
            async with listening(reader):
                await one_by_one(measured, each.speeds[direction], ONE_BY_ONE)
                before_s = server_cpu_s(cluster)
                await many(measured, each.speeds[direction], MANY)
                server_s += server_cpu_s(cluster) - before_s
    return server_s / (MANY * len(file.ways))


def server_cpu_s(cluster: OwnCluster) -> float:
    """Return processor seconds of a server and of its children, also of those that have ended."""
    pid = cluster.pid
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    ended_s = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return ended_s + cpu_seconds(pid) + sum(cpu_seconds(int(child)) for child in children)


def _kept(before: list[Held], after: list[Held]) -> list[Figure]:
    (file, database), (grown_file, grown_database) = before, after
    messages = 2 * ROUNDS * (MANY + ONE_BY_ONE + 10)
    disk = [late.disk_bytes - early.disk_bytes for early, late in zip(before, after, strict=True)]
    ratio = {"unit": "×", "ratio_to": EMBEDDED}
    grown = grown_database.resident_mib / database.resident_mib / (grown_file.resident_mib / file.resident_mib)
    return [
        Figure(name="PostgreSQL, resident memory", value=database.resident_mib / file.resident_mib, **ratio),
        Figure(name=f"PostgreSQL, memory after {messages:,} messages against before", value=grown, **ratio),
        Figure(name="PostgreSQL, disk a message, both nodes", value=disk[1] / messages / 1024, unit="KiB"),
        Figure(name="PostgreSQL, disk a message, both nodes", value=disk[1] / disk[0], **ratio),
    ]
