"""Turns what a peer answered into an error of the kind that says what to do.

Only a *signed* refusal settles anything: a proxy, or whoever sits at the address, can answer 404 too. So an unsigned
refusal is "try again later", carrying the code it came with.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from protocol.encoding import decode_loose
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

from .calls import Answer

PROBLEM_TYPE: Final = "application/problem+json"
#: Nobody is believed who wants us to wait longer.
LONGEST_WAIT_S: Final = 86_400

_CODE: Final = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)
_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_KINDS: Final[Mapping[int, type[MeshError]]] = {
    400: MalformedError,
    401: UnverifiedError,
    403: RefusedError,
    404: MissingError,
    409: ConflictError,
    415: MalformedError,
    421: MalformedError,
}
_LIMITS: Final = frozenset({408, 413, 429})


class PeerUnavailableError(UnavailableError):
    """The peer cannot be reached, or did not answer in time."""

    code = "peer-unavailable"


class ForbiddenContactError(PeerUnavailableError):
    """This node may not ask there, by what the name leads to today or by its settings: no word of the peer's."""

    code = "forbidden-address"


class BadAnswerError(UnavailableError):
    """The peer answered something that no node should: too long, compressed, a redirect, another media type."""

    code = "bad-answer"


class UnverifiedAnswerError(UnverifiedError):
    """The answer is not signed by the peer, or its signature is for something else."""

    code = "answer-unverified"


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""
    retry_at: int | None = None


def refusal(answer: Answer, *, who: str, signed: bool, now: int) -> MeshError:
    """Return the error that an answer of status 300 or more stands for; nothing of its text is repeated.

    Args:
        who: entity or API base, for the sentence.
        signed: the answer's signature was verified, or the address never signs.
    """
    problem = _problem(answer)
    code = problem.code if _CODE.fullmatch(problem.code) else f"status-{answer.status}"
    retry_at = _retry_at(answer, problem, now)
    if answer.status < 400:
        return BadAnswerError(f"{who} redirects; nodes answer at their own address", retry_at=retry_at)
    if not signed:
        return PeerUnavailableError(f"{who} refused without its signature: {code}", code=code, retry_at=retry_at)
    if answer.status in _LIMITS:
        return LimitError(f"{who} refused: {code}", code=code, retry_at=retry_at)
    if answer.status >= 500:
        return PeerUnavailableError(f"{who} cannot answer now: {code}", code=code, retry_at=retry_at)
    return _KINDS.get(answer.status, RefusedError)(f"{who} refused: {code}", code=code)


def _problem(answer: Answer) -> _Problem:
    if answer.media_type != PROBLEM_TYPE:
        return _Problem()
    try:
        return decode_loose(answer.body, _Problem, what="problem")
    except MalformedError:
        return _Problem()


def _retry_at(answer: Answer, problem: _Problem, now: int) -> int | None:
    header = answer.headers.get("retry-after", "")
    if problem.retry_at is not None:
        wanted = problem.retry_at
    elif _SECONDS.fullmatch(header):
        wanted = now + int(header)
    else:
        return None
    return min(max(wanted, now), now + LONGEST_WAIT_S)
