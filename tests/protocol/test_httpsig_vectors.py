"""docs/protocol/21-transport.md and this program agree on its vectors."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocol import httpsig
from protocol.encoding import unb64
from protocol.errors import MalformedError, MeshError, UnverifiedError
from protocol.httpsig import Asked, RequestLine, parse_request, parse_response, verify_request, verify_response
from protocol.signing import VerifyKey
from tests.together import together

VECTORS = Path(__file__).parents[1] / "vectors"
KINDS = {"malformed": MalformedError, "unverified": UnverifiedError}


def cases(name: str, *, refused: bool) -> list[Any]:
    found = json.loads((VECTORS / "httpsig" / f"{name}.json").read_bytes())["cases"]
    return [pytest.param(case, id=case["name"]) for case in found if ("error" in case) is refused]


def take_request(case: dict[str, Any]) -> tuple[httpsig.MessageSignature, Asked]:
    line = RequestLine(method=case["method"], authority=case["authority"], target=case["target"])
    signed = parse_request((name, value) for name, value in case["headers"])
    key = VerifyKey(unb64(case["key"]))
    return signed, verify_request(signed, line, case["body"].encode(), key=key, now=case["now"])


def take_response(case: dict[str, Any]) -> httpsig.MessageSignature:
    asked = case["request"]
    line = RequestLine(method=asked["method"], authority=asked["authority"], target=asked["target"])
    exchange = Asked(line=line, signature=httpsig._signature(f"sig1={asked['signature']}"), nonce=asked["nonce"])
    signed = parse_response((name, value) for name, value in case["headers"])
    key = VerifyKey(unb64(case["key"]))
    verify_response(signed, case["status"], case["body"].encode(), asked=exchange, key=key, now=case["now"])
    return signed


@together(cases("requests", refused=False))
def test_a_request_of_the_profile_is_verified(case: dict[str, Any]) -> None:
    signed, asked = take_request(case)
    said = {name: getattr(signed, name) for name in ("keyid", "nonce", "created", "expires")}
    assert said == case["result"]
    base = httpsig._request_base(asked.line, signed.digest, signed.content_type, signed.parameters)
    assert base.decode() == case["base"]


@together(cases("requests", refused=False))
def test_what_is_parsed_renders_to_the_same_headers(case: dict[str, Any]) -> None:
    signed, _ = take_request(case)
    given = {name.lower(): value for name, value in case["headers"]}
    assert signed.render() == {name: given[name] for name in signed.render()}


@together(cases("requests", refused=True))
def test_any_other_request_is_refused_by_a_named_error(case: dict[str, Any]) -> None:
    with pytest.raises(MeshError) as refusal:
        take_request(case)
    assert isinstance(refusal.value, KINDS[case["error"]])
    assert refusal.value.code == case["code"]


@together(cases("responses", refused=False))
def test_a_response_of_the_profile_is_verified(case: dict[str, Any]) -> None:
    signed = take_response(case)
    assert {name: getattr(signed, name) for name in ("keyid", "created")} == case["result"]


@together(cases("responses", refused=True))
def test_any_other_response_is_refused_by_a_named_error(case: dict[str, Any]) -> None:
    with pytest.raises(MeshError) as refusal:
        take_response(case)
    assert isinstance(refusal.value, KINDS[case["error"]])
    assert refusal.value.code == case["code"]


@pytest.mark.parametrize("name", ["requests", "responses"])
def test_at_least_as_many_cases_are_refused_as_accepted(name: str) -> None:
    assert len(cases(name, refused=True)) >= len(cases(name, refused=False))
