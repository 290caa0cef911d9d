"""Who may call what (lines 24, 63 and 65): every route of the table, every kind of caller, every kind of object.

The matrix is made from the route table. A route with an object in its path that is not listed here fails the tests.
"""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from msgspec.structs import replace

from node.api.routes import Auth, Route
from node.api.table import ALL_ROUTES
from protocol.addresses import audience_id
from protocol.peers import DOCUMENTS_PATH
from protocol.signing import SigningKey
from protocol.tickets import PEERINGS_PATH
from tests.federation.stations import RawAnswer
from tests.node.exchange.people import Mentee
from tests.node.exchange.world import Somebody
from tests.node.running import ENTITY

from .test_signatures import cancel
from .world import HOST, NOTHING, Attacker, World, filled, name_of, problem_of, refusal
from .world import world as running_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

Refused = tuple[int, str]

TOKEN: Final[Refused] = (401, "token")
UNVERIFIED: Final[Refused] = (401, "unverified")
UNSIGNED: Final[Refused] = (401, "unsigned")
MISDIRECTED: Final[Refused] = (421, "misdirected")

#: What stops each kind of caller at each kind of route; None: it is let in to the handler.
MATRIX: Final[Mapping[Auth, Mapping[str, Refused | None]]] = {
    "device": {
        "nobody": TOKEN,
        "a stranger": TOKEN,
        "a peer": TOKEN,
        "a blocked peer": TOKEN,
        "a member": None,
        "who left": TOKEN,
        "the operator": TOKEN,
        "the operator here": TOKEN,
    },
    "peer": {
        "nobody": UNSIGNED,
        "a stranger": (403, "unknown-peer"),
        "a peer": None,
        "a blocked peer": (403, "peer-blocked"),
        "a member": UNSIGNED,
        "who left": UNSIGNED,
        "the operator": UNSIGNED,
        "the operator here": MISDIRECTED,
    },
    "operator": {
        "nobody": MISDIRECTED,
        "a stranger": MISDIRECTED,
        "a peer": MISDIRECTED,
        "a blocked peer": MISDIRECTED,
        "a member": MISDIRECTED,
        "a member here": UNVERIFIED,
        "who left": MISDIRECTED,
        "the operator": MISDIRECTED,
        "the operator here": None,
    },
    "local": {
        "nobody": UNVERIFIED,
        "a stranger": UNVERIFIED,
        "a peer": UNVERIFIED,
        "a blocked peer": UNVERIFIED,
        "a member": UNVERIFIED,
        "who left": UNVERIFIED,
        "the operator": None,
        "the operator here": None,
    },
}
GUARDED: Final = tuple(route for route in ALL_ROUTES if route.auth in MATRIX)
OPEN: Final = tuple(route for route in ALL_ROUTES if route.auth not in MATRIX)
#: What is sent there brings the document of its sender, whose own key signs the request.
PROVEN: Final = frozenset({PEERINGS_PATH, DOCUMENTS_PATH})
CALLERS: Final = tuple(sorted({caller for row in MATRIX.values() for caller in row}))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def blocked(world: World) -> AsyncIterator[Attacker]:
    """A peer that the administrator blocked."""
    peer = await world.add_peer("dogwood", seed=80, mode="blocked")
    yield peer
    await peer.client.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gone(world: World) -> str:
    """The token of a member who left."""
    zoe = await world.site.add_person("zoe", audiences=())
    token = await world.token(zoe)
    members = world.node.node.people.members
    row = await members.by_hris_id("zoe")
    async with world.node.node.base.store.write() as tx:
        await tx.put(replace(row, active=False))
    return token


async def ask(world: World, caller: str, route: Route, *, blocked: Attacker, gone: str) -> RawAnswer:
    """Call a route as somebody; whoever signs, signs a body of the type that the route takes."""
    path, body = filled(route), b"" if route.method in {"GET", "DELETE"} else b"canary"
    kind = route.request_content_type if body else None
    here = ("Host", f"127.0.0.1:{world.node.port}")
    signers = {"a stranger": SigningKey(bytes(32)), "a peer": None, "a blocked peer": blocked.keys.http}
    if caller in signers:
        headers = world.birch.signed(route.method, path, body, kind, key=signers[caller])
    else:
        member = await world.token(world.ana)
        shown = {"who left": gone, "the operator": world.operator, "the operator here": world.operator}
        token = {**shown, "a member": member, "a member here": member}.get(caller, "")
        headers = [here if caller.endswith("here") else HOST]
        headers += [("Authorization", token)] if token else []
        headers += [("Content-Type", kind)] if kind else []
    return await world.send(route.method, path, headers, body)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", GUARDED, ids=name_of)
