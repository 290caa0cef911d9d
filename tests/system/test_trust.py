"""Whom programs trust that read the certificates of the system late: in processes of their own, over real TLS."""

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

from .test_one_node import certificate

pytestmark = [pytest.mark.slow, pytest.mark.system]

#: Loads what a command loads, then asks as a node and as a person.
PROGRAM: Final = """
import asyncio, sys
from cli.main import main

assert main.get_command(None, "ask")
import aiohttp
from aiohttp import connector
from cli.client.http import Http
from federation.calls import Contact
from federation.client import PeerClient
from federation.resolver import GuardedResolver
from node.clock import SystemClock, SystemEntropy
from protocol.errors import UnavailableError
from protocol.signing import SigningKey

async def here(host, port):
    return ["127.0.0.1"]

async def answers(asking):
    try:
        return bool(await asking)
    except (UnavailableError, aiohttp.ClientError):
        return False

async def ask(port):
    resolver, url = GuardedResolver(here), f"https://aurora.example:{port}"
    resolver.trust("aurora.example", port)
    node = PeerClient(key=SigningKey(bytes(32)), clock=SystemClock(), entropy=SystemEntropy(), resolver=resolver)
    print("as a node:", await answers(node.fetch(Contact(api=url), "/x")))
    await node.close()
    async with Http(resolver) as person:
        print("as a person:", await answers(person.call("GET", url)))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=resolver)) as careless:
        print("as nobody:", await answers(careless.get(url)))

print("read early:", connector._SSL_CONTEXT_VERIFIED.cert_store_stats()["x509"])
asyncio.run(ask(int(sys.argv[1])))
"""


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """Something that answers as `aurora.example`, with the certificate in `tls.pem`."""
    certificate(tmp_path, days=1)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "tls.pem", tmp_path / "tls.key")
    runner = web.ServerRunner(web.Server(_answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def _answer(_: web.BaseRequest) -> web.Response:
    return web.Response(text="document")


@pytest.mark.parametrize(("known", "trusted"), [(True, True), (False, False)])
async def test_a_host_is_trusted_by_what_the_system_knows_and_by_nobody_without_it(
    port: int, tmp_path: Path, *, known: bool, trusted: bool
) -> None:
    places = {"SSL_CERT_FILE": str(tmp_path / "tls.pem")} if known else {}
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(port)), stdout=asyncio.subprocess.PIPE, env={**os.environ, **places}
    )
    said, _ = await program.communicate()
    assert program.returncode == 0
    assert said.decode().splitlines() == [
        "read early: 0",
        f"as a node: {trusted}",
        f"as a person: {trusted}",
        "as nobody: False",
    ]
