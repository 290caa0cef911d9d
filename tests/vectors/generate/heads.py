"""Vectors of docs/protocol/12-set-heads.md: heads, chains, pages, whole snapshots.

Pages are made from raw zstd blocks by hand, so that they do not change with a version of the library.
"""

import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any, Final

from protocol import jws
from protocol.signing import SigningKey

Case = dict[str, Any]

KEY: Final = SigningKey(sha256(b"log key of the vectors").digest())
OTHER_KEY: Final = SigningKey(sha256(b"another log key").digest())
NOW: Final = 1_767_000_000
ORIGIN: Final = "https://aurora.example"


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "heads/heads.json": _file(
            "12-set-heads §4, §6, §12",
            "`input` is opened with the log key `key` for `origin`, `audience` and `kind`, then checked at `now`.",
            _heads(),
        ),
        "heads/chain.json": _file(
            "12-set-heads §5",
            "`held` is the newest head held, `next` the verified one that came; `result` is the step.",
            _chain(),
        ),
        "heads/pages.json": _file(
            "12-set-heads §8", "`input` is a page as hex; `result` has place and entries.", _pages()
        ),
        "heads/snapshots.json": _file(
            "12-set-heads §9",
            "`pages` (hex) are opened against the head `head` (payload); `result` are the commitments as hex.",
            _snapshots(),
        ),
        "heads/answers.json": _file(
            "12-set-heads §7, §10", "`input` is a body of the named `type`, in its canonical bytes only.", _bodies()
        ),
    }


