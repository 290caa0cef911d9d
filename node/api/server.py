"""The listening half of aiohttp with the bounds it lacks: connections, slow heads, TLS handshakes, a stop in time."""

import asyncio
import errno
import socket
import ssl
from typing import Final

from aiohttp import web
from prometheus_client import Gauge

from node.sections import LimitsSection
from protocol.errors import RefusedError

from .connection import LINGER_S, BoundedServer

#: Share of the time for a stop that running requests get; aiohttp takes it twice, the jobs get the rest.
REQUEST_SHARE: Final = 0.25


class Runner(web.AppRunner):
    """Runs an application behind a bounded server."""

    __slots__ = ("_gauge", "_limits", "_listening")

    def __init__(self, app: web.Application, *, limits: LimitsSection, gauge: Gauge) -> None:
        super().__init__(app, shutdown_timeout=limits.stop_s * REQUEST_SHARE)
        self._limits = limits
        self._gauge = gauge
        self._listening: list[asyncio.Server] = []

    async def listen(self, bound: socket.socket, *, tls: ssl.SSLContext | None = None) -> None:
        """Take connections of a listening socket; a TLS handshake has as long as a request head."""
        assert self.server is not None, "setup comes first"
        listening = await asyncio.get_running_loop().create_server(
            self.server,
            sock=bound,
            ssl=tls,
            backlog=512,
            # asyncio takes no bounds of a handshake where there is none.
            ssl_handshake_timeout=self._limits.header_s if tls else None,
            ssl_shutdown_timeout=LINGER_S if tls else None,
        )
        self._listening.append(listening)

    async def cleanup(self) -> None:
        """Take no more connections, let running requests end, then close."""
        for server in self._listening:
            server.close()
        await super().cleanup()

    async def _make_server(self) -> web.Server:
        return BoundedServer(await super()._make_server(), self.app, limits=self._limits, gauge=self._gauge)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; port 0 takes a free one.

    Raises: RefusedError: the port is in use, or may not be used by this user, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise RefusedError(_listen_reason(error, host, port), code="listen") from None


def _listen_reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use: stop the other program, or choose another port with [node] listen"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"this user may not listen on port {port}: choose one above 1023 and put a reverse proxy in front"
    return f"{host} is not an address of this machine: correct [node] listen"
