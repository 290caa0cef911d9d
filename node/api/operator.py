"""The operator's way into a running node: its operations over loopback, with the token of the directory."""

from typing import Any, Final

import msgspec
from aiohttp import web

from node.events import Events
from node.keys import same_token
from node.operations import Operations
from protocol.errors import MeshError, UnverifiedError

from .bodies import parse_json, read_bytes
from .hosts import HOSTS
from .routes import JSON, Handler, Route
from .strangers import charging_failures


class Operator:
    """What the operator routes of one node need."""

    def __init__(self, *, token: str, operations: Operations, events: Events, body_bytes: int) -> None:
        self._token = token
        self.operations: Final = operations
        self.events: Final = events
        self.body_bytes: Final = body_bytes

    def check(self, request: web.Request) -> None:
        """Return when `request` shows the operator's token. Raises: UnverifiedError."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not same_token(given.strip(), self._token):
            raise UnverifiedError("the operator's token is needed: it is in DIR/operator.token")


OPERATOR: Final = web.AppKey("mentormesh.operator", Operator)


def operator_guard(handler: Handler) -> Handler:
    """Return `handler` for those who show the token; that they are on this machine is checked before."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        with charging_failures(request):
            request.app[OPERATOR].check(request)
        return await handler(request)

    return guarded


def local_guard(handler: Handler) -> Handler:
    """Return `handler` for this machine, and for others with the token."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if not request.app[HOSTS].is_local(request):
            with charging_failures(request):
                request.app[OPERATOR].check(request)
        return await handler(request)

    return guarded


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One operation and what it does."""

    operation: str
    summary: str


async def list_operations(request: web.Request) -> web.Response:
    """Give the names of all operations."""
    known = request.app[OPERATOR].operations.by_name
    listed = [Listed(operation=name, summary=known[name].summary) for name in sorted(known)]
    return web.Response(body=msgspec.json.encode(listed), content_type=JSON)


async def call_operation(request: web.Request) -> web.Response:
    """Do one operation; the body is its command."""
    operator = request.app[OPERATOR]
    operation = operator.operations.get(request.match_info["operation"])
    command = await read_bytes(request, limit=operator.body_bytes, content_type=JSON)
    try:
        result = await operator.operations.answer(operation, parse_json(command, operation.request))
    except MeshError as error:
        operator.events.operator_acted(operation.name, outcome=error.code)
        raise
    operator.events.operator_acted(operation.name, outcome="done")
    return web.Response(body=result, content_type=JSON)


OPERATOR_ROUTES: Final = (
    Route(
        method="GET",
        path="/operator/v1/operations",
        handler=list_operations,
        auth="operator",
        summary="What an operator can do",
        response=list[Listed],
    ),
    Route(
        method="POST",
        path="/operator/v1/operations/{operation:[a-z]+[.][a-z-]+}",
        handler=call_operation,
        auth="operator",
        summary="Do one operation of the list; `mentormesh` commands use this",
        request=dict[str, Any],
        response=dict[str, Any] | None,
    ),
)
