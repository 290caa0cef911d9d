"""Vectors of docs/protocol/30-messages.md: items, books, receipts; signed with PyNaCl and by hand."""

from typing import Any, Final

from tests.vectors.signed import ALICE, BOB, Signer, b64, canonical, compact, digest, header_of, key_of, signed

from .devices import Case, file

NOW: Final = 1_767_000_000
AURORA: Final = "https://aurora.example"
COBALT: Final = "https://cobalt.example"
MID: Final = "019b6968-4600-7000-8000-000000000000"
THREAD: Final = "AAECAwQFBgcICQoLDA0ODw"
OTHER_ID: Final = "Dw4NDAsKCQgHBgUEAwIBAA"
TYP: Final = "mentormesh-msg+jws"
RECEIPT_TYP: Final = "mentormesh-receipt+jws"
SIZE: Final = 32_768
BODY: Final = '{"reason":"no-time"}'


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "messages/items.json": file(
            "30-messages §1–§4",
            "`input` (base64url) and zeros up to `size` bytes are an item, opened by the node `audience` with the key "
            "`key` of the sender; `result` has head and body as texts and the hash.",
            [*_items(), *_bad_items(), *_bad_heads()],
        ),
        "messages/books.json": file(
            "30-messages §6",
            "The node with `book` hears a message with `head` and `hash`; `result` is what changes in the book.",
            [*_heard(), *_not_heard()],
        ),
        "messages/receipts.json": file(
            "30-messages §7", "`input` is opened with the receiver's key `key`; `result` is what it says.", _receipts()
        ),
    }


def head(**changed: Any) -> dict[str, Any]:  # noqa: ANN401 -- any field of a head
    """Return the head of a mentor's node that declines, with some fields changed; None takes one away."""
    fields = {
        "aud": AURORA,
        "body_hash": digest(BODY.encode()),
        "deadline": NOW,
        "mid": MID,
        "prev": digest(b"offer"),
        "seen": digest(b"accept"),
        "seq": 2,
        "side": "provider",
        "thread": THREAD,
        "type": "decline",
    }
    return {name: value for name, value in {**fields, **changed}.items() if value is not None}


def packed(text: str, body: str, kind: int = 1) -> bytes:
    """Return an item before its padding."""
    parts = text.encode(), body.encode()
    return bytes([kind]) + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _case(name: str, item: bytes, size: int = SIZE, **outcome: object) -> Case:
    return {"name": name, "input": b64(item), "size": size, "key": key_of(ALICE), "audience": AURORA, **outcome}


def _items() -> list[Case]:
    checkpoint = {"origin": "cobalt.example/log", "root": digest(b"root"), "size": 7}
    made = {
        "a message": (head(), BODY),
        "a first message": (head(prev=None, seen=None, seq=1), BODY),
        "a message with a checkpoint": (head(checkpoint=checkpoint), BODY),
        "a message of another type": (
            head(type="cancel", body_hash=digest(b'{"reason":"conflict"}')),
            '{"reason":"conflict"}',
        ),
    }
    cases = []
    for name, (fields, body) in made.items():
        text = signed(fields, ALICE, TYP)
        result = {"head": canonical(fields), "body": body, "hash": digest(text.encode())}
        cases.append(_case(name, packed(text, body), result=result))
    return cases


def _bad_items() -> list[Case]:
    text = signed(head(), ALICE, TYP)
    good = packed(text, BODY)
    length = len(text).to_bytes(4, "big")
    refused = [
        _case("a byte too few", good, SIZE - 1),
        _case("a byte too many", good, SIZE + 1),
        _case("no padding", good, len(good)),
        _case("nothing", b"", 0),
        _case("only zeros", b""),
        _case("padding that is not zero", good + b"\1"),
        _case("a last byte that is not zero", good + bytes(SIZE - len(good) - 1) + b"\1"),
        _case("another kind", packed(text, BODY, kind=3)),
        _case("a length of the head that runs past the end", b"\1\0\1\0\0" + good[5:]),
        _case("a length of the body that runs past the end", good.replace(b"\0\0\0\x14{", b"\0\0\x80\0{")),
        _case("the largest length", b"\1\xff\xff\xff\xff" + good[5:]),
        _case("a head that is not ASCII", b"\1" + length + b"\xc3\xa9" + text.encode()[2:] + good[5 + len(text) :]),
        _case("no body", packed(text, "") + b""),
        _case(
            "a body that is cut short", packed(signed(head(body_hash=digest(b'{"reason":')), ALICE, TYP), '{"reason":')
        ),
    ]
    kinds = ["malformed"] * 12 + ["unverified", "malformed"]
    return [case | {"error": kind} for case, kind in zip(refused, kinds, strict=True)]


