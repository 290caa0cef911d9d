"""JSON over HTTP to a node, bounded in time and size: the only connections that a person's client makes.

`NAME.localhost` is this machine without asking DNS; anything else that is not loopback needs HTTPS. Redirects, cookies
and compression are not taken, and proxies are not used.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from cli.node_access import problem_error
from federation.connections import IDLE_S, Trust
from protocol.encoding import decode_loose
from protocol.errors import LimitError, MalformedError, MeshError, UnavailableError
from protocol.text import displayable

T = TypeVar("T")

TIMEOUT_S: Final = 30.0
CONNECT_S: Final = 10.0
#: Far above a full mailbox page (200 envelopes of 108 kB in base64url).
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
_CHUNK: Final = 64 * 1024


class LocalResolver(AbstractResolver):
    """Names of this machine without DNS; all others as the system knows them."""

    def __init__(self) -> None:
        self._system: ThreadedResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of `host`."""
        if is_localhost(host):
            return [
                ResolveResult(
                    hostname=host,
                    host="127.0.0.1",
                    port=port,
                    family=socket.AF_INET,
                    proto=0,
                    flags=socket.AI_NUMERICHOST,
                )
            ]
        self._system = self._system or ThreadedResolver()
        return await self._system.resolve(host, port, family)

    async def close(self) -> None:
        """Nothing to let go of."""


def is_localhost(host: str) -> bool:
    """Tell whether `host` is `localhost` or a name below it."""
    return host == "localhost" or host.endswith(".localhost")


def parse_url(text: str) -> str:
    """Return scheme, host and port of a node's address. Raises: MalformedError: not HTTPS and not this machine."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise MalformedError("the address of a node looks like https://mentors.company.example") from None
    if parts.scheme not in {"http", "https"} or not host or parts.username is not None:
        raise MalformedError("the address of a node looks like https://mentors.company.example")
    if parts.scheme == "http" and not (is_localhost(host) or _is_loopback(host)):
        raise MalformedError("the address of a node must begin with https://, unless it is on this machine")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + (f":{port}" if port else "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Http:
    """Connections of one client program; use it as an async context manager."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        """Take what finds hosts: by default this machine's own names and those that the system knows."""
        self._resolver: Final = resolver
        self._trust: Final = Trust()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the pool; nothing is sent yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=self._resolver or LocalResolver(), keepalive_timeout=IDLE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "mentormesh"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self,
        method: str,
        url: str,
        *,
        token: str = "",
        body: msgspec.Struct | bytes | None = None,
        query: dict[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        repeatable: bool = False,
    ) -> bytes:
        """Return the body of a good answer; a `body` of bytes is sent as it is, another one as JSON.

        Args:
            repeatable: twice has the same effect as once. If the connection breaks it is asked once more, on a new one:
                behind a load balancer another process of the node takes it.
        Raises: MeshError: the problem that the node answered with; UnavailableError: no answer; LimitError: too long.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            headers["Content-Type"] = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        ask = partial(self._ask, method, url + (f"?{urlencode(query)}" if query else ""), data, headers, timeout_s)
        try:
            try:
                return await ask()
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
                if not repeatable or isinstance(error, aiohttp.ClientConnectorError):
                    raise
            return await ask()
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError):
            host = urlsplit(url).netloc
            raise UnavailableError(f"your node at {host} does not answer", code="node-away") from None

    async def _ask(
        self, method: str, url: str, data: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> bytes:
        assert self._session is not None
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
        trust = await self._trust.of(url)
        async with self._session.request(
            method, url, data=data, headers=headers, allow_redirects=False, timeout=timeout, ssl=trust
        ) as answer:
            raw = await _bounded(answer)
            if answer.status >= 400:
                raise _problem(raw)
            if answer.status >= 300:
                raise UnavailableError("your node sends its visitors elsewhere: check its address", code="node-away")
            return raw


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in answer.content.iter_chunked(_CHUNK):
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise LimitError("the node's answer is longer than any answer can be", code="too-large")
        parts.append(chunk)
    return b"".join(parts)


def _problem(raw: bytes) -> MeshError:
    """Return the node's problem as an error whose sentence is fit for a terminal."""
    error = problem_error(raw)
    error.args = (displayable(str(error), lines=False),)
    return error


def parse_answer(raw: bytes, kind: type[T]) -> T:
    """Return an answer as `kind`. Raises: UnavailableError: it is something else, so this is no node of ours."""
    try:
        return decode_loose(raw, kind, what="answer of the node")
    except MalformedError as error:
        raise UnavailableError(
            f"what answers is not a node that this program knows: {error}", code="node-away"
        ) from None
