"""Encrypted files of sessions over HTTP: a portion in, a portion out, for people's devices and for peers."""

from typing import Final

import msgspec
from aiohttp import web

from node.services.blobs import (
    BLOB_TYPE,
    BLOBS_PATH,
    PORTION_BYTES,
    Blobs,
    Offset,
    Portion,
    Size,
    StoredBlob,
)
from node.services.thread_views import SideName
from protocol.errors import MissingError
from protocol.handshake import Side

from .accounts import device_of
from .bodies import read_bytes, read_query, reply
from .exchange import label_of, named
from .federation import asked_by
from .routes import Route

BLOBS: Final = web.AppKey("mentormesh.blobs", Blobs)
_PATH: Final = "/api/v1/threads/{thread}/blobs/{blob}"


class PutBlob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a portion belongs: the side of the thread, its offset, and the size of the whole."""

    side: SideName
    offset: Offset
    size: Size


class GetBlob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From where on."""

    side: SideName
    offset: Offset = 0


class StoredBlobs(msgspec.Struct, frozen=True, kw_only=True):
    """All files of a person that wait here."""

    blobs: tuple[StoredBlob, ...]


async def put_blob(request: web.Request) -> web.Response:
    """Store the next portion of an encrypted file."""
    thread, blob, query = named(request, "thread"), named(request, "blob"), read_query(request, PutBlob)
    device_of(request)
    label = await label_of(request)
    data = await read_bytes(request, limit=PORTION_BYTES, content_type=BLOB_TYPE)
    portion = Portion(blob=blob, offset=query.offset, size=query.size, data=data)
    return reply(await request.app[BLOBS].put(label, thread, Side(query.side), portion))


async def get_blob(request: web.Request) -> web.Response:
    """Give the next portion of a file, which may lie at the other organization."""
    thread, blob, query = named(request, "thread"), named(request, "blob"), read_query(request, GetBlob)
    data = await request.app[BLOBS].get(await label_of(request), thread, Side(query.side), blob, query.offset)
    return web.Response(body=data, content_type=BLOB_TYPE)


async def delete_blob(request: web.Request) -> web.Response:
    """Delete a file of one's own."""
    device_of(request)
    await request.app[BLOBS].delete(await label_of(request), named(request, "blob"))
    return reply()


async def blobs(request: web.Request) -> web.Response:
    """List the files that wait here for others."""
    return reply(StoredBlobs(blobs=await request.app[BLOBS].of(await label_of(request))))


async def give_blob(request: web.Request) -> web.Response:
    """Give a peer the next portion of a file of a thread that both share."""
    asked = asked_by(request)
    asked.require("continue")
    offset = request.match_info["offset"]
    if not offset.isascii() or not offset.isdecimal() or len(offset) > 10 or (offset != "0" and offset[0] == "0"):
        raise MissingError("no such place in a file")
    data = await request.app[BLOBS].give(
        asked.peer.entity, named(request, "thread"), named(request, "blob"), int(offset)
    )
    return web.Response(body=data, content_type=BLOB_TYPE)


BLOB_ROUTES: Final = (
    Route(
        method="PUT",
        path=_PATH,
        handler=put_blob,
        auth="device",
        summary="Store the next portion of an encrypted file",
        query=PutBlob,
        request_content_type=BLOB_TYPE,
        response=StoredBlob,
    ),
    Route(
        method="GET",
        path=_PATH,
        handler=get_blob,
        auth="device",
        summary="The next portion of a file, of either person",
        query=GetBlob,
        response_content_type=BLOB_TYPE,
    ),
    Route(
        method="DELETE",
        path=_PATH,
        handler=delete_blob,
        auth="device",
        summary="Delete a file of one's own",
        status=204,
    ),
    Route(
        method="GET",
        path="/api/v1/blobs",
        handler=blobs,
        auth="device",
        summary="List one's files that wait for others",
        response=StoredBlobs,
    ),
    Route(
        method="GET",
        path=f"{BLOBS_PATH}/{{thread}}/{{blob}}/{{offset}}",
        handler=give_blob,
        auth="peer",
        summary="The next portion of a file of a shared thread",
        response_content_type=BLOB_TYPE,
    ),
)
