"""Vectors of docs/protocol/32-agreement.md: agreements, and documents with one and two signatures, made by hand."""

from typing import Any, Final

from tests.vectors.signed import ALICE, BOB, Signer, canonical, compact, digest, general, header_of, key_of, signature

from .devices import Case, file
from .messages import AURORA, COBALT, NOW, THREAD

TYP: Final = "mentormesh-agreement+jws"


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "agreement/terms.json": file(
            "32-agreement §1", "`input` is the payload of an agreement; `result` is what it says.", _terms()
        ),
        "agreement/documents.json": file(
            "32-agreement §2–§3",
            "`input` is opened with the provider's key and, where there is one, the consumer's; `result` is the "
            "payload as text, and `hash` names a document with both signatures.",
            _documents(),
        ),
    }


def _said(**changed: Any) -> str:  # noqa: ANN401 -- any field
    """Return the payload of an agreement by device, with some fields changed; None takes one away."""
    fields = {
        "accepted": digest(b"accepted"),
        "agreed_at": NOW,
        "consent": digest(b"consent"),
        "consumer": AURORA,
        "format": "call",
        "length": 30,
        "provider": COBALT,
        "slot": NOW + 86_400,
        "thread": THREAD,
    }
    return canonical({name: value for name, value in {**fields, **changed}.items() if value is not None})


def _terms() -> list[Case]:
    accepted = {
        "a call, attested by a device": _said(),
        "a text session with its window": _said(format="text", slot=None, window_s=259_200),
        "the longest window": _said(format="text", slot=None, window_s=2_592_000),
        "attested by the node": _said(attested="node", consent=None),
    }
    refused = {
        "a call without a slot": _said(slot=None),
        "a call with a window": _said(window_s=60),
        "a call with a window and no slot": _said(slot=None, window_s=60),
        "a text session without a window": _said(format="text", slot=None),
        "a text session with a slot": _said(format="text", window_s=60),
        "a window beyond 30 days": _said(format="text", slot=None, window_s=2_592_001),
        "a window below zero": _said(format="text", slot=None, window_s=-1),
        "attested by a device without its consent": _said(consent=None),
        "attested by the node with a consent": _said(attested="node"),
        "the usual attestation written out": _said(attested="device"),
        "no window written out": _said(window_s=0),
        "another format": _said(format="walk"),
        "another length": _said(length=31),
        "no acceptance": _said(accepted=None),
        "no consumer": _said(consumer=None),
        "a name": _said(name="Ada"),
        "a slot before 1970": _said(slot=-1),
    }
    return [
        *({"name": name, "input": text, "result": True} for name, text in accepted.items()),
        *({"name": name, "input": text, "error": "malformed"} for name, text in refused.items()),
    ]


def _one(signer: Signer, payload: str | None = None, typ: str = TYP) -> dict[str, str]:
    return signature(payload or _said(), signer, typ)


def _documents() -> list[Case]:
    """Bob signs for the provider, Alice for the consumer."""
    said, other = _said(), _said(slot=NOW + 90_000)

    def case(name: str, text: str, *, both: bool = True, **outcome: object) -> Case:
        keys = {"provider": key_of(BOB), **({"consumer": key_of(ALICE)} if both else {})}
        return {"name": name, "input": text, **keys, **outcome}

    proposed, signed = general(said, _one(BOB)), general(said, _one(BOB), _one(ALICE))
    unverified = [
        case("one signature where both are needed", proposed),
        case("both signatures where the provider's is expected", signed, both=False),
        case("the consumer's signature first", general(said, _one(ALICE), _one(BOB))),
        case("the provider's signature twice", general(said, _one(BOB), _one(BOB))),
        case("the consumer's signature alone", general(said, _one(ALICE)), both=False),
        case("a second signature over other terms", general(said, _one(BOB), _one(ALICE, other))),
        case("terms that only the consumer signed", general(other, _one(BOB), _one(ALICE, other))),
        case("terms that nobody signed", general(other, _one(BOB), _one(ALICE))),
    ]
    malformed = [
        case("three signatures", general(said, _one(BOB), _one(ALICE), _one(ALICE))),
        case("a message's signature", general(said, _one(BOB, typ="mentormesh-msg+jws"), _one(ALICE))),
        case("an unprotected header", general(said, {**_one(BOB), "header": "{}"}, _one(ALICE))),
        case("the compact form", compact(header_of(BOB, TYP), said.encode(), BOB), both=False),
        case("a line feed at the end", signed + "\n"),
        case("terms that are not canonical", general(said + " ", _one(BOB, said + " "), _one(ALICE, said + " "))),
        case("something else, signed by both", general("{}", _one(BOB, "{}"), _one(ALICE, "{}"))),
        case("an empty document", ""),
    ]
    return [
        case("the proposed agreement", proposed, both=False, result=said),
        case("the signed agreement", signed, result=said, hash=digest(signed.encode())),
        *(one | {"error": "unverified"} for one in unverified),
        *(one | {"error": "malformed"} for one in malformed),
    ]
