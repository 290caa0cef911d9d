"""docs/protocol/20-identity.md and this program agree on its vectors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from protocol.addresses import audience_id, authority_of
from protocol.errors import MalformedError, MeshError, UnverifiedError
from protocol.fingerprints import WORDS, fingerprint_words
from protocol.peers import open_document
from protocol.rotation import Pinned, follow, pin
from protocol.signing import VerifyKey
from protocol.tickets import parse_ticket, render_ticket
from tests.together import together

VECTORS = Path(__file__).parents[1] / "vectors"
FILES = ("addresses", "audiences", "documents", "rotations", "tickets", "words")
KINDS = {"malformed": MalformedError, "unverified": UnverifiedError}


def cases(name: str, *, refused: bool) -> list[dict[str, Any]]:
    found = json.loads((VECTORS / "peers" / f"{name}.json").read_bytes())["cases"]
    return [case for case in found if ("error" in case) is refused]


def every(*, refused: bool) -> list[Any]:
    return [
        pytest.param(name, case, id=f"{name}: {case['name']}")
        for name in FILES
        for case in cases(name, refused=refused)
    ]


def take_document(case: dict[str, Any]) -> dict[str, Any]:
    known = case["federation_key"]
    document = open_document(case["document"], expected_key=VerifyKey.parse(known) if known else None)
    return {"entity": document.entity, "seq": document.seq}


def take_rotation(case: dict[str, Any]) -> dict[str, Any]:
    known = open_document(case["pinned"])
    pinned = pin(case["pinned"], VerifyKey.parse(known.keys.federation))
    pinned = Pinned(text=pinned.text, document=pinned.document, recovered=case["recovered"])
    followed = follow(pinned, case["fetched"])
    assert followed.text == case["fetched"]
    return {"federation_key": followed.document.keys.federation, "recovered": followed.recovered}


def take_ticket(case: dict[str, Any]) -> dict[str, Any]:
    ticket = parse_ticket(case["ticket"])
    assert render_ticket(ticket) == case["ticket"]
    said: dict[str, Any] = msgspec.to_builtins(ticket)
    return said


TAKE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "addresses": lambda case: {"authority": authority_of(case["api"])},
    "audiences": lambda case: {"id": audience_id(*case["entities"])},
    "documents": take_document,
    "rotations": take_rotation,
    "tickets": take_ticket,
    "words": lambda case: {"words": fingerprint_words(VerifyKey.parse(case["key"]))},
}


@together(every(refused=False), by=": ")
def test_what_the_page_allows_is_taken(name: str, case: dict[str, Any]) -> None:
    assert TAKE[name](case) == case["result"]


@together(every(refused=True), by=": ")
def test_what_the_page_forbids_is_refused(name: str, case: dict[str, Any]) -> None:
    with pytest.raises(MeshError) as refusal:
        TAKE[name](case)
    assert isinstance(refusal.value, KINDS[case["error"]])
    assert refusal.value.code == case.get("code", refusal.value.code)


@pytest.mark.parametrize("name", FILES)
def test_at_least_as_many_cases_are_refused_as_accepted(name: str) -> None:
    assert len(cases(name, refused=True)) >= len(cases(name, refused=False))


def test_the_word_list_is_that_of_the_page() -> None:
    assert json.loads((VECTORS / "peers/words.json").read_bytes())["list"] == list(WORDS)
