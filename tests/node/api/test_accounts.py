"""Tests of the account routes through a real HTTP server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias, cast

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from node.api.accounts import ACCOUNT_ROUTES, PEOPLE, People, device_guard
from node.api.blobs import BLOB_ROUTES
from node.api.bodies import BODY_LIMITS, BodyLimits, parse_json
from node.api.exchange import EXCHANGE, EXCHANGE_ROUTES, Acknowledge, ExchangeServices, MailboxQuery
from node.api.hosts import HOSTS
from node.api.problems import answer_error
from node.api.reports import REPORT_ROUTES
from node.api.routes import Route, add_routes
from node.api.strangers import STRANGERS
from node.services.consents import TEXTS
from node.services.labels import MAILBOX, label_for
from node.services.mailbox import Mailboxes
from node.services.notices import SignInLink, decode_notice
from protocol.encoding import b64
from protocol.errors import MalformedError, MeshError
from tests.fakes.memory_store import MemoryStore
from tests.fakes.visitors import Visitors
from tests.node.services.people.world import Gadget, World, profile, staff
from tests.patience import PATIENCE_S

Client = TestClient[web.Request, web.Application]
Json: TypeAlias = Any
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except MeshError as error:
        return answer_error(error, now=0)


@pytest.fixture
async def world() -> World:
    made = World(MemoryStore())
    await made.add(staff(2))
    return made


@pytest.fixture
async def client(world: World, aiohttp_client: Callable[[TestServer], Awaitable[Client]]) -> Client:
    app = web.Application(middlewares=[problems])
    app[STRANGERS] = app[HOSTS] = Visitors()  # type: ignore[misc]
    app[BODY_LIMITS] = BodyLimits(body_bytes=1024 * 1024, body_s=5, in_flight_bytes=4 * 1024 * 1024)
    app[PEOPLE] = People(
        entity="https://aurora.example",
        accounts=world.accounts,
        devices=world.devices,
        members=world.members,
        mentors=world.mentors,
        erasure=world.erasure,
    )
    unused = cast("Any", None)
    app[EXCHANGE] = ExchangeServices(
        entity="https://aurora.example",
        store=world.store,
        clock=world.clock,
        entropy=world.entropy,
        consumer=unused,
        answering=unused,
        sessions=unused,
        mailboxes=Mailboxes(world.store, world.clock),
        views=unused,
        devices=world.devices,
        directory=unused,
        identity=unused,
    )
    routes = (*ACCOUNT_ROUTES, *EXCHANGE_ROUTES, *BLOB_ROUTES, *REPORT_ROUTES)
    add_routes(app, routes, {"device": device_guard, "peer": device_guard})
    return await aiohttp_client(TestServer(app))


async def call(
    client: Client, method: str, path: str, body: Json = None, *, token: str = "", status: int = 200
) -> Json:
    """Return the JSON of an answer that has `status`."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with client.request(method, path, json=body, headers=headers) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json(content_type=None) if answer.content_length else None


async def sign_in(client: Client, world: World) -> str:
    assert await call(client, "POST", "/api/v1/sign-in/links", {"mail": "e1@aurora.example"}, status=202) is None
    notice = decode_notice((await world.mails())[-1].notice)
    assert isinstance(notice, SignInLink)
    redeemed = await call(client, "POST", "/api/v1/sign-in/redeem", {"token": notice.link.partition("#")[2]})
    assert redeemed["first_device"] is True
    return str(redeemed["token"])


