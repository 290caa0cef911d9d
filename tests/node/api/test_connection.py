"""What an answer looks like on the wire, and how the requests of one connection follow each other."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from node.api.writing import HSTS, Dress
from tests.node.running import Running, running, settings

HOST = "Host: aurora.example\r\n"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "aurora", settings()) as made:
        yield made


def head(response: web.Response, *, method: str = "GET", keep_alive: bool = True, https: bool = False) -> list[str]:
    asked = make_mocked_request(method, "/health")
    return Dress(https=https).answer(asked, response, keep_alive=keep_alive).decode().split("\r\n")


def test_a_field_of_its_own_stands_in_place_of_the_usual_one() -> None:
    lines = head(web.Response(headers={"cache-control": "public, max-age=60"}), https=True)
    assert [line for line in lines if line.lower().startswith("cache-control")] == ["cache-control: public, max-age=60"]
    assert ": ".join(HSTS) in lines
    assert "X-Frame-Options: DENY" in lines


def test_an_answer_to_head_says_the_length_and_has_no_body() -> None:
    lines = head(web.Response(body=b"twelve bytes", content_type="text/plain"), method="HEAD")
    assert "Content-Length: 12" in lines
    assert lines[-2:] == ["", ""]


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_says_no_length(status: int) -> None:
    assert not [line for line in head(web.Response(status=status)) if line.startswith("Content-Length")]


def test_an_empty_answer_says_that_it_is_empty() -> None:
    assert "Content-Length: 0" in head(web.Response(status=404))


def test_an_answer_that_ends_the_connection_says_so() -> None:
    assert "Connection: close" in head(web.Response(), keep_alive=False)
    assert not [line for line in head(web.Response()) if line.startswith("Connection")]


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b"])
def test_a_field_that_would_begin_another_is_never_written(value: str) -> None:
    with pytest.raises(ValueError, match="begin another"):
        head(web.Response(headers={"ETag": value}))


@pytest.mark.system
async def test_requests_sent_at_once_are_answered_in_their_order(node: Running) -> None:
    paths = ["/health", "/nowhere", "/health", "/federation/v1/hello"]
    asked = "".join(f"GET {path} HTTP/1.1\r\n{HOST}\r\n" for path in paths[:-1])
    last = f"GET {paths[-1]} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"
    answer = await node.raw((asked + last).encode())
    assert [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]] == [200, 404, 200, 401]


@pytest.mark.system
async def test_whoever_wants_another_protocol_is_answered_and_let_go(node: Running) -> None:
    asked = f"GET /health HTTP/1.1\r\n{HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /health HTTP/1.1\r\n"
    answer = await node.raw(asked.encode())
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.system
async def test_http_1_0_is_kept_open_for_who_asks_for_it(node: Running) -> None:
    once = await node.raw(f"GET /health HTTP/1.0\r\n{HOST}\r\n".encode())
    assert once.startswith(b"HTTP/1.0 200 OK\r\n")
    kept = await node.raw(
        f"GET /health HTTP/1.0\r\n{HOST}Connection: keep-alive\r\n\r\nGET /health HTTP/1.0\r\n{HOST}\r\n".encode()
    )
    assert kept.count(b"HTTP/1.0 200 OK") == 2
    assert kept.count(b"Connection: keep-alive") == 1


@pytest.mark.system
async def test_a_refused_body_is_taken_so_that_the_next_request_is_understood(node: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(f"POST /nowhere HTTP/1.1\r\n{HOST}Content-Length: 6\r\n\r\nabc".encode())
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 404")
    writer.write(f"defGET /health HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n".encode())
    assert b"HTTP/1.1 200 OK" in await reader.read()
    writer.close()
