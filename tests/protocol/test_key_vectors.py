"""docs/protocol/13-key-directory.md and this program agree on their vectors."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from protocol.attestation import check_quorum, open_attestation, quorum_of
from protocol.directorypages import AskDirectoryPage, check_token, make_token
from protocol.encoding import decode, encode, unb64
from protocol.erasure import open_receipts, open_request
from protocol.errors import MalformedError, MeshError, UnverifiedError
from protocol.heads import SetHead, head_hash
from protocol.jws import parse
from protocol.keyentries import EntrySet, KeyEntry, VouchOpening, check_vouch, held_entry
from protocol.keyproof import Circle, enclosed_documents, parse_proof, verify_proof
from protocol.peers import open_document
from protocol.signing import VerifyKey
from tests.together import together
from tests.vectors.generate import directorytokens, keys

VECTORS = Path(__file__).parents[1] / "vectors"
FILES = sorted(path.relative_to(VECTORS).as_posix() for path in (VECTORS / "keys").glob("*.json"))
KINDS: dict[str, type[MeshError]] = {"malformed": MalformedError, "unverified": UnverifiedError}


def cases(name: str) -> list[Any]:
    found = json.loads((VECTORS / "keys" / f"{name}.json").read_bytes())["cases"]
    return [pytest.param(case, id=case["name"]) for case in found]


@pytest.mark.parametrize("name", FILES)
def test_at_least_as_many_cases_are_refused_as_accepted(name: str) -> None:
    found = json.loads((VECTORS / name).read_bytes())["cases"]
    assert sum("error" in case for case in found) * 2 >= len(found)
    assert len({case["name"] for case in found}) == len(found)


def judge(case: dict[str, Any], result: Any) -> None:  # noqa: ANN401 -- a function of any result
    """Compare what `result()` returns or raises with the case."""
    if "error" not in case:
        assert result() == case["result"]
        return
    with pytest.raises(KINDS[case["error"]]):
        result()


def head_of(text: str) -> SetHead:
    return msgspec.json.decode(parse(text, "mentormesh-head+jws").payload, type=SetHead)


@together(cases("entries"))
def test_entries(case: dict[str, Any]) -> None:
    def opened() -> list[int]:
        before = dict(held_entry(text.encode()) for text in case["before"])
        entries = EntrySet(audience=case["audience"], now=case["now"], before=before)
        found = [entries.take(one.encode()) for one in case["input"]]
        assert [encode(one.entry).decode() for one in found] == case["input"]
        return [len(one.devices) for one in found]

    judge(case, opened)


@together(cases("vouches"))
def test_vouches(case: dict[str, Any]) -> None:
    said = case["opening"]
    salts = {name: unb64(said[name]) for name in ("name_salt", "identity_salt")}
    opening = msgspec.convert({**said, **salts}, VouchOpening)

    def opened() -> str:
        statement = check_vouch(msgspec.convert(case["entry"], KeyEntry), opening, audience=case["audience"])
        assert statement.label == case["entry"]["label"]
        return opening.name

    judge(case, opened)


@together(cases("attestations"))
def test_attestations(case: dict[str, Any]) -> None:
    head, key = case["head"], VerifyKey.parse(case["key"])
    judge(
        case,
        lambda: open_attestation(case["input"], key, head_of(head), head_hash(head), now=case["now"]).held_at,
    )


@together(cases("quorums"))
def test_quorums(case: dict[str, Any]) -> None:
    def counted() -> list[str]:
        head = head_of(case["head"])
        quorum = quorum_of(head.origin, case["members"], case["named"])
        if quorum is None:
            return []
        known = {one: VerifyKey.parse(text) for one, text in case["keys"].items()}
        statements = case["statements"]
        return list(check_quorum(quorum, known, statements, head, head_hash(case["head"]), now=case["now"]))

    judge(case, counted)


@together(cases("proofs"))
def test_proofs(case: dict[str, Any]) -> None:
    documents = {one.entity: one for one in map(open_document, case["documents"])}
    circle = Circle(audience=case["audience"], members=tuple(case["members"]), documents=documents)

    def proven() -> str:
        proof = parse_proof(case["input"].encode())
        found = verify_proof(proof, circle, origin=case["origin"], now=case["now"])
        assert found.head.witnessed
        offline = msgspec.structs.replace(circle, documents=enclosed_documents(proof.head))
        assert verify_proof(proof, offline, origin=case["origin"], now=case["now"]) == found
        return found.opened.entry.label

    judge(case, proven)


@together(cases("erasures"))
def test_erasures(case: dict[str, Any]) -> None:
    names = {"origin": case["origin"], "mirror": case["mirror"], "now": case["now"]}
    judge(
        case,
        lambda: len(
            open_receipts(
                case["input"].encode(),
                open_request(case["request"].encode()),
                VerifyKey.parse(case["key"]),
                **names,
            )
        ),
    )


@together(cases("directory-tokens"))
def test_directory_tokens(case: dict[str, Any]) -> None:
    def checked() -> int:
        asked = decode(case["input"].encode(), AskDirectoryPage, what="question")
        check_token(asked, VerifyKey.parse(case["key"]), now=case["now"])
        return asked.page

    judge(case, checked)


def test_everybody_of_an_organization_gets_the_same_token_all_day() -> None:
    made = {
        make_token(keys.AUDIENCE, keys.key("aurora attest"), issuer=keys.AURORA, now=directorytokens.MIDNIGHT + second)
        for second in (0, 1, 86_399)
    }
    assert made == {directorytokens.token()}
