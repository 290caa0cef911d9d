"""What the client takes from peers, and from whoever answers in their place (research B.3: 10, 11, 21)."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest
from msgspec.structs import replace

from federation.answers import BadAnswerError, ForbiddenContactError, PeerUnavailableError, UnverifiedAnswerError
from federation.calls import Contact
from federation.client import ClientSettings, PeerClient
from federation.directory import Peer
from protocol.errors import (
    ConflictError,
    LimitError,
    MalformedError,
    MeshError,
    MissingError,
    RefusedError,
    UnavailableError,
    UnverifiedError,
)
from protocol.httpsig import Asked, RequestLine, parse_request, sign_response, verify_request
from protocol.rotation import pin
from protocol.signing import SigningKey, VerifyKey
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.patience import PATIENCE_S
from tests.vectors.generate import peers as documents

SERVER = SigningKey(bytes(range(32)))
CALLER = SigningKey(bytes(range(1, 33)))
LIMIT = 4096

Script = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """One request as a scripted server sees it, and the means to answer it."""

    def __init__(self, head: str, body: bytes, writer: asyncio.StreamWriter, clock: SteppedClock) -> None:
        first, *fields = head.rstrip().split("\r\n")
        self.method, self.target, _ = first.split(" ")
        self.headers = [(name, value.strip()) for name, _, value in (field.partition(":") for field in fields)]
        self.body = body
        self.writer = writer
        self._clock = clock

    def asked(self) -> Asked:
        """Verify the request as a node does, and return what the answer refers to."""
        host = next(value for name, value in self.headers if name.lower() == "host")
        line = RequestLine(method=self.method, authority=host, target=self.target)
        return verify_request(parse_request(self.headers), line, self.body, key=CALLER.public, now=self._clock.now())

    def send(self, status: str = "200 OK", body: bytes = b"", **headers: str) -> None:
        """Write an answer with these headers, `_` standing for `-`."""
        fields = {
            "content-length": str(len(body)),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)

    def send_signed(
        self, status: str = "200 OK", body: bytes = b"", *, key: SigningKey = SERVER, **headers: str
    ) -> None:
        """Write a signed answer."""
        signed = sign_response(int(status[:3]), body, asked=self.asked(), key=key, now=self._clock.now())
        self.send(status, body, **signed, **headers)


@asynccontextmanager
async def scripted(script: Script, clock: SteppedClock) -> AsyncIterator[int]:
    """Run a server that answers every request by `script`; yield its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                sizes = [
                    line.partition(":")[2] for line in head.split("\r\n") if line.lower().startswith("content-length")
                ]
                body = await reader.readexactly(int(sizes[0])) if sizes else b""
                await script(Exchange(head, body, writer, clock))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def peer_at(port: int) -> Peer:
    text = documents.signed(documents.document(http=SERVER.public.text))
    pinned = pin(text, VerifyKey.parse(documents.text_of(documents.FEDERATION)))
    return Peer(pinned=pinned, http_key=SERVER.public, connect_to=f"127.0.0.1:{port}", mode="full", mode_until=None)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


PATIENT: Final = ClientSettings(development=True, per_peer=2, answer_bytes=LIMIT)


@pytest.fixture
async def client(clock: SteppedClock) -> AsyncIterator[PeerClient]:
    made = PeerClient(key=CALLER, clock=clock, entropy=SeededEntropy(), settings=PATIENT)
    yield made
    await made.close()


@pytest.fixture
async def impatient(clock: SteppedClock) -> AsyncIterator[PeerClient]:
    settings = replace(PATIENT, read_s=0.2, total_s=0.6)
    made = PeerClient(key=CALLER, clock=clock, entropy=SeededEntropy(), settings=settings)
    yield made
    await made.close()


async def ask(client: PeerClient, clock: SteppedClock, script: Script, *, signed: bool = True) -> bytes:
    async with scripted(script, clock) as port:
        return (await client.get(peer_at(port), "/federation/v1/x?a=%2F", signed=signed)).body


async def test_a_signed_answer_is_given_whole(client: PeerClient, clock: SteppedClock) -> None:
    async def script(exchange: Exchange) -> None:
        assert exchange.target == "/federation/v1/x?a=%2F"
        assert dict(exchange.headers)["Accept-Encoding"] == "identity"
        exchange.send_signed(body=b"whole")

    assert await ask(client, clock, script) == b"whole"


