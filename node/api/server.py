"""The listening half of aiohttp with the bounds it lacks: connections, slow heads, readers that stall, plain errors."""

import asyncio
import errno
import socket
import ssl
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from prometheus_client import Gauge

from node.sections import LimitsSection
from protocol.errors import RefusedError

from .problems import CONTENT_TYPE, internal_problem, library_problem

#: After an answer, unread body bytes are taken this long, so that the client sees the answer and not a reset.
LINGER_S: Final = 2.0
#: Share of the time for a stop that running requests get; aiohttp takes it twice, the jobs get the rest.
REQUEST_SHARE: Final = 0.25


class BoundedProtocol(RequestHandler):
    """One connection; closes itself when there are too many, or when the client reads nothing for too long."""

    __slots__ = ("_server", "_stalled")

    def __init__(self, server: "BoundedServer", **options: Any) -> None:  # noqa: ANN401 -- aiohttp's own
        super().__init__(server, **options)
        self._server = server
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it at once when the node holds as many as it may."""
        super().connection_made(transport)
        self._server.gauge.inc()
        if len(self._server.connections) > self._server.limits.connections:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._server.gauge.dec()
        self._reading_again()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the clock of a client that does not read what it asked for."""
        super().pause_writing()
        self._stalled = self._loop.call_later(self._server.limits.stall_s, self._cut)

    def resume_writing(self) -> None:
        """Stop that clock."""
        self._reading_again()
        super().resume_writing()

    def _reading_again(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 -- quotes the request
        message: str | None = None,  # noqa: ARG002 -- the same
    ) -> web.StreamResponse:
        """Return the answer to what is not HTTP, without aiohttp's excerpt of it, and close."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        problem = internal_problem() if status >= 500 else library_problem(status)
        headers = {"Server": "", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        response = web.Response(
            status=status, body=msgspec.json.encode(problem), content_type=CONTENT_TYPE, headers=headers
        )
        response.force_close()
        return response


class BoundedServer(web.Server):
    """Makes bounded connections."""

    def __init__(self, made: web.Server, *, limits: LimitsSection, gauge: Gauge) -> None:
        super().__init__(made.request_handler, request_factory=made.request_factory)
        self.limits: Final = limits
        self.gauge: Final = gauge

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection."""
        return BoundedProtocol(
            self,
            loop=self._loop,
            access_log=None,
            # Also bounds a slow head: the timer runs until a request is complete up to its body.
            keepalive_timeout=self.limits.header_s,
            lingering_time=LINGER_S,
            auto_decompress=False,
        )


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
        return BoundedServer(await super()._make_server(), limits=self._limits, gauge=self._gauge)


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
