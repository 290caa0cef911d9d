"""Vectors of docs/protocol/21-transport.md: signed requests and responses.

The signature bases are written out here by hand from the specification and signed with PyNaCl alone, so that they
judge the program and are not made by it.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import nacl.signing

Case = dict[str, Any]

NOW: Final = 1_800_000_000
AUTHORITY: Final = "birch.example"
TARGET: Final = "/federation/v1/messages"
BODY: Final = '{"hello":"peer"}'
JSON: Final = "application/json"
NONCE: Final = "AAECAwQFBgcICQoLDA0ODw"
ED25519: Final = "ed25519"

CALLER: Final = nacl.signing.SigningKey(hashlib.sha256(b"caller").digest())
SERVER: Final = nacl.signing.SigningKey(hashlib.sha256(b"server").digest())
STRANGER: Final = nacl.signing.SigningKey(hashlib.sha256(b"stranger").digest())

PLAIN: Final = ('"@method"', '"@authority"', '"@path"', '"@query"', '"content-digest"')
TYPED: Final = (*PLAIN, '"content-type"')
RESPONSE: Final = (
    '"@status"',
    '"content-digest"',
    '"@method";req',
    '"@authority";req',
    '"@path";req',
    '"@query";req',
    '"signature";key="sig1";req',
)


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "httpsig/requests.json": _file(
            "21-transport §2–§4",
            "The server at `authority` knows `key` (base64url) as the caller's and reads its clock as `now`. "
            "`result` is what the signature says, `base` what it signs.",
            [*_good_requests(), *_malformed_requests(), *_unverified_requests()],
        ),
        "httpsig/responses.json": _file(
            "21-transport §5",
            "The caller sent `request` and knows `key` as the server's. `base` is what the signature signs.",
            [*_good_responses(), *_bad_responses()],
        ),
    }


def _file(spec: str, comment: str, cases: list[Case]) -> bytes:
    return (json.dumps({"spec": spec, "comment": comment, "cases": cases}, indent=1) + "\n").encode()


def b64u(data: bytes) -> str:
    """Return unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def digest(body: str, algorithm: str = "sha-256") -> str:
    """Return a Content-Digest member of `body`."""
    hashed = hashlib.new(algorithm.replace("-", ""), body.encode()).digest()
    return f"{algorithm}=:{base64.b64encode(hashed).decode()}:"


def keyid(key: nacl.signing.SigningKey) -> str:
    """Return the RFC 7638 thumbprint of a key."""
    jwk = f'{{"crv":"Ed25519","kty":"OKP","x":"{b64u(bytes(key.verify_key))}"}}'
    return b64u(hashlib.sha256(jwk.encode()).digest())


def _parameters(key: nacl.signing.SigningKey, changes: Mapping[str, str | None]) -> str:
    values: dict[str, str | None] = {
        "created": str(NOW),
        "expires": str(NOW + 300),
        "nonce": f'"{NONCE}"',
        "keyid": f'"{keyid(key)}"',
        "alg": '"ed25519"',
        "tag": '"mentormesh"',
        **changes,
    }
    return "".join(f";{name}={value}" for name, value in values.items() if value is not None)


def _signed(
    components: tuple[str, ...], values: Mapping[str, str], parameters: str, key: nacl.signing.SigningKey
) -> tuple[str, str, str]:
    """Return base, Signature-Input member and Signature member without their label."""
    given = f"({' '.join(components)}){parameters}"
    lines = [f"{name}: {values[name]}" for name in components]
    base = "\n".join([*lines, f'"@signature-params": {given}'])
    return base, given, f":{base64.b64encode(key.sign(base.encode()).signature).decode()}:"


def request(
    name: str,
    *,
    method: str = "POST",
    target: str = TARGET,
    body: str = BODY,
    content_type: str = JSON,
    signer: nacl.signing.SigningKey = CALLER,
    components: tuple[str, ...] | None = None,
    now: int = NOW,
    header: Mapping[str, str | None] | None = None,
    more: tuple[tuple[str, str], ...] = (),
    sent: Mapping[str, str] | None = None,
    label: str = "sig1",
    raw_parameters: str | None = None,
    **parameters: str | None,
) -> Case:
    """Return a request as it was signed, then changed: `header` and `sent` replace what was signed, `more` is added."""
    path, mark, query = target.partition("?")
    values = {
        '"@method"': method,
        '"@authority"': AUTHORITY,
        '"@path"': path,
        '"@query"': (mark or "?") + query,
        '"content-digest"': digest(body),
        '"content-type"': content_type,
        '"date"': "Fri, 15 Jan 2027 08:00:00 GMT",
    }
    covered = components or (TYPED if body else PLAIN)
    text = _parameters(signer, parameters) if raw_parameters is None else raw_parameters
    base, given, signature = _signed(covered, values, text, signer)
    headers: dict[str, str | None] = {
        "Content-Digest": values['"content-digest"'],
        "Signature-Input": f"{label}={given}",
        "Signature": f"{label}={signature}",
    }
    if body:
        headers["Content-Type"] = content_type
    headers |= header or {}
    arrived = {"method": method, "target": target, "body": body, **(sent or {})}
    return {
        "name": name,
        "now": now,
        "key": b64u(bytes(CALLER.verify_key)),
        "authority": AUTHORITY,
        **arrived,
        "headers": [[one, value] for one, value in headers.items() if value is not None]
        + [list(pair) for pair in more],
        "base": base,
    }


