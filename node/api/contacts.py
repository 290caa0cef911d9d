"""Contact tokens that a mentor's device gives and revokes."""

from typing import Final

import msgspec
from aiohttp import web

from node.services.contacts import ContactTokens, GiveToken
from protocol.encoding import broken_rule
from protocol.errors import MalformedError
from protocol.ids import Bytes32

from .accounts import signed_in
from .bodies import read_body, reply
from .routes import Route

CONTACTS: Final = web.AppKey("mentormesh.contacts", ContactTokens)
_PATH: Final = "/api/v1/me/contact-tokens/{commitment}"


async def give_token(request: web.Request) -> web.Response:
    """Let whoever holds the token ask this person."""
    command = await read_body(request, GiveToken)
    await request.app[CONTACTS].give(signed_in(request), _commitment(request), command)
    return reply()


async def revoke_token(request: web.Request) -> web.Response:
    """End a token."""
    await request.app[CONTACTS].revoke(signed_in(request), _commitment(request))
    return reply()


def _commitment(request: web.Request) -> str:
    try:
        return msgspec.convert(request.match_info["commitment"], Bytes32)
    except msgspec.ValidationError as error:
        raise MalformedError(f"commitment is not valid: {broken_rule(error)}") from None


CONTACT_ROUTES: Final = (
    Route(
        method="PUT",
        path=_PATH,
        handler=give_token,
        auth="device",
        summary="Let whoever holds the token of this hash ask me again",
        request=GiveToken,
        status=204,
    ),
    Route(method="DELETE", path=_PATH, handler=revoke_token, auth="device", summary="End a token", status=204),
)
