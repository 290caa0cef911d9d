"""The route table: complete, typed, guarded, and described by OpenAPI 3.1."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import aiohttp
import msgspec
import pytest
from aiohttp import web
from openapi_spec_validator import validate

from node.api.app import GUARDS, build_app
from node.api.openapi import document, operation_id, plain_path
from node.api.routes import METHODS, ROUTES, Auth, Route, add_routes
from node.api.table import ALL_ROUTES
from protocol.encoding import Wire
from tests.architecture.house import ROOT
from tests.node.running import Running, problem, running


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "aurora") as started:
        yield started


@pytest.mark.slow
def test_the_description_of_all_routes_is_valid_openapi() -> None:
    described = document(ALL_ROUTES)
    assert described["openapi"] == "3.1.0"
    validate(described)


def test_every_route_is_described_with_who_may_call_it() -> None:
    paths = document(ALL_ROUTES)["paths"]
    for route in ALL_ROUTES:
        operation = paths[plain_path(route.path)][route.method.lower()]
        assert operation["x-mentormesh-auth"] == route.auth
        assert operation["summary"] == route.summary
        assert str(route.status) in operation["responses"]
        assert "default" in operation["responses"]


def test_every_route_says_something_about_itself_in_one_line() -> None:
    for route in ALL_ROUTES:
        assert route.auth in get_args(Auth)
        assert route.method in METHODS
        assert route.summary[0].isupper()
        assert not route.summary.endswith(".")


def test_no_two_routes_have_one_name() -> None:
    ids = [operation_id(route) for route in ALL_ROUTES]
    assert len(set(ids)) == len(ids)


def test_every_kind_of_route_that_asks_who_you_are_has_a_guard() -> None:
    assert {route.auth for route in ALL_ROUTES} - set(GUARDS) == {"public", "page"}


def test_every_request_body_refuses_unknown_fields() -> None:
    for route in ALL_ROUTES:
        if isinstance(route.request, type) and issubclass(route.request, msgspec.Struct):
            closed = issubclass(route.request, Wire) or route.request.__struct_config__.forbid_unknown_fields
            assert closed, route.path


async def test_what_is_served_is_exactly_the_table(node: Running) -> None:
    app = build_app(node.node)
    served = {
        (method, resource.canonical)
        for resource in app.router.resources()
        for route in resource
        for method in [route.method]
    }
    assert served == {(route.method, plain_path(route.path)) for route in ALL_ROUTES}


def test_only_the_table_of_routes_reaches_a_router() -> None:
    adding = re.compile(r"\.router\.|add_(get|post|put|delete|static)\(|RouteTableDef")
    found = [
        path.name for path in sorted((ROOT / "node").rglob("*.py")) if adding.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["routes.py"]


def test_only_one_place_reads_request_bodies() -> None:
    reading = re.compile(r"request\.(read|json|text|post|multipart|content\.)\b|await request\.(read|json|text|post)\(")
    found = [
        path.name
        for path in sorted((ROOT / "node" / "api").rglob("*.py"))
        if reading.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["bodies.py"]


def filled(path: str) -> str:
    """Return `path` with something plausible in each place."""
    return re.sub(r"\{[a-z_]+(:[^{}]*)?\}", lambda found: "node.status" if found[1] else "A" * 22, path)


async def asked(node: Running, route: Route, headers: dict[str, str]) -> int:
    """Return the status of asking a route, after checking that a refusal is a problem."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(route.method, node.url + filled(route.path), headers=headers) as answer,
    ):
        if answer.status >= 400 and answer.content_type != "text/html":
            assert (await problem(answer)).status == answer.status, route.path
        if answer.status == 401:
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        return answer.status


#: What each kind of route may answer to somebody who shows nothing.
REFUSALS: dict[Auth, set[int]] = {
    "device": {401},
    "operator": {401},
    "peer": {400, 401, 403},
    "local": {200},
    "public": {200, 400, 401, 404, 415},
    "page": {200, 404, 415},
}


async def test_nobody_gets_in_without_what_the_route_asks_for(node: Running) -> None:
    for route in ALL_ROUTES:
        headers = {} if route.auth in {"operator", "local"} else node.api
        assert await asked(node, route, headers) in REFUSALS[route.auth], f"{route.method} {route.path}"


@pytest.mark.parametrize(
    "token", ["Bearer", "Bearer ", "Bearer x", "Basic eA==", "bearer " + "A" * 43, "Bearer " + "A" * 43]
)
async def test_a_wrong_token_opens_no_route_of_a_device(token: str, node: Running) -> None:
    for route in ALL_ROUTES:
        if route.auth == "device":
            assert await asked(node, route, node.api | {"Authorization": token}) == 401, route.path


async def test_the_node_describes_itself(node: Running) -> None:
    async with aiohttp.ClientSession() as session, session.get(node.url + "/openapi.json") as answer:
        assert await answer.json() == document(ALL_ROUTES)


async def test_two_routes_of_one_address_are_a_mistake() -> None:
    async def nothing(_request: web.Request) -> web.StreamResponse:
        return web.Response()

    app = web.Application()
    one = Route(method="GET", path="/x/{a}", handler=nothing, auth="public", summary="X")
    add_routes(app, [one], {})
    with pytest.raises((ValueError, RuntimeError)):
        add_routes(app, [msgspec.structs.replace(one, path="/x/{a}")], {})
    assert len(app[ROUTES]) == 1


def test_parameters_are_described() -> None:
    class Query(msgspec.Struct, frozen=True):
        q: str
        limit: int = 5

    async def nothing(_request: web.Request) -> web.StreamResponse:
        return web.Response()

    route = Route(
        method="GET", path="/x/{a}/{b:[a-z]{2}}", handler=nothing, auth="page", summary="X", query=Query, response=int
    )
    described: dict[str, Any] = document([route])
    validate(described)
    listed = described["paths"]["/x/{a}/{b}"]["get"]["parameters"]
    assert [(one["name"], one["in"], one["required"]) for one in listed] == [
        ("a", "path", True),
        ("b", "path", True),
        ("q", "query", True),
        ("limit", "query", False),
    ]
    assert listed[1]["schema"]["pattern"] == "^[a-z]{2}$"