async def test_a_guarded_route_is_open_to_whom_it_is_for_and_to_nobody_else(
    world: World, route: Route, caller: str, blocked: Attacker, gone: str
) -> None:
    row = MATRIX[route.auth]
    if caller not in row:
        return
    expected = row[caller]
    if expected is None:
        if (route.method, route.path) in {("DELETE", "/api/v1/sign-in"), ("DELETE", "/api/v1/me/mentoring")}:
            return  # would end what the other cases need; that it works is tested where accounts are
        answer = await ask(world, caller, route, blocked=blocked, gone=gone)
        assert answer.status not in {401, 421, 500}, answer.body
        return
    async with world.unchanged():
        assert refusal(await ask(world, caller, route, blocked=blocked, gone=gone)) == expected


@pytest.mark.parametrize("route", OPEN, ids=name_of)
async def test_an_open_route_says_the_same_to_everybody(
    world: World, route: Route, blocked: Attacker, gone: str
) -> None:
    callers = [one for one in CALLERS if not one.endswith("here") and route.path not in PROVEN]
    statuses = {(await ask(world, one, route, blocked=blocked, gone=gone)).status for one in callers}
    assert len(statuses) <= 1
    assert not statuses & {401, 403, 500}


# --- objects of others --------------------------------------------------------------------------

#: Who owns what a path names, or why nobody does.
OBJECTS: Final[Mapping[str, str]] = {
    "/operator/v1/operations/{operation:[a-z]+[.][a-z-]+}": "the operator's, all of them",
    "/api/v1/me/devices/{device}": "a person's",
    "/api/v1/me/safe/{name}": "one's own, by names that others use, too",
    "/api/v1/me/contact-tokens/{commitment}": "one's own",
    "/api/v1/me/linking/{linking}/end": "one's own",
    "/api/v1/me/linking/{linking}/messages": "one's own",
    "/api/v1/threads/{thread}": "a person's",
    "/api/v1/threads/{thread}/accept": "a person's",
    "/api/v1/threads/{thread}/answer": "a person's",
    "/api/v1/threads/{thread}/cancel": "a person's",
    "/api/v1/threads/{thread}/envelopes": "a person's",
    "/api/v1/threads/{thread}/blobs/{blob}": "a person's",
    "/api/v1/threads/{thread}/siblings": "a person's",
    "/federation/v1/blobs/{thread}/{blob}/{offset}": "the other organization's of the thread",
    "/federation/v1/reports/{report}": "the organization's that brought it",
    "/answer/{token}": "whoever knows the token",
    "/federation/v1/sets/{audience}/{kind}/head": "an audience's",
    "/federation/v1/sets/{audience}/{kind}/snapshots/{seq}/{page}": "an audience's",
    "/federation/v1/sets/{audience}/{kind}/heads/{host}": "an audience's",
    "/log/tile/{path:.+}": "everybody's",
    "/log/{log:[2-9]|[1-9][0-9]{1,8}}/checkpoint": "everybody's",
    "/log/{log:[2-9]|[1-9][0-9]{1,8}}/tile/{path:.+}": "everybody's",
}
PERSONAL: Final = tuple(route for route in ALL_ROUTES if OBJECTS.get(route.path) == "a person's")
SHARED: Final = tuple(route for route in ALL_ROUTES if OBJECTS.get(route.path) == "an audience's")


