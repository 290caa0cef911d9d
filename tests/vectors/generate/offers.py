"""Vectors of docs/protocol/11-offers.md: offers, organization profiles, commitments, proofs."""

import json
from hashlib import sha256
from typing import Any, Final

from protocol import jws
from protocol.signing import SigningKey
from tests.vectors import c2sp, rfc6962

Case = dict[str, Any]

KEY: Final = SigningKey(sha256(b"log key of the vectors").digest())
OTHER_KEY: Final = SigningKey(sha256(b"another log key").digest())
ORIGIN: Final = "https://aurora.example"
NOW: Final = 1_767_000_000

_OFFER: Final[dict[str, Any]] = {
    "band": "senior",
    "formats": ["call", "text"],
    "language": "en",
    "lengths": [15, 30],
    "offer_id": "AAECAwQFBgcICQoLDA0ODw",
    "region": "DE",
    "topic": {"id": "mm:first-board-presentation", "kind": "been-through"},
}
_PROFILE: Final[dict[str, Any]] = {
    "countries": ["AT", "DE"],
    "display_name": "Aurora Freight",
    "kind": "company",
    "sector": "H",
    "size_band": "50-250",
    "website": "https://aurora.example",
}


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    body = "`input` is a body as text, accepted in its canonical bytes only; `result` has the defaults filled in."
    return {
        "offers/offers.json": _file("11-offers §2", body, _offers()),
        "offers/profiles.json": _file("11-offers §3", body, _profiles()),
        "offers/proofs.json": _file(
            "11-offers §8", "`input` is a proof file, verified with the log key `key`.", _proofs()
        ),
    }


