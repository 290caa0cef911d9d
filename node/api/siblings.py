"""How a person's devices tell each other about a session: sealed words through their own mailbox."""

from typing import Annotated, Final

import msgspec
from aiohttp import web

from node.services.devices import EnrolledDevice
from node.services.thread_views import SideName
from protocol.encoding import unb64
from protocol.errors import MalformedError, RefusedError
from protocol.handshake import Side
from protocol.ids import Bytes32, id_bytes

from .accounts import signed_in
from .bodies import read_body, read_query, reply
from .exchange import EXCHANGE
from .routes import Route

MAX_ITEM_BYTES: Final = 80 * 1024


class TellSiblings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sealed word for one other device of the person; all of them get it, one can open it."""

    side: SideName
    item: Annotated[str, msgspec.Meta(min_length=1, max_length=4 * MAX_ITEM_BYTES // 3 + 4)]


class SiblingsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Towards whom the devices are asked for."""

    audience: Bytes32


class Siblings(msgspec.Struct, frozen=True, kw_only=True):
    """The person's devices with their keys towards one audience."""

    devices: tuple[EnrolledDevice, ...]


async def siblings(request: web.Request) -> web.Response:
    """Show my devices with what they told for one audience."""
    services, person = request.app[EXCHANGE], signed_in(request)
    query = read_query(request, SiblingsQuery)
    return reply(Siblings(devices=await services.devices.enrolled(person.member, query.audience)))


async def tell_siblings(request: web.Request) -> web.Response:
    """Hand on a sealed word."""
    command = await read_body(request, TellSiblings)
    services, person = request.app[EXCHANGE], signed_in(request)
    thread = request.match_info["thread"]
    id_bytes(thread, what="thread")
    if person.device is None or person.mailbox is None:
        raise RefusedError("only a device of the account tells others", code="no-device")
    item = unb64(command.item, what="item")
    if len(item) > MAX_ITEM_BYTES:
        raise MalformedError(f"item must have at most {MAX_ITEM_BYTES} bytes")
    await services.sessions.tell(person.mailbox, thread, Side(command.side), item)
    return reply()


SIBLING_ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/me/siblings",
        handler=siblings,
        auth="device",
        summary="My devices with their keys towards one audience",
        response=Siblings,
        query=SiblingsQuery,
    ),
    Route(
        method="POST",
        path="/api/v1/threads/{thread}/siblings",
        handler=tell_siblings,
        auth="device",
        summary="Tell another device of mine about a session",
        request=TellSiblings,
        status=204,
    ),
)
