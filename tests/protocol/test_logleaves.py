"""docs/protocol/55-node-log.md and this program agree: leaves, heads, agreements, successors."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.encoding import b64, label, sha256, unb64
from protocol.errors import MalformedError, MeshError, UnverifiedError
from protocol.heads import chain_id
from protocol.logleaves import (
    AgreementsLeaf,
    HeadWatch,
    NodeKeyLeaf,
    RepeatedHeadError,
    SetHeadLeaf,
    SuccessorLeaf,
    agreement_commitment,
    agreements_leaf,
    is_log_of,
    log_origin,
    parse_leaf,
    period_root,
    period_size,
    render_leaf,
    successor_leaf,
    verify_successor,
)
from protocol.signing import SigningKey, VerifyKey
from protocol.tlog.checkpoint import Checkpoint

VECTORS = Path(__file__).parents[1] / "vectors" / "log"
KINDS: dict[str, type[MeshError]] = {"malformed": MalformedError, "unverified": UnverifiedError}
Case = dict[str, Any]
AURORA = "https://aurora.example"


def cases(name: str, *, refused: bool) -> list[Any]:
    found = json.loads((VECTORS / name).read_bytes())["cases"]
    return [pytest.param(case, id=case["name"]) for case in found if ("error" in case) is refused]


@pytest.mark.parametrize("case", cases("leaves.json", refused=False))
def test_a_leaf_is_read_and_written_as_it_stands(case: Case) -> None:
    leaf = parse_leaf(case["input"].encode())
    assert render_leaf(leaf) == case["input"].encode()
    assert json.loads(render_leaf(leaf))["type"] == case["result"]


@pytest.mark.parametrize("case", cases("leaves.json", refused=True))
def test_any_other_entry_is_no_leaf(case: Case) -> None:
    with pytest.raises(KINDS[case["error"]]):
        parse_leaf(case["input"].encode())


@given(st.binary(max_size=200))
def test_whatever_is_read_as_a_leaf_is_written_as_the_same_bytes(data: bytes) -> None:
    try:
        leaf = parse_leaf(data)
    except MalformedError:
        return
    assert render_leaf(leaf) == data


@pytest.mark.parametrize("case", cases("heads.json", refused=False))
def test_a_head_has_one_leaf(case: Case) -> None:
    leaf = SetHeadLeaf(
        chain=b64(chain_id(case["origin"], case["audience"], case["kind"])),
        seq=case["seq"],
        commitment=b64(sha256(label("head-leaf"), case["input"].encode())),
    )
    assert render_leaf(leaf).decode() == case["result"]


@pytest.mark.parametrize("case", cases("heads.json", refused=True))
def test_two_heads_under_one_number_are_noticed(case: Case) -> None:
    watch = HeadWatch()
    *earlier, last = [parse_leaf(text.encode()) for text in case["leaves"]]
    for leaf in earlier:
        watch.see(leaf)
    with pytest.raises(RepeatedHeadError):
        watch.see(last)


def test_other_leaves_may_stand_in_a_log_twice() -> None:
    watch = HeadWatch()
    leaf = NodeKeyLeaf(role="http", key=b64(bytes(32)))
    watch.see(leaf)
    watch.see(leaf)


def commitments(case: Case) -> tuple[bytes, ...]:
    real = [
        agreement_commitment(bytes.fromhex(each["hash"]), bytes.fromhex(each["salt"])) for each in case["agreements"]
    ]
    return (*real, *(bytes.fromhex(each) for each in case["random"]))


@pytest.mark.parametrize("case", cases("agreements.json", refused=False))
def test_a_period_has_one_leaf(case: Case) -> None:
    leaf = agreements_leaf(commitments(case), until=1_767_000_000)
    assert render_leaf(leaf).decode() == case["input"]


@pytest.mark.parametrize("case", cases("agreements.json", refused=True))
def test_a_period_made_of_something_else_has_another_root(case: Case) -> None:
    leaf = parse_leaf(case["input"].encode())
    assert isinstance(leaf, AgreementsLeaf)
    assert unb64(leaf.root) != period_root(commitments(case))


def test_every_period_is_filled_up() -> None:
    assert [period_size(count) for count in (0, 1, 16, 17, 33)] == [16, 16, 16, 32, 64]
    with pytest.raises(ValueError, match="filled up"):
        agreements_leaf(tuple(bytes([at]) * 32 for at in range(15)), until=1)
    with pytest.raises(ValueError, match="filled up"):
        agreements_leaf((b"short",) * 16, until=1)


@pytest.mark.parametrize("case", cases("successors.json", refused=False))
def test_a_successor_shows_what_it_goes_on_for(case: Case) -> None:
    leaf = parse_leaf(case["input"].encode())
    assert isinstance(leaf, SuccessorLeaf)
    found = verify_successor(leaf, case["origin"], VerifyKey(bytes.fromhex(case["key"])))
    assert {"origin": found.origin, "size": found.size} == case["result"]


@pytest.mark.parametrize("case", cases("successors.json", refused=True))
def test_a_successor_that_the_older_log_did_not_name_is_refused(case: Case) -> None:
    leaf = parse_leaf(case["input"].encode())
    assert isinstance(leaf, SuccessorLeaf)
    with pytest.raises(UnverifiedError):
        verify_successor(leaf, case["origin"], VerifyKey(bytes.fromhex(case["key"])))


def test_a_successor_is_signed_exactly_when_the_key_is_there() -> None:
    key, older = SigningKey(bytes(32)), Checkpoint(origin=log_origin(AURORA, 1), size=3, root=bytes(32))
    signed = successor_leaf(log_origin(AURORA, 2), older, key)
    assert verify_successor(signed, log_origin(AURORA, 2), key.public) == older
    assert successor_leaf(log_origin(AURORA, 2), older, None).signature is None


@pytest.mark.parametrize("origin", ["aurora.example/log", "aurora.example/log/2", "aurora.example/log/17"])
def test_the_first_log_and_its_successors_are_a_nodes_own(origin: str) -> None:
    assert is_log_of(AURORA, origin)


@pytest.mark.parametrize(
    "origin",
    ["birch.example/log", "aurora.example/log/", "aurora.example/log/1", "aurora.example/log/02", "aurora.example/log2",
     "aurora.example/log/x", "aurora.example/log/2/3", "aurora.example/log/-2", "aurora.example/log/²"],
)  # fmt: skip
def test_no_other_log_is(origin: str) -> None:
    assert not is_log_of(AURORA, origin)
