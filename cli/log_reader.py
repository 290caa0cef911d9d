"""Reads public resources of a node over one HTTP connection: bounded, without redirects, patient with limits."""

import http.client
import time
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from protocol.errors import LimitError, MalformedError, MissingError, UnavailableError

TIMEOUT_S: Final = 30.0
#: A node that limits readers is waited for so long at most, each time and so often.
LONGEST_WAIT_S: Final = 60
MOST_WAITS: Final = 100

_OK: Final = 200
_MISSING: Final = 404
_SLOWER: Final = 429


class LogReader:
    """The node at an address such as `https://aurora.example` or `http://127.0.0.1:8440`."""

    def __init__(self, url: str) -> None:
        """Take an address. Raises: MalformedError: it has a path, a query or another scheme."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
            raise MalformedError("URL must be the address of a node, such as https://aurora.example, without a path")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        try:
            self._connection: Final = kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
        except ValueError:
            raise MalformedError("URL has a port that is none") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def get(self, path: str, *, limit: int) -> bytes:
        """Return the body of an answer with status 200.

        Raises: MissingError; LimitError: over `limit` bytes; UnavailableError: no answer, or another status.
        """
        status = _SLOWER
        for _ in range(MOST_WAITS):
            status, body, wait_s = self._ask(path, limit)
            if status == _OK and len(body) > limit:
                raise LimitError(f"{path} is over {limit} bytes")
            if status == _OK:
                return body
            if status == _MISSING:
                raise MissingError(f"the node has no {path}")
            if status != _SLOWER:
                break
            time.sleep(wait_s)
        raise UnavailableError(f"the node answers {path} with status {status}")

    def _ask(self, path: str, limit: int) -> tuple[int, bytes, float]:
        try:
            self._connection.request("GET", path, headers={"Accept-Encoding": "identity"})
            answer = self._connection.getresponse()
            body = answer.read(limit + 1)
            if answer.length or answer.status != _OK:
                self._connection.close()
        except (OSError, http.client.HTTPException):
            raise UnavailableError("the node does not answer: check address and network") from None
        retry = answer.headers.get("Retry-After", "")
        wait_s = min(int(retry), LONGEST_WAIT_S) if retry.isascii() and retry.isdigit() else 1
        return answer.status, body, wait_s
