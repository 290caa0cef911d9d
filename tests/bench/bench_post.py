"""A signed POST through the whole server, against a bare aiohttp server that verifies a bare signature.

Both answer with the body they got. Ours checks the request as from any peer: name of the host, path, allow list,
buckets, bounds of the body, digest, nonce and signature; then it signs the answer, measures and dresses it. The client
is another process. Both are measured in turns, in processor time of the server, and the best round counts.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import nacl.signing
from aiohttp import web

from node.api.app import GUARDS, build_app
from node.api.federation import FEDERATION, asked_by
from node.api.routes import Route, add_routes
from node.api.server import Runner, bind
from node.serving import spare_collector
from tests.attacks.world import Attacker, World, world

from .figures import Figure

POSTS: Final = 250
ROUNDS: Final = 20
BODY: Final = bytes(range(256)) * 4
TYPE: Final = "application/octet-stream"
PATH: Final = "/federation/v1/echo"
BARE: Final = nacl.signing.SigningKey(bytes(32))


async def run() -> list[Figure]:
    """Return what a signed POST costs the server, as a multiple of the bare one and by itself."""
    costs: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            made = await stack.enter_async_context(world(Path(folder) / "aurora"))
            our_port = await stack.enter_async_context(our_server(made))
            bare_port = await stack.enter_async_context(bare_server(answers_signed=False))
            signing_port = await stack.enter_async_context(bare_server(answers_signed=True))
            spare_collector()  # as `serve` does
            for _ in range(ROUNDS):
                ours = await cost(our_port, [signed(made.birch) for _ in range(POSTS)])
                floors = [await cost(port, [bare()] * POSTS) for port in (bare_port, signing_port)]
                costs.append([ours, *floors])
    ours, floor, signing = map(min, zip(*costs, strict=True))
    name, bare_name = "signed POST, processor time of the server", "bare aiohttp and PyNaCl verify"
    return [
        Figure(name=name, value=ours / floor, unit="×", aim="≤ 1.25", ratio_to=bare_name),
        Figure(name=name, value=ours / signing, unit="×", ratio_to="the same, and the answer signed"),
        Figure(name="signed POST", value=ours * 1e6, unit="µs"),
        Figure(name=bare_name, value=floor * 1e6, unit="µs"),
    ]


async def cost(port: int, requests: Sequence[bytes]) -> float:
    """Return the seconds of this process for each request that a client sends."""
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.post_client", str(port)), stdin=asyncio.subprocess.PIPE
    )
    started = time.process_time()
    await client.communicate(b"".join(len(each).to_bytes(4, "big") + each for each in requests))
    assert client.returncode == 0, "an answer was not 200"
    return (time.process_time() - started) / len(requests)


def post(headers: Sequence[tuple[str, str]]) -> bytes:
    """Return the bytes of a request."""
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(BODY)}"]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + BODY


def signed(peer: Attacker) -> bytes:
    """Return a request that a peer signed."""
    return post(peer.signed("POST", PATH, BODY, TYPE))


def bare() -> bytes:
    """Return a request with a signature over its body."""
    signature = BARE.sign(BODY).signature.hex()
    return post([("Host", "aurora.example"), ("Content-Type", TYPE), ("Signature", signature)])


async def echo(request: web.Request) -> web.Response:
    """Give the body back."""
    asked = asked_by(request)
    await request.app[FEDERATION].authenticator.once(asked)
    return web.Response(body=asked.body, content_type=TYPE)


@asynccontextmanager
async def our_server(made: World) -> AsyncIterator[int]:
    """Serve the node with one more route, and yield the port."""
    node = made.node.node
    app = build_app(node)
    route = Route(
        method="POST", path=PATH, handler=echo, auth="peer", summary="Echo", request_content_type=TYPE, request=bytes
    )
    add_routes(app, (route,), GUARDS)
    runner = Runner(app, limits=node.base.config.limits, gauge=node.base.events.metrics.connections)
    async with listening(runner) as port:
        yield port


@asynccontextmanager
async def bare_server(*, answers_signed: bool) -> AsyncIterator[int]:
    """Serve the floor, and yield the port; the floor signs its answers, too, if it is to do as much as we promise."""

    async def verified(request: web.Request) -> web.Response:
        body = await request.read()
        BARE.verify_key.verify(body, bytes.fromhex(request.headers["Signature"]))
        headers = {"Signature": BARE.sign(body).signature.hex()} if answers_signed else None
        return web.Response(body=body, content_type=TYPE, headers=headers)

    app = web.Application()
    app.router.add_post(PATH, verified)
    async with listening(web.AppRunner(app, access_log=None)) as port:
        yield port


@asynccontextmanager
async def listening(runner: web.AppRunner) -> AsyncIterator[int]:
    """Yield the port that a runner listens on."""
    await runner.setup()
    with bind("127.0.0.1", 0) as bound:
        await web.SockSite(runner, bound).start()
        try:
            yield bound.getsockname()[1]
        finally:
            await runner.cleanup()
