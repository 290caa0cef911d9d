"""docs/protocol/56-evidence.md and this program agree: what proves a contradiction, and what proves nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.encoding import encode
from protocol.errors import LimitError, MalformedError, MeshError, UnverifiedError
from protocol.evidence import (
    EvidenceFormError,
    NoContradictionError,
    Signed,
    make_bundle,
    open_bundle,
    signed_checkpoint,
    signed_head,
)
from protocol.peers import log_key, open_document
from protocol.tlog.checkpoint import parse_checkpoint
from tests.vectors.generate import evidence as made

VECTORS = Path(__file__).parents[1] / "vectors" / "evidence" / "bundles.json"
KINDS: dict[str, type[MeshError]] = {
    "malformed": MalformedError,
    "unverified": UnverifiedError,
    "limit": LimitError,
}
Case = dict[str, Any]


def cases(*, refused: bool) -> list[Any]:
    found = json.loads(VECTORS.read_bytes())["cases"]
    return [pytest.param(case, id=case["name"]) for case in found if ("error" in case) is refused]


@pytest.mark.parametrize("case", cases(refused=False))
def test_a_contradiction_is_found_in_a_bundle_alone(case: Case) -> None:
    opened = open_bundle(case["input"].encode())
    found = {"kind": opened.bundle.kind, "accused": opened.bundle.accused, "hash": opened.hash}
    assert found == case["result"]
    assert [key.text for key in opened.keys] == [opened.documents[0].keys.federation]


@pytest.mark.parametrize("case", cases(refused=True))
def test_whatever_proves_nothing_is_refused_by_its_rule(case: Case) -> None:
    with pytest.raises(KINDS[case["error"]]) as refused:
        open_bundle(case["input"].encode())
    assert refused.value.code == case["rule"]


@pytest.mark.parametrize("case", cases(refused=False))
def test_a_bundle_is_made_in_the_order_in_which_it_may_stand(case: Case) -> None:
    bundle = open_bundle(case["input"].encode()).bundle
    places = [_place(bundle.kind, each.text) for each in (bundle.first, bundle.second)]
    one, other = (
        Signed(document=each.document, text=each.text, place=place)
        for each, place in zip((bundle.first, bundle.second), places, strict=True)
    )
    for pair in ((one, other), (other, one)):
        assert make_bundle(bundle.kind, bundle.accused, *pair, gap=bundle.gap) == case["input"].encode()


def _place(kind: str, text: str) -> tuple[int, bytes] | tuple[int]:
    if kind == "two-checkpoints":
        checkpoint = parse_checkpoint(text.encode()).checkpoint
        return checkpoint.size, checkpoint.root
    return (8,) if '"seq":8' in text or text == made.set_head(8) else (_seq(text),)


def _seq(text: str) -> int:
    if text.startswith("c2sp.org"):
        return 7
    found = json.loads(made._payload(text))["seq"]
    assert isinstance(found, int)
    return found


def test_only_the_line_of_the_log_goes_into_a_bundle() -> None:
    key = log_key(open_document(made.DOCUMENT))
    alone = made.tree(300)
    both = alone + made.LATER_LOG.signs("something else")
    assert signed_checkpoint(parse_checkpoint(both.encode()), key, made.DOCUMENT).text == alone


def test_what_contradicts_nothing_is_not_made_into_a_bundle() -> None:
    heads = [signed_head(made.set_head(seq), seq, made.DOCUMENT) for seq in (7, 9)]
    with pytest.raises(NoContradictionError):
        make_bundle("two-heads", made.ENTITY, *heads)


@pytest.mark.slow
@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_changed_byte_never_accuses_anybody_else(place: int, value: int) -> None:
    good = encode(made.bundle("two-checkpoints", *made.same_size()))
    at = place % len(good)
    changed = good[:at] + bytes([value]) + good[at + 1 :]
    if changed != good:
        with pytest.raises(MeshError):
            open_bundle(changed)


@given(st.binary(max_size=200))
def test_any_other_bytes_are_no_bundle(data: bytes) -> None:
    with pytest.raises(EvidenceFormError):
        open_bundle(data)