def _bad_heads() -> list[Case]:
    def item(name: str, *, signer: Signer = ALICE, body: str = BODY, **changed: Any) -> Case:  # noqa: ANN401
        return _case(name, packed(signed(head(**changed), signer, TYP), body))

    unknown = '{"ada":1}'
    unverified = [
        item("signed by another node", signer=BOB) | {"code": "unverified"},
        item("addressed to another node", aud="https://birch.example") | {"code": "wrong-audience"},
        item("another body", body='{"reason":"conflict"}') | {"code": "body-mismatch"},
        item("the hash of another body", body_hash=digest(b"other")) | {"code": "body-mismatch"},
        _case(
            "another key under this key's id",
            packed(compact(header_of(ALICE, TYP), canonical(head()).encode(), BOB), BODY),
        )
        | {"code": "unverified"},
    ]
    malformed = [
        item("a body of another verb", body='{"deadline":1}', body_hash=digest(b'{"deadline":1}')),
        item("an unknown field in the body", body=unknown, body_hash=digest(unknown.encode())),
        item("a body that is not canonical", body='{"reason": "no-time"}', body_hash=digest(b'{"reason": "no-time"}')),
        _case("a receipt in place of a head", packed(signed(head(), ALICE, RECEIPT_TYP), BODY)),
        item("an unknown verb", type="haggle"),
        item("an unknown side", side="broker"),
        item("number 0", seq=0),
        item("number 1001", seq=1001),
        item("no number", seq=None),
        item("a time after the year 9999", deadline=253402300800),
        item("an unknown field", priority=1),
        item("a thread of 15 bytes", thread="A" * 20),
        item("a message id of version 4", mid=MID.replace("-7", "-4")),
        item("a checkpoint without a root", checkpoint={"origin": "cobalt.example/log", "size": 7}),
        _case("a head with spaces", packed(compact(header_of(ALICE, TYP), b'{"seq": 1}', ALICE), BODY)),
    ]
    return [
        *(case | {"error": "unverified"} for case in unverified),
        *(case | {"error": "malformed"} for case in malformed),
    ]


REQUEST, OFFER, ACCEPT, AGREE, CANCEL, DECLINE = (
    digest(word.encode()) for word in ("request", "offer", "accept", "agree", "cancel", "decline")
)


def book(state: str, said: list[str], heard: list[str], **more: object) -> dict[str, object]:
    """Return the provider's book after these messages."""
    fields = {"heard": heard, "peer": AURORA, "said": said, "side": "provider", "state": state, "thread": THREAD}
    return {**{name: value for name, value in fields.items() if value}, **more}


