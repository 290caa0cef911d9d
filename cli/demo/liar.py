"""A node that tells two stories, for `mentormesh demo --attack equivocation`: honest until it is told to fork.

It is the product's own node, on the product's own keys. When it forks, its directory is copied, and from then on two
copies run: each shows itself to some peers only, and each signs the next head of its set and the next checkpoint of its
log by itself. This is what a dishonest operator can do, and what a restored snapshot beside a running node does.

One JSON object a line: `Ready` and `Doors` come first, then an answer to each `Order` on standard input.
"""

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from federation.ports import Reader
from federation.publisher import HeadPolicy, PublisherService, newest_head, own_pages
from node import config as configuration
from node import lock as locking
from node.api.app import build_app
from node.api.server import Runner, bind
from node.app import Node, open_node
from node.serving import announcement
from node.telemetry import adopt_library_logs
from protocol.commitments import Opening
from protocol.encoding import decode_loose
from protocol.errors import MissingError
from protocol.pages import decode_page
from protocol.tlog.checkpoint import parse_checkpoint
from protocol.tlog.lines import base64_text

LOCAL: Final = "127.0.0.1"
STOP_S: Final = 2.0
LOOK_EVERY_S: Final = 0.05


class Doors(msgspec.Struct, frozen=True, kw_only=True):
    """Loopback addresses at which the node answers: after the fork, each with a story of its own."""

    first: str
    second: str


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the liar is to do next.

    fork: run two copies, the second in the directory `second`; `unseen` are the peers that each copy avoids.
    tell: sign the next head of the set shown to `audience`, in the second story without half of the offers.
    sign: sign the next checkpoint of both logs, and have each cosigned by the peers that see it.
    """

    do: Literal["fork", "tell", "sign"]
    second: str = ""
    unseen: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    audience: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What one copy says now: number of its head and of the offers in it; size and root (base64) of its log."""

    seq: int = 0
    offers: int = 0
    size: int = 0
    root: str = ""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an order: what each copy says."""

    stories: tuple[Told, ...]


class Liar:
    """The two copies, and the doors they answer at."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        sockets = bind(LOCAL, 0), bind(LOCAL, 0)
        self._ports: Final = tuple(int(one.getsockname()[1]) for one in sockets)
        self._sockets: Final = sockets
        self._running: Final = AsyncExitStack()
        self._copies: tuple[Node, ...] = ()

    @property
    def doors(self) -> Doors:
        """Where it answers."""
        first, second = (f"{LOCAL}:{port}" for port in self._ports)
        return Doors(first=first, second=second)

    async def begin(self) -> Node:
        """Run one honest node that answers at both doors."""
        node = await self._running.enter_async_context(answering(self._folder, self._ports[0], *self._sockets))
        adopt_library_logs(node.base.events.log)
        node.start_jobs()
        return node

    async def obey(self, order: Order) -> Done:
        """Do as told. Raises: MeshError."""
        match order.do:
            case "fork":
                await self._fork(Path(order.second), order.unseen)
                return Done(stories=(Told(), Told()))
            case "tell":
                first, second = self._copies
                return Done(
                    stories=(await _tell(first, order.audience), await _tell(second, order.audience, half=True))
                )
            case "sign":
                return Done(stories=tuple([await _sign(each) for each in self._copies]))

    async def _fork(self, second: Path, unseen: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
        await self._running.aclose()
        await asyncio.to_thread(shutil.copytree, self._folder, second)
        copies = []
        for folder, port, avoided in zip((self._folder, second), self._ports, unseen, strict=True):
            door = bind(LOCAL, port)
            node = await self._running.enter_async_context(answering(folder, port, door))
            for entity in avoided:
                await node.peering.service.set_mode(entity, "blocked", reason="sees the other story")
            copies.append(node)
        self._copies = tuple(copies)

    async def end(self) -> None:
        """Stop everything."""
        await self._running.aclose()


@asynccontextmanager
async def answering(folder: Path, port: int, *doors: socket.socket) -> AsyncIterator[Node]:
    """Run the HTTP side of a node while inside; its background work is the caller's."""
    config = configuration.load(folder, {})
    with locking.hold(folder):
        async with open_node(folder, config, port=port) as node:
            runner = Runner(build_app(node), limits=config.limits, gauge=node.base.events.metrics.connections)
            try:
                await runner.setup()
                for door in doors:
                    await runner.listen(door)
                yield node
            finally:
                await runner.cleanup()
                await node.base.jobs.stop(STOP_S)


async def _tell(node: Node, audience: str, *, half: bool = False) -> Told:
    """Sign the next head of a set, whatever the catalog says, and tell those who may see it."""
    base = node.base
    publisher = PublisherService(
        base.store,
        base.clock,
        node.peering.audiences,
        own=base.entity,
        key=base.keys.log,
        policy=HeadPolicy(every_s=0),
        log=node.log.sequencer,
        generation=base.store.generation,
    )
    node.witnessing.start_check.open()  # who lies asks nobody whether its log is the newest
    while True:
        async with base.store.write() as tx:
            openings = await _openings(tx, audience)
            shown = openings[: len(openings) // 2] if half else openings
            published = await publisher.publish(tx, audience, "offers", shown)
        if published.outcome != "kept":
            break
        await asyncio.sleep(LOOK_EVERY_S)  # at most one head a second is signed in a chain
    await publisher.nudge(node.peering.sets.post, audience, "offers", published.seq)
    return Told(seq=published.seq, offers=len(shown))


async def _openings(rows: Reader, audience: str) -> tuple[Opening, ...]:
    newest = await newest_head(rows, audience, "offers")
    if newest is None:
        raise MissingError("nothing was shown to this audience yet")
    pages = await own_pages(rows, newest)
    return tuple(opening for page in pages for opening in decode_page(page).entries)


async def _sign(node: Node) -> Told:
    """Let the log grow from now on; return its first checkpoint that holds the new head."""
    before = (await node.log.status()).size
    node.base.jobs.start("log", node.log.run)
    node.base.jobs.start("start-check", lambda: node.witnessing.start_check.run(node.log.sequencer.wake))
    node.base.jobs.start("cosignatures", node.witnessing.cosigner.run)
    while True:
        if (await node.log.status()).size > before:
            break
        await asyncio.sleep(LOOK_EVERY_S)
    checkpoint = parse_checkpoint(await node.log.book.checkpoint(1)).checkpoint
    return Told(size=checkpoint.size, root=base64_text(checkpoint.root))


async def run(folder: Path) -> None:
    """Answer orders until standard input ends or a signal comes."""
    liar, loop = Liar(folder), asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, reader.feed_eof)
    try:
        node = await liar.begin()
        _say(announcement(node.base.config, node.base.port))
        _say(liar.doors)
        while line := await reader.readline():
            _say(await liar.obey(decode_loose(line, Order, what="order")))
    finally:
        pipe.close()
        await liar.end()


def _say(value: msgspec.Struct) -> None:
    os.write(sys.stdout.fileno(), msgspec.json.encode(value) + b"\n")


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
