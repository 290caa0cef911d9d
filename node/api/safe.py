"""What a person's client keeps at its own node, sealed: the recovery copy and the archive."""

from typing import Final

import msgspec
from aiohttp import web

from node.services.erasure import PersonExport
from node.services.safe import Safe, SafeName, Sealed, SealedView, StoreSealed
from protocol.encoding import broken_rule
from protocol.errors import MalformedError
from protocol.ids import Bytes32

from .accounts import PEOPLE, signed_in
from .bodies import read_body, reply
from .routes import Route
from .strangers import charge

SAFE: Final = web.AppKey("mentormesh.safe", Safe)


async def list_safe(request: web.Request) -> web.Response:
    """List what is in the safe."""
    return reply(await request.app[SAFE].views(signed_in(request)))


async def get_sealed(request: web.Request) -> web.Response:
    """Return one thing."""
    return reply(await request.app[SAFE].get(signed_in(request), _name(request)))


async def put_sealed(request: web.Request) -> web.Response:
    """Store one thing."""
    name = _name(request)
    command = await read_body(request, StoreSealed)
    return reply(await request.app[SAFE].put(signed_in(request), name, command))


async def delete_sealed(request: web.Request) -> web.Response:
    """Erase one thing."""
    await request.app[SAFE].delete(signed_in(request), _name(request))
    return reply()


class TakeOut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{"locator":"…43…"}`, which only recovery words give."""

    locator: Bytes32


async def take_out(request: web.Request) -> web.Response:
    """Show everything this node holds about the person with these recovery words."""
    charge(request)
    command = await read_body(request, TakeOut)
    return reply(await request.app[PEOPLE].erasure.take_out(command.locator))


def _name(request: web.Request) -> str:
    try:
        return msgspec.convert(request.match_info["name"], SafeName)
    except msgspec.ValidationError as error:
        raise MalformedError(f"name is not valid: {broken_rule(error)}") from None


SAFE_ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v1/take-out",
        handler=take_out,
        auth="public",
        summary="Everything this node holds about me, known by my recovery words, also after I left",
        request=TakeOut,
        response=PersonExport,
    ),
    Route(
        method="GET",
        path="/api/v1/me/safe",
        handler=list_safe,
        auth="device",
        summary="What my devices keep here, sealed",
        response=tuple[SealedView, ...],
    ),
    Route(
        method="GET",
        path="/api/v1/me/safe/{name}",
        handler=get_sealed,
        auth="device",
        summary="One sealed thing of mine",
        response=Sealed,
    ),
    Route(
        method="PUT",
        path="/api/v1/me/safe/{name}",
        handler=put_sealed,
        auth="device",
        summary="Keep one sealed thing, in place of the version that I name",
        request=StoreSealed,
        response=SealedView,
    ),
    Route(
        method="DELETE",
        path="/api/v1/me/safe/{name}",
        handler=delete_sealed,
        auth="device",
        summary="Erase one sealed thing",
        status=204,
    ),
)
