"""docs/protocol/11-offers.md, 12-set-heads.md and this program agree on their vectors."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from protocol.encoding import b64, decode, encode
from protocol.errors import LimitError, MalformedError, MeshError, UnverifiedError
from protocol.heads import (
    Held,
    SetHead,
    chain_id,
    check_fresh,
    follow,
    head_hash,
    open_answer,
    open_head,
    open_nudge,
)
from protocol.offerproof import parse_proof, verify_proof
from protocol.offers import Offer, OrgProfile, open_offer
from protocol.pages import decode_page, open_pages
from protocol.signing import VerifyKey
from protocol.tlog.merkle import Tree, leaf_hash, root_hash, verify_inclusion
from tests.together import together
from tests.vectors.generate import heads, offers

VECTORS = Path(__file__).parents[1] / "vectors"
TOPICS = ("heads", "merkle", "offers")
FILES = sorted(path.relative_to(VECTORS).as_posix() for topic in TOPICS for path in (VECTORS / topic).glob("*.json"))
KINDS: dict[str, type[MeshError]] = {
    "malformed": MalformedError,
    "unverified": UnverifiedError,
    "limit": LimitError,
}


def load(name: str) -> list[Any]:
    found: list[Any] = json.loads((VECTORS / name).read_bytes())["cases"]
    return found


def cases(name: str, *, refused: bool) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in load(name) if ("error" in case) is refused]


def plain(value: object) -> object:
    return msgspec.to_builtins(value)


@pytest.mark.parametrize("name", FILES)
def test_at_least_as_many_cases_are_refused_as_accepted(name: str) -> None:
    found = load(name)
    assert sum("error" in case for case in found) * 2 >= len(found)
    assert len({case["name"] for case in found}) == len(found)


@together(cases("merkle/inclusion.json", refused=False))
def test_a_leaf_is_in_its_tree(case: dict[str, Any]) -> None:
    leaves = [leaf_hash(bytes.fromhex(entry)) for entry in case["entries"]]
    assert root_hash(leaves).hex() == case["root"]
    assert [each.hex() for each in Tree(leaves).inclusion_proof(case["index"])] == case["proof"]
    _check_inclusion(case)


@together(cases("merkle/inclusion.json", refused=True))
def test_any_other_path_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(UnverifiedError):
        _check_inclusion(case)


def _check_inclusion(case: dict[str, Any]) -> None:
    verify_inclusion(
        bytes.fromhex(case["root"]),
        leaf=leaf_hash(bytes.fromhex(case["leaf"])),
        index=case["index"],
        size=case["size"],
        proof=[bytes.fromhex(each) for each in case["proof"]],
    )


@together(cases("offers/offers.json", refused=False))
def test_an_offer_in_its_only_form_is_read(case: dict[str, Any]) -> None:
    offer = open_offer(case["input"].encode())
    assert _with_defaults(offer) == case["result"]
    assert encode(offer).decode() == case["input"]


def _with_defaults(value: Offer | OrgProfile) -> dict[str, object]:
    found: dict[str, Any] = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Offer):
        found["topic"] = {"id": value.topic.id, "kind": value.topic.kind, "level": value.topic.level}
    return {name: list(each) if isinstance(each, tuple) else each for name, each in found.items()}


@together(cases("offers/offers.json", refused=True))
def test_any_other_offer_is_malformed(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        open_offer(case["input"].encode())


@together(cases("offers/profiles.json", refused=False))
def test_a_profile_in_its_only_form_is_read(case: dict[str, Any]) -> None:
    profile = _open_profile(case)
    assert _with_defaults(profile) == case["result"]
    assert encode(profile).decode() == case["input"]


@together(cases("offers/profiles.json", refused=True))
def test_any_other_profile_is_malformed(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        _open_profile(case)


def _open_profile(case: dict[str, Any]) -> OrgProfile:
    return decode(case["input"].encode(), OrgProfile)


@together(cases("offers/proofs.json", refused=False))
def test_a_proof_shows_its_offer(case: dict[str, Any]) -> None:
    proven = verify_proof(parse_proof(case["input"].encode()), VerifyKey.parse(case["key"]))
    assert encode(proven.offer).decode() == offers.canonical(case["result"])
    assert proven.head.origin == offers.ORIGIN


@together(cases("offers/proofs.json", refused=True))
def test_a_proof_with_a_broken_step_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(KINDS[case["error"]]):
        verify_proof(parse_proof(case["input"].encode()), VerifyKey.parse(case["key"]))


def _open_head(case: dict[str, Any]) -> SetHead:
    head = open_head(
        case["input"],
        VerifyKey.parse(case["key"]),
        origin=case["origin"],
        audience=case["audience"],
        kind=case["kind"],
    )
    check_fresh(head, now=case["now"])
    return head


@together(cases("heads/heads.json", refused=False))
def test_a_head_is_opened(case: dict[str, Any]) -> None:
    head = _open_head(case)
    assert head_hash(case["input"]) == case["result"]["head_hash"]
    assert chain_id(head.origin, head.audience, head.kind).hex() == case["result"]["chain"]


@together(cases("heads/heads.json", refused=True))
def test_any_other_head_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(KINDS[case["error"]]):
        _open_head(case)


def _follow(case: dict[str, Any]) -> str:
    came = case["next"]
    head = msgspec.convert(
        {**heads.HEAD, "not_after": came["issued_at"] + 60, **{n: came[n] for n in ("seq", "prev", "issued_at")}},
        SetHead,
    )
    held = msgspec.convert(case["held"], Held) if case["held"] else None
    return follow(head, came["head_hash"], held)


@together(cases("heads/chain.json", refused=False))
def test_a_head_continues_its_chain(case: dict[str, Any]) -> None:
    assert _follow(case) == case["result"]


@together(cases("heads/chain.json", refused=True))
def test_a_head_that_contradicts_its_chain_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(UnverifiedError) as refusal:
        _follow(case)
    assert refusal.value.code == case["code"]


@together(cases("heads/pages.json", refused=False))
def test_a_page_is_decoded(case: dict[str, Any]) -> None:
    page = decode_page(bytes.fromhex(case["input"]))
    entries = [{"body": one.body.decode(), "salt": b64(one.salt)} for one in page.entries]
    assert {"shard": page.shard, "page": page.number, "pages": page.of, "entries": entries} == case["result"]


@together(cases("heads/pages.json", refused=True))
def test_any_other_page_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(KINDS[case["error"]]):
        decode_page(bytes.fromhex(case["input"]))


@together(cases("heads/snapshots.json", refused=False))
def test_a_whole_snapshot_is_opened(case: dict[str, Any]) -> None:
    assert [entry.commitment.hex() for entry in _open_snapshot(case)] == case["result"]


@together(cases("heads/snapshots.json", refused=True))
def test_a_snapshot_that_is_not_the_signed_set_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(UnverifiedError) as refusal:
        _open_snapshot(case)
    assert refusal.value.code == "incomplete"


def _open_snapshot(case: dict[str, Any]) -> Any:  # noqa: ANN401 -- entries, of which only one field is looked at
    return open_pages(msgspec.convert(case["head"], SetHead), [decode_page(bytes.fromhex(p)) for p in case["pages"]])


@together(cases("heads/answers.json", refused=False))
def test_a_body_in_its_only_form_is_read(case: dict[str, Any]) -> None:
    opened = (open_answer if case["type"] == "answer" else open_nudge)(case["input"].encode())
    assert encode(opened).decode() == case["input"]


@together(cases("heads/answers.json", refused=True))
def test_any_other_body_is_malformed(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        (open_answer if case["type"] == "answer" else open_nudge)(case["input"].encode())
