"""Three libraries and our own profile agree on requests and responses (RFC 9421, RFC 9530).

They are http-message-signatures of PyPI, http-message-signatures of npm and http-message-sig, on which readers of Web
Bot Auth directories are built.
"""

import base64
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from protocol.encoding import b64, unb64
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
from protocol.keydirectory import DIRECTORY_PATH, DIRECTORY_TAG, directory, sign_directory
from protocol.signing import SigningKey

from .counterpart import ask
from .node_counterpart import ask_node

LIBRARIES = {
    "http-message-signatures (PyPI)": partial(ask, "httpsig_counterpart.py"),
    "http-message-signatures (npm)": partial(ask_node, "http_message_signatures.cjs"),
    "http-message-sig (npm)": partial(ask_node, "http_message_sig.cjs"),
}
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

Library = Callable[[object], Any]

pytestmark = pytest.mark.slow


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Library:
    return LIBRARIES[request.param]


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
def test_the_library_verifies_a_request_that_we_sign(library: Library, method: str, target: str, body: str) -> None:
    headers, _ = our_request(method, target, body)
    asked = question("verify", CALLER, message(method, target, headers), covered=covered(body), body=body)
    verified = library(asked)
    assert isinstance(verified, dict)
    assert verified["parameters"]["nonce"] == b64(NONCE)
    assert verified["parameters"]["expires"] - verified["parameters"]["created"] == 300


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [("PUT", "/x?a=1", "body"), ("POST", "/y?a=1", "body"), ("POST", "/x?a=2", "body"), ("POST", "/x?a=1", "other")],
    ids=["method", "path", "query", "body"],
)
def test_the_library_refuses_what_we_did_not_sign(library: Library, method: str, target: str, body: str) -> None:
    headers, _ = our_request("POST", "/x?a=1", "body")
    asked = question("verify", CALLER, message(method, target, headers), covered=covered(body), body=body)
    refused = library(asked)
    assert isinstance(refused, dict)
    assert "error" in refused


@pytest.mark.parametrize(("method", "target", "body"), REQUESTS)
def test_we_verify_a_request_that_the_library_signs(library: Library, method: str, target: str, body: str) -> None:
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
    signed = library(signing)
    assert isinstance(signed, dict)
    asked = verify_request(
        parse_request(signed.items()), line(method, target), body.encode(), key=CALLER.public, now=now
    )
    assert asked.nonce == b64(NONCE)


def test_the_library_verifies_a_response_that_we_sign(library: Library) -> None:
    headers, asked = our_request(*REQUESTS[0])
    body = '{"ok":true}'
    answer = sign_response(200, body.encode(), asked=asked, key=SERVER, now=int(time.time()))
    response = {"status_code": 200, "headers": answer, "request": message("POST", REQUESTS[0][1], headers)}
    verified = library(question("verify", SERVER, response, covered=RESPONSE, body=body))
    assert isinstance(verified, dict)
    assert verified["parameters"]["keyid"] == SERVER.public.keyid


def test_the_library_refuses_our_response_for_another_request(library: Library) -> None:
    _, asked = our_request(*REQUESTS[0])
    other, _ = our_request("POST", REQUESTS[0][1], "another body")
    answer = sign_response(200, b"{}", asked=asked, key=SERVER, now=int(time.time()))
    response = {"status_code": 200, "headers": answer, "request": message("POST", REQUESTS[0][1], other)}
    refused = library(question("verify", SERVER, response, covered=RESPONSE, body="{}"))
    assert isinstance(refused, dict)
    assert "error" in refused


def test_we_verify_a_response_that_the_library_signs(library: Library) -> None:
    headers, asked = our_request(*REQUESTS[0])
    now, body = int(time.time()), '{"ok":true}'
    response = {"status_code": 200, "headers": {}, "request": message("POST", REQUESTS[0][1], headers)}
    signing = question("sign", SERVER, response, covered=RESPONSE, body=body, created=now, nonce=b64(NONCE))
    signed = library(signing)
    assert isinstance(signed, dict)
    parsed = parse_response(signed.items())
    verify_response(parsed, 200, body.encode(), asked=asked, key=SERVER.public, now=now)


def directory_question(authority: str) -> dict[str, Any]:
    """Return what a reader asks who fetched our key directory at `authority` and knows nothing else of us."""
    answer = sign_directory(AUTHORITY, key=SERVER, now=int(time.time()), nonce=NONCE)
    (listed,) = json.loads(directory(SERVER.public))["keys"]
    request = {"method": "GET", "url": f"https://{authority}{DIRECTORY_PATH}", "headers": {}}
    return {
        "do": "verify",
        "keyid": listed["kid"],
        "public": base64.b64encode(unb64(listed["x"], what="key")).decode(),
        "tag": DIRECTORY_TAG,
        "covered": ['"@authority";req'],
        "message": {"status_code": 200, "headers": answer, "request": request},
    }


def test_the_library_verifies_our_key_directory_by_the_key_in_it(library: Library) -> None:
    verified = library(directory_question(AUTHORITY))
    assert verified["parameters"]["tag"] == DIRECTORY_TAG


def test_the_library_refuses_our_key_directory_at_another_authority(library: Library) -> None:
    assert "error" in library(directory_question("cobalt.example"))


def test_the_key_directory_names_its_key_by_the_thumbprint_that_jose_computes() -> None:
    (listed,) = json.loads(directory(SERVER.public))["keys"]
    assert ask_node("jose.cjs", {"do": "thumbprint", "jwk": json.dumps(listed)}) == listed["kid"]
