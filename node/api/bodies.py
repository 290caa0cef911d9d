"""Reads request bodies within bounds of size, time and memory, and writes answers.

The only place that reads a body: aiohttp has no limit on a slow client, so every read here has a clock.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

import msgspec
from aiohttp import web

from protocol.encoding import broken_rule, decode_loose
from protocol.errors import LimitError, MalformedError, UnavailableError

from .routes import JSON

T = TypeVar("T")

_encoder: Final = msgspec.json.Encoder()


def _distinct(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise MalformedError("body repeats a key")


_repeats: Final = json.JSONDecoder(object_pairs_hook=_distinct)


class BodyLimits:
    """How much and how long; counts the bytes of all bodies that are in memory now.

    Bytes count when they arrive, not when they are announced: many slow clients hold next to nothing.
    """

    def __init__(self, *, body_bytes: int, body_s: float, in_flight_bytes: int) -> None:
        self.body_bytes: Final = body_bytes
        self.body_s: Final = body_s
        self.in_flight_bytes: Final = in_flight_bytes
        self.in_flight = 0

    def require_room(self, size: int) -> None:
        """Return if so many more bytes may be in memory. Raises: UnavailableError."""
        if self.in_flight + size > self.in_flight_bytes:
            raise UnavailableError("too many large requests at once")

    @contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """Yield what counts arrived bytes until the end of the block; it raises UnavailableError when all is taken."""
        held = 0

        def count(size: int) -> None:
            nonlocal held
            self.require_room(size)
            self.in_flight += size
            held += size

        try:
            yield count
        finally:
            self.in_flight -= held


class StillAllowed(Protocol):
    """Says once more whether whoever asks may: a guard leaves it with the request for whatever takes time."""

    async def __call__(self) -> None:
        """Return if so. Raises: UnverifiedError: no longer."""
        ...


STILL_ALLOWED: Final = web.RequestKey("mentormesh.still_allowed", StillAllowed)
BODY_LIMITS: Final = web.AppKey("mentormesh.body_limits", BodyLimits)


async def read_bytes(request: web.Request, *, limit: int | None = None, content_type: str | None = None) -> bytes:
    """Return the request body.

    Args:
        limit: most bytes taken; None: the limit for people and pages.
        content_type: the only media type taken, without parameters; None: any.
    Raises: MalformedError: other content type (code `media-type`), or cut short. LimitError: too large (code
        `too-large`) or too slow (code `timeout`). UnavailableError: too many bodies in memory. UnverifiedError: signed
        out while it came.
    """
    limits = request.app[BODY_LIMITS]
    most = limits.body_bytes if limit is None else limit
    if content_type is not None and request.content_type != content_type:
        raise MalformedError(f"Content-Type must be {content_type}", code="media-type")
    declared = request.content_length
    if declared is not None and declared > most:
        raise LimitError(f"request body must not exceed {most} bytes", code="too-large")
    if request.content.is_eof():
        return _arrived(request, most, limits)
    with limits.hold() as count:
        try:
            async with asyncio.timeout(limits.body_s):
                body = await _read(request, most, count)
        except TimeoutError:
            raise LimitError(f"request body must arrive within {limits.body_s:g} s", code="timeout") from None
        except (web.RequestPayloadError, ConnectionError):
            raise MalformedError("request body ends before its declared length") from None
    await still_allowed(request)
    return body


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
