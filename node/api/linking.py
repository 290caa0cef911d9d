"""What two devices of one person ask their node while the second is linked: a place to leave four messages."""

from typing import Final

from aiohttp import web

from node.services.linking import EndLinking, Linkings, LinkingView, OpenLinking, SayLinking

from .accounts import signed_in
from .bodies import read_body, reply
from .routes import Route

LINKINGS: Final = web.AppKey("mentormesh.linkings", Linkings)


async def open_linking(request: web.Request) -> web.Response:
    """Begin linking this client."""
    command = await read_body(request, OpenLinking)
    return reply(await request.app[LINKINGS].open(signed_in(request), command), status=201)


async def linking(request: web.Request) -> web.Response:
    """Show what was said so far."""
    return reply(await request.app[LINKINGS].view(signed_in(request)))


async def say_linking(request: web.Request) -> web.Response:
    """Say the next message."""
    command = await read_body(request, SayLinking)
    name = request.match_info["linking"]
    return reply(await request.app[LINKINGS].say(signed_in(request), name, command))


async def end_linking(request: web.Request) -> web.Response:
    """End it without a device."""
    command = await read_body(request, EndLinking)
    await request.app[LINKINGS].end(signed_in(request), request.match_info["linking"], command.reason)
    return reply()


LINKING_ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v1/me/linking",
        handler=open_linking,
        auth="device",
        summary="Begin to link this client to my account",
        request=OpenLinking,
        response=LinkingView,
        status=201,
    ),
    Route(
        method="GET",
        path="/api/v1/me/linking",
        handler=linking,
        auth="device",
        summary="The linking that is under way",
        response=LinkingView,
    ),
    Route(
        method="POST",
        path="/api/v1/me/linking/{linking}/messages",
        handler=say_linking,
        auth="device",
        summary="Say the next message of a linking",
        request=SayLinking,
        response=LinkingView,
    ),
    Route(
        method="POST",
        path="/api/v1/me/linking/{linking}/end",
        handler=end_linking,
        auth="device",
        summary="End a linking",
        request=EndLinking,
        status=204,
    ),
)
