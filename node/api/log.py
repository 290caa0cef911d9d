"""The node's log for everybody: checkpoint, tiles and entry bundles (C2SP tlog-tiles); unsigned, limited by address."""

from typing import Final

import msgspec
from aiohttp import web

from federation.authenticate import Authenticator
from federation.logbook import FIRST_LOG, Logbook
from protocol.tlog.tiles import CONTENT_TYPE as TILE_TYPE

from .hosts import HOSTS
from .routes import Route

#: Just long enough that many readers do not ask for one checkpoint each.
CHECKPOINT_AGE_S: Final = 2
#: A tile never changes, a partial one neither: a year.
TILE_AGE_S: Final = 31_536_000


class LogServices(msgspec.Struct, frozen=True, kw_only=True):
    """The parts behind these routes."""

    book: Logbook
    authenticator: Authenticator


LOG: Final = web.AppKey("mentormesh.log", LogServices)

#: After a restore the number is the time in minutes.
_SUCCESSOR: Final = "/log/{log:[2-9]|[1-9][0-9]{1,8}}"


async def checkpoint(request: web.Request) -> web.Response:
    """Give the newest signed checkpoint."""
    data = await _book(request).checkpoint(_number(request))
    headers = {"Cache-Control": f"public, max-age={CHECKPOINT_AGE_S}"}
    return web.Response(body=data, content_type="text/plain", charset="utf-8", headers=headers)


async def tile(request: web.Request) -> web.Response:
    """Give a tile or an entry bundle, full or partial."""
    data = await _book(request).resource(_number(request), f"tile/{request.match_info['path']}")
    headers = {"Cache-Control": f"public, max-age={TILE_AGE_S}, immutable"}
    return web.Response(body=data, content_type=TILE_TYPE, headers=headers)


def _book(request: web.Request) -> Logbook:
    services = request.app[LOG]
    services.authenticator.meet_stranger(request.app[HOSTS].client_address(request))
    return services.book


def _number(request: web.Request) -> int:
    return int(request.match_info.get("log", FIRST_LOG))


def _routes(prefix: str, what: str) -> tuple[Route, ...]:
    return (
        Route(
            method="GET",
            path=f"{prefix}/checkpoint",
            handler=checkpoint,
            auth="public",
            summary=f"The newest checkpoint of {what} (C2SP tlog-checkpoint)",
            response_content_type="text/plain",
        ),
        Route(
            method="GET",
            path=f"{prefix}/tile/{{path:.+}}",
            handler=tile,
            auth="public",
            summary=f"A tile or entry bundle of {what} (C2SP tlog-tiles)",
            response_content_type=TILE_TYPE,
        ),
    )


LOG_ROUTES: Final = (*_routes("/log", "the node's log"), *_routes(_SUCCESSOR, "a successor of the node's log"))
