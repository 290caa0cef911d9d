"""The node's witness for logs (C2SP tlog-witness): `add-checkpoint`, unsigned as a request, limited by address."""

from typing import Final

import msgspec
from aiohttp import web

from federation.knownlogs import ADD_CHECKPOINT, WITNESS_PREFIX
from federation.witness import Witness
from protocol.errors import MeshError, UnavailableError
from protocol.tlog.witness import MAX_REQUEST_BYTES, SIZE_CONTENT_TYPE, SizeConflictError, render_size, status

from .bodies import read_bytes
from .problems import answer, problem_of
from .routes import Route
from .strangers import charge

WITNESS: Final = web.AppKey("mentormesh.witness", Witness)


async def add_checkpoint(request: web.Request) -> web.Response:
    """Cosign a checkpoint that extends the one cosigned before."""
    charge(request)
    body = await read_bytes(request, limit=MAX_REQUEST_BYTES)
    try:
        lines = await request.app[WITNESS].add_checkpoint(body)
    except SizeConflictError as error:
        return web.Response(status=409, body=render_size(error.size), content_type=SIZE_CONTENT_TYPE)
    except UnavailableError:
        raise
    except MeshError as error:
        # The statuses are those of tlog-witness, which differ from ours for the same kinds.
        return answer(msgspec.structs.replace(problem_of(error), status=status(error)), now=0)
    return web.Response(body=lines, content_type="text/plain", charset="utf-8")


WITNESS_ROUTES: Final = (
    Route(
        method="POST",
        path=f"{WITNESS_PREFIX}{ADD_CHECKPOINT}",
        handler=add_checkpoint,
        auth="public",
        summary="Cosign a checkpoint of a known log that extends the one before (C2SP tlog-witness)",
        request_content_type="text/plain",
        response_content_type="text/plain",
    ),
)
