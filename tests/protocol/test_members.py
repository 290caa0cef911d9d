"""docs/protocol/22-members.md and this program agree on their vectors; bounds and boundaries beside them."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from protocol.encoding import b64, encode
from protocol.errors import LimitError, MalformedError, MeshError, RefusedError, UnverifiedError
from protocol.keydirectory import UnprovenKeyError, sign_directory, verify_directory
from protocol.members import (
    MAX_MEMBERS,
    Departure,
    MemberStatement,
    SuspensionNotice,
    TooManyMembersError,
    check_bucket,
    check_issued,
    check_newer,
    next_seq,
    open_departure,
    open_members,
    open_notice,
    open_statement,
    sign_notice,
)
from protocol.signing import SigningKey, VerifyKey
from tests.vectors.generate import members as program

VECTORS = Path(__file__).parents[1] / "vectors"
FILES = sorted(program.files())
KINDS: dict[str, type[MeshError]] = {
    "malformed": MalformedError,
    "unverified": UnverifiedError,
    "refused": RefusedError,
    "limit": LimitError,
}
KEY = SigningKey(bytes(range(32)))
NOW = program.NOW
HOST = "mesh.birch.example"


def load(name: str) -> list[Any]:
    found: list[Any] = json.loads((VECTORS / name).read_bytes())["cases"]
    return found


def cases(name: str, *, refused: bool) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in load(name) if ("error" in case) is refused]


@pytest.mark.parametrize("name", FILES)
def test_at_least_as_many_cases_are_refused_as_accepted(name: str) -> None:
    found = load(name)
    assert sum("error" in case for case in found) * 2 >= len(found)
    assert len({case["name"] for case in found}) == len(found)


@pytest.mark.parametrize("name", FILES)
def test_the_vectors_are_those_that_their_program_makes(name: str) -> None:
    assert (VECTORS / name).read_bytes() == program.files()[name]


def _statement(case: dict[str, Any]) -> MemberStatement:
    statement = open_statement(case["input"].encode(), registry=case["registry"])
    check_issued(statement, now=case["now"])
    return statement


def _notice(case: dict[str, Any]) -> SuspensionNotice:
    notice = open_notice(case["input"], VerifyKey.parse(case["key"]), registry=case["registry"], now=case["now"])
    check_newer(notice, case["known"])
    return notice


@pytest.mark.parametrize("case", cases("members/statements.json", refused=False))
def test_a_statement_in_its_only_form_is_read(case: dict[str, Any]) -> None:
    statement = _statement(case)
    assert encode(statement).decode() == case["input"]
    assert msgspec.json.decode(encode(statement)) == case["result"]


@pytest.mark.parametrize("case", cases("members/statements.json", refused=True))
def test_any_other_statement_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(KINDS[case["error"]]) as refusal:
        _statement(case)
    assert refusal.value.code == case["code"]


@pytest.mark.parametrize("case", cases("members/sets.json", refused=False))
def test_a_whole_set_names_its_members(case: dict[str, Any]) -> None:
    found = open_members((body.encode() for body in case["bodies"]), registry=case["registry"])
    assert [one.member for one in found] == case["result"]


@pytest.mark.parametrize("case", cases("members/sets.json", refused=True))
def test_one_bad_entry_spoils_a_set(case: dict[str, Any]) -> None:
    with pytest.raises(KINDS[case["error"]]) as refusal:
        open_members((body.encode() for body in case["bodies"]), registry=case["registry"])
    assert refusal.value.code == case["code"]


@pytest.mark.parametrize("case", cases("members/notices.json", refused=False))
def test_a_notice_by_the_registry_is_read(case: dict[str, Any]) -> None:
    assert msgspec.json.decode(encode(_notice(case))) == case["result"]


@pytest.mark.parametrize("case", cases("members/notices.json", refused=True))
def test_any_other_notice_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(KINDS[case["error"]]) as refusal:
        _notice(case)
    assert refusal.value.code == case["code"]


def test_what_is_signed_here_is_opened_again() -> None:
    notice = msgspec.convert(program.NOTICE, SuspensionNotice)
    assert open_notice(sign_notice(notice, KEY), KEY.public, registry=program.REGISTRY, now=NOW) == notice


def test_a_thousand_members_are_a_set_and_one_more_is_none() -> None:
    def body(number: int) -> bytes:
        said = program.STATEMENT | {"member": f"https://m{number}.example"}
        return encode(msgspec.convert(said, MemberStatement))

    bodies = [body(number) for number in range(MAX_MEMBERS + 1)]
    assert len(open_members(bodies[:-1], registry=program.REGISTRY)) == MAX_MEMBERS
    with pytest.raises(TooManyMembersError):
        open_members(bodies, registry=program.REGISTRY)


def test_a_head_of_too_many_members_is_refused_before_a_page_is_asked_for() -> None:
    check_bucket(1024)
    with pytest.raises(TooManyMembersError):
        check_bucket(2048)


def test_the_numbers_follow_the_clock_and_never_repeat() -> None:
    assert next_seq(5, now=100) == 100
    assert next_seq(100, now=100) == 101
    assert next_seq(200, now=100) == 201


def test_a_departure_names_the_registry_and_nothing_else() -> None:
    departure = Departure(registry=program.REGISTRY)
    assert open_departure(encode(departure)) == departure
    for body in (b"", b"{}", encode(departure).replace(b"}", b',"why":"x"}'), b'{"registry":"' + b"a" * 5000 + b'"}'):
        with pytest.raises(MalformedError):
            open_departure(body)


def _headers(authority: str = HOST, *, key: SigningKey = KEY, now: int = NOW) -> dict[str, str]:
    return sign_directory(authority, key=key, now=now, nonce=bytes(16))


def test_a_key_directory_shows_who_holds_the_key_at_that_address() -> None:
    verify_directory(_headers(), HOST, KEY.public, now=NOW)
    verify_directory(_headers(now=NOW + 60), HOST, KEY.public, now=NOW)
    verify_directory(_headers(now=NOW - 300), HOST, KEY.public, now=NOW)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="unsigned"),
        pytest.param(_headers("mesh.cobalt.example"), id="of another address"),
        pytest.param(_headers(key=SigningKey(bytes(32))), id="by another key"),
        pytest.param(_headers(now=NOW - 301), id="expired"),
        pytest.param(_headers(now=NOW + 61), id="of the future"),
        pytest.param(_headers() | {"signature": _headers(now=NOW - 1)["signature"]}, id="with another signature"),
        pytest.param(_headers() | {"signature": "sig1=:AAAA:"}, id="with half a signature"),
        pytest.param(
            _headers() | {"signature-input": _headers()["signature-input"].replace("sig1", "sig2")}, id="another label"
        ),
        pytest.param(
            _headers() | {"signature-input": _headers()["signature-input"].replace(str(NOW + 300), str(NOW + 301))},
            id="that lives longer",
        ),
        pytest.param(
            _headers() | {"signature-input": _headers()["signature-input"].replace(KEY.public.keyid, b64(bytes(32)))},
            id="under another key id",
        ),
    ],
)
def test_any_other_key_directory_proves_nothing(headers: dict[str, str]) -> None:
    with pytest.raises(UnprovenKeyError):
        verify_directory(headers, HOST, KEY.public, now=NOW)