async def test_a_person_signs_in_enrols_a_device_and_becomes_a_mentor(client: Client, world: World) -> None:
    token = await sign_in(client, world)
    command = msgspec.to_builtins(Gadget.made(1, 1).command(world.clock.now()))
    view = await call(client, "POST", "/api/v1/me/devices", command, token=token, status=201)
    assert view["this"] is True
    texts = await call(client, "GET", "/api/v1/consents")
    assert [text["kind"] for text in texts] == [text.kind for text in TEXTS]
    await call(client, "PUT", "/api/v1/me/mentor-profile", msgspec.to_builtins(profile()), token=token)
    for kind in ("mentoring", "listing"):
        await call(client, "POST", "/api/v1/me/consents", {"kind": kind, "version": 1}, token=token)
    mentoring = await call(client, "PUT", "/api/v1/me/mentoring", {"listed": True}, token=token)
    assert (mentoring["opted_in"], mentoring["listed"]) == (True, True)
    me = await call(client, "GET", "/api/v1/me", token=token)
    assert me["entity"] == "https://aurora.example"
    assert me["device"] == view["device"] == me["devices"][0]["device"]
    assert me["mentoring"]["profile"]["topics"][0]["id"] == "mm:first-board-presentation"
    withdrawn = {"kind": "mentoring", "version": 1, "given": False}
    assert not (await call(client, "POST", "/api/v1/me/consents", withdrawn, token=token))["opted_in"]
    assert not (await call(client, "DELETE", "/api/v1/me/mentoring", token=token))["listed"]
    await call(client, "DELETE", f"/api/v1/me/devices/{view['device']}", token=token, status=204)
    await call(client, "GET", "/api/v1/me", token=token, status=401)


async def test_the_answer_to_a_wish_for_a_link_is_the_same_for_everybody(client: Client, world: World) -> None:
    answers = []
    for mail in ("e1@aurora.example", "nobody@aurora.example"):
        async with client.post("/api/v1/sign-in/links", json={"mail": mail}) as answer:
            headers = {name: value for name, value in answer.headers.items() if name != "Date"}
            answers.append((answer.status, headers, await answer.read()))
    assert answers[0] == answers[1]
    assert answers[0][0] == 202
    assert len(await world.mails()) == 2


async def test_signing_out_ends_the_token(client: Client, world: World) -> None:
    token = await sign_in(client, world)
    await call(client, "DELETE", "/api/v1/sign-in", token=token, status=204)
    problem = await call(client, "GET", "/api/v1/me", token=token, status=401)
    assert problem["code"] == "token"


async def until(holds: Callable[[], bool]) -> None:
    """Return once something holds that nothing tells of."""
    while not holds():  # noqa: ASYNC110 -- there is no event
        await asyncio.sleep(0)


async def test_a_body_that_ends_after_the_sign_in_has_no_effect(client: Client, world: World) -> None:
    token = await sign_in(client, world)
    limits = client.app[BODY_LIMITS]

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"kind":"mentor",'
        await until(lambda: limits.in_flight > 0)
        await call(client, "DELETE", "/api/v1/sign-in", token=token, status=204)
        yield b'"version":1}'

    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with (
        asyncio.timeout(PATIENCE_S),
        client.post("/api/v1/me/consents", data=slowly(), headers=headers) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (401, "token")


async def test_who_is_signed_out_while_waiting_for_the_mailbox_is_given_nothing(client: Client, world: World) -> None:
    token = await sign_in(client, world)
    mailboxes = client.app[EXCHANGE].mailboxes
    await call(client, "GET", "/api/v1/mailbox", token=token)
    async with world.store.read() as reader:
        label = await label_for(reader, (await world.member("E1")).member, MAILBOX)
    assert label is not None
    async with asyncio.timeout(PATIENCE_S):
        waiting = asyncio.create_task(call(client, "GET", "/api/v1/mailbox?wait_s=60", token=token, status=401))
        await until(lambda: mailboxes.is_watched(label))
        await call(client, "DELETE", "/api/v1/sign-in", token=token, status=204)
        async with world.store.write() as tx:
            await mailboxes.add(tx, label, "notice", b"late", thread=label, side="consumer")
        assert (await waiting)["code"] == "token"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v1/threads/{}/blobs/{}?side=consumer&offset=0&size=1"),
        ("DELETE", "/api/v1/threads/{}/blobs/{}"),
        ("POST", "/api/v1/reports"),
        ("GET", "/api/v1/reports"),
    ],
)
async def test_a_link_alone_touches_no_file_and_no_report(client: Client, world: World, method: str, path: str) -> None:
    token, name = await sign_in(client, world), b64(bytes(16))
    problem = await call(client, method, path.format(name, name), token=token, status=403)
    assert problem["code"] == "no-device"


