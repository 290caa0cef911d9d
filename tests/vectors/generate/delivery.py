"""Vectors of docs/protocol/33-delivery.md: batches and the answers to them."""

from typing import Any, Final

from protocol.encoding import b64, sha256
from tests.vectors.signed import canonical

from .devices import Case, file
from .messages import MID

OTHER_MID: Final = MID[:-1] + "1"


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "delivery/batches.json": file(
            "33-delivery §1",
            "A batch as `parts`: hex, or a pair of hex and how often it stands there; `result` has the sizes of items.",
            _batches(),
        ),
        "delivery/outcomes.json": file(
            "33-delivery §4",
            "`input` answers a batch with the items `mids`; `result` is what became of each.",
            _outcomes(),
        ),
        "delivery/cursors.json": file(
            "33-delivery §7", "`input` is a cursor, or with `answer` the answer to a node that is back.", _cursors()
        ),
        "delivery/heads.json": file(
            "33-delivery §8", "`input` is a portion of heads, or with `answer` the answer to one.", _heads()
        ),
    }


LIFE: Final = b64(sha256(b"life of the vectors")[:16])
THREADS: Final = tuple(sorted(b64(sha256(b"thread %d" % number)[:16]) for number in range(3)))
HASH: Final = b64(sha256(b"a message"))


def _read(name: str, value: object, *, answer: bool = False, error: bool = False) -> Case:
    text = value if isinstance(value, str) else canonical(value)
    marked = {"answer": True} if answer else {}
    return {"name": name, "input": text, **marked, **({"error": "malformed"} if error else {"result": True})}


def _cursors() -> list[Case]:
    held = {"at": 1_800_000_000, "life": LIFE, "stored": 17}
    empty = {"life": LIFE, "stored": 0}
    refused = [
        ("a second that is no minute", {**held, "at": 1_800_000_001}),
        ("a minute without an item", {**empty, "at": 1_800_000_000}),
        ("an item without a minute", {"life": LIFE, "stored": 1}),
        ("a count below 0", {**empty, "stored": -1}),
        ("a count of 2^53", {**held, "stored": 2**53}),
        ("no life", {"stored": 0}),
        ("a life of 15 bytes", {**empty, "life": "AAAAAAAAAAAAAAAAAAAA"}),
        ("an unknown field", {**held, "person": "x"}),
        ("a space", canonical(held).replace(":17", ": 17")),
    ]
    return [
        _read("17 items", held),
        _read("nothing yet", empty),
        _read("both directions", {"cursor": held, "told": empty}, answer=True),
        _read("an asker that was never heard of", {"cursor": empty}, answer=True),
        *(_read(name, value, error=True) for name, value in refused),
        _read("an answer without a cursor", {"told": held}, answer=True, error=True),
    ]


def _heads() -> list[Case]:
    head = {
        "heard": 1,
        "last_heard": HASH,
        "last_said": HASH,
        "said": 2,
        "side": "consumer",
        "thread": THREADS[1],
    }
    silent = {"heard": 1, "last_heard": HASH, "said": 0, "side": "provider", "thread": THREADS[2]}
    refused: list[tuple[str, object]] = [
        ("heads out of order", {"heads": [silent, head]}),
        ("a thread twice", {"heads": [head, head]}),
        ("a head that `after` is behind", {"after": THREADS[2], "heads": [head]}),
        ("`after` itself", {"after": THREADS[1], "heads": [head]}),
        ("a head behind `upto`", {"heads": [silent], "upto": THREADS[1]}),
        ("`upto` before `after`", {"after": THREADS[1], "upto": THREADS[0]}),
        ("a message without its hash", {"heads": [{**silent, "said": 1}]}),
        ("a hash without its message", {"heads": [{**silent, "last_said": HASH}]}),
        ("another side", {"heads": [{**head, "side": "hub"}]}),
        ("1001 messages", {"heads": [{**head, "said": 1001}]}),
        ("no heads written out", {"heads": []}),
    ]
    return [
        _read("one thread", {"heads": [head]}),
        _read("a portion in the middle", {"after": THREADS[0], "heads": [head, silent], "upto": THREADS[2]}),
        _read("no thread at all", {}),
        _read("nothing is lost", {}, answer=True),
        _read("one is lost, and there are more", {"lost": [THREADS[1]], "upto": THREADS[1]}, answer=True),
        *(_read(name, value, error=True) for name, value in refused),
        _read("a thread that is no id", {"lost": ["x"]}, answer=True, error=True),
    ]


