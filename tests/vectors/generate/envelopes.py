"""Vectors of docs/protocol/41-envelopes.md: envelopes, entries of a mentor's mailbox, the life of a session."""

from typing import Any, Final

from tests.vectors.signed import b64, canonical

from .devices import Case, file
from .messages import MID, NOW, OTHER_ID, THREAD

ID: Final = "019b6968-4600-7000-8000-00000000000f"
MOST: Final = 80 * 1024


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "envelopes/items.json": file(
            "41-envelopes §2",
            "`input` (base64url), then `more` zeros where there are any; `result` has the header as text and the size "
            "of the ciphertext.",
            [*_items(), *_bad_items(), *_bad_headers()],
        ),
        "envelopes/requests.json": file(
            "41-envelopes §5",
            "`input` is the entry `request` of a mentor's mailbox; `<item>` stands for 43,691 letters A.",
            _requests(),
        ),
        "envelopes/states.json": file(
            "41-envelopes §7", "The state of a session at `now`; a case that cannot be is left out.", _states()
        ),
    }


def _header(**changed: Any) -> str:  # noqa: ANN401 -- any field
    fields = {"id": ID, "kind": "message", "epoch": 4, "mid": MID, "seq": 3, "side": "consumer", "thread": THREAD}
    return canonical({name: value for name, value in {**fields, **changed}.items() if value is not None})


def _item(header: str, ciphertext: bytes = b"ciphertext", *, kind: int = 2, size: int | None = None) -> bytes:
    text = header.encode()
    length = len(ciphertext) if size is None else size
    return bytes([kind]) + len(text).to_bytes(4, "big") + text + length.to_bytes(4, "big") + ciphertext


def _case(name: str, item: bytes, more: int = 0, **outcome: object) -> Case:
    return {"name": name, "input": b64(item), **({"more": more} if more else {}), **outcome}


def _items() -> list[Case]:
    def case(name: str, size: int = 10, **changed: Any) -> Case:  # noqa: ANN401 -- any field
        result = {"header": _header(**changed), "size": size}
        if size == 10:
            return _case(name, _item(_header(**changed)), result=result)
        return _case(name, _item(_header(**changed), b"", size=size), size, result=result)

    return [
        case("on the way to the hub"),
        case("from the hub", number=7, side="provider"),
        case("a welcome", kind="welcome"),
        case("a commit", kind="commit"),
        case("a close without content", 0, kind="close"),
        case("the largest ciphertext", MOST),
    ]


def _bad_items() -> list[Case]:
    header = _header()
    good = _item(header)
    refused = [
        _case("nothing", b""),
        _case("the kind alone", b"\2"),
        _case("a handshake message", _item(header, kind=1)),
        _case("another kind", _item(header, kind=3)),
        _case("a byte cut off", good[:-1]),
        _case("a byte more", good + b"\0"),
        _case("a header that runs past the end", b"\2\0\0\xff\xff" + good[5:]),
        _case("no ciphertext", good[: 5 + len(header)]),
        _case("a ciphertext of one byte too many", _item(header, b"", size=MOST + 1), MOST + 1),
    ]
    return [one | {"error": "malformed"} for one in refused]


def _bad_headers() -> list[Case]:
    refused = {
        "a space": _header().replace(":", ": ", 1),
        "fields in another order": '{"thread":"' + THREAD + '",' + _header(thread=None)[1:],
        "another kind of content": _header(kind="proposal"),
        "no epoch": _header(epoch=None),
        "an epoch below 0": _header(epoch=-1),
        "an epoch beyond 2^31": _header(epoch=2**31 + 1),
        "another side": _header(side="hub"),
        "a sequence number of 0": _header(seq=0),
        "a number of 0": _header(number=0),
        "a number beyond 2^31": _header(number=2**31 + 1),
        "no id of the device": _header(id=None),
        "an id that is no message id": _header(id=OTHER_ID),
        "a thread of 15 bytes": _header(thread="A" * 20),
        "a sender": _header(sender="Ada"),
        "no thread": _header(thread=None),
    }
    return [_case(name, _item(header), error="malformed") for name, header in refused.items()]


def _requests() -> list[Case]:
    choice = {"format": "call", "length": 30, "ref": THREAD, "slots": [NOW, NOW + 1800]}
    said = {"choice": choice, "deadline": NOW, "held": [NOW], "item": "<item>", "topic": "mm:first-board-presentation"}

    def entry(**changed: Any) -> str:  # noqa: ANN401 -- any field
        return canonical({name: value for name, value in {**said, **changed}.items() if value is not None})

    accepted = {"a request": entry(), "a request whose topic is not told": entry(topic=None)}
    refused = {
        "no item": entry(item=None),
        "no deadline": entry(deadline=None),
        "a deadline before 1970": entry(deadline=-1),
        "no choice": entry(choice=None),
        "an item of another size": entry(item="<item>A"),
        "six times held": entry(held=[NOW] * 6),
        "a topic that is no concept": entry(topic="first board presentation"),
        "a name": entry(name="Ada"),
        "a space": entry().replace(":", ": ", 1),
    }
    return [
        *({"name": name, "input": text, "result": True} for name, text in accepted.items()),
        *({"name": name, "input": text, "error": "malformed"} for name, text in refused.items()),
    ]


def _states() -> list[Case]:
    def case(name: str, now: int, state: str, *, closed: bool = False, cancelled: bool = False) -> Case:
        given = {"start": NOW, "end": NOW + 1800, "now": now, "closed": closed, "cancelled": cancelled}
        return {"name": name, **given, "result": state}

    return [
        case("a second before the start", NOW - 1, "SCHEDULED"),
        case("at the start", NOW, "IN_SESSION"),
        case("the last second", NOW + 1799, "IN_SESSION"),
        case("at the end", NOW + 1800, "ENDED"),
        case("both have closed", NOW + 60, "CLOSED", closed=True),
        case("called off", NOW - 60, "CANCELLED", cancelled=True),
        case("called off, then closed", NOW + 3600, "CANCELLED", closed=True, cancelled=True),
    ]
