"""Messages between two real node processes, against a trivial relay in the same run.

The people's clients are in the process of the benchmark and encrypt end to end; processor time is that of both nodes.
`out` is what a mentor writes: the mentor's node orders a session and sends each message on. `in` is what a mentee
writes: it goes to that node, and comes back numbered to the writer's own devices, a second transfer that the floor does
not have. Without the floor nothing is measured: set MENTORMESH_SHARED to the folder that holds it.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from cli.client.views import Shown
from federation.ports import where
from federation.rows import InboxRow, MailboxHeadRow, MailboxRow
from node import config as configuration
from node.app import open_node
from node.clock import SystemEntropy
from protocol.ids import random_id
from tests.cli.client.world import happens
from tests.system.kills import survive
from tests.system.two_nodes import Device, NodeProcess, Pair, met, paired, peered

from .figures import Figure, percentile
from .floor import Floor, FloorNode, floor, floor_program

#: The padded content of a message with this text is 1 KiB.
TEXT: Final = "x" * 700
ONE_BY_ONE: Final = 200
ROUNDS: Final = 2
AT_ONCE: Final = 32
MANY: Final = 2000
SOAK: Final = 10_000
STORED: Final = 50_000
AWAY: Final = 60
KILLS: Final = 20
FLOOR: Final = "the floor"


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One direction to measure: sends a text, waits for so many to be read, and says when each was."""

    send: Callable[[str], Awaitable[None]]
    until: Callable[[int], Awaitable[None]]
    read: Callable[[], Sequence[float]]
    nodes: Sequence[NodeProcess | FloorNode]

    def cpu_s(self) -> float:
        """Processor seconds that both nodes have used."""
        return sum(node.cpu_s for node in self.nodes)


class Speed(msgspec.Struct, kw_only=True):
    """What was found of one way."""

    seconds: list[float] = msgspec.field(default_factory=list)
    cpu_one: list[float] = msgspec.field(default_factory=list)
    rate: list[float] = msgspec.field(default_factory=list)
    cpu_many: list[float] = msgspec.field(default_factory=list)


def run() -> list[Figure]:
    """Return the delivery table of the design."""
    program = floor_program()
    if program is None:
        print("bench_delivery: the floor is missing; set MENTORMESH_SHARED. Nothing was measured.", file=sys.stderr)
        return []
    return asyncio.run(_measure(program))


async def _measure(program: Path) -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tempfile.TemporaryDirectory() as first:
            figures = await _first_message(Path(first), program)
        async with paired(folder) as pair, floor(folder, program) as other:
            await pair.calm()
            figures += await _speeds(pair, other)
            figures += await _soak(pair, other)
            figures += await _away(pair)
            figures += await _filled(pair)
        async with paired(folder / "kills") as pair:
            came = await survive(pair, folder / "kills", cycles=KILLS, seed=1, handshakes=False)
            lost = sum(len(sent) for sent in came.sent) - sum(len(read) for read in came.read)
            figures += [
                Figure(name=f"{KILLS} × kill -9: taken and lost, or read twice", value=lost, unit="messages", aim="0"),
                Figure(
                    name=f"{KILLS} × kill -9: last delivery after ready, worst",
                    value=max(came.recoveries_s),
                    unit="s",
                    aim="≤ 5 s, better 2 s",
                ),
            ]
    return figures


# Latency and throughput


