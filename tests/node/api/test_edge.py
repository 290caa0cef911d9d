"""What the edge does to every request, over real sockets (bad-input lines 3, 4, 7-9, 12, 13, 15, 16)."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node.api.bodies import BodyLimits, parse_json
from node.api.writing import HEADERS, HSTS
from node.keys import operator_token
from node.store.sqlite import SqliteStore
from protocol.errors import LimitError, MalformedError, UnavailableError
from tests.node.running import Running, problem, running, settings
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.system

LIMITS = {"header_s": 0.2, "body_s": 0.2, "stall_s": 0.2, "body_bytes": 4096, "connections": 8, "stop_s": 1}


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "aurora", settings(limits=LIMITS)) as started:
        yield started


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_every_answer_has_the_security_headers_and_names_no_software(
    node: Running, http: aiohttp.ClientSession
) -> None:
    for path in ("/health", "/nothing-here"):
        async with http.get(node.url + path) as answer:
            for name, value in HEADERS:
                assert answer.headers[name] == value
            assert "Server" not in answer.headers
            assert len(answer.headers["X-Request-Id"]) == 16


async def test_only_a_node_behind_tls_asks_browsers_to_stay_with_it(
    node: Running, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with http.get(node.url + "/health") as answer:
        assert HSTS[0] not in answer.headers
    async with (
        running(tmp_path / "other", settings(development={"enabled": False})) as other,
        http.get(other.url + "/health") as answer,
    ):
        assert answer.headers[HSTS[0]] == HSTS[1]


async def test_a_request_without_a_version_is_refused(node: Running) -> None:
    answer = await node.raw(b"GET /health\r\n\r\n")
    assert status(answer) == 400


@pytest.mark.parametrize(
    "target", ["http://evil.example/health", "http://aurora.example/health", "*", "//evil.example/"]
)
async def test_a_target_that_is_no_path_does_not_reach_a_handler(node: Running, target: str) -> None:
    request = f"GET {target} HTTP/1.1\r\nHost: aurora.example\r\nConnection: close\r\n\r\n"
    assert status(await node.raw(request.encode())) in {400, 404, 421}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "aurora.example:1", "aurora.example.", "AURORA.example.evil", "127.0.0.1", "birch.localhost"],
)
async def test_another_name_is_misdirected(node: Running, http: aiohttp.ClientSession, host: str) -> None:
    async with http.get(node.url + "/health", headers={"Host": host}) as answer:
        assert answer.status == 421
        assert host not in await answer.text()


async def test_two_hosts_are_refused(node: Running) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: aurora.example\r\nHost: evil.example\r\n\r\n"
    assert status(await node.raw(request)) == 400


async def test_http_1_0_without_a_host_is_refused(node: Running) -> None:
    assert status(await node.raw(b"GET /health HTTP/1.0\r\n\r\n")) == 400


async def test_public_reading_answers_under_all_three_names(node: Running, http: aiohttp.ClientSession) -> None:
    for headers in ({}, node.api, node.page):
        async with http.get(node.url + "/health", headers=headers) as answer:
            assert answer.status == 200


async def test_a_page_changes_something_only_under_its_own_name(node: Running, http: aiohttp.ClientSession) -> None:
    address = node.url + "/answer/AAAA"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with http.post(address, data=b"", headers=form) as answer:
        assert (answer.status, (await problem(answer)).code) == (421, "misdirected")
    async with http.post(address, data=b"", headers=form | node.page) as answer:
        assert answer.status == 404


async def test_a_peer_is_answered_under_the_name_of_the_api_alone(node: Running, http: aiohttp.ClientSession) -> None:
    address = node.url + "/federation/v1/hello"
    for headers in ({}, node.page):
        async with http.get(address, headers=headers) as answer:
            assert answer.status == 421
    async with http.get(address, headers=node.api) as answer:
        assert answer.status in {400, 401, 403}


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
async def test_another_sites_page_cannot_make_a_browser_change_something(
    node: Running, http: aiohttp.ClientSession, site: str
) -> None:
    headers = {"Sec-Fetch-Site": site} | node.page
    async with http.post(
        node.url + "/api/v1/sign-in/links", json={"mail": "a@aurora.example"}, headers=headers
    ) as answer:
        assert (answer.status, (await problem(answer)).code) == (403, "cross-site")


@pytest.mark.parametrize(
    "path",
    [
        "/%2e%2e/health",
        "/..%2fhealth",
        "/%252e/health",
        "/./health",
        "/../health",
        "//health",
        "/health/",
        "/heal\\th",
        "/health%00",
        "/health%0d%0aX:y",
        "//evil.example/..",
        "/api/v1/threads/a%2fb",
    ],
)
async def test_a_path_has_one_spelling_and_never_redirects(node: Running, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: aurora.example\r\nConnection: close\r\n\r\n"
    answer = await node.raw(request.encode())
    assert status(answer) in {400, 404}
    assert b"Location" not in answer


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PATCH", "BREW", "OPTIONS", "HEAD"])
async def test_an_unknown_method_is_refused(node: Running, method: str) -> None:
    request = f"{method} /health HTTP/1.1\r\nHost: aurora.example\r\nConnection: close\r\n\r\n"
    assert status(await node.raw(request.encode())) in ({400, 404} if method == "CONNECT" else {400, 405})


async def test_a_known_address_says_which_methods_it_takes(node: Running, http: aiohttp.ClientSession) -> None:
    async with http.delete(node.url + "/health") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")


async def test_an_unknown_expectation_is_refused(node: Running) -> None:
    request = (
        b"POST /api/v1/sign-in/links HTTP/1.1\r\nHost: aurora.example\r\nExpect: magic\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert status(await node.raw(request, until_close=False)) == 417


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "text/plain", "application/xml", "text/json"])
async def test_another_media_type_is_refused_before_the_body_is_read(node: Running, kind: str) -> None:
    request = (
        "POST /api/v1/sign-in/links HTTP/1.1\r\nHost: aurora.example\r\n"
        f"Content-Type: {kind}\r\nContent-Length: 100000000\r\n\r\n"
    )
    assert status(await node.raw(request.encode(), until_close=False)) == 415


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity"])
async def test_a_compressed_body_is_refused(node: Running, http: aiohttp.ClientSession, encoding: str) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    async with http.post(node.url + "/api/v1/sign-in/links", data=b"{}", headers=headers) as answer:
        assert answer.status == 415


async def test_a_declared_body_over_the_limit_is_refused_unread(node: Running) -> None:
    request = (
        b"POST /api/v1/sign-in/links HTTP/1.1\r\nHost: aurora.example\r\n"
        b"Content-Type: application/json\r\nContent-Length: 4097\r\n\r\n"
    )
    assert status(await node.raw(request, until_close=False)) == 413


async def test_a_streamed_body_is_cut_at_the_limit(node: Running, http: aiohttp.ClientSession) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 1024

    headers = {"Content-Type": "application/json"}
    async with http.post(node.url + "/api/v1/sign-in/links", data=stream(), headers=headers) as answer:
        assert (answer.status, (await problem(answer)).code) == (413, "too-large")


async def test_a_body_that_does_not_arrive_is_given_up(node: Running) -> None:
    request = (
        b"POST /api/v1/sign-in/links HTTP/1.1\r\nHost: aurora.example\r\n"
        b"Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{"
    )
    answer = await asyncio.wait_for(node.raw(request, until_close=False), PATIENCE_S)
    assert status(answer) == 408
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "timeout"


@pytest.mark.parametrize("head", [b"", b"GET /health HTT", b"GET /health HTTP/1.1\r\nHost: aurora.example\r\n"])
async def test_a_head_that_does_not_arrive_closes_the_connection(node: Running, head: bytes) -> None:
    assert await asyncio.wait_for(node.raw(head), PATIENCE_S) == b""


async def test_connections_over_the_cap_are_closed_and_the_others_served(tmp_path: Path) -> None:
    async with running(tmp_path / "aurora", settings(limits={**LIMITS, "header_s": 100})) as node:
        held = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(8)]
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        writer.close()
        first_reader, first_writer = held[0]
        first_writer.write(b"GET /health HTTP/1.1\r\nHost: aurora.example\r\n\r\n")
        assert status(await first_reader.read(4096)) == 200
        for _, each in held:
            each.close()


@pytest.mark.slow
async def test_a_client_that_reads_nothing_is_cut_off(node: Running) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", node.port, limit=1)

    async def ask_and_never_read() -> None:
        while True:
            writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: aurora.example\r\n\r\n" * 64)
            await writer.drain()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(ask_and_never_read(), PATIENCE_S)
    writer.close()


MALFORMED = [
    b'{"mail":"canary-text',
    b'{"mail":["canary-text"]}',
    b'{"canary-text":1}',
    b'{"mail":"a","mail":"canary-text"}',
    b'{"mail":"canary-text\\u0000"}',
    b'{"mail":"canary-text\xff"}',
    b'{"mail":NaN,"canary-text":1}',
    b'\xef\xbb\xbf{"mail":"canary-text"}',
    b'{"x":' + b"[" * 2000 + b'"canary-text"' + b"]" * 1000,
    b"canary-text",
    b"",
]


@pytest.mark.parametrize("body", MALFORMED)
async def test_a_malformed_body_gets_a_problem_that_repeats_nothing(
    node: Running, http: aiohttp.ClientSession, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    async with http.post(node.url + "/api/v1/sign-in/links", data=body, headers=headers) as answer:
        found = await problem(answer)
        assert (answer.status, found.code) == (400, "malformed")
        assert b"canary" not in await answer.read()


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /canary-text HTTP/9.9\r\n\r\n",
        b"canary-text\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: aurora.example\r\ncanary text: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: aurora.example\r\nX: " + b"canary" * 2000 + b"\r\n\r\n",
        b"GET /" + b"canary" * 2000 + b" HTTP/1.1\r\nHost: aurora.example\r\n\r\n",
        b"POST /health HTTP/1.1\r\nHost: aurora.example\r\nContent-Length: canary\r\n\r\n",
        b"POST /health HTTP/1.1\r\nHost: aurora.example\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03canary",
    ],
)
async def test_what_is_not_http_gets_a_problem_without_an_excerpt(node: Running, request_head: bytes) -> None:
    answer = await node.raw(request_head)
    assert status(answer) == 400
    assert b"canary" not in answer
    assert b"Python" not in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "urn:mentormesh:problem:malformed"


def test_too_many_bytes_in_memory_are_refused_and_let_in_again_later() -> None:
    limits = BodyLimits(body_bytes=100, body_s=1, in_flight_bytes=150)
    with limits.hold() as first:
        first(100)
        with limits.hold() as second, pytest.raises(UnavailableError):
            second(51)
        with limits.hold() as third:
            third(50)
            assert limits.in_flight == 150
    assert limits.in_flight == 0


def test_one_address_holds_a_quarter_of_the_memory_and_all_strangers_half() -> None:
    limits = BodyLimits(body_bytes=100, body_s=1, in_flight_bytes=1000)

    def of(source: str, *, stranger: bool = True, largest: int = 100) -> tuple[tuple[str, int], ...]:
        return limits.shares_of(source, stranger=stranger, largest=largest)

    with limits.hold(*of("a")) as first, limits.hold(*of("a")) as second, limits.hold(*of("b")) as other:
        first(200)
        with pytest.raises(LimitError):
            second(51)
        second(50)
        other(250)
        with limits.hold(*of("c")) as third, pytest.raises(LimitError):
            third(1)
        with limits.hold(*of("d", stranger=False)) as peer, limits.hold() as person:
            peer(250)
            with pytest.raises(LimitError):
                peer(1)
            person(250)
            with pytest.raises(UnavailableError):
                person(1)
    assert limits.in_flight == 0
    with limits.hold(*of("a", largest=300)) as whole:  # one that is allowed is never too large
        whole(300)


async def test_announced_bytes_count_only_once_they_arrive(node: Running, http: aiohttp.ClientSession) -> None:
    slow = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(4)]
    for _, writer in slow:
        writer.write(b"POST /api/v1/sign-in/links HTTP/1.1\r\nHost: aurora.example\r\n")
        writer.write(b"Content-Type: application/json\r\nContent-Length: 4096\r\n\r\n{")
        await writer.drain()
    async with http.post(node.url + "/api/v1/sign-in/links", json={"mail": "a@aurora.example"}) as answer:
        assert answer.status == 202
    for _, writer in slow:
        writer.close()


async def test_a_full_disk_is_507_while_reading_goes_on_and_ends_without_a_restart(
    node: Running, http: aiohttp.ClientSession
) -> None:
    words = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(2000)]
    text = "\n".join(f'{{"id":"ext:{word}","en":"{word}"}}' for word in words)
    command = {"scheme": "large", "files": [{"name": "large.jsonl", "text": text}]}
    headers = {"Authorization": f"Bearer {operator_token(node.node.base.directory)}"}
    address = node.url + "/operator/v1/operations/vocabulary.import"
    assert isinstance(node.node.base.store, SqliteStore)
    writer = node.node.base.store._writer
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages}")
    async with http.post(address, json=command, headers=headers) as answer:
        assert (answer.status, (await problem(answer)).code) == (507, "disk-full")
        assert int(answer.headers["Retry-After"]) > 0
    async with http.get(node.url + "/ready") as answer:
        assert answer.status == 200
    writer.execute("PRAGMA max_page_count = 1000000")
    async with http.post(address, json=command, headers=headers) as answer:
        assert (answer.status, (await answer.json())["concepts"]) == (200, 2000)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"1","a":"2"}',
        b'{"a":"1","\\u0061":"2"}',
        b'{"a":"x\\u0000y"}',
        b'{"a":"1","b":{"c":1,"c":2}}',
        b'{"a":"1","b":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_json_that_two_readers_could_read_differently_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_json(raw, dict[str, Any])
    assert parse_json(b'{"a":"1","b":{"a":"1"}}', dict[str, Any]) == {"a": "1", "b": {"a": "1"}}
