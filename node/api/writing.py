"""The head of an answer as bytes: status line, its own fields, and those that every answer has.

aiohttp carries each field through a dictionary, and there are nine that never change. Every answer of ours has its
bytes ready, so its head is put together once, right before it is written.
"""

from functools import lru_cache
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

#: Answers that have no body, and say no length.
_BODILESS: Final = frozenset({204, 304})
_CONNECTION: Final = {True: "Connection: keep-alive\r\n", False: "Connection: close\r\n"}


class Dress:
    """The fields that every answer of one node has where it does not say otherwise."""

    def __init__(self, *, https: bool) -> None:
        self._fields: Final = (*HEADERS, HSTS) if https else HEADERS
        #: What stands behind an answer's own fields, by their names, of which our code has few sets.
        self._behind: Final = lru_cache(256)(self._find_behind)

    def answer(self, request: web.BaseRequest, response: web.Response, *, keep_alive: bool) -> bytes:
        """Return the bytes of an answer. Raises: ValueError: a field would begin another one."""
        body, fields = response.body or b"", response.headers
        assert isinstance(body, bytes), "an answer has its bytes ready"
        version = "1.1" if request.version >= HttpVersion11 else "1.0"
        own = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        if not own.count("\r") == own.count("\n") == len(fields) or "\0" in own:
            raise ValueError("a field of an answer holds what would begin another one")
        bodiless = response.status in _BODILESS
        length = "" if bodiless else f"Content-Length: {len(body)}\r\n"
        connection = "" if keep_alive == (version == "1.1") else _CONNECTION[keep_alive]
        head = (
            f"HTTP/{version} {response.status} {response.reason}\r\n{own}{length}{connection}"
            f"Date: {rfc822_formatted_time()}\r\n{self._behind(tuple(fields), typed=not body)}"
        ).encode()
        return head if bodiless or request.method == "HEAD" else head + body

    def _find_behind(self, names: tuple[str, ...], *, typed: bool) -> str:
        given = {name.lower() for name in names}
        fields = self._fields if typed else (*self._fields, ("Content-Type", "application/octet-stream"))
        return "".join(f"{name}: {value}\r\n" for name, value in fields if name.lower() not in given) + "\r\n"


DRESS: Final = web.AppKey("mentormesh.dress", Dress)
