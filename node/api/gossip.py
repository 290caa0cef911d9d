"""What peers ask about others: the checkpoints and set heads that this node holds of them; signed both ways."""

from typing import Final

from aiohttp import web

from federation.gossip import CHECKPOINTS_PATH, Checkpoints, Gossip
from federation.sets import BASE

from .federation import asked_by
from .routes import JSON, Route

GOSSIP: Final = web.AppKey("mentormesh.gossip", Gossip)
HEAD_TYPE: Final = "application/jose"


async def checkpoints(request: web.Request) -> web.Response:
    """Tell the newest checkpoints of others' logs."""
    return web.Response(body=await request.app[GOSSIP].answer(), content_type=JSON)


async def held_head(request: web.Request) -> web.Response:
    """Give the head that this node holds of a member's set, as that member signed it."""
    asked = asked_by(request)
    asked.require("catalog")
    where = request.match_info
    body = await request.app[GOSSIP].held_head(where["audience"], where["kind"], where["host"], asked.peer.entity)
    return web.Response(body=body, content_type=HEAD_TYPE)


GOSSIP_ROUTES: Final = (
    Route(
        method="GET",
        path=CHECKPOINTS_PATH,
        handler=checkpoints,
        auth="peer",
        summary="The newest checkpoints of others' logs that this node holds",
        response=Checkpoints,
    ),
    Route(
        method="GET",
        path=f"{BASE}/sets/{{audience}}/{{kind}}/heads/{{host}}",
        handler=held_head,
        auth="peer",
        summary="The head that this node holds of a member's set",
        response_content_type=HEAD_TYPE,
    ),
)
