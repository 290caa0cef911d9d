"""Vectors of docs/protocol/33-delivery.md: batches and the answers to them."""

from typing import Any, Final

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
    }


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
        case("an item of one byte more than an item may have", "00018001", ("aa", 98_305)),
    ]
    return [
        case("one item", small, result=[1]),
        case("two items", small, "00000003aabbcc", result=[1, 3]),
        case("64 items", (small, 64), result=[1] * 64),
        case("the largest item", largest, ("aa", 98_304), result=[98_304]),
        *(one | {"error": "malformed"} for one in refused),
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

    malformed = [
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
        *(one | {"error": "malformed"} for one in malformed),
    ]