def _accepted(case: Case, **result: object) -> Case:
    said = {"keyid": keyid(CALLER), "nonce": NONCE, "created": NOW, "expires": NOW + 300, **result}
    return {**case, "result": said}


def _refused(kind: str, code: str, case: Case) -> Case:
    case.pop("base", None)
    return {**case, "error": kind, "code": code}


def _good_requests() -> list[Case]:
    ordered = (
        f';tag="mentormesh";alg="ed25519";keyid="{keyid(CALLER)}";nonce="{NONCE}";expires={NOW + 300};created={NOW}'
    )
    return [
        _accepted(request("a POST with a body")),
        _accepted(request("a GET without a body signs the digest of nothing", method="GET", body="")),
        _accepted(request("a query is signed with its question mark", method="GET", body="", target="/x?after=7&n=2")),
        _accepted(request("a query may hold a question mark", method="GET", body="", target="/x?a?b")),
        _accepted(
            request("escapes in the target stay as they were sent", method="GET", body="", target="/a%2fb/%41?q=%20")
        ),
        _accepted(request("the parameters may stand in any order", raw_parameters=ordered)),
        _accepted(request("sixty seconds ahead", now=NOW - 60)),
        _accepted(request("in the last second of its life", now=NOW + 300)),
        _accepted(request("a life of one second", expires=str(NOW + 1)), expires=NOW + 1),
        _accepted(request("header names in any case") | {"headers": _lowered(request("")["headers"])}),
        _accepted(request("other headers are not looked at", more=(("Accept", "*/*"), ("Date", "yesterday")))),
        _accepted(request("a media type with a parameter", content_type="application/json; charset=utf-8")),
    ]


def _lowered(headers: list[list[str]]) -> list[list[str]]:
    return [[name.lower(), value] for name, value in headers]


def _malformed_requests() -> list[Case]:
    def refuse(code: str, case: Case) -> Case:
        return _refused("malformed", code, case)

    good = dict(request("")["headers"])
    wrong_end = good["Signature"].removesuffix("==:") + "=:"
    loose_bits = good["Signature"][:-4] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[good["Signature"][-4]] + "==:"
    return [
        refuse("duplicate-header", request("two Signature headers", more=(("Signature", good["Signature"]),))),
        refuse("duplicate-header", request("two Signature-Input headers", more=(("signature-input", "sig1=()"),))),
        refuse("duplicate-header", request("two Content-Digest headers", more=(("Content-Digest", digest(BODY)),))),
        refuse("duplicate-header", request("two Content-Type headers", more=(("Content-Type", JSON),))),
        refuse("missing-digest", request("no Content-Digest", header={"Content-Digest": None})),
        refuse("digest-mismatch", request("another body than the one described", sent={"body": '{"hello":"you"}'})),
        refuse("digest-mismatch", request("a body where none was signed", method="GET", body="", sent={"body": "x"})),
        refuse("weak-digest", request("only a SHA-512", header={"Content-Digest": digest(BODY, "sha-512")})),
        refuse(
            "weak-digest",
            request("a second digest", header={"Content-Digest": f"{digest(BODY)}, {digest(BODY, 'sha-512')}"}),
        ),
        refuse("weak-digest", request("an MD5", header={"Content-Digest": digest(BODY, "md5")})),
        refuse("weak-digest", request("a digest with a space", header={"Content-Digest": f" {digest(BODY)}"})),
        refuse(
            "signature-syntax", request("a Signature that is no byte sequence", header={"Signature": 'sig1="AAAA"'})
        ),
        refuse("signature-syntax", request("a Signature cut short", header={"Signature": wrong_end})),
        refuse("signature-syntax", request("loose bits at the end of a Signature", header={"Signature": loose_bits})),
        refuse("signature-syntax", request("a Signature of 63 bytes", header={"Signature": f"sig1=:{'A' * 84}:"})),
        refuse(
            "signature-syntax", request("a Signature with a parameter", header={"Signature": good["Signature"] + ";x"})
        ),
        refuse(
            "signature-syntax", request("a Signature-Input that is no list", header={"Signature-Input": 'sig1="x"'})
        ),
        refuse("signature-syntax", request("a Signature-Input without an end", header={"Signature-Input": "sig1=("})),
        refuse(
            "signature-syntax",
            request("a Signature-Input without a label", header={"Signature-Input": good["Signature-Input"][5:]}),
        ),
        refuse(
            "signature-syntax", request("a Signature-Input of more than 1024 characters", raw_parameters=";x" * 500)
        ),
        refuse("request-target", request("an absolute-form target", sent={"target": f"http://{AUTHORITY}{TARGET}"})),
        refuse("request-target", request("an empty query", target=f"{TARGET}?")),
        refuse("request-target", request("a fragment", target=f"{TARGET}#top")),
        refuse("request-target", request("an asterisk-form target", method="OPTIONS", body="", target="*")),
        refuse("request-target", request("a method outside the profile", method="PATCH")),
    ]


