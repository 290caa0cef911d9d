"""JSON that two readers could read differently, and values that no field takes (lines 30 to 34), on every plain route.

Each body is a good one changed in one place, so that only this change can be the reason of the refusal.
"""

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest

from federation.returning import BACK_PATH
from federation.sets import NUDGES_PATH
from node.api.bodies import parse_json
from node.api.routes import JSON, Route
from node.services.recovery import HEADS_PATH
from protocol.encoding import decode, encode
from protocol.tickets import PEERINGS_PATH

from .world import CANARY, HOST, JSON_ROUTES, NOTHING, World, filled, name_of, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

Change = Callable[[bytes], bytes | None]

#: A good body of each route whose body is no more than a few plain fields, the first one a text where there is one.
GOOD: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("POST", "/api/v1/sign-in/links"): {"mail": f"{CANARY}@aurora.example"},
    ("POST", "/api/v1/sign-in/redeem"): {"token": "A" * 43},
    ("PUT", "/api/v1/me/mentoring"): {"listed": True},
    ("POST", "/api/v1/me/consents"): {"kind": "mentoring", "version": 1, "given": False},
    ("POST", "/api/v1/me/erase"): {"confirm": "erase"},
    ("POST", "/api/v1/vocabulary/suggest"): {"text": f"{CANARY} board", "language": "en", "limit": 8},
    ("POST", "/api/v1/vocabulary/labels"): {"topics": ["mm:first-board-presentation"], "language": "en"},
    ("POST", "/api/v1/mailbox/ack"): {"cursor": 1},
    ("POST", "/api/v1/threads/{thread}/cancel"): {"side": "consumer", "reason": "not-needed"},
    ("POST", "/api/v1/threads/{thread}/answer"): {"answer": {"type": "decline", "reason": "no-time"}},
    ("POST", "/api/v1/threads/{thread}/envelopes"): {
        "side": "consumer",
        "id": "00000000-0000-7000-8000-000000000001",
        "kind": "message",
        "epoch": 1,
        "ciphertext": "AAAA",
    },
    ("POST", "/api/v1/search"): {
        "need": {
            "topics": ["mm:first-board-presentation"],
            "kind": "been-through",
            "languages": ["en"],
            "format": "call",
            "length": 30,
        },
    },
    ("POST", BACK_PATH): {"life": NOTHING, "stored": 60, "at": 60},
    ("POST", HEADS_PATH): {"after": NOTHING},
    ("POST", PEERINGS_PATH): {"code": NOTHING, "document": "a.b.c"},
    ("POST", NUDGES_PATH): {"audience": "A" * 43, "kind": "offers", "seq": 8},
}
#: Routes of this table that read the one canonical form.
SIGNED: Final = {("POST", path) for path in (PEERINGS_PATH, NUDGES_PATH, BACK_PATH, HEADS_PATH)}
PLAIN: Final = tuple(route for route in JSON_ROUTES if route.key in GOOD)


def good(route: Route) -> bytes:
    """Return the good body of a route."""
    value = GOOD[route.key]
    return encode(value) if route.key in SIGNED else json.dumps(value, separators=(",", ":")).encode()


def in_text(inside: bytes) -> Change:
    """Put bytes into the first text."""

    def change(body: bytes) -> bytes | None:
        at = body.find(b':"')
        return None if at < 0 else body[: at + 2] + inside + body[at + 2 :]

    return change


def as_number(digits: bytes) -> Change:
    """Put something else in the place of the number."""

    def change(body: bytes) -> bytes | None:
        value = json.loads(body)
        name = next((name for name, one in value.items() if type(one) is int), None)
        if name is None:
            return None
        old = f'"{name}":{value[name]}'.encode()
        assert old in body
        return body.replace(old, f'"{name}":'.encode() + digits)

    return change


def doubled(body: bytes) -> bytes:
    """Say the first field twice."""
    name, value = next(iter(json.loads(body).items()))
    return b"{" + json.dumps({name: value}, separators=(",", ":")).encode()[1:-1] + b"," + body[1:]


