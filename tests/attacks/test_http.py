"""Transport and HTTP (lines 1 to 17): raw bytes at a running node, the exact answer, and nothing changed."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from federation.checkup import HELLO_PATH
from node.api.routes import Route
from node.api.table import ALL_ROUTES
from node.services.exchange import BATCH_TYPE, MESSAGES_PATH
from protocol.messages import join_batch
from tests.patience import PATIENCE_S

from .world import CANARY, HOST, JSON_ROUTES, World, filled, name_of, parsed, problem_of, refusal
from .world import world as running_world

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

LINKS = "/api/v1/sign-in/links"
POST = b"POST /api/v1/sign-in/links HTTP/1.1\r\nHost: aurora.example\r\nContent-Type: application/json\r\n"
#: Behind the attack; whoever takes the body to end elsewhere answers it.
HIDDEN = b"GET /version HTTP/1.1\r\nHost: aurora.example\r\n\r\n"
BODY = b'{"mail":"canary@aurora.example"}'
CHUNKED = b"20\r\n" + BODY + b"\r\n0\r\n\r\n"

SMUGGLING: dict[str, bytes] = {
    "length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + CHUNKED,
    "two lengths": POST + b"Content-Length: 32\r\nContent-Length: 4\r\n\r\n" + BODY,
    "a length with a plus": POST + b"Content-Length: +32\r\n\r\n" + BODY,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n" + BODY,
    "a hexadecimal length": POST + b"Content-Length: 0x20\r\n\r\n" + BODY,
    "a list of lengths": POST + b"Content-Length: 32, 4\r\n\r\n" + BODY,
    "an unknown transfer coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED,
    "chunked and then another": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKED,
    "two transfer codings": POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "lines that end in a bare line feed": POST.replace(b"\r\n", b"\n") + b"Content-Length: 32\n\n" + BODY,
    "a space before the colon": POST + b"Content-Length : 32\r\n\r\n" + BODY,
    "a folded line": POST + b"X-One: a\r\n Content-Length: 4\r\nContent-Length: 32\r\n\r\n" + BODY,
    "a NUL in a value": POST + b"X-One: a\x00b\r\nContent-Length: 32\r\n\r\n" + BODY,
    "a NUL in a name": POST + b"X\x00One: a\r\nContent-Length: 32\r\n\r\n" + BODY,
    "a bare carriage return": POST + b"X-One: a\rContent-Length: 4\r\nContent-Length: 32\r\n\r\n" + BODY,
    "a chunk size with a sign": POST + b"Transfer-Encoding: chunked\r\n\r\n+" + CHUNKED,
    "a chunk size with a prefix": POST + b"Transfer-Encoding: chunked\r\n\r\n0x" + CHUNKED,
    "a chunk with a bare line feed": POST + b"Transfer-Encoding: chunked\r\n\r\n20\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk that is longer than it says": POST + b"Transfer-Encoding: chunked\r\n\r\n1f\r\n" + BODY + b"\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("request_", [pytest.param(raw, id=name) for name, raw in SMUGGLING.items()])
async def test_a_request_with_two_readings_is_refused_and_the_connection_closed(world: World, request_: bytes) -> None:
    async with world.unchanged():
        answer = parsed(await world.node.raw(request_ + HIDDEN))
        assert refusal(answer) == (400, "malformed")


@pytest.mark.parametrize("target", ["http://evil.example/version", "https://aurora.example/version", "ftp://a/version"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_target_with_a_host_of_its_own_is_misdirected(world: World, method: str, target: str) -> None:
    async with world.unchanged():
        assert refusal(await world.send(method, target)) == (421, "misdirected")


async def test_the_authority_that_is_signed_is_that_of_the_configuration(world: World) -> None:
    headers = world.birch.signed("GET", HELLO_PATH)
    async with world.unchanged():
        elsewhere = [("Host", "evil.example"), *headers[1:]]
        assert refusal(await world.send("GET", HELLO_PATH, elsewhere)) == (421, "misdirected")
        for name in ("X-Forwarded-Host", "Forwarded"):
            answer = await world.send(
                "GET", HELLO_PATH, [*world.birch.signed("GET", HELLO_PATH), (name, "evil.example")]
            )
            assert answer.status == 200, "what a proxy adds changes neither name nor signature"


OVERSIZE: dict[str, bytes] = {
    "5,000 headers": b"GET /version HTTP/1.1\r\nHost: aurora.example\r\n" + b"X: canary\r\n" * 5000 + b"\r\n",
    "a header of 9,000 bytes": b"GET /version HTTP/1.1\r\nHost: aurora.example\r\nX: " + b"c" * 9000 + b"\r\n\r\n",
    "a name of 9,000 bytes": b"GET /version HTTP/1.1\r\nHost: aurora.example\r\n" + b"c" * 9000 + b": x\r\n\r\n",
    "an address of 9,000 bytes": b"GET /" + b"c" * 9000 + b" HTTP/1.1\r\nHost: aurora.example\r\n\r\n",
    "5,000 trailers": POST
    + b"Transfer-Encoding: chunked\r\n\r\n20\r\n"
    + BODY
    + b"\r\n0\r\n"
    + b"X: canary\r\n" * 5000
    + b"\r\n",
}


@pytest.mark.parametrize("request_", [pytest.param(raw, id=name) for name, raw in OVERSIZE.items()])
async def test_a_head_or_tail_without_end_is_refused(world: World, request_: bytes) -> None:
    async with world.unchanged():
        assert refusal(parsed(await world.node.raw(request_))) == (400, "malformed")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def impatient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A node that waits for a fifth of a second."""
    soon = {"header_s": 0.2, "body_s": 0.2, "stall_s": 0.2}
    async with running_world(tmp_path_factory.mktemp("impatient") / "aurora", limits=soon) as made:
        yield made


