"""A small load balancer on loopback, for a node that several processes serve."""

import asyncio
import itertools
from collections import Counter
from typing import Final, Self

#: Connections carried at once; one more is closed at once, and whoever made it tries again.
MOST: Final = 500
#: A process that has not taken a connection by then is passed over.
CONNECT_S: Final = 2.0
#: What was carried but not taken at the other end is dropped after that.
FLUSH_S: Final = 2.0
_HOST: Final = "127.0.0.1"
_PIECE: Final = 1 << 16


class Balancer:
    """Hands every connection to the next process that takes it, and remembers nothing of who had the one before.

    `targets` are the ports of the processes and may change at any time; `carried` counts connections by port. Between
    `open` and `close`, or inside `async with`, `port` is where it listens.
    """

    def __init__(self, *targets: int, port: int = 0) -> None:
        """Take the ports of the processes and the own one; 0: a free one."""
        self.targets = targets
        self.port = port
        self.carried: Final = Counter[int]()
        self._turn: Final = itertools.count()
        self._carrying: Final[set[asyncio.Task[None]]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._take, _HOST, self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Listen no more, and end every connection."""
        if self._server is None:
            return
        self._server.close()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        await self._server.wait_closed()

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._carrying) >= MOST:
            writer.close()
            return
        task = asyncio.create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until one side ends; so does the other then."""
        there: asyncio.StreamWriter | None = None
        ways: list[asyncio.Task[None]] = []
        try:
            answer, there = await self._connect()
            ways = [asyncio.create_task(_pipe(reader, there)), asyncio.create_task(_pipe(answer, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except OSError:  # no process takes it
            pass
        finally:
            for way in ways:
                way.cancel()
            await _end(tuple(filter(None, (writer, there))))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection to the next process that takes it. Raises: OSError: none does."""
        targets, first = self.targets, next(self._turn)
        for at in range(len(targets)):
            port = targets[(first + at) % len(targets)]
            try:
                async with asyncio.timeout(CONNECT_S):
                    ends = await asyncio.open_connection(_HOST, port)
            except OSError:  # TimeoutError is one
                continue
            self.carried[port] += 1
            return ends
        raise ConnectionRefusedError


async def _end(ends: tuple[asyncio.StreamWriter, ...]) -> None:
    """Close both ends once they have what was carried."""
    for end in ends:
        end.close()
    try:
        async with asyncio.timeout(FLUSH_S):
            await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)
    except TimeoutError:
        pass
    finally:
        for end in ends:
            end.transport.abort()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way until an end."""
    try:
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
