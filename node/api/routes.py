"""The shape of a route: one table of these makes the HTTP application and its OpenAPI document.

Modules of `node/api` each give a tuple of routes; `node/api/table.py` puts them together. Nothing is served that
is not in a table, and every route says who may call it.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: Wraps a handler so that it runs only for those whom the route is for.
Guard = Callable[[Handler], Handler]

#: public: anybody; device: a signed-in person's device (bearer token); peer: another node (signed request);
#: operator: this machine with the operator's token; local: this machine, or the operator's token;
#: page: a browser, where changes are allowed only at the node's own page address.
Auth = Literal["public", "device", "peer", "operator", "local", "page"]

METHODS: Final = ("GET", "POST", "PUT", "DELETE")
SAFE: Final = frozenset({"GET", "HEAD"})
JSON: Final = "application/json"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one address.

    `path` is aiohttp's form, `/api/v1/threads/{thread}`; a part in braces matches one segment without slashes, and
    `{thread:REGEX}` narrows it. `request` and `response` are the types of the JSON bodies, None where there is none;
    for other bodies name only the content type. `query` is a Struct of the query parameters.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    handler: Handler
    auth: Auth
    summary: str
    request: Any = None
    response: Any = None
    status: int = 200
    query: type[msgspec.Struct] | None = None
    request_content_type: str = JSON
    response_content_type: str = JSON

    @property
    def key(self) -> tuple[str, str]:
        """Method and path, by which a route is known."""
        return self.method, self.path


#: Every route of an application by method and canonical path.
ROUTES: Final = web.AppKey("mentormesh.routes", dict[tuple[str, str], Route])
ROUTE: Final = web.RequestKey("mentormesh.route", Route)


def add_routes(app: web.Application, routes: Iterable[Route], guards: Mapping[Auth, Guard]) -> None:
    """Serve `routes` in `app`, each behind the guard of its kind. Two routes with one key are a programming mistake."""
    known = app.setdefault(ROUTES, {})
    for route in routes:
        handler = guards[route.auth](route.handler) if route.auth in guards else route.handler
        resource = app.router.add_route(route.method, route.path, handler).resource
        assert resource is not None
        key = route.method, resource.canonical
        if key in known:
            raise ValueError(f"two routes for {route.method} {route.path}")
        known[key] = route


def route_of(request: web.Request) -> Route | None:
    """Return the route that will answer `request`; None when no route does."""
    if ROUTE in request:
        return request[ROUTE]
    resource = request.match_info.route.resource
    found = request.app[ROUTES].get((request.method, resource.canonical)) if resource else None
    if found is not None:
        request[ROUTE] = found
    return found


def plain_routes(
    app: web.Application,
) -> Iterator[tuple[tuple[str, str], tuple[web.UrlMappingMatchInfo, Route, Handler]]]:
    """Yield method and path of each route without braces, with what is found for it each time."""
    for route in app.router.routes():
        if isinstance(route.resource, web.PlainResource):
            found = web.UrlMappingMatchInfo({}, route)
            found.add_app(app)
            found.freeze()
            key = route.method, route.resource.canonical
            yield key, (found, app[ROUTES][key], route.handler)