async def _speeds(pair: Pair, other: Floor) -> list[Figure]:
    mentee, mentor = await pair.devices()
    ways = {
        FLOOR: Way(send=other.send, until=other.until, read=lambda: other.read, nodes=other.nodes),
        "out": _way(pair, mentor, mentee),
        "in": _way(pair, mentee, mentor),
    }
    listeners = {"out": mentee, "in": mentor}
    found = {name: Speed() for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            async with _listening(listeners.get(name)):
                await _one_by_one(way, found[name])
                await _many(way, found[name], MANY)
    base = found.pop(FLOOR)
    figures = [
        Figure(name="floor: latency p50", value=percentile(base.seconds, 50) * 1000, unit="ms"),
        Figure(name="floor: 32 in flight", value=max(base.rate), unit="messages/s"),
        Figure(name="floor: CPU a message, 1 / 32 in flight: 1", value=min(base.cpu_one) * 1000, unit="ms"),
    ]
    for name, speed in found.items():
        figures += _compared(name, speed, base)
    return figures


def _way(pair: Pair, writer: Device, reader: Device) -> Way:
    return Way(send=writer.send, until=reader.until, read=lambda: [at for _, at in reader.read], nodes=pair.nodes)


class _listening:  # noqa: N801 -- reads as a verb
    """Let one device read while inside; the floor's reader reads always."""

    def __init__(self, device: Device | None) -> None:
        self._device = device
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        if self._device is not None:
            self._task = asyncio.create_task(self._device.listen())

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()


async def _one_by_one(way: Way, speed: Speed) -> None:
    await _send_and_read(way, 10)  # connections are opened
    cpu_s = way.cpu_s()
    speed.seconds += await _send_and_read(way, ONE_BY_ONE)
    speed.cpu_one.append((way.cpu_s() - cpu_s) / ONE_BY_ONE)


async def _send_and_read(way: Way, count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        before, started = len(way.read()), time.perf_counter()
        await way.send(TEXT)
        await way.until(before + 1)
        seconds.append(way.read()[-1] - started)
    return seconds


async def _many(way: Way, speed: Speed, count: int) -> None:
    cpu_s, before, started = way.cpu_s(), len(way.read()), time.perf_counter()
    left = iter(range(count))

    async def sender() -> None:
        for _ in left:
            await way.send(TEXT)

    await asyncio.gather(*(sender() for _ in range(AT_ONCE)))
    await way.until(before + count)
    speed.rate.append(count / (time.perf_counter() - started))
    speed.cpu_many.append((way.cpu_s() - cpu_s) / count)


def _compared(name: str, speed: Speed, base: Speed) -> list[Figure]:
    def ratio(what: str, value: float, floor_value: float, aim: str) -> Figure:
        return Figure(name=f"{name}: {what}", value=value / floor_value, unit="×", aim=aim, ratio_to=FLOOR)

    return [
        Figure(name=f"{name}: latency p50", value=percentile(speed.seconds, 50) * 1000, unit="ms"),
        ratio("latency p50", percentile(speed.seconds, 50), percentile(base.seconds, 50), "≤ 2, better 1.4"),
        ratio("latency p99", percentile(speed.seconds, 99), percentile(base.seconds, 99), "≤ 2.5, better 1.5"),
        Figure(name=f"{name}: 32 in flight", value=max(speed.rate), unit="messages/s"),
        ratio("32 in flight, messages a second", max(speed.rate), max(base.rate), "≥ 0.35, better 0.6"),
        ratio("CPU a message, one at a time", min(speed.cpu_one), min(base.cpu_one), "≤ 2, better 1.3"),
        ratio("CPU a message, 32 in flight", min(speed.cpu_many), min(base.cpu_many), "≤ 3, better 1.7"),
    ]


# Memory, disk, fullness


async def _soak(pair: Pair, other: Floor) -> list[Figure]:
    """Measure memory and disk over many messages."""
    mentee, mentor = await pair.devices()
    idle, disk = [node.resident_mib for node in pair.nodes], sum(node.disk_bytes for node in pair.nodes)
    await _skip(mentee)
    async with _listening(mentee):
        await _many(_way(pair, mentor, mentee), Speed(), SOAK)
    after = [node.resident_mib for node in pair.nodes]
    grown = max(late / early - 1 for late, early in zip(after, idle, strict=True))
    used = (sum(node.disk_bytes for node in pair.nodes) - disk) / SOAK
    resident = max(idle) / max(node.resident_mib for node in other.nodes)
    return [
        Figure(name="resident memory", value=max(idle), unit="MiB"),
        Figure(name="resident memory", value=resident, unit="×", aim="≤ 1.7, better 1.3", ratio_to=FLOOR),
        Figure(name=f"growth over {SOAK:,} messages", value=grown * 100, unit="%", aim="≤ 10 %, better 5 %"),
        Figure(name="disk a message, both nodes", value=used / 1024, unit="KiB", aim="≤ 4, better 2.5"),
    ]


async def _skip(device: Device) -> None:
    """Go to where a device's mailbox ends, so that it reads only what comes now."""
    while page := (await device.api.mailbox(device.cursor)).entries:
        device.cursor = page[-1].cursor


async def _filled(pair: Pair) -> list[Figure]:
    """Compare the throughput of nodes that hold many messages with that of the same nodes before.

    Both times the processes have just been started: a warm one is quicker than a cold one, whatever is stored.
    """
    mentee, mentor = await pair.devices()
    way, empty, full = _way(pair, mentor, mentee), Speed(), Speed()
    await pair.calm()
    await _skip(mentee)
    async with _listening(mentee):
        await _many(way, empty, MANY)
    for node, person in ((pair.aurora, mentee), (pair.cobalt, mentor)):
        await node.stop()
        await _fill(node, person)
    await pair.start_calm()
    await _skip(mentee)
    async with _listening(mentee):
        await _many(way, full, MANY)
    return [
        Figure(
            name=f"throughput with {STORED:,} messages stored",
            value=full.rate[0] / empty.rate[0],
            unit="×",
            aim="≥ 0.9",
            ratio_to="the same before",
        )
    ]


async def _fill(node: NodeProcess, device: Device) -> None:
    """Store many messages in one person's mailbox, and what the inbox remembers of them."""
    config = configuration.load(node.directory, {})
    entropy = SystemEntropy()
    async with open_node(node.directory, config, port=node.port) as opened:
        store = opened.base.store
        async with store.read() as reader:
            (row, *_) = await reader.find(MailboxRow, where(thread=device.thread), order="-cursor", limit=1)
            head = await reader.get(MailboxHeadRow, row.label)
        assert head is not None
        for first in range(1, STORED, 1000):
            async with store.write() as tx:
                numbers = range(head.cursor + first, head.cursor + first + 1000)
                await tx.put(*(msgspec.structs.replace(row, cursor=number, total=head.total) for number in numbers))
                await tx.put(*(_remembered(random_id(entropy.take(16))) for _ in numbers))
        async with store.write() as tx:
            await tx.put(msgspec.structs.replace(head, cursor=head.cursor + STORED + 1000))


def _remembered(mid: str) -> InboxRow:
    return InboxRow(peer="https://dune.example", mid=mid, hash="A" * 43, outcome=bytes(64), purge_at=2**33)


# Outages and beginnings


async def _away(pair: Pair) -> list[Figure]:
    """Stop the reader's node, write, start it, and see when the last message is read."""
    mentee, mentor = await pair.devices()
    await _skip(mentee)
    async with _listening(mentee):
        before = len(mentee.read)
        await pair.aurora.stop()
        for number in range(AWAY):
            await mentor.send(f"{number}")
            await asyncio.sleep(0.05)
        await pair.start_calm(pair.aurora)
        ready = time.perf_counter()
        await mentee.until(before + AWAY)
    texts = [text for text, _ in mentee.read[before:]]
    return [
        Figure(
            name=f"away for {AWAY * 0.05:.0f} s: lost, doubled or out of order",
            value=sum(text != str(number) for number, text in enumerate(texts)),
            unit="messages",
            aim="0",
        ),
        Figure(
            name="away: last delivery after ready",
            value=mentee.read[-1][1] - ready,
            unit="s",
            aim="≤ 5 s, better 1.5 s",
        ),
    ]


async def _first_message(folder: Path, program: Path) -> list[Figure]:
    """Measure from nothing to the first message."""
    started = time.perf_counter()
    async with floor(folder, program) as other:
        await other.send(TEXT)
        await other.until(1)
        floor_s = time.perf_counter() - started
    started = time.perf_counter()
    nodes = await peered(folder / "peered")
    peered_s = time.perf_counter() - started
    for node in nodes:
        await node.stop()
    started = time.perf_counter()
    async with met(folder / "met") as pair:
        await pair.ben.send_chat(pair.thread, TEXT)
        shown = await happens(pair.ana, Shown)
        first_s = time.perf_counter() - started
    assert shown.text == TEXT
    return [
        Figure(name="floor: nothing to first message", value=floor_s, unit="s"),
        Figure(name="nothing to two peers", value=peered_s / floor_s, unit="×", aim="≤ 6", ratio_to=FLOOR),
        Figure(
            name="nothing to first message of a session, people included",
            value=first_s / floor_s,
            unit="×",
            aim="≤ 6, better 2",
            ratio_to=FLOOR,
        ),
    ]
