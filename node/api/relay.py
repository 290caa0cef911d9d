"""What peers ask about matching and sessions: quotes, batches of messages, sets and nudges; all signed both ways."""

from functools import partial
from typing import Final

import msgspec
from aiohttp import web

from federation.authenticate import Authenticated
from federation.directory import Action
from federation.inbox import Inbox
from federation.publisher import PublisherService
from federation.returning import BACK_PATH, Returning
from federation.sets import BASE, NUDGES_PATH
from node.hints import Hints
from node.services.exchange import BATCH_TYPE, MESSAGE_TYPE, MESSAGES_PATH, QUOTES_PATH
from node.services.quotes import Quotes
from node.services.recovery import HEADS_PATH, Recovery
from protocol.delivery import Cursor, Heads, HeadsAnswer, Returned
from protocol.errors import MissingError
from protocol.heads import HeadAnswer, Nudge
from protocol.messages import Outcomes

from .federation import FEDERATION, asked_by, unsigned
from .routes import JSON, Route

#: A page never changes: a year.
PAGE_AGE_S: Final = 31_536_000
PAGE_TYPE: Final = "application/zstd"


class Relay(msgspec.Struct, frozen=True, kw_only=True):
    """The parts behind these routes; whoever asks here is there, so the outbox hears of it."""

    inbox: Inbox
    returning: Returning
    hints: Hints
    recovery: Recovery
    quotes: Quotes
    publisher: PublisherService


RELAY: Final = web.AppKey("mentormesh.relay", Relay)


async def messages(request: web.Request) -> web.Response:
    """Take a batch of handshake messages and session envelopes."""
    asked = _there(request)
    body = await request.app[RELAY].inbox.receive(asked.peer.entity, asked.body, asked.spend)
    return web.Response(body=body, content_type=JSON)


async def back(request: web.Request) -> web.Response:
    """Hear that a peer is back and how far it has stored what was sent to it."""
    asked = _there(request)
    body = await request.app[RELAY].returning.receive(asked.peer.entity, asked.body, asked.spend)
    request.app[RELAY].hints.returned(asked.peer.entity)
    return web.Response(body=body, content_type=JSON)


async def heads(request: web.Request) -> web.Response:
    """Compare the shared threads with those of a peer that was restored."""
    asked = _there(request)
    body = await request.app[RELAY].recovery.answer(asked.peer.entity, asked.body, asked.spend)
    return web.Response(body=body, content_type=JSON)


async def quotes(request: web.Request) -> web.Response:
    """Answer a sealed need with sealed candidates, or neutrally with none."""
    asked = _there(request)
    asked.require("request")
    guard = partial(asked.spend, action="request")
    body = await request.app[RELAY].quotes.quote(asked.peer.entity, asked.body, guard, org=asked.peer.document.org)
    return web.Response(body=body, content_type=MESSAGE_TYPE)


async def set_head(request: web.Request) -> web.Response:
    """Give the newest head of a set; 304 when the asker has it."""
    asked = asked_by(request)
    where = request.match_info
    asked.require(_looking(where["kind"]))
    request.app[RELAY].hints.looked(asked.peer.entity)
    reply = await request.app[RELAY].publisher.head_answer(where["audience"], where["kind"], asked.peer.entity)
    headers = {"ETag": reply.etag}
    if request.headers.get("If-None-Match") == reply.etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=reply.body, content_type=JSON, headers=headers)


async def set_page(request: web.Request) -> web.Response:
    """Give one page of a snapshot; it proves itself by the head, so it is not signed."""
    asked = asked_by(request)
    where = request.match_info
    asked.require(_looking(where["kind"]))
    body = await request.app[RELAY].publisher.page(
        where["audience"], where["kind"], _number(where["seq"]), _number(where["page"]), asked.peer.entity
    )
    headers = {"Cache-Control": f"private, max-age={PAGE_AGE_S}, immutable"}
    return unsigned(web.Response(body=body, content_type=PAGE_TYPE, headers=headers))


async def nudges(request: web.Request) -> web.Response:
    """Take the word that a set has changed; the set is then pulled."""
    asked = _there(request)
    await request.app[FEDERATION].authenticator.once(asked)
    await request.app[RELAY].hints.nudged(asked.peer.entity, asked.body)
    return web.Response(status=202)


def _there(request: web.Request) -> Authenticated:
    """Return who asked; what waits for them is sent now."""
    asked = asked_by(request)
    request.app[RELAY].hints.met(asked.peer.entity)
    return asked


def _looking(kind: str) -> Action:
    """Return what a peer does that asks for a set: the members of a consortium hear who is one in any mode."""
    return "continue" if kind == "members" else "catalog"


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15 or (text != "0" and text.startswith("0")):
        raise MissingError("no such page")
    return int(text)


RELAY_ROUTES: Final = (
    Route(
        method="POST",
        path=MESSAGES_PATH,
        handler=messages,
        auth="peer",
        summary="Take a batch of handshake messages and session envelopes",
        response=Outcomes,
        request_content_type=BATCH_TYPE,
    ),
    Route(
        method="POST",
        path=BACK_PATH,
        handler=back,
        auth="peer",
        summary="I am back, and hold so much of what you sent",
        request=Cursor,
        response=Returned,
    ),
    Route(
        method="POST",
        path=HEADS_PATH,
        handler=heads,
        auth="peer",
        summary="Compare shared threads after a restore",
        request=Heads,
        response=HeadsAnswer,
    ),
    Route(
        method="POST",
        path=QUOTES_PATH,
        handler=quotes,
        auth="peer",
        summary="Answer a sealed need with sealed candidates",
        request_content_type=MESSAGE_TYPE,
        response_content_type=MESSAGE_TYPE,
    ),
    Route(
        method="GET",
        path=f"{BASE}/sets/{{audience}}/{{kind}}/head",
        handler=set_head,
        auth="peer",
        summary="The newest head of a set",
        response=HeadAnswer,
    ),
    Route(
        method="GET",
        path=f"{BASE}/sets/{{audience}}/{{kind}}/snapshots/{{seq}}/{{page}}",
        handler=set_page,
        auth="peer",
        summary="One immutable page of a snapshot",
        response_content_type=PAGE_TYPE,
    ),
    Route(
        method="POST",
        path=NUDGES_PATH,
        handler=nudges,
        auth="peer",
        summary="A set has changed: look again",
        request=Nudge,
        status=202,
    ),
)
