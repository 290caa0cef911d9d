"""The operator's way in: this machine, the token, one table shared with the command line."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from node.keys import operator_token
from node.operations import Command, Operation, Operations
from node.status import NodeStatus, ShowStatus
from node.telemetry import make_log
from protocol.errors import MalformedError, MissingError
from tests.node.running import ENTITY, Running, problem, running

pytestmark = pytest.mark.system


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "aurora") as started:
        yield started


@pytest.fixture
def token(node: Running) -> dict[str, str]:
    return {"Authorization": f"Bearer {operator_token(node.node.base.directory)}"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


STATUS = "/operator/v1/operations/node.status"


async def test_the_operator_does_what_the_table_lists(
    node: Running, http: aiohttp.ClientSession, token: dict[str, str]
) -> None:
    async with http.post(node.url + STATUS, json={}, headers=token) as answer:
        assert answer.status == 200
        status = msgspec.json.decode(await answer.read(), type=NodeStatus)
    assert (status.entity, status.generation, status.counts["members"]) == (ENTITY, 1, 0)
    assert status == await node.node.operations.call("node.status", ShowStatus(), NodeStatus)


async def test_the_operator_sees_what_can_be_done(
    node: Running, http: aiohttp.ClientSession, token: dict[str, str]
) -> None:
    async with http.get(node.url + "/operator/v1/operations", headers=token) as answer:
        listed = [one["operation"] for one in await answer.json()]
    assert listed == sorted(node.node.operations.by_name)
    assert {"member.import", "peer.invite", "offer.list", "vocabulary.import"} <= set(listed)


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic x", "Bearer "])
async def test_without_the_token_nothing_is_done(
    node: Running, http: aiohttp.ClientSession, header: str | None
) -> None:
    headers = {"Authorization": header} if header else {}
    async with http.post(node.url + STATUS, json={}, headers=headers) as answer:
        assert (answer.status, (await problem(answer)).code) == (401, "unverified")


async def test_a_token_that_is_no_text_is_a_wrong_one(node: Running) -> None:
    head = f"POST {STATUS} HTTP/1.1\r\nHost: 127.0.0.1:{node.port}\r\nContent-Length: 0\r\nConnection: close\r\n"
    answer = await node.raw(head.encode() + b"Authorization: Bearer \xff\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "Via"])
async def test_the_token_is_no_use_through_a_proxy(
    node: Running, http: aiohttp.ClientSession, token: dict[str, str], name: str
) -> None:
    for host in ({}, node.api):
        async with http.post(node.url + STATUS, json={}, headers=token | {name: "192.0.2.1"} | host) as answer:
            assert answer.status == 421


async def test_the_operator_comes_in_under_the_name_of_this_machine_only(
    node: Running, http: aiohttp.ClientSession, token: dict[str, str]
) -> None:
    async with http.post(node.url + STATUS, json={}, headers=token | node.page) as answer:
        assert answer.status == 421


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/operator/v1/operations/no.such", b"{}", 404),
        ("/operator/v1/operations/nothing", b"{}", 404),
        (STATUS, b'{"unknown":1}', 400),
        (STATUS, b"[]", 400),
        (STATUS, b"", 400),
    ],
)
async def test_a_command_that_is_none_is_refused(
    node: Running, http: aiohttp.ClientSession, token: dict[str, str], path: str, body: bytes, status: int
) -> None:
    headers = token | {"Content-Type": "application/json"}
    async with http.post(node.url + path, data=body, headers=headers) as answer:
        assert answer.status == status


async def test_figures_are_for_this_machine_and_for_the_token(
    node: Running, http: aiohttp.ClientSession, token: dict[str, str]
) -> None:
    async with http.get(node.url + "/metrics") as answer:
        assert answer.status == 200
        assert "mentormesh_connections" in await answer.text()
    from_outside = node.api | {"X-Forwarded-For": "192.0.2.1"}
    async with http.get(node.url + "/metrics", headers=from_outside) as answer:
        assert answer.status == 401
    async with http.get(node.url + "/metrics", headers=node.api) as answer:
        assert answer.status == 401
    async with http.get(node.url + "/metrics", headers=from_outside | token) as answer:
        assert answer.status == 200


async def test_health_readiness_and_version_say_how_the_node_is(node: Running, http: aiohttp.ClientSession) -> None:
    async with http.get(node.url + "/health") as answer:
        assert await answer.json() == {"alive": True}
    async with http.get(node.url + "/ready") as answer:
        assert (answer.status, await answer.json()) == (
            200,
            {"ready": True, "store": "ok", "jobs": "ok", "on_duty": True},
        )
    async with http.get(node.url + "/version") as answer:
        assert (await answer.json())["name"] == "mentormesh"


async def test_a_node_whose_store_is_away_is_not_ready(node: Running, http: aiohttp.ClientSession) -> None:
    await node.node.base.store.close()
    async with http.get(node.url + "/ready") as answer:
        assert (answer.status, (await answer.json())["store"]) == (503, "unavailable")


class Add(Command, frozen=True, kw_only=True):
    """Two numbers."""

    a: int
    b: int = 1


async def test_an_operation_takes_and_gives_what_travels_as_json() -> None:
    async def add(command: Add) -> int:
        return command.a + command.b

    one = Operation(name="sum.add", summary="Add", request=Add, response=int, run=add)
    operations = Operations([one])
    assert await operations.call("sum.add", Add(a=2), int) == 3
    assert await operations.call_json("sum.add", b'{"a":2,"b":5}') == b"7"
    with pytest.raises(MalformedError):
        await operations.call_json("sum.add", b'{"a":2,"c":5}')
    with pytest.raises(MissingError):
        await operations.call("sum.sub", Add(a=1), int)
    with pytest.raises(ValueError, match="one name"):
        Operations([one, one])


async def test_an_unexpected_error_is_a_problem_without_its_text_and_a_line_in_the_log(
    node: Running, http: aiohttp.ClientSession, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_command: ShowStatus) -> None:
        raise ValueError("canary")

    stream = io.StringIO()
    events = node.node.base.events
    monkeypatch.setattr(events, "log", make_log(node.node.base.clock, stream=stream))
    known = dict(node.node.operations.by_name)
    known["node.status"] = msgspec.structs.replace(known["node.status"], run=broken)
    monkeypatch.setattr(node.node.operations, "by_name", known)
    async with http.post(node.url + STATUS, json={}, headers=token) as answer:
        found = await problem(answer)
        assert (answer.status, found.code) == (500, "internal")
        request_id = answer.headers["X-Request-Id"]
    assert "canary" not in stream.getvalue()
    assert request_id in stream.getvalue()
