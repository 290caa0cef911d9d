"""http-message-signatures and our own profile agree on requests and responses (RFC 9421, RFC 9530)."""

import base64
import time
from typing import Any

import pytest

from protocol.encoding import b64
from protocol.httpsig import (
    Asked,
    RequestLine,
    parse_request,
    parse_response,
    sign_request,
    sign_response,
    verify_request,
    verify_response,
)
from protocol.keydirectory import DIRECTORY_TAG, sign_directory
from protocol.signing import SigningKey

from .counterpart import ask

SCRIPT = "httpsig_counterpart.py"
CALLER = SigningKey(bytes(range(32)))
SERVER = SigningKey(bytes(range(1, 33)))
AUTHORITY = "birch.example"
NONCE = bytes(range(16))
JSON = "application/json"
PLAIN = ["@method", "@authority", "@path", "@query", "content-digest"]
RESPONSE = [
    "@status",
    "content-digest",
    '"@method";req',
    '"@authority";req',
    '"@path";req',
    '"@query";req',
    '"signature";key="sig1";req',
]
#: Method, target and body of requests that differ in what the base is built from.
REQUESTS = [
    ("POST", "/federation/v1/messages", '{"hello":"peer"}'),
    ("GET", "/federation/v1/sets/x/offers/head", ""),
    ("GET", "/x?after=7&n=2", ""),
    ("GET", "/a%2fb/%41?q=%20a%3d", ""),
]

pytestmark = pytest.mark.slow


def question(do: str, key: SigningKey, message: dict[str, Any], **more: object) -> dict[str, Any]:
    return {
        "do": do,
        "keyid": key.public.keyid,
        "public": base64.b64encode(key.public.raw).decode(),
        "seed": base64.b64encode(key.seed).decode(),
        "tag": "mentormesh",
        "message": message,
        **more,
    }


def line(method: str, target: str) -> RequestLine:
    return RequestLine(method=method, authority=AUTHORITY, target=target)


def message(method: str, target: str, headers: dict[str, str]) -> dict[str, Any]:
    return {"method": method, "url": f"https://{AUTHORITY}{target}", "headers": headers}


def covered(body: str) -> list[str]:
    return [*PLAIN, "content-type"] if body else PLAIN


def our_request(method: str, target: str, body: str) -> tuple[dict[str, str], Asked]:
    now = int(time.time())
    sent = sign_request(line(method, target), body.encode(), JSON if body else None, key=CALLER, now=now, nonce=NONCE)
    return sent.headers, sent.asked


@pytest.mark.parametrize(("method", "target", "body"), REQUESTS)
def test_the_library_verifies_a_request_that_we_sign(method: str, target: str, body: str) -> None:
    headers, _ = our_request(method, target, body)
    asked = question("verify", CALLER, message(method, target, headers), covered=covered(body), body=body)
    verified = ask(SCRIPT, asked)
    assert isinstance(verified, dict)
    assert verified["parameters"]["nonce"] == b64(NONCE)
    assert verified["parameters"]["expires"] - verified["parameters"]["created"] == 300


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [("PUT", "/x?a=1", "body"), ("POST", "/y?a=1", "body"), ("POST", "/x?a=2", "body"), ("POST", "/x?a=1", "other")],
    ids=["method", "path", "query", "body"],
)
def test_the_library_refuses_what_we_did_not_sign(method: str, target: str, body: str) -> None:
    headers, _ = our_request("POST", "/x?a=1", "body")
    asked = question("verify", CALLER, message(method, target, headers), covered=covered(body), body=body)
    refused = ask(SCRIPT, asked)
    assert isinstance(refused, dict)
    assert "error" in refused


@pytest.mark.parametrize(("method", "target", "body"), REQUESTS)
def test_we_verify_a_request_that_the_library_signs(method: str, target: str, body: str) -> None:
    now = int(time.time())
    headers = {"Content-Type": JSON} if body else {}
    signing = question(
        "sign",
        CALLER,
        message(method, target, headers),
        covered=covered(body),
        body=body,
        created=now,
        nonce=b64(NONCE),
    )
    signed = ask(SCRIPT, signing)
    assert isinstance(signed, dict)
    asked = verify_request(
        parse_request(signed.items()), line(method, target), body.encode(), key=CALLER.public, now=now
    )
    assert asked.nonce == b64(NONCE)


def test_the_library_verifies_a_response_that_we_sign() -> None:
    headers, asked = our_request(*REQUESTS[0])
    body = '{"ok":true}'
    answer = sign_response(200, body.encode(), asked=asked, key=SERVER, now=int(time.time()))
    response = {"status_code": 200, "headers": answer, "request": message("POST", REQUESTS[0][1], headers)}
    verified = ask(SCRIPT, question("verify", SERVER, response, covered=RESPONSE, body=body))
    assert isinstance(verified, dict)
    assert verified["parameters"]["keyid"] == SERVER.public.keyid


def test_the_library_refuses_our_response_for_another_request() -> None:
    _, asked = our_request(*REQUESTS[0])
    other, _ = our_request("POST", REQUESTS[0][1], "another body")
    answer = sign_response(200, b"{}", asked=asked, key=SERVER, now=int(time.time()))
    response = {"status_code": 200, "headers": answer, "request": message("POST", REQUESTS[0][1], other)}
    refused = ask(SCRIPT, question("verify", SERVER, response, covered=RESPONSE, body="{}"))
    assert isinstance(refused, dict)
    assert "error" in refused


def test_we_verify_a_response_that_the_library_signs() -> None:
    headers, asked = our_request(*REQUESTS[0])
    now, body = int(time.time()), '{"ok":true}'
    response = {"status_code": 200, "headers": {}, "request": message("POST", REQUESTS[0][1], headers)}
    signing = question("sign", SERVER, response, covered=RESPONSE, body=body, created=now, nonce=b64(NONCE))
    signed = ask(SCRIPT, signing)
    assert isinstance(signed, dict)
    parsed = parse_response(signed.items())
    verify_response(parsed, 200, body.encode(), asked=asked, key=SERVER.public, now=now)


def test_the_library_verifies_our_key_directory() -> None:
    answer = sign_directory(AUTHORITY, key=SERVER, now=int(time.time()), nonce=NONCE)
    request = message("GET", "/.well-known/http-message-signatures-directory", {})
    response = {"status_code": 200, "headers": answer, "request": request}
    asked = question("verify", SERVER, response, covered=['"@authority";req'], tag=DIRECTORY_TAG)
    verified = ask(SCRIPT, {**asked, "tag": DIRECTORY_TAG})
    assert isinstance(verified, dict)
    assert verified["parameters"]["tag"] == DIRECTORY_TAG