def _file(spec: str, comment: str, cases: list[Case]) -> bytes:
    content = {"spec": spec, "comment": comment, "cases": cases}
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _hash(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


AUDIENCE: Final = _b64(_hash(b"audience of the vectors"))
HEAD: Final[dict[str, Any]] = {
    "audience": AUDIENCE,
    "issued_at": NOW,
    "kind": "offers",
    "not_after": NOW + 86_400,
    "origin": ORIGIN,
    "seq": 1,
    "shards": [_b64(_hash(b""))],
    "size_bucket": 1,
}


def _head(**changes: object) -> dict[str, Any]:
    return {name: each for name, each in {**HEAD, **changes}.items() if each is not None}


def _signed(text: str, key: SigningKey = KEY, typ: str = "mentormesh-head+jws") -> str:
    return jws.sign(text.encode(), key, typ)


def _told(head: dict[str, Any]) -> dict[str, str]:
    """Return the head's hash as base64url and the id of its chain in the log as hex."""
    place = f"{head['origin']}{head['audience']}{head['kind']}"
    chain = _hash(b"mentormesh/chain/v1\n", place.encode())
    return {"head_hash": _b64(_hash(_canonical(head).encode())), "chain": chain.hex()}


def _heads() -> list[Case]:
    asked: dict[str, Any] = {
        "key": KEY.public.text,
        "origin": ORIGIN,
        "audience": AUDIENCE,
        "kind": "offers",
        "now": NOW + 60,
    }

    def case(name: str, jws_text: str, **more: object) -> Case:
        return {"name": name, "input": jws_text, **asked, **more}

    second = _head(seq=2, prev=_b64(_hash(_canonical(HEAD).encode())))
    first = _told(HEAD)
    good = [
        case("the first head, over an empty set", _signed(_canonical(HEAD)), result=first),
        case("the second head", _signed(_canonical(second)), result=_told(second)),
        case("in its last second", _signed(_canonical(HEAD)), now=NOW + 86_399, result=first),
        case("issued a minute ahead", _signed(_canonical(HEAD)), now=NOW - 60, result=first),
    ]
    text = _canonical(HEAD)
    head, payload, signature = _signed(text).split(".")
    malformed = {
        "valid for more than a day": _signed(_canonical(_head(not_after=NOW + 86_401))),
        "valid for no time": _signed(_canonical(_head(not_after=NOW))),
        "the first one with prev": _signed(_canonical(_head(prev=AUDIENCE))),
        "the second one without prev": _signed(_canonical(_head(seq=2))),
        "number 0": _signed(_canonical(_head(seq=0))),
        "no shard": _signed(_canonical(_head(shards=[]))),
        "17 shards": _signed(_canonical(_head(shards=[AUDIENCE] * 17))),
        "a size that is no power of two": _signed(_canonical(_head(size_bucket=3))),
        "a kind that is none": _signed(_canonical(_head(kind="people"))),
        "an origin with a port": _signed(_canonical(_head(origin="https://aurora.example:8443"))),
        "a field that no head has": _signed(_canonical(_head(count=12))),
        "a space in the payload": _signed(text.replace(",", ", ", 1)),
        "a key twice": _signed(text.replace('"seq":1', '"seq":1,"seq":1')),
        "another type of JWS": _signed(text, typ="mentormesh-node+jws"),
        "a signature cut short": f"{head}.{payload}.{signature[:-4]}",
        "two parts": f"{head}.{payload}",
    }
    changed = _canonical(_head(size_bucket=2))
    unverified = [
        case("another key", _signed(text), key=OTHER_KEY.public.text),
        case("signed by another key", _signed(text, OTHER_KEY)),
        case("a changed payload under the old signature", f"{head}.{_b64(changed.encode())}.{signature}"),
        case("another origin", _signed(text), origin="https://birch.example"),
        case("another audience", _signed(text), audience=_b64(_hash(b"another"))),
        case("another kind", _signed(text), kind="keys"),
        case("run out", _signed(text), now=NOW + 86_400),
        case("issued too far ahead", _signed(text), now=NOW - 61),
    ]
    return [
        *good,
        *(case(name, each, error="malformed") for name, each in malformed.items()),
        *({**each, "error": "unverified"} for each in unverified),
    ]


def _chain() -> list[Case]:
    first, other = _b64(_hash(b"first")), _b64(_hash(b"other"))
    held = {"seq": 5, "head_hash": first, "issued_at": NOW}

    def came(seq: int, *, hashed: str = other, prev: str = first, issued_at: int = NOW + 900) -> Case:
        return {"seq": seq, "head_hash": hashed, "prev": prev, "issued_at": issued_at}

    good = {
        "none held": (None, came(5), "first"),
        "the one held": (held, came(5, hashed=first, issued_at=NOW), "same"),
        "the next one": (held, came(6), "next"),
        "one after a gap": (held, came(8, prev=other), "gap"),
    }
    refused = {
        "an older one": (held, came(4), "rollback"),
        "the first one again": (held, came(2), "rollback"),
        "another one with the same number": (held, came(5), "fork"),
        "the next one with another prev": (held, came(6, prev=other), "fork"),
        "a later one that was issued earlier": (held, came(7, issued_at=NOW - 1), "rollback"),
    }
    return [
        *({"name": n, "held": h, "next": c, "result": step} for n, (h, c, step) in good.items()),
        *(
            {"name": n, "held": h, "next": c, "error": "unverified", "code": code}
            for n, (h, c, code) in refused.items()
        ),
    ]


def _frame(text: bytes) -> bytes:
    """Return one zstd frame (RFC 8878) of a single raw block, with its content size in four bytes."""
    block = (len(text) << 3 | 1).to_bytes(3, "little")
    return bytes.fromhex("28b52ffda0") + len(text).to_bytes(4, "little") + block + text


def _header(*, version: int = 1, shard: int = 0, page: int = 0, pages: int = 1, zero: int = 0, inflated: int) -> bytes:
    fields = bytes([version, shard]) + b"".join(each.to_bytes(2, "big") for each in (page, pages, zero))
    return bytes.fromhex("502a4d180c000000") + fields + inflated.to_bytes(4, "big")


def _page(text: str, **header: int) -> bytes:
    raw = text.encode()
    return _header(**{"inflated": len(raw), **header}) + _frame(raw)


def _entries(count: int, start: int = 0) -> list[dict[str, str]]:
    made = [
        {"body": f'{{"number":{number}}}', "salt": _b64(_hash(b"salt %d" % number)[:16])}
        for number in range(start, start + count)
    ]
    return sorted(made, key=_commitment)


def _commitment(entry: dict[str, str]) -> bytes:
    from base64 import urlsafe_b64decode

    return _hash(b"mentormesh/offer/v1\n", urlsafe_b64decode(entry["salt"] + "=="), entry["body"].encode())


def _root(entries: list[dict[str, str]]) -> str:
    from .merkle import _leaf, _root

    return _b64(_root([_leaf(_commitment(entry)) for entry in entries]) if entries else _hash(b""))


def _pages() -> list[Case]:
    two = _entries(2)
    text = _canonical({"entries": two})
    unsized = bytes.fromhex("28b52ffd0058") + _frame(text.encode())[9:]
    good = {
        "an empty set": (_page("{}"), {"shard": 0, "page": 0, "pages": 1, "entries": []}),
        "two entries": (_page(text), {"shard": 0, "page": 0, "pages": 1, "entries": two}),
        "the last of three pages, of shard 1": (
            _page(text, shard=1, page=2, pages=3),
            {"shard": 1, "page": 2, "pages": 3, "entries": two},
        ),
    }
    malformed = {
        "nothing": b"",
        "no header": _frame(text.encode()),
        "a header alone": _header(inflated=2),
        "a later version": _page(text, version=2),
        "a reserved field that is not zero": _page(text, zero=1),
        "shard 16": _page(text, shard=16),
        "a page beyond the last": _page(text, page=1, pages=1),
        "no pages": _page(text, pages=0),
        "another size declared": _page(text, inflated=len(text) - 1),
        "a frame without its size": _header(inflated=len(text)) + unsized,
        "bytes after the frame": _page(text) + b"\x00",
        "a second frame": _page(text) + _frame(b"{}"),
        "a frame cut short": _page(text)[:-1],
        "a space": _page(text.replace(",", ", ", 1)),
        "a salt of 15 bytes": _page(_canonical({"entries": [{"body": "{}", "salt": "AAECAwQFBgcICQoLDA0O"}]})),
        "257 entries": _page(_canonical({"entries": _entries(257)})),
        "an entry with a third field": _page(_canonical({"entries": [{**two[0], "name": "x"}]})),
        "half a surrogate pair": _page('{"entries":[{"body":"\\ud800","salt":"AAECAwQFBgcICQoLDA0ODw"}]}'),
        "no entries written out": _page('{"entries":[]}'),
    }
    limits = {"four mebibytes and one declared": _page("{}", inflated=4 * 1024 * 1024 + 1)}
    return [
        *({"name": n, "input": data.hex(), "result": result} for n, (data, result) in good.items()),
        *({"name": n, "input": data.hex(), "error": "malformed"} for n, data in malformed.items()),
        *({"name": n, "input": data.hex(), "error": "limit"} for n, data in limits.items()),
    ]


def _snapshots() -> list[Case]:
    entries = _entries(5)
    whole = [_page(_canonical({"entries": entries}))]
    split = [
        _page(_canonical({"entries": entries[:3]}), page=0, pages=2),
        _page(_canonical({"entries": entries[3:]}), page=1, pages=2),
    ]
    head = _head(shards=[_root(entries)], size_bucket=8)
    two_shards = _head(shards=[_root(entries[:2]), _root(entries[2:])], size_bucket=8)
    by_shard = [
        _page(_canonical({"entries": entries[:2]}), page=0, pages=2, shard=0),
        _page(_canonical({"entries": entries[2:]}), page=1, pages=2, shard=1),
    ]
    found = [_commitment(entry).hex() for entry in entries]
    good = {
        "one page": (head, whole, found),
        "two pages": (head, split, found),
        "two shards": (two_shards, by_shard, found),
        "an empty set": (HEAD, [_page("{}")], []),
    }
    backwards = [_page(_canonical({"entries": entries[::-1]}))]
    one_twice = [_page(_canonical({"entries": [entries[0], *entries]}))]
    one_more = sorted([*entries, *_entries(1, start=90)], key=_commitment)
    refused = {
        "a page is missing": (head, split[:1]),
        "pages out of order": (head, split[::-1]),
        "no page": (head, []),
        "an entry is left out": (head, [_page(_canonical({"entries": entries[1:]}))]),
        "an entry is added": (head, [_page(_canonical({"entries": one_more}))]),
        "an entry is changed": (head, [_page(_canonical({"entries": [{**entries[0], "body": "{}"}, *entries[1:]]}))]),
        "entries in another order": (head, backwards),
        "an entry twice": (head, one_twice),
        "an entry twice, and signed so": (_head(shards=[_root([entries[0], *entries])], size_bucket=8), one_twice),
        "another size": (_head(shards=[_root(entries)], size_bucket=4), whole),
        "a shard that the head does not have": (head, by_shard),
        "a shard without its entries": (two_shards, whole),
        "pages that say they are more": (head, [_page(_canonical({"entries": entries}), pages=2)]),
    }
    return [
        *({"name": n, "head": h, "pages": [p.hex() for p in ps], "result": r} for n, (h, ps, r) in good.items()),
        *(
            {"name": n, "head": h, "pages": [p.hex() for p in ps], "error": "unverified"}
            for n, (h, ps) in refused.items()
        ),
    ]


def _bodies() -> list[Case]:
    seen = [{"head_hash": AUDIENCE, "origin": f"https://{name}.example", "seq": 7} for name in ("aurora", "birch")]
    answer = {"head": _signed(_canonical(HEAD)), "seen": seen}
    nudge = {"audience": AUDIENCE, "kind": "offers", "seq": 8}
    good = [
        ("answer", "an answer with gossip", answer),
        ("answer", "an answer of a pair", {"head": answer["head"]}),
        ("nudge", "a nudge", nudge),
    ]
    refused = [
        ("answer", "gossip out of order", {**answer, "seen": seen[::-1]}),
        ("answer", "an origin twice", {**answer, "seen": [seen[0], seen[0]]}),
        ("answer", "no head", {"seen": seen}),
        ("answer", "a default written out", {"head": answer["head"], "seen": []}),
        ("nudge", "a nudge with a root", {**nudge, "root": AUDIENCE}),
        ("nudge", "a nudge without a number", {"audience": AUDIENCE, "kind": "offers"}),
        ("nudge", "a nudge of number 0", {**nudge, "seq": 0}),
    ]
    return [
        *({"name": n, "type": t, "input": _canonical(b), "result": "read"} for t, n, b in good),
        *({"name": n, "type": t, "input": _canonical(b), "error": "malformed"} for t, n, b in refused),
    ]