def doubled_in_disguise(body: bytes) -> bytes:
    """Say the first field twice, once with its first letter escaped."""
    return b'{"\\u00%02x' % body[2] + doubled(body)[3:]


def one_more(name: str) -> Change:
    """Add a field that nobody asked for."""
    return lambda body: body[:-1] + f',"{name}":"{CANARY}"}}'.encode()


CHANGES: Final[dict[str, Change]] = {
    "a field twice": doubled,
    "a field twice in disguise": doubled_in_disguise,
    "as MessagePack": lambda body: msgspec.msgpack.encode(json.loads(body)),
    "a role": one_more("role"),
    "an organization": one_more("org"),
    "the k of offers": one_more("k"),
    "NaN": as_number(b"NaN"),
    "infinity": as_number(b"Infinity"),
    "1e999": as_number(b"1e999"),
    "5,000 digits": as_number(b"9" * 5000),
    "a fraction": as_number(b"1.5"),
    "true for a number": as_number(b"true"),
    "a text for a number": as_number(b'"1"'),
    "a negative number": as_number(b"-1"),
    "2^63": as_number(b"9223372036854775808"),
    "a leading zero": as_number(b"01"),
    "a plus": as_number(b"+1"),
    "bytes that are no UTF-8": in_text(b"\xff"),
    "an overlong form": in_text(b"\xc0\xaf"),
    "a lone surrogate": in_text(b"\\ud800"),
    "a lone surrogate as bytes": in_text(b"\xed\xa0\x80"),
    "NUL": in_text(b"\\u0000"),
    "a raw NUL": in_text(b"\x00"),
    "a raw control character": in_text(b"\x01"),
    "a raw line feed": in_text(b"\n"),
    "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "UTF-16": lambda body: body.decode().encode("utf-16"),
    "a comma at the end": lambda body: body[:-1] + b",}",
    "something behind it": lambda body: body + b"{}",
    "cut short": lambda body: body[:-1],
    "a comment": lambda body: b"/**/" + body,
    "in a list": lambda body: b"[" + body + b"]",
    "100,000 lists": lambda _: b"[" * 100_000,
    "100,000 lists inside": lambda body: body[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "20,000 lists": lambda _: b"[" * 20_000,
    "20,000 lists inside": lambda body: body[:-1] + b',"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "nothing": lambda _: b"",
    "null": lambda _: b"null",
}


async def test_the_bodies_of_this_table_are_good() -> None:
    for route in PLAIN:
        read = decode if route.key in SIGNED else parse_json
        assert read(good(route), route.request) is not None
    assert set(GOOD) == {route.key for route in PLAIN}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("route", PLAIN, ids=name_of)
async def test_a_good_body_changed_in_one_place_is_refused(world: World, route: Route, change: str) -> None:
    body = CHANGES[change](good(route))
    if body is None:  # no text, or no number, in this body
        return
    path = filled(route)
    if route.key in SIGNED:
        headers = world.birch.signed("POST", path, body, JSON if body else None)
    else:
        token = [("Authorization", await world.token(world.ana))] if route.auth == "device" else []
        headers = [HOST, *token, ("Content-Type", JSON)]
    async with world.unchanged():
        answer = await world.send(route.method, path, headers, body)
        if route.key in SIGNED and not body:
            assert refusal(answer) == (415, "media-type")
            return
        too_large = route.key in SIGNED and len(body) > 65_536
        assert refusal(answer) == ((413, "too-large") if too_large else (400, "malformed"))


@pytest.mark.parametrize("change", [name for name in CHANGES if name != "nothing"])
async def test_an_operators_command_is_read_as_strictly(world: World, change: str) -> None:
    body = CHANGES[change](b'{"entity":"https://birch.example","mode":"full","reason":"","days":30}')
    assert body is not None
    headers = [
        ("Host", f"127.0.0.1:{world.node.port}"),
        ("Authorization", world.operator),
        ("Content-Type", JSON),
    ]
    async with world.unchanged():
        answer = await world.send("POST", "/operator/v1/operations/peer.mode", headers, body)
        assert refusal(answer) == (400, "malformed")
