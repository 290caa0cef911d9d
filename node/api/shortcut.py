"""Finds the handler of an address without parts in braces by one look, where aiohttp walks resources and wrappers.

Only what is spelled exactly as the route is found here; everything else goes aiohttp's way to the same edge.
"""

from collections.abc import Awaitable, Callable
from typing import Final, cast

from aiohttp import hdrs, web

from .middleware import EDGE, Edge
from .routes import ROUTE, plain_routes

Usual = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Shortcut:
    """Answers the requests of one application."""

    def __init__(self, app: web.Application, usual: Usual) -> None:
        """Send what is not found here to `usual`, the application's own handler."""
        self._usual: Final = usual
        self._edge: Final = app.get(EDGE)
        self._found: Final = dict(plain_routes(app)) if self._edge else {}

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer `request`, which the application's factory has made."""
        found = self._found.get((request.method, request.raw_path.partition("?")[0]))
        if found is None or hdrs.EXPECT in request.headers:
            return await self._usual(request)
        asked = cast("web.Request", request)
        asked._match_info, asked[ROUTE], handler = found  # noqa: SLF001 -- only aiohttp's application sets it
        return await cast("Edge", self._edge).answer(asked, handler, asked[ROUTE])