def _unverified_requests() -> list[Case]:
    def refuse(code: str, case: Case) -> Case:
        return _refused("unverified", code, case)

    good = dict(request("")["headers"])
    missing = [
        refuse(
            "missing-component",
            request(f"{name.strip(chr(34))} is not covered", components=tuple(one for one in TYPED if one != name)),
        )
        for name in TYPED
    ]
    absent = [
        refuse("missing-parameter", request(f"no parameter {name}", raw_parameters=_parameters(CALLER, {name: None})))
        for name in ("created", "expires", "nonce", "keyid", "alg", "tag")
    ]
    return [
        *missing,
        *absent,
        refuse("missing-component", request("no Content-Type where one is covered", header={"Content-Type": None})),
        refuse("unsigned", request("no Signature", header={"Signature": None})),
        refuse("unsigned", request("no Signature-Input", header={"Signature-Input": None})),
        refuse("signature-label", request("another label", label="sig2")),
        refuse(
            "signature-label",
            request(
                "a second, wrong label", header={"Signature-Input": f"{good['Signature-Input']}, sig2=();created=1"}
            ),
        ),
        refuse(
            "signature-label", request("a second Signature", header={"Signature": f"{good['Signature']}, sig2=:AAAA:"})
        ),
        refuse("component-list", request("components in another order", components=(TYPED[1], TYPED[0], *TYPED[2:]))),
        refuse(
            "component-list",
            request(
                "one more component", components=(*TYPED, '"date"'), more=(("Date", "Fri, 15 Jan 2027 08:00:00 GMT"),)
            ),
        ),
        refuse(
            "component-list",
            request(
                "two spaces between components",
                header={"Signature-Input": good["Signature-Input"].replace('" "', '"  "', 1)},
            ),
        ),
        refuse(
            "component-list",
            request(
                "a content type without a body", method="GET", body="", components=TYPED, more=(("Content-Type", JSON),)
            ),
        ),
        refuse("signature-parameter", request("an unknown parameter", context='"x"')),
        refuse(
            "signature-parameter",
            request("a parameter twice", raw_parameters=_parameters(CALLER, {}) + ';tag="mentormesh"'),
        ),
        refuse("signature-parameter", request("a fractional time", created=f"{NOW}.0")),
        refuse("signature-parameter", request("a negative time", created="-1")),
        refuse("signature-parameter", request("a time with a leading zero", created=f"0{NOW}")),
        refuse("signature-parameter", request("a nonce of fifteen bytes", nonce='"AAECAwQFBgcICQoLDA0O"')),
        refuse("signature-parameter", request("a nonce with loose bits", nonce='"AAECAwQFBgcICQoLDA0ODx"')),
        refuse("signature-parameter", request("a key id that is a name", keyid='"birch.example"')),
        refuse("signature-algorithm", request("another algorithm", alg='"hmac-sha256"')),
        refuse("signature-algorithm", request("an algorithm of another key type", alg='"rsa-pss-sha512"')),
        refuse("signature-tag", request("a tag of another use", tag='"web-bot-auth"')),
        refuse("signature-lifetime", request("a life of 301 seconds", expires=str(NOW + 301))),
        refuse("signature-lifetime", request("expired when it was made", expires=str(NOW))),
        refuse("clock-skew", request("sixty-one seconds ahead", now=NOW - 61)),
        refuse("signature-expired", request("one second too old", now=NOW + 301)),
        refuse("wrong-key", request("another key under its own name", signer=STRANGER)),
        refuse(
            "bad-signature", request("another key under the caller's name", signer=STRANGER, keyid=f'"{keyid(CALLER)}"')
        ),
        refuse("bad-signature", request("another method arrived", sent={"method": "PUT"})),
        refuse("bad-signature", request("another path arrived", sent={"target": "/federation/v1/quotes"})),
        refuse("bad-signature", request("a query was added", sent={"target": f"{TARGET}?x=1"})),
        refuse("bad-signature", request("an escape was undone on the way", target="/a%41", sent={"target": "/aA"})),
        refuse("bad-signature", request("signed for another authority") | {"authority": "cobalt.example"}),
        refuse("bad-signature", request("another content type arrived", header={"Content-Type": "text/plain"})),
        refuse(
            "bad-signature",
            request(
                "another time than was signed",
                header={"Signature-Input": good["Signature-Input"].replace(str(NOW), str(NOW + 1), 1)},
            ),
        ),
        refuse("bad-signature", request("a signature of zeros", header={"Signature": f"sig1=:{'A' * 86}==:"})),
    ]