async def test_a_person_exports_and_erases_themselves(client: Client, world: World) -> None:
    token = await sign_in(client, world)
    exported = await call(client, "GET", "/api/v1/me/export", token=token)
    assert {section["table"] for section in exported["sections"]} == {"mail", "member", "sign_in"}
    async with client.get("/api/v1/me/export?form=html", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.content_type == "text/html"
        assert "e1@aurora.example" in await answer.text()
    await call(client, "POST", "/api/v1/me/erase", {}, token=token, status=400)
    receipt = await call(client, "POST", "/api/v1/me/erase", {"confirm": "erase"}, token=token)
    assert receipt["rows"]["member"] == 1
    await call(client, "GET", "/api/v1/me", token=token, status=401)


GUARDED = [route for route in ACCOUNT_ROUTES if route.auth == "device"]


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize(
    "value", ["", "Basic YTpi", "Bearer ", "Bearer x", f"Bearer {'A' * 43}", f"bearer  {'A' * 43} x"]
)
async def test_no_account_route_answers_without_a_sign_in(client: Client, route: Route, value: str) -> None:
    headers = {"Authorization": value} if value else {}
    path = route.path.replace("{device}", "x")
    async with client.request(route.method, path, json={}, headers=headers) as answer:
        assert answer.status == 401
        assert (await answer.json(content_type=None))["code"] == "token"


def test_every_route_but_these_needs_a_sign_in() -> None:
    open_ones = {(route.method, route.path) for route in ACCOUNT_ROUTES if route.auth != "device"}
    assert open_ones == {
        ("GET", "/sign-in"),
        ("GET", "/api/v1/consents"),
        ("POST", "/api/v1/sign-in/links"),
        ("POST", "/api/v1/sign-in/redeem"),
    }


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/sign-in/links", {"mail": "a" * 255}),
        ("POST", "/api/v1/sign-in/links", {"mail": "ana@b.example", "more": 1}),
        ("POST", "/api/v1/sign-in/links", []),
        ("POST", "/api/v1/sign-in/redeem", {"token": "x"}),
        ("PUT", "/api/v1/me/mentor-profile", {"topics": []}),
        ("PUT", "/api/v1/me/mentoring", {"listed": "yes"}),
        ("POST", "/api/v1/me/consents", {"kind": "everything", "version": 1}),
        ("POST", "/api/v1/me/consents", {"kind": "mentoring", "version": 0}),
        ("POST", "/api/v1/me/devices", {}),
        ("POST", "/api/v1/me/erase", {"confirm": "yes"}),
        ("GET", "/api/v1/me/export?form=xml", None),
        ("GET", "/api/v1/me/export?colour=red", None),
    ],
)
async def test_what_is_not_as_described_is_a_problem_that_repeats_nothing(
    client: Client, world: World, method: str, path: str, body: Json
) -> None:
    token = await sign_in(client, world)
    problem = await call(client, method, path, body, token=token, status=400)
    assert problem["code"] == "malformed"
    assert "everything" not in problem["detail"]
    assert "xml" not in problem["detail"]


async def test_a_used_link_is_one_clear_sentence(client: Client) -> None:
    problem = await call(client, "POST", "/api/v1/sign-in/redeem", {"token": "A" * 43}, status=401)
    assert problem["detail"] == "this sign-in link was used or has expired: ask for a new one"


@pytest.mark.parametrize(("language", "word"), [("", "Sign in"), ("de-DE,de;q=0.9", "Anmelden"), ("fr", "Sign in")])
async def test_the_sign_in_page_shows_the_command_and_does_nothing(client: Client, language: str, word: str) -> None:
    async with client.get("/sign-in", headers={"Accept-Language": language}) as answer:
        page = await answer.text()
        assert answer.content_type == "text/html"
    assert f"<h1>{word}</h1>" in page
    assert "mentormesh person sign-in 'LINK'" in page
    assert "<script" not in page


@pytest.mark.parametrize("cursor", [2**53, 2**63, 2**64, 10**30])
def test_no_cursor_is_larger_than_a_store_counts(cursor: int) -> None:
    assert parse_json(f'{{"cursor":{2**53 - 1}}}'.encode(), Acknowledge).cursor == 2**53 - 1
    with pytest.raises(MalformedError):
        parse_json(f'{{"cursor":{cursor}}}'.encode(), Acknowledge)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"after": str(cursor)}, MailboxQuery, strict=False)
