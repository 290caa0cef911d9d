"""Turns errors into problems (RFC 9457): the only place that knows HTTP statuses of errors.

A problem names the field and the rule and repeats nothing of the request.

    {"code":"limit","detail":"too many requests of this address","status":429,"title":"Too many or too much",
     "type":"urn:mentormesh:problem:limit"}
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from protocol.errors import (
    ConflictError,
    LimitError,
    MalformedError,
    MeshError,
    MissingError,
    RefusedError,
    UnavailableError,
    UnverifiedError,
)

CONTENT_TYPE: Final = "application/problem+json"

#: The status and title of each kind; a subclass takes those of its nearest base.
KINDS: Final[Mapping[type[MeshError], tuple[int, str]]] = {
    MalformedError: (400, "Not in the expected form"),
    UnverifiedError: (401, "Not verified"),
    ConflictError: (409, "Conflicts with what is stored"),
    RefusedError: (403, "Not allowed here or now"),
    MissingError: (404, "Not found"),
    LimitError: (429, "Too many or too much"),
    UnavailableError: (503, "Not available at the moment"),
}

#: Codes whose status differs from that of their kind.
CODES: Final[Mapping[str, int]] = {
    "forbidden": 403,
    "method": 405,
    "timeout": 408,
    "state": 409,
    "replay": 409,
    "too-large": 413,
    "media-type": 415,
    "expectation": 417,
    "misdirected": 421,
    "peer-unavailable": 502,
    "disk-full": 507,
}

#: What the HTTP library itself answers, in our words.
_LIBRARY: Final[Mapping[int, tuple[str, str]]] = {
    404: ("missing", "there is no such address here"),
    405: ("method", "this address does not take this method"),
    411: ("malformed", "the request needs a Content-Length"),
    413: ("too-large", "the request body is too large"),
    417: ("expectation", "the only expectation understood is 100-continue"),
}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every answer that is not a success."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retry_at: int | None = None


def problem_of(error: MeshError) -> Problem:
    """Return the problem that says `error` to the caller."""
    kind = next(kind for kind in type(error).__mro__ if kind in KINDS or kind is MeshError)
    status, title = KINDS.get(kind, (400, "Refused"))
    return Problem(
        type=f"urn:mentormesh:problem:{error.code}",
        title=title,
        status=CODES.get(error.code, status),
        detail=str(error),
        code=error.code,
        retry_at=getattr(error, "retry_at", None),
    )


def answer_error(error: MeshError, *, now: int) -> web.Response:
    """Return the answer for an expected error, with `Retry-After` in seconds where the error says when."""
    return answer(problem_of(error), now=now)


def answer(problem: Problem, *, now: int) -> web.Response:
    """Return `problem` as an answer."""
    headers = {}
    if problem.retry_at is not None:
        headers["Retry-After"] = str(max(1, problem.retry_at - now))
    elif problem.status in {429, 503, 507}:
        headers["Retry-After"] = "60"
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(
        status=problem.status, body=msgspec.json.encode(problem), content_type=CONTENT_TYPE, headers=headers
    )


def library_problem(status: int) -> Problem:
    """Return the problem for what the HTTP library refused with `status`, without its text: it quotes the request."""
    code, detail = _LIBRARY.get(status, ("malformed", "the request is not valid HTTP/1.1"))
    return Problem(
        type=f"urn:mentormesh:problem:{code}", title="Not a request we take", status=status, detail=detail, code=code
    )


def internal_problem() -> Problem:
    """Return the problem for a mistake of ours; what happened stands in the log."""
    return Problem(
        type="urn:mentormesh:problem:internal",
        title="A mistake on our side",
        status=500,
        detail="the node could not answer this; its log says why",
        code="internal",
    )
