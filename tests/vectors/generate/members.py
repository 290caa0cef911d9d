"""Vectors of docs/protocol/22-members.md: statements, whole sets of them, notices; JWS by hand."""

from typing import Any, Final

from tests.vectors.signed import ALICE, BOB, Signer, canonical, compact, header_of, key_of, signed

from .devices import Case, file

TYP: Final = "mentormesh-suspension+jws"
NOW: Final = 1_767_225_600
REGISTRY: Final = "https://guild.example"
DAY_S: Final = 86_400
STATEMENT: Final[dict[str, Any]] = {
    "api": "https://mesh.birch.example:8443",
    "expires_at": NOW + 2 * DAY_S,
    "fingerprint": "A" * 42 + "E",
    "issued_at": NOW,
    "member": "https://birch.example",
    "registry": REGISTRY,
    "seq": NOW,
    "since": NOW - 90 * DAY_S,
    "status": "active",
}
NOTICE: Final[dict[str, Any]] = {
    "issued_at": NOW,
    "member": "https://birch.example",
    "registry": REGISTRY,
    "seq": NOW + 1,
    "status": "suspended",
}


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "members/statements.json": file(
            "22-members §3",
            "`input` is the body of an entry of `registry`'s set, looked at in second `now`.",
            _bodies(),
        ),
        "members/sets.json": file(
            "22-members §4",
            "`bodies` are all entries of `registry`'s set; `result` names the members in order.",
            _sets(),
        ),
        "members/notices.json": file(
            "22-members §6",
            "`input` is opened with the log key `key` of `registry` in second `now`; the newest word known is `known`.",
            _notices(),
        ),
    }


def _without(said: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name not in names}


def _bodies() -> list[Case]:
    def case(name: str, said: object, now: int = NOW, **outcome: object) -> Case:
        text = said if isinstance(said, str) else canonical(said)
        return {"name": name, "input": text, "registry": REGISTRY, "now": now, **outcome}

    def good(name: str, now: int = NOW, **changes: object) -> Case:
        return case(name, STATEMENT | changes, now, result=STATEMENT | changes)

    def bad(name: str, **changes: object) -> Case:
        return case(name, STATEMENT | changes, error="malformed", code="malformed")

    def late(name: str, now: int) -> Case:
        return case(name, STATEMENT, now, error="unverified", code="statement-time")

    return [
        good("an active member"),
        good("an attester", attester=True),
        good("a suspended member", status="suspended"),
        good("a life of 24 hours", expires_at=NOW + DAY_S),
        good("a life of 72 hours", expires_at=NOW + 3 * DAY_S),
        good("admitted this second", since=NOW),
        good("issued a minute ahead of this clock", now=NOW - 60),
        good("in development", connect_to="127.0.0.1:8441"),
        late("issued 61 seconds ahead of this clock", NOW - 61),
        case(
            "of another registry",
            STATEMENT | {"registry": "https://league.example"},
            error="unverified",
            code="wrong-registry",
        ),
        bad("about the registry itself", member=REGISTRY),
        bad("a life of one second under 24 hours", expires_at=NOW + DAY_S - 1),
        bad("a life of one second over 72 hours", expires_at=NOW + 3 * DAY_S + 1),
        bad("ended before it was issued", expires_at=NOW - 1),
        bad("admitted after it was issued", since=NOW + 1),
        bad("a suspended attester", status="suspended", attester=True),
        bad("another status", status="removed"),
        bad("no attester written out", attester=False),
        bad("an attester by number", attester=1),
        bad("number 0", seq=0),
        bad("a number that JSON cannot carry", seq=2**53),
        bad("a member with a port", member="https://birch.example:8443"),
        bad("a member in capitals", member="https://Birch.example"),
        bad("an API with a path", api="https://birch.example/api"),
        bad("an API by address", api="https://192.0.2.7"),
        bad("a thumbprint of 31 bytes", fingerprint="A" * 42),
        bad("an address of another machine", connect_to="192.0.2.1:8441"),
        bad("an unknown field", reason="late with the fee"),
        *(
            case(f"no {name}", _without(STATEMENT, name), error="malformed", code="malformed")
            for name in sorted(STATEMENT)
        ),
        case("a space", canonical(STATEMENT).replace(":", ": ", 1), error="malformed", code="malformed"),
        case(
            "a key twice",
            canonical(STATEMENT).replace("{", '{"status":"active",', 1),
            error="malformed",
            code="malformed",
        ),
    ]


