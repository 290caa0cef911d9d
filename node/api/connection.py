"""One connection: its requests are answered one after the other, by one task, within bounds that aiohttp lacks.

aiohttp starts a second task for each request, so that variables of a context end with it; we have none. Left out with
it are upgrades, answers that are written piece by piece, and the log of accesses.
"""

import asyncio
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import ERROR, PayloadAccessError, RequestHandler
from prometheus_client import Gauge

from node.sections import LimitsSection

from .hosts import HOSTS
from .places import AddressPlaces
from .problems import CONTENT_TYPE, internal_problem, library_problem
from .shortcut import Shortcut
from .writing import DRESS, Dress

#: After an answer, unread body bytes are taken this long, so that the client sees the answer and not a reset.
LINGER_S: Final = 2.0


class BoundedProtocol(RequestHandler):
    """Closes itself when there are too many of its kind, or when the client reads nothing for too long."""

    __slots__ = ("_address", "_server", "_stalled")

    def __init__(self, server: "BoundedServer", **options: Any) -> None:  # noqa: ANN401 -- aiohttp's own
        super().__init__(server, **options)
        self._server = server
        self._address = ""
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it at once when the node, or its address, holds as many as it may."""
        super().connection_made(transport)
        self._server.gauge.inc()
        self._address = self._server.places.take(transport.get_extra_info("peername"))
        full = len(self._server.connections) > self._server.limits.connections
        if full or self._server.places.too_many(self._address):
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._server.gauge.dec()
        self._server.places.give_back(self._address)
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

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 -- aiohttp's own
        """Go on where reading was paused; aiohttp asks for each body, and the parser has kept something only then."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def _reading_again(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def start(self) -> None:
        """Answer requests until one of both sides ends the connection."""
        try:
            while not self._force_close:
                await self._answer_next()
                if self._close or not self._keepalive:
                    break
        except asyncio.CancelledError:
            self.force_close()
            raise
        except Exception as error:  # noqa: BLE001 -- the outermost loop of a connection
            self.log_exception("a connection failed", exc_info=error)
            self.force_close()
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

    async def _answer_next(self) -> None:
        message, payload = await self._next()
        self._server.requests_count += 1
        handler = self._server.request_handler
        if not isinstance(message, RawRequestMessage):
            handler, message = self._make_error_handler(message), ERROR
        assert self._task_handler is not None, "this is its task"
        writer = StreamWriter(self, self._loop)
        request = self._server.request_factory(message, payload, self, writer, self._task_handler)
        _, lost = await self._handle_request(request, None, handler)
        if lost:
            self.force_close()
            return
        if not payload.is_eof():
            await self._linger(payload)
        payload.set_exception(PayloadAccessError())
        if self._keepalive:
            self._await_head()

    async def _next(self) -> Any:  # noqa: ANN401 -- a pair of aiohttp's own, one of them private
        """Return the next message and its body, once its head is here; room for another is made."""
        if not self._messages:
            try:
                self._waiter = self._loop.create_future()
                await self._waiter
            finally:
                self._waiter = None
        found = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return found

    async def _linger(self, payload: StreamReader) -> None:
        """Take what is left of a body for a while; if it does not end, neither does the connection go on."""
        try:
            async with asyncio.timeout(LINGER_S):
                while not payload.is_eof():
                    await payload.readany()
        except TimeoutError:
            self.close()

    def _await_head(self) -> None:
        """Let the next head have its time, which aiohttp looks at when a timer of before runs out."""
        self._next_keepalive_close_time = until = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(until, self._process_keepalive)

    async def finish_response(
        self,
        request: web.BaseRequest,
        resp: web.StreamResponse,
        start_time: float | None,  # noqa: ARG002 -- for a log of accesses
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer in one piece; return it, and whether the client is gone."""
        assert isinstance(resp, web.Response), "an answer is no stream"
        transport = self.transport
        if transport is None or transport.is_closing():
            return resp, True
        keep_alive = request.keep_alive if resp.keep_alive is None else resp.keep_alive
        # Whoever wants another protocol gets an answer in this one, and its next bytes may be in the other.
        self._keepalive = keep_alive and not self._upgraded
        transport.write(self._server.dress.answer(request, resp, keep_alive=self._keepalive))
        try:
            if self.writing_paused:
                await request.writer.drain()
        except ConnectionError:
            return resp, True
        return resp, False

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 -- what is not HTTP
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 -- quotes the request
        message: str | None = None,  # noqa: ARG002 -- the same
    ) -> web.StreamResponse:
        """Return the answer to what is not HTTP, without aiohttp's excerpt of it, and close."""
        problem = internal_problem() if status >= 500 else library_problem(status)
        response = web.Response(status=status, body=msgspec.json.encode(problem), content_type=CONTENT_TYPE)
        response.force_close()
        return response


class BoundedServer(web.Server):
    """Makes bounded connections."""

    def __init__(self, made: web.Server, app: web.Application, *, limits: LimitsSection, gauge: Gauge) -> None:
        super().__init__(Shortcut(app, made.request_handler), request_factory=made.request_factory)
        self.limits: Final = limits
        self.gauge: Final = gauge
        # Behind a proxy all of them come from its address, and it is the proxy that bounds its clients.
        behind_proxy = HOSTS in app and app[HOSTS].behind_proxy
        self.places: Final = AddressPlaces(0 if behind_proxy else limits.address_connections)
        self.dress: Final = app.get(DRESS, Dress(https=False))

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection."""
        return BoundedProtocol(
            self,
            loop=self._loop,
            access_log=None,
            # Also bounds a slow head: the timer runs until a request is complete up to its body.
            keepalive_timeout=self.limits.header_s,
            auto_decompress=False,
        )
