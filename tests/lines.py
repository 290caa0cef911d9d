"""Lines between a process and a server that a test can cut without a word: packets are swallowed, nothing is closed.

A line is a relay on loopback. A cut drops whatever arrives at its sockets before the kernel acknowledges it, so that
both ends see what they would see of a network that is gone: no answer, no refusal, keepalives unanswered.
"""

import asyncio
import ctypes
import errno
import socket
import struct
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, Self

#: A program for the kernel's packet filter that lets nothing pass, and how it is named to the kernel.
_DROP: Final = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
_FILTER: Final = struct.pack("HL", 1, ctypes.addressof(_DROP))
_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_HOST: Final = "127.0.0.1"
_PIECE: Final = 1 << 16


class Line:
    """Leads from `port` to the server at another port; inside `async with` it stands."""

    def __init__(self, server: int) -> None:
        self._server_port: Final = server
        self._listening: Final = socket.create_server((_HOST, 0))
        self._listening.setblocking(False)
        self.port: Final = int(self._listening.getsockname()[1])
        #: Ends towards the process, and towards the server.
        self._near: Final[set[socket.socket]] = set()
        self._far: Final[set[socket.socket]] = set()
        self._carrying: Final[set[asyncio.Task[None]]] = set()
        self._deaf = False

    def cut(self, *, from_process: bool = True) -> None:
        """Swallow from now on what comes from the server, and from the process if wanted; new connections never stand.

        What the process says alone cannot be swallowed: the relay acknowledges what the server says to it.
        """
        self._deaf = True
        for end in (*self._far, *((self._listening, *self._near) if from_process else ())):
            _swallow(end)

    def heal(self) -> None:
        """Carry everything again, what was sent meanwhile too."""
        self._deaf = False
        for end in (self._listening, *self._near, *self._far):
            try:
                end.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            except OSError as error:
                if error.errno != errno.ENOENT:  # it had none
                    raise

    async def __aenter__(self) -> Self:
        self._start(self._accept())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        self._listening.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _accept(self) -> None:
        while True:
            near, _ = await asyncio.get_running_loop().sock_accept(self._listening)
            self._start(self._carry(near))

    async def _carry(self, near: socket.socket) -> None:
        far = socket.socket()
        far.setblocking(False)
        with near, far, suppress(OSError):
            self._near.add(near)
            self._far.add(far)
            if self._deaf:
                _swallow(far)
            try:
                await asyncio.get_running_loop().sock_connect(far, (_HOST, self._server_port))
                await _both_ways(near, far)
            finally:
                self._near.discard(near)
                self._far.discard(far)


def _swallow(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _FILTER)


async def _both_ways(near: socket.socket, far: socket.socket) -> None:
    """Carry until one side ends."""
    ways = [asyncio.create_task(_pipe(*ends)) for ends in ((near, far), (far, near))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pipe(here: socket.socket, there: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(here, _PIECE):
        await loop.sock_sendall(there, data)
