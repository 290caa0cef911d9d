"""What registries and their members tell each other: that somebody is out, and that somebody leaves."""

from typing import Final

import msgspec
from aiohttp import web

from federation.memberships import MembershipService
from federation.registry import RegistryService
from protocol.errors import MalformedError, MissingError
from protocol.members import DEPARTURES_PATH, NOTICE_TYPE, NOTICES_PATH, Departure

from .federation import asked_by
from .routes import Route


class MemberServices(msgspec.Struct, frozen=True, kw_only=True):
    """The services behind these routes; `registry` is None for a node that is none."""

    memberships: MembershipService
    registry: RegistryService | None


MEMBERS: Final = web.AppKey("mentormesh.members", MemberServices)


async def suspensions(request: web.Request) -> web.Response:
    """Take a registry's word that a member is out."""
    asked = asked_by(request)
    try:
        notice = asked.body.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedError("suspension notice is not a JWS") from None
    await request.app[MEMBERS].memberships.noticed(asked.peer.entity, notice, asked.spend)
    return web.Response(status=204)


async def departures(request: web.Request) -> web.Response:
    """Take a member's word that it leaves."""
    asked, registry = asked_by(request), request.app[MEMBERS].registry
    if registry is None:
        raise MissingError("this node is no registry", code="no-consortium")
    await registry.depart(asked.peer.entity, asked.body, asked.spend)
    return web.Response(status=204)


MEMBER_ROUTES: Final = (
    Route(
        method="POST",
        path=NOTICES_PATH,
        handler=suspensions,
        auth="peer",
        summary="A registry says that a member is out from now on",
        request_content_type=NOTICE_TYPE,
        status=204,
    ),
    Route(
        method="POST",
        path=DEPARTURES_PATH,
        handler=departures,
        auth="peer",
        summary="A member says to its registry that it leaves",
        request=Departure,
        status=204,
    ),
)
