"""Asks peers over HTTP: signed requests, verified answers, every read bounded in size and time.

No redirect is followed and nothing is inflated; connections go where `resolver.py` lets them.
Source: docs/protocol/21-transport.md.
"""

import io
import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp
import msgspec
import yarl

from protocol.addresses import authority_of
from protocol.errors import MalformedError, UnverifiedError
from protocol.httpsig import (
    NONCE_BYTES,
    Asked,
    RequestLine,
    parse_response,
    sign_request,
    verify_response,
)
from protocol.signing import SigningKey, VerifyKey

from .answers import BadAnswerError, ForbiddenContactError, PeerUnavailableError, UnverifiedAnswerError, refusal
from .calls import Answer, Contact
from .connections import IDLE_S, Trust
from .directory import Peer
from .ports import Clock, Entropy
from .resolver import ForbiddenAddressError, GuardedResolver

USER_AGENT: Final = "mentormesh"
#: aiohttp warns when it gets more than a mebibyte as one byte string; a file-like body it sends in portions.
_LARGE: Final = 512 * 1024
#: Headers that mean something to us: two of them could be read in two ways.
_SINGLE: Final = frozenset(
    {"content-digest", "content-encoding", "content-type", "etag", "retry-after", "signature", "signature-input"}
)
#: Checked addresses may be used this long.
_DNS_S: Final = 10


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of every exchange.

    `per_peer` connections go to one host at a time and `connections` to all together: of fifty peers no few that are
    slow hold up the others. `development` permits `connect_to`; `proxy` is an HTTP proxy that resolves names itself, so
    that only the hosts of `allow` are asked.
    """

    connect_s: float = 5.0
    read_s: float = 10.0
    total_s: float = 30.0
    per_peer: int = 8
    connections: int = 512
    answer_bytes: int = 8 * 1024 * 1024
    development: bool = False
    proxy: str = ""
    allow: frozenset[str] = frozenset()


class PeerClient:
    """The HTTP client of one node; make it anywhere, use it inside one event loop, then `close` it."""

    def __init__(
        self,
        *,
        key: SigningKey,
        clock: Clock,
        entropy: Entropy,
        settings: ClientSettings | None = None,
        tls: ssl.SSLContext | None = None,
        resolver: GuardedResolver | None = None,
    ) -> None:
        """Take the node's `http` key; `tls` replaces the system's trust, for instance by a private authority."""
        self._key = key
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._settings: Final = settings or ClientSettings()
        self._trust: Final = Trust(tls)
        self._resolver: Final = resolver or GuardedResolver()
        self._session: aiohttp.ClientSession | None = None
        if self._settings.proxy:
            proxy = yarl.URL(self._settings.proxy)
            self._resolver.trust(proxy.host or "", proxy.port or 0)

    def rekey(self, key: SigningKey) -> None:
        """Sign with this `http` key from the next request on."""
        self._key = key

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def get(
        self, peer: Peer, target: str, *, limit: int | None = None, etag: str | None = None, signed: bool = True
    ) -> Answer:
        """Return the answer to a signed GET, see `Calls`."""
        headers = {} if etag is None else {"if-none-match": etag}
        return await self._ask(
            _Call(
                peer=peer,
                line=_line("GET", peer, target),
                headers=headers,
                limit=limit,
                must_be_signed=signed,
                accept=frozenset({304}),
            )
        )

    async def post(
        self,
        peer: Peer,
        target: str,
        body: bytes,
        content_type: str,
        *,
        limit: int | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> Answer:
        """Return the answer to a signed POST, see `Calls`."""
        line = _line("POST", peer, target)
        return await self._ask(
            _Call(peer=peer, line=line, body=body, content_type=content_type, limit=limit, accept=accept)
        )

    async def fetch(self, contact: Contact, target: str, *, limit: int | None = None) -> Answer:
        """Return a public document, see `Calls`."""
        answer = await self._send(contact, "GET", target, headers={}, limit=limit)
        if answer.status != 200:
            raise refusal(answer, who=contact.api, signed=True, now=self._clock.now())
        return answer

    async def submit(self, contact: Contact, target: str, body: bytes, *, limit: int | None = None) -> Answer:
        """Return the answer to an unsigned POST of text, see `PublicCalls`."""
        headers = {"content-type": "text/plain; charset=utf-8"}
        return await self._send(contact, "POST", target, headers=headers, body=body, limit=limit)

    async def _ask(self, call: "_Call") -> Answer:
        try:
            return await self._once(call)
        except _StaleConnectionError:
            # The peer closed an idle connection while we wrote; signed anew, so that no nonce is used twice.
            return await self._once(call)

    async def _once(self, call: "_Call") -> Answer:
        nonce = self._entropy.take(NONCE_BYTES)
        request = sign_request(
            call.line, call.body, call.content_type, key=self._key, now=self._clock.now(), nonce=nonce
        )
        answer = await self._send(
            Contact(api=call.peer.document.api, connect_to=call.peer.connect_to),
            call.line.method,
            call.line.target,
            headers={**call.headers, **request.headers},
            body=call.body,
            limit=call.limit,
        )
        return self._judge(call, answer, request.asked)

    def _judge(self, call: "_Call", answer: Answer, asked: Asked) -> Answer:
        """Return a good answer; raise what any other one stands for."""
        good = 200 <= answer.status < 300 or answer.status in call.accept
        signed = "signature-input" in answer.headers
        if signed or (good and call.must_be_signed):
            self._verify(answer, asked, call.peer.http_key)
        if good:
            return answer
        raise refusal(answer, who=call.peer.entity, signed=signed, now=self._clock.now())

    def _verify(self, answer: Answer, asked: Asked, key: VerifyKey) -> None:
        try:
            signature = parse_response(answer.headers.items())
            verify_response(signature, answer.status, answer.body, asked=asked, key=key, now=self._clock.now())
        except (MalformedError, UnverifiedError) as error:
            raise UnverifiedAnswerError(f"answer of the peer is not to be trusted: {error}") from None

    async def _send(
        self,
        contact: Contact,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        limit: int | None = None,
    ) -> Answer:
        most = self._settings.answer_bytes if limit is None else limit
        url = self._url(contact, target)
        try:
            async with self._opened().request(
                method,
                url,
                data=io.BytesIO(body) if len(body) > _LARGE else body or None,
                headers={**headers, "host": authority_of(contact.api)},
                allow_redirects=False,
                proxy=self._settings.proxy or None,
                ssl=await self._trust.of(str(url), self._settings.proxy),
            ) as response:
                return await _read(response, most)
        except (ForbiddenAddressError, aiohttp.InvalidURL) as error:
            raise ForbiddenContactError(f"{contact.api} may not be asked: {error}") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.__cause__, ForbiddenAddressError):
                raise ForbiddenContactError(f"{contact.api} may not be asked: {error.__cause__}") from None
            raise PeerUnavailableError(f"{contact.api} cannot be reached") from None
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            raise _StaleConnectionError(f"{contact.api} closed the connection") from None
        except TimeoutError:
            raise PeerUnavailableError(f"{contact.api} did not answer in time") from None
        except aiohttp.ClientError:
            raise PeerUnavailableError(f"{contact.api} did not answer in HTTP") from None

    def _url(self, contact: Contact, target: str) -> yarl.URL:
        """Return the exact URL; a loopback address is asked without TLS, under the peer's own name."""
        authority = authority_of(contact.api)
        host = authority.partition(":")[0]
        if not contact.connect_to:
            if self._settings.proxy and host not in self._settings.allow:
                raise ForbiddenContactError(f"{host} is not in [egress] allow")
            return yarl.URL(f"https://{authority}{target}", encoded=True)
        if not self._settings.development:
            raise ForbiddenContactError("connect_to works in development only")
        # The real port stands in the URL, so that no connection or look-up kept for another port is used.
        port = self._resolver.connect(host, contact.connect_to)
        return yarl.URL(f"http://{host}:{port}{target}", encoded=True)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            settings = self._settings
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=self._resolver,
                    ttl_dns_cache=_DNS_S,
                    limit=settings.connections,
                    limit_per_host=settings.per_peer,
                    keepalive_timeout=IDLE_S,
                ),
                timeout=aiohttp.ClientTimeout(
                    total=settings.total_s, sock_connect=settings.connect_s, sock_read=settings.read_s
                ),
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


