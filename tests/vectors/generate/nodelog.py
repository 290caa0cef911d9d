"""Vectors of docs/protocol/55-node-log.md: leaves, heads and agreements in a log, successors."""

import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any, Final

import nacl.signing

from tests.vectors import rfc6962

Case = dict[str, Any]

KEY: Final = nacl.signing.SigningKey(sha256(b"log key of the vectors").digest())
OTHER_KEY: Final = nacl.signing.SigningKey(sha256(b"another log key").digest())
ORIGIN: Final = "aurora.example/log"
NEXT: Final = "aurora.example/log/2"


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "log/leaves.json": _file("55-node-log §1", "`input` is an entry, accepted in these bytes only.", _leaves()),
        "log/heads.json": _file(
            "55-node-log §2",
            "`input` is a head as compact JWS of the named chain, `result` its leaf; or `leaves` in order are refused.",
            _heads(),
        ),
        "log/agreements.json": _file(
            "55-node-log §3",
            "`agreements` are hashes with their salts, `random` what fills the period up, all as hex; `input` is the "
            "leaf.",
            _agreements(),
        ),
        "log/successors.json": _file(
            "55-node-log §5", "`input` is the first leaf of the log `origin`, verified with `key` (hex).", _successors()
        ),
    }


def canonical(value: object) -> str:
    """Return canonical JSON: keys sorted, no spaces."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _file(spec: str, comment: str, cases: list[Case]) -> bytes:
    content = {"spec": spec, "comment": comment, "cases": cases}
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _hash(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


def _leaves() -> list[Case]:
    some = _b64(_hash(b"some"))
    key = {"key": some, "role": "http", "type": "node-key"}
    policy: Case = {
        "k": 8, "keep": 5, "map": some, "map_version": 1, "ratio_percent": 50, "smallest_members": 25, "type": "policy",
    }  # fmt: skip
    head = {"chain": some, "commitment": some, "seq": 1, "type": "set-head"}
    agreements = {"root": some, "type": "agreements", "until": 1_767_000_000}
    successor = {"origin": ORIGIN, "root": some, "size": 0, "type": "successor"}
    good: dict[str, Case] = {
        "a key": key,
        "the policy": policy,
        "a set head": head,
        "a period of agreements": agreements,
        "a successor of a log whose key is lost": successor,
        "a successor of a successor": {**successor, "origin": NEXT},
    }
    refused = {
        "no JSON": "aurora",
        "no type": canonical({"chain": some, "commitment": some, "seq": 1}),
        "a type that is none": canonical({**head, "type": "offer"}),
        "a key of a role that is none": canonical({**key, "role": "web"}),
        "a key of 31 bytes": canonical({**key, "key": _b64(bytes(31))}),
        "a policy without a map": canonical({name: each for name, each in policy.items() if name != "map"}),
        "a share of 101 percent": canonical({**policy, "ratio_percent": 101}),
        "a head with the number 0": canonical({**head, "seq": 0}),
        "a head that names its audience": canonical({**head, "audience": some}),
        "a number written as text": canonical({**head, "seq": "1"}),
        "a period without an end": canonical({"root": some, "type": "agreements"}),
        "a successor of log 0": canonical({**successor, "origin": "aurora.example/log/0"}),
        "a successor of log 1, which has no number": canonical({**successor, "origin": "aurora.example/log/1"}),
        "a successor of something that is no log": canonical({**successor, "origin": "aurora.example/tile"}),
        "a signature of 63 bytes": canonical({**successor, "signature": _b64(bytes(63))}),
        "keys out of order": json.dumps({"type": "set-head", **head}, separators=(",", ":")),
        "a space": canonical(head).replace(",", ", ", 1),
        "a key twice": canonical(head).replace('"seq":1', '"seq":1,"seq":1'),
        "over 1024 bytes": canonical({**successor, "origin": "a" * 1024 + "/log"}),
    }
    return [
        *({"name": name, "input": canonical(each), "result": each["type"]} for name, each in good.items()),
        *({"name": name, "input": each, "error": "malformed"} for name, each in refused.items()),
    ]


def _heads() -> list[Case]:
    origin, audience = "https://aurora.example", _b64(_hash(b"audience"))
    jws = "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl"
    chain = _b64(_hash(b"mentormesh/chain/v1\n", f"{origin}{audience}offers".encode()))
    leaf = {
        "chain": chain,
        "commitment": _b64(_hash(b"mentormesh/head-leaf/v1\n", jws.encode())),
        "seq": 2,
        "type": "set-head",
    }
    other = {**leaf, "commitment": _b64(_hash(b"another head"))}
    chained = {"origin": origin, "audience": audience, "kind": "offers", "seq": 2}
    return [
        {"name": "a head", "input": jws, **chained, "result": canonical(leaf)},
        {
            "name": "two heads under one number",
            "leaves": [canonical(leaf), canonical({**leaf, "seq": 3}), canonical(other)],
            "error": "unverified",
        },
        {
            "name": "a number that goes back",
            "leaves": [canonical({**leaf, "seq": 3}), canonical(leaf)],
            "error": "unverified",
        },
        {"name": "one head listed twice", "leaves": [canonical(leaf), canonical(leaf)], "error": "unverified"},
    ]


def _agreements() -> list[Case]:
    def case(name: str, count: int, size: int) -> Case:
        real = [(_hash(b"agreement %d" % at), _hash(b"salt %d" % at)[:16]) for at in range(count)]
        random = [_hash(b"random %d" % at) for at in range(size - count)]
        commitments = [_hash(b"mentormesh/agreement-entry/v1\n", salt, each) for each, salt in real]
        root = rfc6962.mth([rfc6962.leaf(each) for each in sorted([*commitments, *random])])
        return {
            "name": name,
            "agreements": [{"hash": each.hex(), "salt": salt.hex()} for each, salt in real],
            "random": [each.hex() for each in random],
            "input": canonical({"root": _b64(root), "type": "agreements", "until": 1_767_000_000}),
        }

    none, one, many = case("no agreement", 0, 16), case("one agreement", 1, 16), case("17 agreements", 17, 32)
    accepted = [{**each, "result": "agreements"} for each in (none, one, many)]
    salted = {"hash": one["agreements"][0]["hash"], "salt": bytes(16).hex()}
    return [
        *accepted,
        {**one, "name": "another salt", "agreements": [salted], "error": "unverified"},
        {**none, "name": "the root of another period", "input": one["input"], "error": "unverified"},
        {**none, "name": "an agreement left out", "random": one["random"] + [bytes(32).hex()], "error": "unverified"},
    ]


def _successors() -> list[Case]:
    root = _hash(b"root")
    text = f"{ORIGIN}\n300\n{_padded(root)}\n"

    def leaf(signer: nacl.signing.SigningKey, origin: str = NEXT, **changes: object) -> str:
        signature = signer.sign(b"mentormesh/log-successor/v1\n" + f"{origin}\n{text}".encode()).signature
        made = {"origin": ORIGIN, "root": _b64(root), "signature": _b64(signature), "size": 300, "type": "successor"}
        return canonical({name: each for name, each in {**made, **changes}.items() if each is not None})

    by_key = {"origin": NEXT, "key": bytes(KEY.verify_key).hex()}
    refused = {
        "no signature": leaf(KEY, signature=None),
        "another key": leaf(OTHER_KEY),
        "a signature for another successor": leaf(KEY, "aurora.example/log/3"),
        "another size": leaf(KEY, size=299),
        "another root": leaf(KEY, root=_b64(_hash(b"other"))),
    }
    return [
        {"name": "a successor", "input": leaf(KEY), **by_key, "result": {"origin": ORIGIN, "size": 300}},
        *({"name": name, "input": each, **by_key, "error": "unverified"} for name, each in refused.items()),
    ]


def _padded(data: bytes) -> str:
    from base64 import b64encode

    return b64encode(data).decode()
