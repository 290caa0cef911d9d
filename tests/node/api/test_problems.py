"""Every kind of error has its status, and says when to come back."""

import json

import pytest

from node.api.problems import answer_error, library_problem, problem_of
from node.store.errors import DiskFullError
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

NOW = 1_800_000_000


class RareError(RefusedError):
    """A named case takes the status of its kind."""

    code = "rare"


STATUSES = [
    (MalformedError("x"), 400),
    (UnverifiedError("x"), 401),
    (UnverifiedError("x", code="forbidden"), 403),
    (RefusedError("x"), 403),
    (RareError("x"), 403),
    (RefusedError("x", code="misdirected"), 421),
    (ConflictError("x"), 409),
    (MissingError("x"), 404),
    (LimitError("x"), 429),
    (LimitError("x", code="too-large"), 413),
    (UnavailableError("x"), 503),
    (UnavailableError("x", code="peer-unavailable"), 502),
    (DiskFullError("x"), 507),
    (MeshError("x"), 400),
]


@pytest.mark.parametrize(("error", "status"), STATUSES, ids=lambda one: str(getattr(one, "code", one)))
def test_each_error_has_its_status(error: MeshError, status: int) -> None:
    answer = answer_error(error, now=NOW)
    assert answer.status == status
    assert isinstance(answer.body, bytes)
    body = json.loads(answer.body)
    assert (body["status"], body["code"], body["detail"]) == (status, error.code, "x")
    assert body["type"] == f"urn:mentormesh:problem:{error.code}"


def test_the_time_to_come_back_is_said_in_seconds() -> None:
    assert answer_error(LimitError("x", retry_at=NOW + 30), now=NOW).headers["Retry-After"] == "30"
    assert answer_error(LimitError("x", retry_at=NOW - 5), now=NOW).headers["Retry-After"] == "1"


@pytest.mark.parametrize("error", [LimitError("x"), UnavailableError("x"), DiskFullError("x")])
def test_who_may_come_back_always_learns_when(error: MeshError) -> None:
    assert int(answer_error(error, now=NOW).headers["Retry-After"]) > 0


def test_a_refusal_says_no_time() -> None:
    assert "Retry-After" not in answer_error(RefusedError("x"), now=NOW).headers
    assert problem_of(RefusedError("x")).retry_at is None


@pytest.mark.parametrize(
    ("status", "code"), [(404, "missing"), (405, "method"), (413, "too-large"), (400, "malformed")]
)
def test_what_the_library_refuses_is_said_in_our_words(status: int, code: str) -> None:
    assert library_problem(status).code == code