async def test_a_posted_body_arrives_as_it_was_signed(client: PeerClient, clock: SteppedClock) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.send_signed(body=str(len(exchange.body)).encode())

    async with scripted(script, clock) as port:
        for size in (1, 600_000, 1_100_000):
            answer = await client.post(peer_at(port), "/federation/v1/x", b"x" * size, "text/plain")
            assert answer.body == str(size).encode()


# What a hostile or broken server does.


async def unsigned(exchange: Exchange) -> None:
    exchange.send(body=b"trust me")


async def by_another_key(exchange: Exchange) -> None:
    exchange.send_signed(body=b"x", key=CALLER)


async def of_another_body(exchange: Exchange) -> None:
    signed = sign_response(200, b"x", asked=exchange.asked(), key=SERVER, now=1_800_000_000)
    exchange.send(body=b"y", **signed)


async def of_another_status(exchange: Exchange) -> None:
    signed = sign_response(200, b"x", asked=exchange.asked(), key=SERVER, now=1_800_000_000)
    exchange.send("201 Created", b"x", **signed)


async def from_yesterday(exchange: Exchange) -> None:
    signed = sign_response(200, b"x", asked=exchange.asked(), key=SERVER, now=1_800_000_000 - 86_400)
    exchange.send(body=b"x", **signed)


async def two_signatures(exchange: Exchange) -> None:
    signed = sign_response(200, b"", asked=exchange.asked(), key=SERVER, now=1_800_000_000)
    exchange.send(body=b"", **signed, Signature="sig1=::")


async def compressed(exchange: Exchange) -> None:
    bomb = gzip.compress(bytes(1_000_000))
    exchange.send_signed(body=bomb, content_encoding="gzip")


async def too_long(exchange: Exchange) -> None:
    exchange.send_signed(body=bytes(LIMIT + 1))


async def endless(exchange: Exchange) -> None:
    exchange.writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        exchange.writer.write(b"400\r\n" + bytes(0x400) + b"\r\n")
        await exchange.writer.drain()


async def dripping(exchange: Exchange) -> None:
    exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    while True:
        exchange.writer.write(b"x")
        await exchange.writer.drain()
        await asyncio.sleep(0.05)


async def silent(exchange: Exchange) -> None:
    await exchange.writer.drain()
    await asyncio.sleep(30)


async def cut_short(exchange: Exchange) -> None:
    exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx")
    exchange.writer.close()


async def no_http(exchange: Exchange) -> None:
    exchange.writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


def redirect(to: str) -> Script:
    async def script(exchange: Exchange) -> None:
        exchange.send("302 Found", location=to)

    return script


async def signed_redirect(exchange: Exchange) -> None:
    exchange.send_signed("307 Temporary Redirect", location="https://birch.example/")


LIES: dict[str, tuple[Script, type[MeshError]]] = {
    "an unsigned answer": (unsigned, UnverifiedAnswerError),
    "an answer by another key": (by_another_key, UnverifiedAnswerError),
    "the signature of another body": (of_another_body, UnverifiedAnswerError),
    "the signature of another status": (of_another_status, UnverifiedAnswerError),
    "an answer from yesterday": (from_yesterday, UnverifiedAnswerError),
    "two signatures": (two_signatures, BadAnswerError),
    "a decompression bomb": (compressed, BadAnswerError),
    "an answer one byte too long": (too_long, BadAnswerError),
    "an endless answer": (endless, BadAnswerError),
    "an answer cut short": (cut_short, PeerUnavailableError),
    "another protocol": (no_http, PeerUnavailableError),
    "a redirect to another host": (redirect("https://evil.example/"), BadAnswerError),
    "a redirect to itself": (redirect("/federation/v1/x"), BadAnswerError),
    "a redirect to plain HTTP": (redirect("http://aurora.example/"), BadAnswerError),
    "a signed redirect": (signed_redirect, BadAnswerError),
}


@pytest.mark.parametrize(("script", "error"), [pytest.param(*pair, id=name) for name, pair in LIES.items()])
async def test_a_lie_ends_in_an_error_of_its_kind(
    client: PeerClient, clock: SteppedClock, script: Script, error: type[MeshError]
) -> None:
    with pytest.raises(error) as refusal:
        await ask(client, clock, script)
    assert "trust me" not in str(refusal.value)