def _said(verb: str, seq: int, prev: str | None, seen: str | None, **changed: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a head that the consumer's node signed."""
    return head(type=verb, seq=seq, prev=prev, seen=seen, side="consumer", aud=COBALT, **changed)


def _hears(name: str, before: dict[str, object], said: dict[str, Any], hashed: str = CANCEL, **outcome: object) -> Case:
    return {"name": name, "book": before, "head": said, "hash": hashed, **outcome}


OFFERED: Final = book("OFFERED", [OFFER], [REQUEST], moved=1)
ACCEPTED: Final = book("ACCEPTED", [OFFER], [REQUEST, ACCEPT], moved=1)
AGREED: Final = book("AGREED", [OFFER, AGREE], [REQUEST, ACCEPT], moved=2)
DECLINED: Final = book("DECLINED", [OFFER, DECLINE], [REQUEST, ACCEPT], moved=2)
NEW: Final = book("", [], [])


def _heard() -> list[Case]:
    three = [REQUEST, ACCEPT, CANCEL]
    return [
        _hears(
            "a request opens a book",
            NEW,
            _said("request", 1, None, None),
            REQUEST,
            result={"state": "REQUESTED", "heard": [REQUEST]},
        ),
        _hears(
            "an acceptance of the offer",
            OFFERED,
            _said("accept", 2, REQUEST, OFFER),
            ACCEPT,
            result={"state": "ACCEPTED", "heard": [REQUEST, ACCEPT]},
        ),
        _hears(
            "a cancel of a request",
            ACCEPTED,
            _said("cancel", 3, ACCEPT, OFFER),
            result={"state": "CANCELLED", "heard": three},
        ),
        _hears(
            "a cancel that had not seen AGREED wins",
            AGREED,
            _said("cancel", 3, ACCEPT, OFFER),
            result={"state": "CANCELLED", "heard": three},
        ),
        _hears(
            "a cancel that had seen AGREED calls off the session",
            AGREED,
            _said("cancel", 3, ACCEPT, AGREE),
            result={"session_cancelled": True, "heard": three},
        ),
        _hears(
            "a cancel that crossed a decline",
            DECLINED,
            _said("cancel", 3, ACCEPT, OFFER),
            result={"state": "CANCELLED", "heard": three},
        ),
    ]


def _not_heard() -> list[Case]:
    def case(name: str, before: dict[str, object], said: dict[str, Any], code: str, **more: object) -> Case:
        kinds = {"fork": "unverified", "wrong-seen": "unverified", "wrong-thread": "unverified"}
        hashed = str(more.pop("hash", CANCEL))
        return _hears(name, before, said, hashed, error=kinds.get(code, "refused"), code=code, **more)

    agreed = _said("cancel", 3, ACCEPT, AGREE)
    other = digest(b"never sent")
    return [
        case("one is missing before it", OFFERED, _said("accept", 3, REQUEST, OFFER), "out-of-order", expected_seq=2),
        case("many are missing before it", NEW, _said("accept", 7, REQUEST, OFFER), "out-of-order", expected_seq=1),
        case("another message in a place that is taken", AGREED, _said("cancel", 2, REQUEST, OFFER), "fork"),
        case("exactly the message heard before", AGREED, _said("accept", 2, REQUEST, OFFER), "repeat", hash=ACCEPT),
        case("it follows another message", AGREED, {**agreed, "prev": other}, "fork"),
        case("it follows none", AGREED, _said("cancel", 3, None, AGREE), "fork"),
        case("a first message that follows another", NEW, _said("request", 1, other, None), "fork"),
        case("it has seen what was never sent", AGREED, {**agreed, "seen": other}, "wrong-seen"),
        case("it has seen its own words", AGREED, {**agreed, "seen": ACCEPT}, "wrong-seen"),
        case("another thread", AGREED, {**agreed, "thread": OTHER_ID}, "wrong-thread"),
        case("the receiver's own side", AGREED, {**agreed, "side": "provider"}, "wrong-thread"),
        case("an acceptance that has not seen the offer", OFFERED, _said("accept", 2, REQUEST, None), "illegal-step"),
        case("a step of the other side", ACCEPTED, _said("agree", 3, ACCEPT, OFFER), "illegal-step"),
        case("a second acceptance", ACCEPTED, _said("accept", 3, ACCEPT, OFFER), "illegal-step"),
        case("a step before the first", NEW, _said("cancel", 1, None, None), "illegal-step"),
        case("a verification before AGREED", ACCEPTED, _said("verify", 3, ACCEPT, OFFER), "illegal-step"),
        case("a late acceptance of what was declined", DECLINED, _said("accept", 3, ACCEPT, DECLINE), "illegal-step"),
    ]


def _receipts() -> list[Case]:
    said = {"deadline": NOW + 60, "hash": ACCEPT, "mid": MID, "received_at": NOW, "state": "ACCEPTED"}
    final = {name: value for name, value in {**said, "state": "FINALIZED"}.items() if name != "deadline"}

    def case(name: str, text: str, **outcome: object) -> Case:
        return {"name": name, "input": text, "key": key_of(ALICE), **outcome}

    def altered(**changed: object) -> str:
        fields = {name: value for name, value in {**said, **changed}.items() if value is not None}
        return signed(fields, ALICE, RECEIPT_TYP)

    good = altered()
    return [
        case("a receipt with a deadline", good, result=said),
        case("a receipt without one", signed(final, ALICE, RECEIPT_TYP), result=final),
        case("by another node", signed(said, BOB, RECEIPT_TYP), error="unverified"),
        case("one character of the payload changed", good.replace(".ey", ".ez", 1), error="unverified"),
        case("signed as a message", signed(said, ALICE, TYP), error="malformed"),
        case("a state that does not exist", altered(state="OPEN"), error="malformed"),
        case("no state", altered(state=None), error="malformed"),
        case("no time", altered(received_at=None), error="malformed"),
        case("an unknown field", altered(read=True), error="malformed"),
    ]