def canonical(value: object) -> str:
    """Return canonical JSON: keys sorted, no spaces."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _file(spec: str, comment: str, cases: list[Case]) -> bytes:
    content = {"spec": spec, "comment": comment, "cases": cases}
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _without(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: each for key, each in value.items() if key != name}


def _offers() -> list[Case]:
    full = {
        **_OFFER,
        "ext": {"note": "kept"},
        "topic": {"id": "mm:group-leading-a-team", "kind": "do", "level": "group"},
    }
    good = [
        {
            "name": "a situation lived through",
            "input": canonical(_OFFER),
            "result": {**_OFFER, "ext": {}, "topic": {**_OFFER["topic"], "level": "leaf"}},
        },
        {"name": "a group, with an extension", "input": canonical(full), "result": full},
        {
            "name": "a domain in another vocabulary",
            "input": canonical({**_OFFER, "topic": {"id": "esco:skill/1", "kind": "know", "level": "domain"}}),
            "result": {**_OFFER, "ext": {}, "topic": {"id": "esco:skill/1", "kind": "know", "level": "domain"}},
        },
    ]
    text = canonical(_OFFER)
    refused = {
        "a field that no offer has": canonical({**_OFFER, "mentor": "x"}),
        "no region": canonical(_without(_OFFER, "region")),
        "no language": canonical(_without(_OFFER, "language")),
        "two languages": canonical({**_OFFER, "language": ["en", "de"]}),
        "an id of 15 bytes": canonical({**_OFFER, "offer_id": "AAECAwQFBgcICQoLDA0O"}),
        "an id in a second spelling": canonical({**_OFFER, "offer_id": "AAECAwQFBgcICQoLDA0ODx"}),
        "formats out of order": canonical({**_OFFER, "formats": ["text", "call"]}),
        "a format twice": canonical({**_OFFER, "formats": ["call", "call"]}),
        "no format": canonical({**_OFFER, "formats": []}),
        "a length that is none": canonical({**_OFFER, "lengths": [25]}),
        "lengths out of order": canonical({**_OFFER, "lengths": [30, 15]}),
        "a band that is none": canonical({**_OFFER, "band": "junior"}),
        "a region in lower case": canonical({**_OFFER, "region": "de"}),
        "a default written out": canonical({**_OFFER, "ext": {}}),
        "a level written out that is the default": canonical({**_OFFER, "topic": {**_OFFER["topic"], "level": "leaf"}}),
        "an extension named in capitals": canonical({**_OFFER, "ext": {"Note": "x"}}),
        "five extensions": canonical({**_OFFER, "ext": dict.fromkeys("abcde", "x")}),
        "a key twice": text.replace('"band":"senior"', '"band":"any","band":"senior"'),
        "a space": text.replace(",", ", ", 1),
        "keys out of order": json.dumps({"topic": _OFFER["topic"], **_OFFER}, separators=(",", ":")),
        "an unneeded escape": text.replace("senior", "seni\\u006fr"),
        "over 1024 bytes": canonical({**_OFFER, "ext": dict.fromkeys("abcd", "ü" * 120), "topic": _LONG_TOPIC}),
    }
    return [*good, *({"name": name, "input": each, "error": "malformed"} for name, each in refused.items())]


_LONG_TOPIC: Final = {"id": "ext:" + "t" * 200, "kind": "been-through", "level": "domain"}


def _profiles() -> list[Case]:
    small = _without(_PROFILE, "website")
    good = [
        {"name": "a company", "input": canonical(_PROFILE), "result": {**_PROFILE, "version": 1}},
        {"name": "without a website", "input": canonical(small), "result": {**small, "version": 1, "website": ""}},
        {
            "name": "a second version of an association",
            "input": canonical({**_PROFILE, "kind": "association", "version": 2}),
            "result": {**_PROFILE, "kind": "association", "version": 2},
        },
    ]
    refused = {
        "a number of employees": {**_PROFILE, "employees": 60},
        "no name": {**_PROFILE, "display_name": ""},
        "a name of 81 characters": {**_PROFILE, "display_name": "x" * 81},
        "a name with a line feed": {**_PROFILE, "display_name": "Aurora\nFreight"},
        "a name with a direction mark": {**_PROFILE, "display_name": "Aurora\u202eFreight"},
        "a name with a wide space at its start": {**_PROFILE, "display_name": "\u3000Aurora"},
        "a name with a space at its end": {**_PROFILE, "display_name": "Aurora "},
        "a sector that NACE does not have": {**_PROFILE, "sector": "V"},
        "a sector with a line feed": {**_PROFILE, "sector": "H\n"},
        "countries out of order": {**_PROFILE, "countries": ["DE", "AT"]},
        "no country": {**_PROFILE, "countries": []},
        "a website without TLS": {**_PROFILE, "website": "http://aurora.example"},
        "version 0": {**_PROFILE, "version": 0},
        "the first version written out": {**_PROFILE, "version": 1},
    }
    return [*good, *({"name": name, "input": canonical(each), "error": "malformed"} for name, each in refused.items())]


def _hash(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


def _b64(data: bytes) -> str:
    from base64 import urlsafe_b64encode

    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _unpadded(text: str) -> bytes:
    from base64 import urlsafe_b64decode

    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _proof(**changes: object) -> dict[str, Any]:
    """Return a proof of the first of three entries, made from the specification alone."""
    salt = bytes(range(16))
    commitments = [
        _hash(b"mentormesh/offer/v1\n", salt, canonical(_OFFER).encode()),
        _hash(b"second"),
        _hash(b"third"),
    ]
    first, second, third = (_hash(b"\x00", each) for each in commitments)
    root = _hash(b"\x01", _hash(b"\x01", first, second), third)
    head: dict[str, Any] = {
        "audience": _b64(_hash(b"audience")),
        "issued_at": NOW,
        "kind": "offers",
        "not_after": NOW + 86_400,
        "origin": ORIGIN,
        "seq": 1,
        "shards": [_b64(root)],
        "size_bucket": 4,
    }
    head.update({name: each for name, each in changes.items() if name in head})
    signed = jws.sign(canonical(head).encode(), KEY, "mentormesh-head+jws")
    made = {
        "head": signed,
        "index": 0,
        "log": _log_proof(head, signed),
        "offer": _OFFER,
        "proof": [_b64(second), _b64(third)],
        "salt": _b64(salt),
        "size": 3,
        "type": "mentormesh/offer-proof/v1",
    }
    return {**made, **{name: each for name, each in changes.items() if name not in head}}


def _log_proof(head: dict[str, Any], signed: str, *, origin: str = "aurora.example/log", index: int = 1) -> str:
    """Return the log proof of a head that is the second of three entries."""
    chain = _hash(b"mentormesh/chain/v1\n", f"{head['origin']}{head['audience']}{head['kind']}".encode())
    commitment = _hash(b"mentormesh/head-leaf/v1\n", signed.encode())
    leaf = canonical({"chain": _b64(chain), "commitment": _b64(commitment), "seq": head["seq"], "type": "set-head"})
    hashes = [rfc6962.leaf(each) for each in (b"first", leaf.encode(), b"third")]
    text = f"{origin}\n3\n{c2sp.b64(rfc6962.mth(hashes))}\n"
    note = c2sp.note(text, c2sp.line(origin, c2sp.key_id(origin, 1, KEY.public.raw) + KEY.sign(text.encode())))
    path = [c2sp.b64(each) for each in rfc6962.path(1, hashes)]
    return "\n".join(["c2sp.org/tlog-proof@v1", f"index {index}", *path, "", note])


def _proofs() -> list[Case]:
    good = _proof()
    claims = json.loads(_unpadded(good["head"].split(".")[1]))
    head, payload, signature = good["head"].split(".")
    flipped = f"{head}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    accepted = [
        {"name": "the first of three offers", "input": canonical(good), "key": KEY.public.text, "result": _OFFER},
        {
            "name": "the same file laid out for people",
            "input": json.dumps(good, indent=2),
            "key": KEY.public.text,
            "result": _OFFER,
        },
        {
            "name": "in the successor of a log",
            "input": canonical(_proof(log=_log_proof(claims, good["head"], origin="aurora.example/log/2"))),
            "key": KEY.public.text,
            "result": _OFFER,
        },
    ]
    unverified = {
        "another salt": _proof(salt="EAAAAAAAAAAAAAAAAAAAAA"),
        "another band": _proof(offer={**_OFFER, "band": "lead"}),
        "another place in the set": _proof(index=1),
        "a smaller size": _proof(size=2),
        "a size above the bucket": _proof(size=5),
        "a path cut short": _proof(proof=good["proof"][:1]),
        "a shard that the head does not have": _proof(shard=1),
        "a head over other entries": _proof(shards=[_b64(_hash(b"other"))]),
        "a head of another kind of set": _proof(kind="keys"),
        "a changed signature": {**good, "head": flipped},
        "another place in the log": _proof(log=_log_proof(claims, good["head"], index=0)),
        "the log proof of another head": _proof(log=_log_proof(claims, f"{good['head']}A")),
        "the log of another node": _proof(log=_log_proof(claims, good["head"], origin="birch.example/log")),
        "a checkpoint of another size": _proof(log=good["log"].replace("\n3\n", "\n4\n")),
    }
    malformed = {
        "no salt": _without(good, "salt"),
        "no log proof": _without(good, "log"),
        "a log proof that is none": _proof(log="c2sp.org/tlog-proof@v1\n"),
        "another type": _proof(type="mentormesh/offer-proof/v2"),
        "a field that no proof has": {**good, "mentor": "x"},
        "a head valid for more than a day": _proof(not_after=NOW + 86_401),
    }
    by_key = {"key": KEY.public.text}
    return [
        *accepted,
        *({"name": n, "input": canonical(p), **by_key, "error": "unverified"} for n, p in unverified.items()),
        {"name": "another log key", "input": canonical(good), "key": OTHER_KEY.public.text, "error": "unverified"},
        *({"name": n, "input": canonical(p), **by_key, "error": "malformed"} for n, p in malformed.items()),
    ]