@pytest.mark.slow
@pytest.mark.parametrize("script", [dripping, silent], ids=lambda script: script.__name__)
async def test_who_is_too_slow_is_a_peer_that_is_away(
    impatient: PeerClient, clock: SteppedClock, script: Script
) -> None:
    with pytest.raises(PeerUnavailableError):
        await ask(impatient, clock, script)


async def test_the_largest_answer_allowed_is_taken(client: PeerClient, clock: SteppedClock) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.send_signed(body=bytes(LIMIT))

    assert len(await ask(client, clock, script)) == LIMIT


async def test_immutable_data_needs_no_signature_but_a_wrong_one_is_no_good(
    client: PeerClient, clock: SteppedClock
) -> None:
    async def unsigned(exchange: Exchange) -> None:
        exchange.send(body=b"page")

    async def wrong(exchange: Exchange) -> None:
        exchange.send_signed(body=b"page", key=CALLER)

    assert await ask(client, clock, unsigned, signed=False) == b"page"
    with pytest.raises(UnverifiedAnswerError):
        await ask(client, clock, wrong, signed=False)


PROBLEM = b'{"code":"%s","detail":"for your eyes","retry_at":1800000030}'


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("400 Bad Request", "malformed", MalformedError),
        ("401 Unauthorized", "clock-skew", UnverifiedError),
        ("403 Forbidden", "peer-mode", RefusedError),
        ("404 Not Found", "missing", MissingError),
        ("409 Conflict", "replay", ConflictError),
        ("413 Content Too Large", "too-large", LimitError),
        ("429 Too Many Requests", "limit", LimitError),
        ("503 Service Unavailable", "unavailable", UnavailableError),
        ("507 Insufficient Storage", "disk-full", UnavailableError),
        ("418 I'm a teapot", "teapot", RefusedError),
    ],
)
async def test_a_signed_problem_is_an_error_of_its_kind(
    client: PeerClient, clock: SteppedClock, status: str, code: str, kind: type[MeshError]
) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.send_signed(status, PROBLEM % code.encode(), content_type="application/problem+json")

    with pytest.raises(kind) as refusal:
        await ask(client, clock, script)
    assert type(refusal.value) is kind or issubclass(kind, UnavailableError)
    assert refusal.value.code == code
    assert "for your eyes" not in str(refusal.value)
    if isinstance(refusal.value, (LimitError, UnavailableError)):
        assert refusal.value.retry_at == 1_800_000_030


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "403 Forbidden", "404 Not Found", "409 Conflict", "502 Bad Gateway"]
)
async def test_an_unsigned_refusal_settles_nothing(client: PeerClient, clock: SteppedClock, status: str) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.send(status, PROBLEM % b"unknown-peer", content_type="application/problem+json")

    with pytest.raises(PeerUnavailableError) as refusal:
        await ask(client, clock, script)
    assert refusal.value.code == "unknown-peer"


@pytest.mark.parametrize(
    ("header", "retry_at"),
    [
        ("30", 1_800_000_030),
        ("999999999", 1_800_086_400),
        ("Fri, 15 Jan 2027 08:00:30 GMT", None),
        ("-5", None),
        ("", None),
    ],
)
async def test_retry_after_is_obeyed_within_reason(
    client: PeerClient, clock: SteppedClock, header: str, retry_at: int | None
) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.send(
            "503 Service Unavailable", b"not json", retry_after=header, content_type="application/problem+json"
        )

    with pytest.raises(UnavailableError) as refusal:
        await ask(client, clock, script)
    assert refusal.value.retry_at == retry_at
    assert refusal.value.code == "status-503"


async def test_a_refusal_that_the_caller_awaits_is_an_answer(client: PeerClient, clock: SteppedClock) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.send_signed("409 Conflict", b"expected 3")

    async with scripted(script, clock) as port:
        answer = await client.post(peer_at(port), "/x", b"x", "text/plain", accept=frozenset({409}))
    assert (answer.status, answer.body) == (409, b"expected 3")


async def test_unchanged_data_is_an_answer(client: PeerClient, clock: SteppedClock) -> None:
    async def script(exchange: Exchange) -> None:
        assert dict(exchange.headers)["if-none-match"] == '"v1"'
        exchange.send_signed("304 Not Modified", etag='"v1"')

    async with scripted(script, clock) as port:
        answer = await client.get(peer_at(port), "/x", etag='"v1"')
    assert (answer.status, answer.headers["etag"]) == (304, '"v1"')