def _sets() -> list[Case]:
    def one(name: str, **changes: object) -> str:
        return canonical(STATEMENT | {"member": f"https://{name}.example"} | changes)

    def case(name: str, bodies: list[str], **outcome: object) -> Case:
        return {"name": name, "registry": REGISTRY, "bodies": bodies, **outcome}

    two = [one("cobalt"), one("birch")]
    seven = [one(f"a{number}", attester=True) for number in range(7)]
    return [
        case("nobody", [], result=[]),
        case("two members in any order", two, result=["https://birch.example", "https://cobalt.example"]),
        case("seven attesters", seven, result=[f"https://a{number}.example" for number in range(7)]),
        case("a member twice", [*two, one("birch", seq=NOW + 1)], error="malformed", code="member-twice"),
        case(
            "one of another registry",
            [*two, one("aurora", registry="https://league.example")],
            error="unverified",
            code="wrong-registry",
        ),
        case("one not in form", [*two, "{}"], error="malformed", code="malformed"),
        case("eight attesters", [*seven, one("b", attester=True)], error="limit", code="too-many-members"),
    ]


def _notices() -> list[Case]:
    def case(name: str, said: object, *, by: Signer = ALICE, known: int = NOW, **outcome: object) -> Case:
        text = said if isinstance(said, str) else signed(said, by, TYP)
        return {"name": name, "input": text, "key": key_of(ALICE), "registry": REGISTRY, "now": NOW, "known": known} | (
            outcome
        )

    def good(name: str, *, known: int = NOW, **changes: object) -> Case:
        return case(name, NOTICE | changes, known=known, result=NOTICE | changes)

    def bad(name: str, **changes: object) -> Case:
        return case(name, NOTICE | changes, error="malformed", code="malformed")

    return [
        good("a suspension"),
        good("a removal", status="removed"),
        good("issued a minute ahead of this clock", issued_at=NOW + 60),
        good("of last year, and still the newest word", issued_at=NOW - 365 * DAY_S),
        good("the newest word known, once more", known=NOW + 1),
        case("an older word", NOTICE, known=NOW + 2, error="refused", code="stale-notice"),
        case("by another key", NOTICE, by=BOB, error="unverified", code="unverified"),
        case(
            "by another key under the right name",
            compact(header_of(ALICE, TYP), canonical(NOTICE).encode(), BOB),
            error="unverified",
            code="unverified",
        ),
        case(
            "a set head by the same key",
            signed(NOTICE, ALICE, "mentormesh-head+jws"),
            error="malformed",
            code="malformed",
        ),
        case(
            "of another registry",
            NOTICE | {"registry": "https://league.example"},
            error="unverified",
            code="wrong-registry",
        ),
        case(
            "issued 61 seconds ahead of this clock",
            NOTICE | {"issued_at": NOW + 61},
            error="unverified",
            code="statement-time",
        ),
        bad("that lets somebody back in", status="active"),
        bad("about the registry itself", member=REGISTRY),
        bad("number 0", seq=0),
        bad("a reason", reason="late with the fee"),
        *(case(f"no {name}", _without(NOTICE, name), error="malformed", code="malformed") for name in sorted(NOTICE)),
        case("nothing", "", error="malformed", code="malformed"),
        case("over 4,096 bytes", "A" * 4097, error="malformed", code="malformed"),
    ]
