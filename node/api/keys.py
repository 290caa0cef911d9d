"""Key directories over HTTP: what proves keys to the node's own people, and attestations and erasures of peers."""

from typing import Final

import msgspec
from aiohttp import web

from federation.attesting import ATTESTATIONS_PATH, Attesting, GiveAttestation
from federation.erasures import EntryErasures
from node.services.foreign_checks import DirectoryTokenGiven, ForeignChecks, WantDirectoryToken
from node.services.key_lookup import KeyAnswer, KeyLookup, KeyQuery
from protocol.directorypages import DIRECTORY_PAGES_PATH, AskDirectoryPage, DirectoryPage
from protocol.erasure import ERASURES_PATH, ErasureAnswer, ErasureRequest

from .bodies import read_body, reply
from .federation import FEDERATION, asked_by
from .routes import JSON, Route
from .strangers import charge


class KeyServices(msgspec.Struct, frozen=True, kw_only=True):
    """The parts behind these routes."""

    lookup: KeyLookup
    attesting: Attesting
    erasures: EntryErasures
    foreign: ForeignChecks


KEYS: Final = web.AppKey("mentormesh.keys", KeyServices)


async def find_keys(request: web.Request) -> web.Response:
    """Give a proven head of an organization's key directory, and the entries of a prefix."""
    return reply(await request.app[KEYS].lookup.find(await read_body(request, KeyQuery)))


async def directory_token(request: web.Request) -> web.Response:
    """Give today's token by which people here read their own directory at a foreign mirror."""
    return reply(request.app[KEYS].foreign.token(await read_body(request, WantDirectoryToken)))


async def directory_page(request: web.Request) -> web.Response:
    """Give a page of a peer's directory to people of that peer."""
    charge(request)
    return reply(await request.app[KEYS].foreign.page(await read_body(request, AskDirectoryPage)))


async def attestations(request: web.Request) -> web.Response:
    """Take a member's word that it holds all bodies of one of our heads."""
    asked = asked_by(request)
    asked.require("continue")
    await request.app[FEDERATION].authenticator.once(asked)
    await request.app[KEYS].attesting.receive(asked.peer.entity, asked.body)
    return web.Response(status=202)


async def erasures(request: web.Request) -> web.Response:
    """Erase entries of a peer's directory, and confirm it."""
    asked = asked_by(request)
    await request.app[FEDERATION].authenticator.once(asked)
    body = await request.app[KEYS].erasures.confirm(asked.peer.entity, asked.body)
    return web.Response(body=body, content_type=JSON)


KEY_ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v1/keys",
        handler=find_keys,
        auth="device",
        summary="What proves the keys of people, by a prefix",
        request=KeyQuery,
        response=KeyAnswer,
    ),
    Route(
        method="POST",
        path="/api/v1/keys/tokens",
        handler=directory_token,
        auth="device",
        summary="Today's token for a look at one's own directory at a foreign mirror",
        request=WantDirectoryToken,
        response=DirectoryTokenGiven,
    ),
    Route(
        method="POST",
        path=DIRECTORY_PAGES_PATH,
        handler=directory_page,
        auth="public",
        summary="A page of a mirrored key directory, for people of its origin",
        request=AskDirectoryPage,
        response=DirectoryPage,
    ),
    Route(
        method="POST",
        path=ATTESTATIONS_PATH,
        handler=attestations,
        auth="peer",
        summary="A member holds all bodies of a head",
        request=GiveAttestation,
        status=202,
    ),
    Route(
        method="POST",
        path=ERASURES_PATH,
        handler=erasures,
        auth="peer",
        summary="Erase entries of a key directory",
        request=ErasureRequest,
        response=ErasureAnswer,
    ),
)