Part = str | tuple[str, int]


def _batches() -> list[Case]:
    def case(name: str, *parts: Part, **outcome: object) -> Case:
        return {"name": name, "parts": [part if isinstance(part, str) else list(part) for part in parts], **outcome}

    small, largest = "00000001aa", "00018000"
    refused = [
        case("nothing"),
        case("65 items", (small, 65)),
        case("an empty item", "00000000"),
        case("an empty item behind another", small, "00000000"),
        case("a length cut short", "000000"),
        case("a length cut short behind an item", small, "00"),
        case("a length that runs past the end", "00000002aa"),
        case("a byte left over", small, "aa"),
        case("a length in the other byte order", "01000000aa"),
        case("the largest length", "ffffffffaa"),
        case("an item larger than any, cut short", "00018001", ("aa", 98_304)),
    ]
    return [
        case("one item", small, result=[1]),
        case("two items", small, "00000003aabbcc", result=[1, 3]),
        case("64 items", (small, 64), result=[1] * 64),
        case("the largest item", largest, ("aa", 98_304), result=[98_304]),
        *(one | {"error": "malformed"} for one in refused),
        case("an item of one byte more than an item may have", "00018001", ("aa", 98_305), error="limit"),
    ]


def _outcomes() -> list[Case]:
    stored = {"mid": MID, "receipt": "AAAA", "status": "stored"}
    refused = {"code": "unverified", "mid": OTHER_MID, "status": "refused"}
    gap = {"code": "out-of-order", "expected_seq": 2, "mid": MID, "status": "refused"}
    illegal = {"code": "illegal-step", "mid": MID, "state": "CANCELLED", "status": "refused"}

    def case(name: str, outcomes: Any, *mids: str, **outcome: object) -> Case:  # noqa: ANN401 -- JSON is of any type
        text = outcomes if isinstance(outcomes, str) else canonical({"outcomes": outcomes})
        return {"name": name, "input": text, "mids": list(mids or (MID,)), **outcome}

    def accepted(name: str, *outcomes: dict[str, Any]) -> Case:
        return case(name, list(outcomes), *(str(one["mid"]) for one in outcomes), result=list(outcomes))

    cursor = {"at": 1_800_000_000, "life": LIFE, "stored": 17}
    malformed = [
        case("half a cursor", canonical({"cursor": {"life": LIFE}, "outcomes": [stored]})),
        case("one outcome fewer than items", [stored], MID, OTHER_MID),
        case("one outcome more than items", [stored, refused]),
        case("the outcome of another item", [refused]),
        case("outcomes in another order", [refused, stored], MID, OTHER_MID),
        case("no outcome", []),
        case("65 outcomes", [stored] * 65, *[MID] * 65),
        case("another status", [{**stored, "status": "read"}]),
        case("no status", [{"mid": MID}]),
        case("another state", [{**illegal, "state": "OPEN"}]),
        case("a number of 0 to go on from", [{**gap, "expected_seq": 0}]),
        case("a number of 1001 to go on from", [{**gap, "expected_seq": 1001}]),
        case("an unknown field", [{**stored, "read_at": 1}]),
        case("no receipt written out", [{**refused, "mid": MID, "receipt": ""}]),
        case("a receipt without end", [{**stored, "receipt": "A" * 2049}]),
        case("a space", '{"outcomes": []}'),
        case("a problem", '{"code":"limit","status":429}'),
    ]
    return [
        accepted("stored", stored),
        accepted("a repeat", {**stored, "status": "duplicate"}),
        accepted("stored and refused", stored, refused),
        accepted("one is missing before it", gap),
        accepted("not allowed in this state", illegal),
        accepted("to be sent again", {"mid": MID, "status": "later"}),
        accepted("a session envelope", {"mid": MID, "status": "stored"}),
        case("with a cursor", canonical({"cursor": cursor, "outcomes": [stored]}), result=[stored]),
        *(one | {"error": "malformed"} for one in malformed),
    ]