class _Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a peer, and which answers to it are good."""

    peer: Peer
    line: RequestLine
    body: bytes = b""
    content_type: str | None = None
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    limit: int | None = None
    must_be_signed: bool = True
    accept: frozenset[int] = frozenset()


class _StaleConnectionError(PeerUnavailableError):
    """The connection ended before the answer began."""


def _line(method: str, peer: Peer, target: str) -> RequestLine:
    return RequestLine(method=method, authority=authority_of(peer.document.api), target=target)


async def _read(response: aiohttp.ClientResponse, most: int) -> Answer:
    """Return the whole answer. Raises: BadAnswerError: encoded, a header twice, or more than `most` bytes."""
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        lowered = name.lower()
        if lowered in headers and lowered in _SINGLE:
            raise BadAnswerError(f"answer repeats the header {lowered}")
        headers[lowered] = value
    if headers.get("content-encoding", "identity") != "identity":
        raise BadAnswerError("answer is compressed although that was declined")
    if (response.content_length or 0) > most:
        raise BadAnswerError(f"answer is longer than {most} bytes")
    body = bytearray()
    while chunk := await response.content.readany():
        body += chunk
        if len(body) > most:
            raise BadAnswerError(f"answer is longer than {most} bytes")
    return Answer(status=response.status, headers=headers, body=bytes(body))
