"""What other nodes ask: our documents, the redemption of a ticket, and the guard of every route between peers.

`peer_guard` authenticates before the handler runs and signs whatever it answers, refusals too. A handler of such a
route finds who asked, and the body, with `asked_by(request)`.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import web

from federation.authenticate import SAFE_METHODS, Authenticated, Authenticator
from federation.checkup import HELLO_PATH, Hello
from federation.discovery import Discovery
from federation.identity import Own
from federation.peering import MAX_REDEMPTION_BYTES, PeeringService
from federation.ports import Clock, Entropy
from federation.rows import NonceRow
from protocol.encoding import b64, decode, sha256
from protocol.errors import MeshError, MissingError, UnavailableError
from protocol.httpsig import (
    NONCE_BYTES,
    Asked,
    MessageSignature,
    RequestLine,
    parse_request,
    sign_response,
    verify_request,
)
from protocol.keydirectory import DIRECTORY_PATH, DIRECTORY_TYPE, directory, sign_directory
from protocol.peers import (
    DOCUMENT_PATH,
    DOCUMENT_TYPE,
    DOCUMENTS_PATH,
    MAX_DOCUMENT_BYTES,
    NodeDocument,
    open_document,
)
from protocol.signing import SigningKey, VerifyKey
from protocol.tickets import PEERINGS_PATH, Redeemed, Redemption

from .bodies import read_bytes, reply
from .hosts import HOSTS
from .problems import answer_error
from .routes import JSON, Handler, Route, route_of

#: How long others may keep our documents, in seconds; also the least time between two looks at them.
DOCUMENT_AGE_S: Final = 60
#: So long after the database went away a process still says what it knew: others may have taken other keys since.
BELIEVED_S: Final = 600
#: A JSON body of a peer; other media types may be as large as a batch.
JSON_BYTES: Final = 64 * 1024

_UNSIGNED: Final = web.ResponseKey("mentormesh.unsigned", bool)


class Federation:
    """What the routes between nodes need of one node."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        peering: PeeringService,
        discovery: Discovery,
        own: Own,
        key: SigningKey,
        clock: Clock,
        entropy: Entropy,
        batch_bytes: int,
        away_s: Callable[[], int],
    ) -> None:
        """Take the parts; `key` is the node's `http` key, `away_s` says for how long the database has been away."""
        self.authenticator: Final = authenticator
        self.peering: Final = peering
        self.own: Final = own
        self.discovery: Final = discovery
        self.key = key
        self.clock: Final = clock
        self.entropy: Final = entropy
        self.batch_bytes: Final = batch_bytes
        self._away_s: Final = away_s

    def require_fresh(self) -> None:
        """Return if the process may say who the node is. Raises: UnavailableError: it may be wrong by now."""
        if self._away_s() > BELIEVED_S:
            raise UnavailableError("this process has not reached its database for too long to say who the node is")

    def rekey(self, key: SigningKey) -> None:
        """Sign answers with this `http` key from now on."""
        self.key = key

    def sign(self, response: web.Response, asked: Asked) -> web.Response:
        """Return `response` with the signature that ties it to the request it answers."""
        body = response.body or b""
        assert isinstance(body, bytes), "an answer to a peer has its bytes ready"
        headers = sign_response(response.status, body, asked=asked, key=self.key, now=self.clock.now())
        response.headers.update(headers)
        return response


FEDERATION: Final = web.AppKey("mentormesh.federation", Federation)
_ASKED_BY: Final = web.RequestKey("mentormesh.asked_by", Authenticated)