async def drip(world: World, head: bytes, drop: bytes) -> bytes:
    """Send `head`, then one `drop` after the other until the node closes; return what came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.node.port)
    writer.write(head)
    came = bytearray()

    async def listen() -> None:
        while data := await reader.read(4096):
            came.extend(data)

    closed = asyncio.ensure_future(listen())
    while not closed.done() and not writer.is_closing():
        writer.write(drop)
        await asyncio.wait({closed}, timeout=0.02)
    await asyncio.gather(closed, return_exceptions=True)
    writer.close()
    return bytes(came)


async def test_a_head_that_comes_drop_by_drop_closes_the_connection(impatient: World) -> None:
    head = b"GET /version HTTP/1.1\r\nHost: aurora.example\r\n"
    assert await asyncio.wait_for(drip(impatient, head, b"X: canary\r\n"), PATIENCE_S) == b""


@pytest.mark.slow
async def test_a_body_that_comes_drop_by_drop_is_given_up(impatient: World) -> None:
    async with impatient.unchanged():
        answer = await asyncio.wait_for(drip(impatient, POST + b"Content-Length: 4096\r\n\r\n{", b" "), PATIENCE_S)
        assert refusal(parsed(answer)) == (408, "timeout")


@pytest.mark.slow
async def test_connections_that_say_nothing_give_their_places_back(impatient: World) -> None:
    cap = impatient.node.node.base.config.limits.connections
    idle = [await asyncio.open_connection("127.0.0.1", impatient.node.port) for _ in range(5 * cap)]
    closed = await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in idle)), PATIENCE_S)
    assert set(closed) == {b""}
    for _, writer in idle:
        writer.close()
    assert (await impatient.send("GET", "/version")).status == 200


async def credentials(world: World, route: Route, content_type: str, body: bytes = b"x") -> list[tuple[str, str]]:
    """Return the headers of whoever may call `route`."""
    path = filled(route)
    if route.auth == "peer":
        return world.birch.signed(route.method, path, body, content_type)
    headers = [("Content-Type", content_type)]
    if route.auth == "operator":
        return [("Host", f"127.0.0.1:{world.node.port}"), ("Authorization", world.operator), *headers]
    if route.auth == "device":
        return [HOST, ("Authorization", await world.token(world.ana)), *headers]
    if route.path == "/federation/v1/peerings":
        return world.birch.signed(route.method, path, body, content_type)
    return [HOST, *headers]


@pytest.mark.parametrize("route", JSON_ROUTES, ids=name_of)
async def test_a_form_with_parts_is_refused_on_every_route_before_it_is_read(world: World, route: Route) -> None:
    headers = await credentials(world, route, "multipart/form-data; boundary=canary")
    async with world.unchanged():
        # The body never comes: whoever waited for it would answer 408.
        answer = await world.send(route.method, filled(route), [*headers, ("Content-Length", "100000")])
        assert refusal(answer) == (415, "media-type")


BOMB = gzip.compress(bytes(50_000_000), 1)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x-gzip", "gzip, gzip", "identity", ""])
async def test_a_compressed_body_is_refused_and_never_unpacked(world: World, encoding: str) -> None:
    headers = [HOST, ("Content-Type", "application/json"), ("Content-Encoding", encoding)]
    async with world.unchanged():
        assert refusal(await world.send("POST", LINKS, headers, BOMB)) == (415, "media-type")


async def test_a_compressed_transfer_is_no_request(world: World) -> None:
    async with world.unchanged():
        request = POST + b"Connection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED
        assert refusal(parsed(await world.node.raw(request))) == (400, "malformed")


#: Ids that a path decoded once, twice or by somebody else would turn into something.
SPELLINGS = (
    *("%2e%2e", "..%2f..", "%252e%252e", "a%5cb", "a\\b", "", "%00", "A%00", "..", ".", "a%2Fb", "a;b", "a%0d%0ab"),
    *("%c0%ae", "%u002e", "A" * 2000, "canary%", "*", "+", "a%20b"),
)
IN_PATH = tuple(route for route in ALL_ROUTES if "{" in route.path and ":" not in route.path)


@pytest.mark.parametrize("route", IN_PATH, ids=name_of)
async def test_an_id_in_a_path_has_one_spelling(world: World, route: Route) -> None:
    async with world.unchanged():
        for text in SPELLINGS:
            path = filled(route, text)
            if route.auth == "peer":
                headers = world.birch.signed(route.method, path, b"", None)
            else:
                headers = await credentials(world, route, "application/json")
            answer = await world.send(route.method, path, headers)
            if answer.headers["content-type"].startswith("text/html"):
                assert answer.status == 404, "a page says that the link is over"
                continue
            found = problem_of(answer)
            assert found.status in {400, 404, 405, 415} or found.code == "no-device", path


@pytest.mark.parametrize(
    "path", ["//evil.example/", "//evil.example/%2f..", "/\\evil.example", "/?next=//evil.example"]
)
async def test_no_answer_leads_to_another_host(world: World, path: str) -> None:
    answer = await world.send("GET", path)
    assert problem_of(answer).status in {400, 404}


STATIC = tuple(
    route for route in ALL_ROUTES if (route.method, route.auth) == ("GET", "public") and "{" not in route.path
)


@pytest.mark.parametrize("route", STATIC, ids=name_of)
async def test_an_address_that_is_escaped_is_another_one(world: World, route: Route) -> None:
    first, second = route.path[1], route.path[2]
    for path in (f"/%{ord(first):02x}{route.path[2:]}", f"/{first}%{ord(second):02X}{route.path[3:]}"):
        assert refusal(await world.send("GET", path)) == (404, "missing"), path


def two(headers: list[tuple[str, str]], name: str) -> list[tuple[str, str]]:
    """Return headers of which the one called `name` stands twice."""
    return [pair for one in headers for pair in ([one, one] if one[0].lower() == name else [one])]


@pytest.mark.parametrize("name", ["signature", "signature-input", "content-digest"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_signature_header_that_stands_twice_is_refused(world: World, method: str, name: str) -> None:
    path, body = (HELLO_PATH, b"") if method == "GET" else (MESSAGES_PATH, join_batch([b"x"]))
    headers = two(world.birch.signed(method, path, body, BATCH_TYPE if body else None), name)
    async with world.unchanged():
        assert refusal(await world.send(method, path, headers, body)) == (400, "duplicate-header")


@pytest.mark.parametrize("method", ["TRACE", "PATCH", "OPTIONS", "HEAD", "PROPFIND"])
@pytest.mark.parametrize("path", ["/version", LINKS, HELLO_PATH])
async def test_a_method_that_no_address_takes_is_refused(world: World, method: str, path: str) -> None:
    answer = await world.node.raw(
        f"{method} {path} HTTP/1.1\r\nHost: aurora.example\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.split(b" ", 2)[1] in {b"400", b"405"}


@pytest.mark.parametrize("length", [4 * 1024 * 1024 + 1, 2**31, 2**63, 10**30])
async def test_a_batch_over_the_limit_is_refused_before_the_signature_is_checked(world: World, length: int) -> None:
    forged = dict(world.birch.signed("POST", MESSAGES_PATH, b"x", BATCH_TYPE))
    forged["signature"] = f"sig1=:{'A' * 86}==:"
    async with world.unchanged():
        answer = await world.send("POST", MESSAGES_PATH, [*forged.items(), ("Content-Length", str(length))])
        assert (answer.status, problem_of(answer).code) in {(413, "too-large"), (400, "malformed")}


ECHOES: dict[str, tuple[str, str, list[tuple[str, str]], bytes]] = {
    "a path": ("GET", "/api/v1/canary", [], b""),
    "a query": ("GET", "/api/v1/mailbox?canary=1", [], b""),
    "a value of a query": ("GET", "/api/v1/mailbox?after=canary", [], b""),
    "a value with a place": ("GET", "/api/v1/threads/AAAAAAAAAAAAAAAAAAAAAA?side=canary", [], b""),
    "a header": ("GET", "/api/v1/mailbox?x=1", [("X-Canary", "canary"), ("Accept", "canary")], b""),
    "a token": ("GET", "/api/v1/me", [("Authorization", "Bearer canary")], b""),
    "a media type": ("POST", LINKS, [("Content-Type", "canary/canary")], b"{}"),
    "a field": ("POST", LINKS, [("Content-Type", "application/json")], b'{"canary":1}'),
    "a word": ("PUT", "/api/v1/me/mentoring", [("Content-Type", "application/json")], b'{"listed":"canary"}'),
    "a site": ("POST", LINKS, [("Sec-Fetch-Site", "canary"), ("Content-Type", "application/json")], BODY),
}


@pytest.mark.parametrize("place", ECHOES)
async def test_a_refusal_repeats_nothing_of_the_request(world: World, place: str) -> None:
    method, path, headers, body = ECHOES[place]
    token = (
        [] if any(name == "Authorization" for name, _ in headers) else [("Authorization", await world.token(world.ana))]
    )
    async with world.unchanged():
        problem_of(await world.send(method, path, [HOST, *token, *headers], body))


@pytest.mark.parametrize("route", [route for route in JSON_ROUTES if route.method != "GET"], ids=name_of)
async def test_no_route_repeats_an_unknown_field_or_a_wrong_value(world: World, route: Route) -> None:
    for body in (b'{"canary":"canary"}', b'["canary"]', b'"canary"', b'{"' + CANARY.encode() + b"\xff"):
        headers = await credentials(world, route, "application/json", body)
        async with world.unchanged():
            answer = await world.send(route.method, filled(route), headers, body)
            # Who is no registry takes no departures, and looks at none.
            assert refusal(answer) in {(400, "malformed"), (404, "no-consortium")}, name_of(route)
