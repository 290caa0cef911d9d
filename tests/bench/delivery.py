"""How delivery is measured, whatever it is compared with: messages one by one or many at once, outages, full stores."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from federation.ports import where
from federation.rows import MailboxHeadRow, MailboxRow
from node import config as configuration
from node.app import open_node
from tests.system.kills import Survived
from tests.system.two_nodes import Device, NodeProcess, Pair, cancelled

from .figures import Figure, percentile
from .floor import FloorNode

#: The padded content of a message with this text is 1 KiB.
TEXT: Final = "x" * 700
AT_ONCE: Final = 32


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


def way(pair: Pair, writer: Device, reader: Device) -> Way:
    """Return the way from one device to the other."""
    return Way(send=writer.send, until=reader.until, read=lambda: [at for _, at in reader.read], nodes=pair.nodes)


@asynccontextmanager
async def listening(device: Device | None) -> AsyncIterator[None]:
    """Let one device read while inside; the floor's reader reads always."""
    with cancelled(*([asyncio.create_task(device.listen())] if device is not None else [])):
        yield


async def one_by_one(way: Way, speed: Speed, count: int) -> None:
    """Send each message when the last one has been read."""
    await _send_and_read(way, 10)  # connections are opened
    cpu_s = way.cpu_s()
    speed.seconds += await _send_and_read(way, count)
    speed.cpu_one.append((way.cpu_s() - cpu_s) / count)


async def _send_and_read(way: Way, count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        before, started = len(way.read()), time.perf_counter()
        await way.send(TEXT)
        await way.until(before + 1)
        seconds.append(way.read()[-1] - started)
    return seconds


async def many(way: Way, speed: Speed, count: int) -> None:
    """Send so many messages, with 32 under way at once."""
    cpu_s, before, started = way.cpu_s(), len(way.read()), time.perf_counter()
    left = iter(range(count))

    async def sender() -> None:
        for _ in left:
            await way.send(TEXT)

    await asyncio.gather(*(sender() for _ in range(AT_ONCE)))
    await way.until(before + count)
    speed.rate.append(count / (time.perf_counter() - started))
    speed.cpu_many.append((way.cpu_s() - cpu_s) / count)


async def skip(device: Device) -> None:
    """Go to where a device's mailbox ends, so that it reads only what comes now."""
    while page := (await device.api.mailbox(device.cursor)).entries:
        device.cursor = page[-1].cursor


class Away(msgspec.Struct, frozen=True):
    """What an outage did: messages that were lost, doubled or out of order, and the last delivery after ready."""

    wrong: int
    last_s: float


async def away(pair: Pair, count: int) -> Away:
    """Stop the reader's node, write a message each 50 ms, start it, and see when the last one is read."""
    mentee, mentor = await pair.devices()
    await skip(mentee)
    async with listening(mentee):
        before = len(mentee.read)
        await pair.aurora.stop()
        for number in range(count):
            await mentor.send(f"{number}")
            await asyncio.sleep(0.05)
        await pair.start_calm(pair.aurora)
        ready = time.perf_counter()
        await mentee.until(before + count)
    texts = [text for text, _ in mentee.read[before:]]
    wrong = sum(text != str(number) for number, text in enumerate(texts))
    return Away(wrong, mentee.read[-1][1] - ready)


async def kept_when_full(pair: Pair, *, stored: int, count: int) -> float:
    """Return the throughput of nodes that hold many messages, as a multiple of the same nodes' before.

    Both times the processes have just been started: a warm one is quicker than a cold one, whatever is stored.
    """
    mentee, mentor = await pair.devices()
    out, empty, full = way(pair, mentor, mentee), Speed(), Speed()
    await pair.calm()
    await skip(mentee)
    async with listening(mentee):
        await many(out, empty, count)
    for node, person in ((pair.aurora, mentee), (pair.cobalt, mentor)):
        await node.stop()
        await _fill(node, person, stored)
    await pair.start_calm()
    await skip(mentee)
    async with listening(mentee):
        await many(out, full, count)
    return full.rate[0] / empty.rate[0]


async def _fill(node: NodeProcess, device: Device, count: int) -> None:
    """Store many messages in one person's mailbox."""
    config = configuration.load(node.directory, {})
    async with open_node(node.directory, config, port=node.port) as opened:
        store = opened.base.store
        async with store.read() as reader:
            (row, *_) = await reader.find(MailboxRow, where(thread=device.thread), order="-cursor", limit=1)
            head = await reader.get(MailboxHeadRow, row.label)
        assert head is not None
        for first in range(1, count, 1000):
            async with store.write() as tx:
                numbers = range(head.cursor + first, head.cursor + first + 1000)
                await tx.put(*(msgspec.structs.replace(row, cursor=number, total=head.total) for number in numbers))
        async with store.write() as tx:
            await tx.put(msgspec.structs.replace(head, cursor=head.cursor + count + 1000))


# What is shown


def compared(name: str, speed: Speed, base: Speed, *, ratio_to: str, aims: Sequence[str] = ("",) * 5) -> list[Figure]:
    """Return the figures of one way beside those of another thing; an aim for each of the ratios."""
    ratios = (
        ("latency p50", percentile(speed.seconds, 50) / percentile(base.seconds, 50)),
        ("latency p99", percentile(speed.seconds, 99) / percentile(base.seconds, 99)),
        ("32 in flight, messages a second", max(speed.rate) / max(base.rate)),
        ("CPU a message, one at a time", min(speed.cpu_one) / min(base.cpu_one)),
        ("CPU a message, 32 in flight", min(speed.cpu_many) / min(base.cpu_many)),
    )
    return [
        Figure(name=f"{name}: latency p50", value=percentile(speed.seconds, 50) * 1000, unit="ms"),
        Figure(name=f"{name}: 32 in flight", value=max(speed.rate), unit="messages/s"),
        *(
            Figure(name=f"{name}: {what}", value=value, unit="×", aim=aim, ratio_to=ratio_to)
            for (what, value), aim in zip(ratios, aims, strict=True)
        ),
    ]


def shown_outage(found: Away, of: str = "") -> list[Figure]:
    """Return the figures of an outage."""
    return [
        Figure(name=f"{of}away: lost, doubled or out of order", value=found.wrong, unit="messages", aim="0"),
        Figure(name=f"{of}away: last delivery after ready", value=found.last_s, unit="s", aim="≤ 5 s, better 1.5 s"),
    ]


def shown_kills(came: Survived, of: str = "") -> list[Figure]:
    """Return the figures of kills."""
    name, worst = f"{of}{len(came.recoveries_s)} × kill -9", max(came.recoveries_s)
    return [
        Figure(name=f"{name}: lost, doubled or out of order", value=came.wrong, unit="messages", aim="0"),
        Figure(name=f"{name}: last delivery after ready, worst", value=worst, unit="s", aim="≤ 5 s, better 2 s"),
    ]


def shown_fullness(ratio: float, *, stored: int, of: str = "") -> Figure:
    """Return the figure of full stores."""
    name = f"{of}throughput with {stored:,} messages stored"
    return Figure(name=name, value=ratio, unit="×", aim="≥ 0.9", ratio_to="the same before")
