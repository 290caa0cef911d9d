"""How commands reach a node: the same answer and the same errors, whether it runs or not."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cli.node_access import RunningNode, open_node, problem_error
from node import lock as locking
from node.api.problems import answer_error, problem_of
from node.keys import operator_token
from node.status import NodeStatus, ShowStatus
from protocol.errors import (
    LimitError,
    MalformedError,
    MeshError,
    MissingError,
    RefusedError,
    UnavailableError,
    UnverifiedError,
)
from tests.node.running import Running, running


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "aurora") as started:
        yield started


async def test_a_running_node_answers_as_its_directory_would(node: Running) -> None:
    directory = node.node.base.directory
    with locking.hold(directory) as lock:
        lock.publish(node.url)
        async with open_node(directory) as access:
            assert access.runs
            over_http = await access.call("node.status", ShowStatus(), NodeStatus)
    assert over_http == await node.node.operations.call("node.status", ShowStatus(), NodeStatus)


async def test_an_error_of_a_running_node_is_the_same_error(node: Running) -> None:
    access = RunningNode(node.url, operator_token(node.node.base.directory), certificate=None)
    with pytest.raises(MissingError, match="there is no such operation"):
        await access.call("no.such", ShowStatus(), NodeStatus)


async def test_a_wrong_token_is_refused(node: Running) -> None:
    access = RunningNode(node.url, "wrong", certificate=None)
    with pytest.raises(UnverifiedError, match=r"DIR/operator\.token"):
        await access.call("node.status", ShowStatus(), NodeStatus)


ERRORS = [
    MalformedError("x"),
    UnverifiedError("x"),
    RefusedError("x"),
    RefusedError("x", code="peer-mode"),
    MissingError("x"),
    LimitError("x", retry_at=7),
    LimitError("x", code="too-large"),
    UnavailableError("x", retry_at=7),
    UnavailableError("x", code="disk-full"),
    UnavailableError("x", code="peer-unavailable"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda one: f"{type(one).__name__} {one.code}")
def test_every_error_comes_back_as_what_it_was(error: MeshError) -> None:
    back = problem_error(msgspec.json.encode(problem_of(error)))
    assert (type(back), str(back), back.code) == (type(error), str(error), error.code)
    assert getattr(back, "retry_at", None) == getattr(error, "retry_at", None)
    assert answer_error(error, now=0).status >= 400


@pytest.mark.parametrize("raw", [b"", b"<html>", b"{}", b"[]", b'{"status":"x"}'])
def test_an_answer_that_is_no_problem_is_unavailable(raw: bytes) -> None:
    assert isinstance(problem_error(raw), UnavailableError)


async def test_an_answer_that_is_no_result_is_refused() -> None:
    async def odd(_request: web.Request) -> web.Response:
        return web.Response(body=b"not json")

    async with _server(odd) as url:
        access = RunningNode(url, "token", certificate=None)
        with pytest.raises(MalformedError):
            await access.call("node.status", ShowStatus(), NodeStatus)


class _server:  # noqa: N801 -- used like a function
    """Any other program on the port."""

    def __init__(self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        self._server = TestServer(app)

    async def __aenter__(self) -> str:
        await self._server.start_server()
        return f"http://127.0.0.1:{self._server.port}"

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()
