"""The head of an answer as bytes: status line, its own fields, and those that every answer has.

aiohttp carries each field through a dictionary, and there are nine that never change. Every answer of ours has its
bytes ready, so its head is put together once, right before it is written.
"""

from collections.abc import Mapping
from typing import Final

from aiohttp import HttpVersion11, web
from aiohttp.helpers import rfc822_formatted_time

HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"),
    ("Cache-Control", "no-store"),
)
HSTS: Final = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")

_TYPE: Final = "application/octet-stream"
#: Answers that have no body, and say no length.
_BODILESS: Final = frozenset({204, 304})


class Dress:
    """The fields that every answer of one node has where it does not say otherwise."""

    def __init__(self, *, https: bool) -> None:
        fields = (*HEADERS, HSTS) if https else HEADERS
        self._fields: Final[Mapping[str, str]] = {name.lower(): f"{name}: {value}\r\n" for name, value in fields}
        self._all: Final = "".join(self._fields.values())

    def answer(self, request: web.BaseRequest, response: web.Response, *, keep_alive: bool) -> bytes:
        """Return the bytes of an answer. Raises: ValueError: a field would begin another one."""
        body = response.body or b""
        assert isinstance(body, bytes), "an answer has its bytes ready"
        bodiless = response.status in _BODILESS
        version = "1.1" if request.version >= HttpVersion11 else "1.0"
        lines = [f"HTTP/{version} {response.status} {response.reason}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        given = {name.lower() for name in response.headers}
        if not bodiless:
            lines.append(f"Content-Length: {len(body)}")
            if body and "content-type" not in given:
                lines.append(f"Content-Type: {_TYPE}")
        if keep_alive != (version == "1.1"):
            lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}")
        own = "\r\n".join(lines)
        if own.count("\r") != len(lines) - 1 or own.count("\n") != len(lines) - 1 or "\0" in own:
            raise ValueError("a field of an answer holds what would begin another one")
        head = f"{own}\r\nDate: {rfc822_formatted_time()}\r\n{self._others(given)}\r\n".encode()
        return head if bodiless or request.method == "HEAD" else head + body

    def _others(self, given: set[str]) -> str:
        if given.isdisjoint(self._fields):
            return self._all
        return "".join(line for name, line in self._fields.items() if name not in given)


DRESS: Final = web.AppKey("mentormesh.dress", Dress)