def response(
    name: str,
    *,
    status: int = 200,
    body: str = '{"ok":true}',
    signer: nacl.signing.SigningKey = SERVER,
    components: tuple[str, ...] = RESPONSE,
    asked: Mapping[str, str] | None = None,
    now: int = NOW,
    header: Mapping[str, str | None] | None = None,
    sent: Mapping[str, Any] | None = None,
    **parameters: str | None,
) -> Case:
    """Return a response to one request, signed, then changed by `header` and `sent`; `asked` is what was signed."""
    first = request("")
    signature = dict(first["headers"])["Signature"].removeprefix("sig1=")
    exchange = {"method": "POST", "authority": AUTHORITY, "target": TARGET, "signature": signature, "nonce": NONCE}
    signed_for = {**exchange, **(asked or {})}
    path, mark, query = signed_for["target"].partition("?")
    values = {
        '"@status"': str(status),
        '"content-digest"': digest(body),
        '"@method";req': signed_for["method"],
        '"@authority";req': signed_for["authority"],
        '"@path";req': path,
        '"@query";req': (mark or "?") + query,
        '"signature";key="sig1";req': signed_for["signature"],
    }
    base, given, made = _signed(components, values, _parameters(signer, parameters), signer)
    headers = {
        "Content-Digest": digest(body),
        "Signature-Input": f"sig1={given}",
        "Signature": f"sig1={made}",
        **(header or {}),
    }
    return {
        "name": name,
        "now": now,
        "key": b64u(bytes(SERVER.verify_key)),
        "request": exchange,
        "status": status,
        "body": body,
        **(sent or {}),
        "headers": [[one, value] for one, value in headers.items() if value is not None],
        "base": base,
    }


def _good_responses() -> list[Case]:
    return [
        {**case, "result": {"keyid": keyid(SERVER), "created": NOW}}
        for case in (
            response("an answer with a body"),
            response("an empty answer", status=204, body=""),
            response("a refusal is signed too", status=409, body='{"code":"conflict"}'),
            response("the server's clock is sixty seconds ahead", now=NOW - 60),
        )
    ]


def _bad_responses() -> list[Case]:
    missing = [
        _refused(
            "unverified",
            "missing-component",
            response(f"{name} is not covered", components=tuple(one for one in RESPONSE if one != name)),
        )
        for name in RESPONSE
    ]
    other_nonce = '"EBESExQVFhcYGRobHB0eHw"'
    return [
        *missing,
        _refused("malformed", "missing-digest", response("no Content-Digest", header={"Content-Digest": None})),
        _refused("malformed", "digest-mismatch", response("another body arrived", sent={"body": '{"ok":false}'})),
        _refused("unverified", "unsigned", response("no signature", header={"Signature": None})),
        _refused("unverified", "bad-signature", response("another status arrived", sent={"status": 201})),
        _refused("unverified", "bad-signature", response("the answer to another path", asked={"target": "/other"})),
        _refused("unverified", "bad-signature", response("the answer to another method", asked={"method": "PUT"})),
        _refused(
            "unverified",
            "bad-signature",
            response("the answer of another authority", asked={"authority": "cobalt.example"}),
        ),
        _refused(
            "unverified",
            "bad-signature",
            response("the answer to an earlier request", asked={"signature": f":{'A' * 86}==:"}),
        ),
        _refused("unverified", "wrong-exchange", response("another request's nonce", nonce=other_nonce)),
        _refused("unverified", "wrong-key", response("another key under its own name", signer=STRANGER)),
        _refused(
            "unverified",
            "bad-signature",
            response("another key under the server's name", signer=STRANGER, keyid=f'"{keyid(SERVER)}"'),
        ),
        _refused("unverified", "signature-tag", response("another tag", tag='"other"')),
        _refused("unverified", "signature-expired", response("too old", now=NOW + 301)),
        _refused("unverified", "clock-skew", response("from the future", now=NOW - 61)),
    ]
