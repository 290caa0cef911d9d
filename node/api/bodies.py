"""Reads request bodies within bounds of size, time and memory, and writes answers.

The only place that reads a body: aiohttp has no limit on a slow client, so every read here has a clock.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

import msgspec
from aiohttp import hdrs, web

from federation.limits import address_key
from protocol.encoding import broken_rule, decode_loose
from protocol.errors import LimitError, MalformedError, UnavailableError

from .hosts import HOSTS
from .routes import JSON, route_of

T = TypeVar("T")

#: Guards of these routes know who asks before the body is read.
_KNOWN: Final = frozenset({"device", "local", "operator"})
_STRANGERS: Final = "strangers"

_encoder: Final = msgspec.json.Encoder()


def _distinct(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise MalformedError("body repeats a key")


_repeats: Final = json.JSONDecoder(object_pairs_hook=_distinct)


class BodyLimits:
    """How much and how long; counts the bytes of all bodies that are in memory now.

    Bytes count when they arrive, not when they are announced: many slow clients hold next to nothing. One address holds
    a quarter at most, and all strangers together half: who lets bodies never end keeps nobody else's out.
    """

    def __init__(self, *, body_bytes: int, body_s: float, in_flight_bytes: int) -> None:
        self.body_bytes: Final = body_bytes
        self.body_s: Final = body_s
        self.in_flight_bytes: Final = in_flight_bytes
        self.in_flight = 0
        self._held: Final[Counter[str]] = Counter()

    def require_room(self, size: int) -> None:
        """Return if so many more bytes may be in memory. Raises: UnavailableError."""
        if self.in_flight + size > self.in_flight_bytes:
            raise UnavailableError("too many large requests at once")

    @contextmanager
    def hold(self, *shares: tuple[str, int]) -> Iterator[Callable[[int], None]]:
        """Yield what counts arrived bytes until the end of the block.

        It raises UnavailableError when all is taken, and LimitError when more than one of `shares`: so much of all may
        be held under one name.
        """
        held = 0

        def count(size: int) -> None:
            nonlocal held
            self.require_room(size)
            if any(self._held[name] + size > most for name, most in shares):
                raise LimitError("too many large requests at once: send one after the other")
            self._held.update({name: size for name, _ in shares})
            self.in_flight += size
            held += size

        try:
            yield count
        finally:
            self.in_flight -= held
            for name, _ in shares:
                self._held[name] -= held
                if not self._held[name]:
                    del self._held[name]

    def shares_of(self, source: str, *, stranger: bool, largest: int) -> tuple[tuple[str, int], ...]:
        """Return how much bodies of one address may hold, and those of all that have not shown who they are."""
        of_source = source, max(largest, self.in_flight_bytes // 4)
        return (of_source, (_STRANGERS, max(largest, self.in_flight_bytes // 2))) if stranger else (of_source,)


class StillAllowed(Protocol):
    """Says once more whether whoever asks may: a guard leaves it with the request for whatever takes time."""

    async def __call__(self) -> None:
        """Return if so. Raises: UnverifiedError: no longer."""
        ...


STILL_ALLOWED: Final = web.RequestKey("mentormesh.still_allowed", StillAllowed)
BODY_LIMITS: Final = web.AppKey("mentormesh.body_limits", BodyLimits)


async def read_bytes(
    request: web.Request, *, limit: int | None = None, content_type: str | None = None, stranger: bool = True
) -> bytes:
    """Return the request body.

    Args:
        limit: most bytes taken; None: the limit for people and pages.
        content_type: the only media type taken, without parameters; None: any.
        stranger: whoever asks has not been heard from this address; said of peers alone.
    Raises: MalformedError: other content type (code `media-type`), or cut short. LimitError: too large (code
        `too-large`), too slow (code `timeout`), or too much of one address at once. UnavailableError: too many bodies
        in memory. UnverifiedError: signed out while it came.
    """
    limits = request.app[BODY_LIMITS]
    most = limits.body_bytes if limit is None else limit
    # Nearly always it is spelled exactly so, and then there is nothing to take apart.
    if content_type not in {None, request.headers.get(hdrs.CONTENT_TYPE)} and request.content_type != content_type:
        raise MalformedError(f"Content-Type must be {content_type}", code="media-type")
    declared = request.content_length
    if declared is not None and declared > most:
        raise LimitError(f"request body must not exceed {most} bytes", code="too-large")
    if request.content.is_eof():
        return _arrived(request, most, limits)
    with limits.hold(*_shares(request, limits, stranger=stranger, largest=most)) as count:
        try:
            async with asyncio.timeout(limits.body_s):
                body = await _read(request, most, count)
        except TimeoutError:
            raise LimitError(f"request body must arrive within {limits.body_s:g} s", code="timeout") from None
        except (web.RequestPayloadError, ConnectionError):
            raise MalformedError("request body ends before its declared length") from None
    await still_allowed(request)
    return body


def _shares(request: web.Request, limits: BodyLimits, *, stranger: bool, largest: int) -> tuple[tuple[str, int], ...]:
    route = route_of(request)
    if route is None or route.auth in _KNOWN:
        return ()
    source = address_key(request.app[HOSTS].client_address(request))
    return limits.shares_of(source, stranger=stranger, largest=largest)


async def still_allowed(request: web.Request) -> None:
    """Return if whoever asked may still do so after a wait. Raises: UnverifiedError: signed out meanwhile."""
    again = request.get(STILL_ALLOWED)
    if again is not None:
        await again()


def _arrived(request: web.Request, most: int, limits: BodyLimits) -> bytes:
    """Return a body that is here as a whole, so that there is nothing to wait for."""
    body = request.content.read_nowait()
    if len(body) > most:
        raise LimitError(f"request body must not exceed {most} bytes", code="too-large")
    limits.require_room(len(body))
    return body


async def _read(request: web.Request, most: int, count: Callable[[int], None]) -> bytes:
    parts: list[bytes] = []
    size = 0
    while chunk := await request.content.readany():
        size += len(chunk)
        if size > most:
            raise LimitError(f"request body must not exceed {most} bytes", code="too-large")
        count(len(chunk))
        parts.append(chunk)
    return b"".join(parts)


async def read_body(request: web.Request, kind: type[T], *, limit: int | None = None) -> T:
    """Return the JSON body as `kind`, read strictly: no repeated keys, no NUL, no unknown fields.

    Raises: as `read_bytes`; MalformedError: not JSON, or not of this shape.
    """
    raw = await read_bytes(request, limit=limit, content_type=JSON)
    return parse_json(raw, kind)


def parse_json(raw: bytes, kind: type[T]) -> T:
    """Return unsigned JSON as `kind`, refusing what two readers could read differently. Raises: MalformedError."""
    value = decode_loose(raw, kind)
    if b"\\u0000" in raw:
        raise MalformedError("body must not contain NUL characters")
    if _encoder.encode(value) == raw:
        return value  # spelled as our own client does: what stood there twice would be longer
    try:
        # msgspec keeps the last of two equal keys; a proxy or log may have looked at the first.
        _repeats.decode(raw.decode("utf-8"))
    except RecursionError:
        raise MalformedError("body is nested too deep") from None
    return value


def read_query(request: web.Request, kind: type[T]) -> T:
    """Return the query parameters as the Struct `kind`. Raises: MalformedError: unknown, repeated or wrong ones."""
    given = request.query
    if len(set(given)) != len(given):
        raise MalformedError("query repeats a parameter")
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        raise MalformedError(f"query is not valid: {broken_rule(error)}") from None


def reply(value: object = None, *, status: int = 200) -> web.Response:
    """Return a JSON answer; without a value an empty one with 204."""
    if value is None:
        return web.Response(status=204 if status == 200 else status)
    return web.Response(status=status, body=_encoder.encode(value), content_type=JSON)
