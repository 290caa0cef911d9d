"""The way to one's own node: which addresses are taken, and what becomes of answers that no node gives."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from cli.client import http
from cli.client.account import parse_link
from cli.client.http import Http, LocalResolver, parse_answer, parse_url
from node.services.accounts import Redeemed
from protocol.encoding import b64
from protocol.errors import LimitError, MalformedError, MissingError, RefusedError, UnavailableError, UnverifiedError
from tests.patience import PATIENCE_S

TOKEN = b64(bytes(range(32)))


@asynccontextmanager
async def answering(handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Yield the address of something that answers every request with `handler`."""
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://aurora.localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask(url: str, *, timeout_s: float = PATIENCE_S) -> bytes:
    async with Http() as connections:
        return await connections.call("GET", url, token="secret", timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://mentors.aurora.example/sign-in#x", "https://mentors.aurora.example"),
        ("https://mentors.aurora.example:8443/", "https://mentors.aurora.example:8443"),
        ("http://aurora.localhost:8440/sign-in", "http://aurora.localhost:8440"),
        ("http://localhost:8440", "http://localhost:8440"),
        ("http://127.0.0.1:8440", "http://127.0.0.1:8440"),
        ("http://[::1]:8440", "http://[::1]:8440"),
    ],
)
def test_an_address_is_taken_by_https_or_on_this_machine(text: str, expected: str) -> None:
    assert parse_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "http://aurora.example",
        "http://10.0.0.1:8440",
        "http://localhost.aurora.example",
        "http://notlocalhost:8440",
        "ftp://aurora.localhost",
        "https://",
        "https://user:password@aurora.example",
        "https://aurora.example:99999",
        "aurora.example",
        "",
    ],
)
def test_any_other_address_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="address of a node"):
        parse_url(text)


def test_a_link_is_an_address_and_a_token() -> None:
    assert parse_link(f" http://aurora.localhost:1/sign-in#{TOKEN}\n") == ("http://aurora.localhost:1", TOKEN)


@pytest.mark.parametrize("fragment", ["", "#", "#short", f"#{TOKEN}A", f"?{TOKEN}"])
def test_a_link_without_a_whole_token_is_refused(fragment: str) -> None:
    with pytest.raises(MalformedError, match="no sign-in link"):
        parse_link(f"http://aurora.localhost:1/sign-in{fragment}")


async def test_names_below_localhost_never_reach_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ThreadedResolver", None)  # using it would be an error
    (found,) = await LocalResolver().resolve("aurora.localhost", 8440)
    assert (found["host"], found["port"]) == ("127.0.0.1", 8440)


async def test_the_token_goes_along_and_nothing_else() -> None:
    seen: list[dict[str, str]] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(dict(request.headers))
        return web.Response(body=b"{}", headers={"Set-Cookie": "trace=1"})

    async with answering(handler) as url, Http() as connections:
        for _ in range(2):
            assert await connections.call("GET", url, token="secret") == b"{}"
    assert [one["Authorization"] for one in seen] == ["Bearer secret"] * 2
    assert not any("Cookie" in one for one in seen)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "malformed", MalformedError),
        (401, "token", UnverifiedError),
        (403, "consent", RefusedError),
        (404, "missing", MissingError),
        (409, "conflict", RefusedError),
        (429, "limit", LimitError),
        (503, "unavailable", UnavailableError),
    ],
)
async def test_a_problem_becomes_its_kind_of_error(status: int, code: str, kind: type[Exception]) -> None:
    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"status": status, "code": code, "detail": "why \x1b[2Jnot\u202e"}, status=status)

    async with answering(handler) as url:
        with pytest.raises(kind) as caught:
            await ask(url)
    assert str(caught.value) == "why [2Jnot"


async def test_an_answer_that_leads_elsewhere_is_not_followed() -> None:
    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "http://elsewhere.example/"})

    async with answering(handler) as url:
        with pytest.raises(UnavailableError, match="elsewhere"):
            await ask(url)


async def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 100_000)

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(10):
            await answer.write(bytes(64 * 1024))
        return answer

    async with answering(handler) as url:
        with pytest.raises(LimitError, match="longer"):
            await ask(url)


async def test_a_node_that_never_answers_is_given_up() -> None:
    forever = asyncio.Event()

    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        await forever.wait()
        return web.Response()

    async with answering(handler) as url:
        with pytest.raises(UnavailableError, match=r"aurora\.localhost:\d+ does not answer"):
            await ask(url, timeout_s=0.05)
        forever.set()


async def test_a_node_that_is_not_there_is_named() -> None:
    async with answering(lambda _: asyncio.sleep(0, web.Response())) as url:
        pass
    with pytest.raises(UnavailableError, match="does not answer") as caught:
        await ask(url)
    assert caught.value.code == "node-away"


@asynccontextmanager
async def breaking(connections: Http, *, breaks: int) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Yield an address that answers a first request, and breaks the connections of the next ones; and what came."""
    came: list[bytes] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        came.append(await request.read())
        if 2 <= len(came) <= 1 + breaks:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(body=b"{}")

    async with answering(handler) as url:
        await connections.call("POST", url, body=b"first")
        yield url, came


async def test_what_may_be_said_twice_is_said_again_when_its_connection_breaks() -> None:
    async with Http() as connections, breaking(connections, breaks=1) as (url, came):
        assert await connections.call("POST", url, body=b"second", repeatable=True) == b"{}"
        assert came == [b"first", b"second", b"second"]


@pytest.mark.parametrize(("idle_s", "connections"), [(0.001, 2), (60.0, 1)])
async def test_a_connection_that_was_idle_for_long_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch, idle_s: float, connections: int
) -> None:
    monkeypatch.setattr(http, "IDLE_S", idle_s)
    used = set()

    async def answer(request: web.BaseRequest) -> web.Response:
        used.add(request.transport)
        return web.Response()

    async with answering(answer) as url, Http() as person:
        for _ in range(2):
            await person.call("POST", url)
            await asyncio.sleep(0.02)
    assert len(used) == connections


@pytest.mark.parametrize(("repeatable", "breaks"), [(False, 1), (True, 2)])
async def test_nothing_is_said_more_often_than_that(repeatable: bool, breaks: int) -> None:
    async with Http() as connections, breaking(connections, breaks=breaks) as (url, came):
        with pytest.raises(UnavailableError, match="does not answer"):
            await connections.call("POST", url, body=b"second", repeatable=repeatable)
        assert came == [b"first"] + breaks * [b"second"]


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_what_is_no_node_is_told_apart(status: int) -> None:
    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="<html>It works!</html>", status=status)

    async with answering(handler) as url:
        with pytest.raises(UnavailableError):
            parse_answer(await ask(url), Redeemed)