async def test_a_connection_that_went_stale_is_replaced_and_signed_anew(
    client: PeerClient, clock: SteppedClock
) -> None:
    nonces: list[str] = []

    async def script(exchange: Exchange) -> None:
        nonces.append(exchange.asked().nonce)
        if len(nonces) == 2:
            exchange.writer.transport.abort()
            return
        exchange.send_signed(body=b"ok")

    async with scripted(script, clock) as port:
        peer = peer_at(port)
        assert (await client.post(peer, "/x", b"1", "text/plain")).body == b"ok"
        assert (await client.post(peer, "/x", b"2", "text/plain")).body == b"ok"
    assert len(set(nonces)) == len(nonces) == 3


async def test_no_more_connections_than_allowed_go_to_one_peer(client: PeerClient, clock: SteppedClock) -> None:
    open_now, most = 0, 0
    both = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        if open_now == 2:
            both.set()
        await both.wait()
        exchange.send_signed(body=b"ok")
        open_now -= 1

    async with scripted(script, clock) as port:
        await asyncio.gather(*(client.get(peer_at(port), "/x") for _ in range(6)))
    assert most == 2


@pytest.mark.slow
async def test_many_peers_that_never_answer_do_not_hold_up_another(clock: SteppedClock) -> None:
    made = PeerClient(key=CALLER, clock=clock, entropy=SeededEntropy(), settings=ClientSettings(development=True))
    settings = ClientSettings()
    over, waiting = asyncio.Event(), asyncio.Semaphore(0)

    async def slow(_exchange: Exchange) -> None:
        waiting.release()
        await over.wait()

    async def prompt(exchange: Exchange) -> None:
        exchange.send(body=b"ok")

    async with scripted(slow, clock) as slow_port, scripted(prompt, clock) as port:
        places = [Contact(api=f"https://slow{at}.example", connect_to=f"127.0.0.1:{slow_port}") for at in range(49)]
        held = [asyncio.create_task(made.fetch(one, "/")) for one in places for _ in range(settings.per_peer)]
        async with asyncio.timeout(PATIENCE_S):
            for _ in held:
                await waiting.acquire()
        other = Contact(api="https://prompt.example", connect_to=f"127.0.0.1:{port}")
        assert (await made.fetch(other, "/")).body == b"ok"
        over.set()
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
    await made.close()


async def test_nobody_listening_is_a_peer_that_is_away(client: PeerClient, clock: SteppedClock) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.send_signed()

    async with scripted(script, clock) as port:
        peer = peer_at(port)
    with pytest.raises(PeerUnavailableError):
        await client.get(peer, "/x")


async def test_a_public_document_is_fetched_without_signatures(client: PeerClient, clock: SteppedClock) -> None:
    async def script(exchange: Exchange) -> None:
        assert "signature" not in dict(exchange.headers)
        if exchange.target == "/there":
            exchange.send(body=b"document")
        else:
            exchange.send("404 Not Found")

    async with scripted(script, clock) as port:
        contact = Contact(api="https://aurora.example", connect_to=f"127.0.0.1:{port}")
        assert (await client.fetch(contact, "/there")).body == b"document"
        with pytest.raises(MissingError):
            await client.fetch(contact, "/elsewhere")


async def test_loopback_is_for_development(clock: SteppedClock) -> None:
    client = PeerClient(key=CALLER, clock=clock, entropy=SeededEntropy())
    with pytest.raises(ForbiddenContactError) as refusal:
        await client.get(peer_at(1), "/x")
    assert refusal.value.code == "forbidden-address"
    await client.close()


async def test_behind_a_proxy_only_listed_hosts_are_asked(clock: SteppedClock) -> None:
    asked: list[str] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().partition("\r\n")[0])
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = ClientSettings(proxy=address, allow=frozenset({"aurora.example"}))
    client = PeerClient(key=CALLER, clock=clock, entropy=SeededEntropy(), settings=settings)
    with pytest.raises(PeerUnavailableError):
        await client.fetch(Contact(api="https://aurora.example"), "/x")
    with pytest.raises(ForbiddenContactError, match="allow"):
        await client.fetch(Contact(api="https://birch.example"), "/x")
    assert asked == ["CONNECT aurora.example:443 HTTP/1.1"]
    await client.close()
    server.close()