async def test_every_object_in_a_path_is_listed_with_its_owner() -> None:
    assert {route.path for route in ALL_ROUTES if "{" in route.path} == set(OBJECTS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def thread(world: World) -> str:
    """A request that waits for Ben, who mentors."""
    mentee: Mentee = await world.mentee(world.birch)
    quote = await mentee.quote()
    await mentee.accept(quote)
    await world.birch.exchanging.outbox.step(ENTITY)
    return mentee.thread


def bodies(route: Route) -> dict[str, object] | None:
    """Return a good body of a route about a thread."""
    said: dict[str, dict[str, object]] = {
        "answer": {"answer": {"type": "decline", "reason": "no-time"}},
        "cancel": {"side": "provider", "reason": "not-needed"},
        "envelopes": {
            "side": "provider",
            "id": "00000000-0000-7000-8000-000000000001",
            "kind": "message",
            "epoch": 1,
            "ciphertext": "AAAA",
        },
        "siblings": {"side": "provider", "item": "AAAA"},
        "accept": {
            "choice": "A" * 1516,
            "brief": {"wrapped": [{"key": "A" * 43, "sealed": "A" * 1558}], "box": "A" * 19_168},
        },
    }
    return said.get(route.path.rpartition("/")[2])


async def about(world: World, who: Somebody, route: Route, value: str) -> RawAnswer:
    """Ask about one object as a person."""
    body = bodies(route)
    data = json.dumps(body).encode() if body else b"blob" if route.method == "PUT" else b""
    query = {"GET": "?side=provider", "PUT": f"?side=provider&offset=0&size={len(data)}"}
    path = filled(route, value) + (query.get(route.method, "") if route.query is not None else "")
    headers = [HOST, ("Authorization", await world.token(who))]
    if data:
        headers.append(("Content-Type", route.request_content_type))
    return await world.send(route.method, path, headers, data)


@pytest.mark.parametrize("route", PERSONAL, ids=name_of)
async def test_the_thread_of_somebody_else_does_not_exist(world: World, route: Route, thread: str) -> None:
    value = world.ben.device_id if "device" in route.path else thread
    async with world.unchanged():
        answer = await about(world, world.ana, route, value)
        assert refusal(answer) in {(404, "missing"), (403, "no-device")}
        invented = await about(world, world.ana, route, NOTHING)
        assert (invented.status, invented.body) == (answer.status, answer.body), "both look alike"


async def test_the_thread_of_ones_own_exists(world: World, thread: str) -> None:
    (route,) = (one for one in PERSONAL if one.path == "/api/v1/threads/{thread}")
    assert (await about(world, world.ben, route, thread)).status == 200


@pytest.mark.parametrize("route", SHARED, ids=name_of)
async def test_the_set_of_another_audience_does_not_exist(world: World, route: Route) -> None:
    path = filled(route).replace(NOTHING, "{}", 1).format(audience_id(ENTITY, world.cobalt.entity))
    path = path.replace(NOTHING, "offers", 1).replace(NOTHING, "1")
    async with world.unchanged():
        assert problem_of(await world.ask(world.birch, route.method, path)).status == 404


async def test_a_file_of_another_organizations_thread_does_not_exist(world: World, thread: str) -> None:
    for name in (thread, NOTHING):
        answer = problem_of(await world.ask(world.birch, "GET", f"/federation/v1/blobs/{name}/{NOTHING}/0"))
        assert (answer.status, answer.code) == (404, "missing")


async def test_the_thread_of_another_organization_does_not_exist(world: World, thread: str) -> None:
    (outcome,) = await world.batch(world.cobalt, cancel(world.cobalt, thread=thread, seq=3))
    assert (outcome.status, outcome.code) == ("refused", "missing")


# --- how often ----------------------------------------------------------------------------------

#: Whoever watches the node must not be turned away because somebody else comes from the same address.
WATCHED: Final = frozenset({"/health", "/ready"})
#: Sign-in has limits of its own, by address and by mail address, because it sends mail.
OF_THEIR_OWN: Final = {"/api/v1/sign-in/links": 60, "/api/v1/sign-in/redeem": 60}


@pytest.mark.parametrize("route", ALL_ROUTES, ids=name_of)
async def test_every_route_has_a_limit(limited: World, route: Route) -> None:
    limited.clock.advance(600)
    path = filled(route)
    allowed = OF_THEIR_OWN.get(route.path, 3)
    body = {
        "/api/v1/sign-in/links": b'{"mail":"a@b.example"}',
        "/api/v1/sign-in/redeem": b'{"token":"%s"}' % (b"A" * 43),
    }
    answers: list[RawAnswer] = []
    for _ in range(allowed + 1):
        headers = [HOST, ("Content-Type", "application/json")] if route.path in body else [HOST]
        if route.auth in {"operator", "local"}:
            headers = [("Host", f"127.0.0.1:{limited.node.port}"), ("Authorization", "Bearer x")]
        if route.auth == "local":
            headers = [HOST]
        answers.append(await limited.send(route.method, path, headers, body.get(route.path, b"")))
    statuses = [answer.status for answer in answers]
    if route.path in WATCHED:
        assert set(statuses) == {200}
        return
    assert 429 not in statuses[:-1], statuses
    assert statuses[-1] == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.parametrize("route", [one for one in ALL_ROUTES if one.auth == "peer"], ids=name_of)
async def test_every_route_of_peers_has_a_limit_by_key(limited: World, route: Route) -> None:
    limited.clock.advance(600)
    body = b"" if route.method == "GET" else b"canary"
    kind = route.request_content_type if body else None
    statuses = [(await limited.ask(limited.birch, route.method, filled(route), body, kind)).status for _ in range(4)]
    assert 429 not in statuses[:-1]
    assert statuses[-1] == 429
    other = await limited.ask(limited.cobalt, route.method, filled(route), body, kind)
    assert other.status == statuses[0], "another peer is not held up"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def limited(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A node that takes three requests a minute of anybody."""
    directory: Path = tmp_path_factory.mktemp("limited") / "aurora"
    async with running_world(directory, limits={"address_per_minute": 3, "peer_per_minute": 3}) as made:
        yield made
