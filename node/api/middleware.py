"""What happens to every request before its handler and to every answer after it.

Cheap refusals first: protocol version, path spelling, name of the host, cross-site changes, encodings. Every error
becomes a problem, and every answer carries a request id.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import HttpVersion10, hdrs, web

from federation.ports import Clock, Entropy
from node.events import Events
from protocol.encoding import b64
from protocol.errors import MalformedError, MeshError, MissingError, RefusedError

from .hosts import HOSTS
from .problems import answer, answer_error, internal_problem, library_problem, problem_of
from .routes import SAFE, Route, route_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Our paths need no escapes; what is escaped would be read in two ways by us, a proxy and a signature.
PATH: Final = re.compile(r"/|(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~:-]+)+")

#: So many ids of requests are drawn at once.
_IDS: Final = 64


class Edge:
    """The middleware of one node."""

    def __init__(self, *, clock: Clock, entropy: Entropy, events: Events) -> None:
        self._clock = clock
        self._entropy = entropy
        self._events = events
        #: Random, so that they say nothing about the person; drawn many at once.
        self._ids: Final[list[str]] = []

    @web.middleware
    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer `request`."""
        return await self.answer(request, handler, route_of(request))

    async def answer(self, request: web.Request, handler: Handler, route: Route | None) -> web.StreamResponse:
        """Answer a request of `route`, None: no route takes it."""
        clock = asyncio.get_running_loop().time
        started = clock()
        response = await self._answer(request, handler, route, self._request_id())
        method = request.method if route else "other"
        self._events.metrics.requests.answered(method, _name(route), response.status, clock() - started)
        return response

    def _request_id(self) -> str:
        if not self._ids:
            text = b64(self._entropy.take(12 * _IDS))
            self._ids.extend(text[at : at + 16] for at in range(0, 16 * _IDS, 16))
        return self._ids.pop()

    async def _answer(
        self, request: web.Request, handler: Handler, route: Route | None, request_id: str
    ) -> web.StreamResponse:
        name = _name(route)
        try:
            check_request(request, route)
            response = await handler(request)
        except MeshError as error:
            response = answer_error(error, now=self._clock.now())
            status = problem_of(error).status
            self._events.request_refused(name, status=status, error_code=error.code, request_id=request_id)
        except web.HTTPException as error:
            response = answer(library_problem(error.status), now=self._clock.now())
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        except Exception as error:  # noqa: BLE001 -- the outermost loop of a request
            response = answer(internal_problem(), now=self._clock.now())
            self._events.request_failed(name, error, request_id=request_id)
        response.headers["X-Request-Id"] = request_id
        return response


EDGE: Final = web.AppKey("mentormesh.edge", Edge)


def _name(route: Route | None) -> str:
    """Return the route's path with its braces, never the path that was asked for: that may hold ids."""
    return route.path if route else "none"


def check_request(request: web.Request, route: Route | None) -> None:
    """Return when `request` may reach its handler. Raises: MeshError, see each line."""
    if request.version < HttpVersion10:
        raise MalformedError("the request line must name HTTP/1.0 or HTTP/1.1")
    request.app[HOSTS].check(request, route.auth if route else "public")
    if not PATH.fullmatch(request.raw_path.partition("?")[0]):
        raise MissingError("there is no such address here")
    if hdrs.CONTENT_ENCODING in request.headers:
        raise MalformedError("Content-Encoding is not taken: send the body as it is", code="media-type")
    if request.headers.get(hdrs.TRANSFER_ENCODING, "chunked").lower() != "chunked":
        # aiohttp looks for "chunked" at the end and leaves what else was done to the body to others.
        raise MalformedError("Transfer-Encoding must be chunked and nothing else")
    if request.method not in SAFE and route is not None and route.auth != "peer":
        _same_site(request)


def _same_site(request: web.Request) -> None:
    """Refuse a change that another site made a browser send (every current browser says where from)."""
    if request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        raise RefusedError("a page of another site may not change anything here", code="cross-site")