def peer_guard(handler: Handler) -> Handler:
    """Return `handler` for requests that a peer signed; the answer is signed in turn."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        federation = request.app[FEDERATION]
        authenticated = await _authenticated(request, federation)
        request[_ASKED_BY] = authenticated
        try:
            response = await handler(request)
        except MeshError as error:
            response = answer_error(error, now=federation.clock.now())
        assert isinstance(response, web.Response), "an answer to a peer is no stream"
        return response if response.get(_UNSIGNED) else federation.sign(response, authenticated.asked)

    return guarded


def asked_by(request: web.Request) -> Authenticated:
    """Return who asked, and the verified body, inside a route of kind `peer`."""
    return request[_ASKED_BY]


def unsigned(response: web.Response) -> web.Response:
    """Return `response` marked as immutable data that carries its own proof, such as a page of a set."""
    response[_UNSIGNED] = True
    return response


async def _authenticated(request: web.Request, federation: Federation) -> Authenticated:
    route = route_of(request)
    assert route is not None, "a guard stands before a route"
    admission = federation.authenticator.admit(_line(request), request.headers.items(), address=_address(request))
    if request.method == "GET":
        body = await read_bytes(request, limit=0)
    else:
        limit = JSON_BYTES if route.request_content_type == JSON else federation.batch_bytes
        body = await read_bytes(
            request, limit=limit, content_type=route.request_content_type, stranger=admission.charged
        )
    authenticated = federation.authenticator.verify(admission, body)
    if request.method in SAFE_METHODS:
        await federation.authenticator.once(authenticated)
    return authenticated


def _line(request: web.Request) -> RequestLine:
    return RequestLine(method=request.method, authority=request.app[HOSTS].api, target=request.raw_path)


def _address(request: web.Request) -> str:
    return request.app[HOSTS].client_address(request)


async def node_document(request: web.Request) -> web.Response:
    """Give our node document, a JWS; 304 when the asker has it."""
    federation = request.app[FEDERATION]
    federation.authenticator.meet_stranger(_address(request))
    federation.require_fresh()
    text = federation.own.text.encode("ascii")
    etag = f'"{b64(sha256(text))}"'
    headers = {"ETag": etag, "Cache-Control": f"public, max-age={DOCUMENT_AGE_S}"}
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=text, content_type=DOCUMENT_TYPE, headers=headers)


async def key_directory(request: web.Request) -> web.Response:
    """Give our transport key in the form that Web Bot Auth readers know, signed by itself."""
    federation = request.app[FEDERATION]
    federation.authenticator.meet_stranger(_address(request))
    federation.require_fresh()
    headers = sign_directory(
        request.app[HOSTS].api,
        key=federation.key,
        now=federation.clock.now(),
        nonce=federation.entropy.take(NONCE_BYTES),
    )
    headers["Cache-Control"] = f"public, max-age={DOCUMENT_AGE_S}"
    return web.Response(body=directory(federation.key.public), content_type=DIRECTORY_TYPE, headers=headers)


async def redeem_ticket(request: web.Request) -> web.Response:
    """Let a new peer in that holds a ticket; the http key of the document it brings signs the request."""
    federation = request.app[FEDERATION]
    federation.authenticator.meet_stranger(_address(request))
    signed = parse_request(request.headers.items())
    federation.authenticator.check_fresh(signed)
    body = await read_bytes(request, limit=MAX_REDEMPTION_BYTES, content_type=JSON)
    redemption = decode(body, Redemption, what="redemption")
    document = open_document(redemption.document)
    key = VerifyKey.parse(document.keys.http)
    asked = verify_request(signed, _line(request), body, key=key, now=federation.clock.now())
    response = await _redeemed(federation, redemption, document, signed)
    return federation.sign(response, asked)


async def _redeemed(
    federation: Federation, redemption: Redemption, document: NodeDocument, signed: MessageSignature
) -> web.Response:
    nonce = NonceRow(keyid=signed.keyid, nonce=signed.nonce, expires_at=signed.expires)
    try:
        answer = await federation.peering.redeem(redemption, document, nonce=nonce)
    except MeshError as error:
        return answer_error(error, now=federation.clock.now())
    return web.Response(body=answer, content_type=JSON)


async def take_document(request: web.Request) -> web.Response:
    """Take a peer's new document, if those before it allow; its own http key signs the request.

    Whatever else is wrong answers like a stranger's, so that nobody can ask who our peers are.
    """
    federation = request.app[FEDERATION]
    federation.authenticator.meet_stranger(_address(request))
    signed = parse_request(request.headers.items())
    federation.authenticator.check_fresh(signed)
    body = await read_bytes(request, limit=MAX_DOCUMENT_BYTES, content_type=DOCUMENT_TYPE)
    text = body.decode("ascii", "replace")
    document = open_document(text)
    key = VerifyKey.parse(document.keys.http)
    asked = verify_request(signed, _line(request), body, key=key, now=federation.clock.now())
    response = web.Response(status=204)
    try:
        await federation.discovery.learn(document.entity, text)
    except UnavailableError:
        raise
    except MeshError:
        response = answer_error(MissingError("there is no such peer here"), now=federation.clock.now())
    return federation.sign(response, asked)


async def hello(request: web.Request) -> web.Response:
    """Say to a peer that its signature arrived whole, and who we think it is."""
    federation = request.app[FEDERATION]
    return reply(Hello(entity=federation.own.entity, peer=asked_by(request).peer.entity, now=federation.clock.now()))


class Jwk(msgspec.Struct, frozen=True, kw_only=True):
    """One public key, RFC 8037."""

    crv: str
    kid: str
    kty: str
    use: str
    x: str


class JwkSet(msgspec.Struct, frozen=True, kw_only=True):
    """Our transport keys."""

    keys: tuple[Jwk, ...]


FEDERATION_ROUTES: Final = (
    Route(
        method="GET",
        path=DOCUMENT_PATH,
        handler=node_document,
        auth="public",
        summary="The node document: who this node is, its keys, its profile",
        response_content_type=DOCUMENT_TYPE,
    ),
    Route(
        method="GET",
        path=DIRECTORY_PATH,
        handler=key_directory,
        auth="public",
        summary="The transport key as an HTTP message signatures directory",
        response=JwkSet,
        response_content_type=DIRECTORY_TYPE,
    ),
    Route(
        method="POST",
        path=PEERINGS_PATH,
        handler=redeem_ticket,
        auth="public",
        summary="Redeem a ticket: become a peer (signed by the http key of the enclosed document)",
        request=Redemption,
        response=Redeemed,
    ),
    Route(
        method="POST",
        path=DOCUMENTS_PATH,
        handler=take_document,
        auth="public",
        summary="Bring a new node document (signed by the http key of the document)",
        request_content_type=DOCUMENT_TYPE,
        status=204,
    ),
    Route(
        method="GET",
        path=HELLO_PATH,
        handler=hello,
        auth="peer",
        summary="Whether signatures work in both directions",
        response=Hello,
    ),
)
