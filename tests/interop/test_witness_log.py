"""witness-log follows a log of ours as C2SP tlog-witness says, and notices what we would; we follow one of its logs."""

from typing import Any

import pytest

from protocol.signing import SigningKey
from protocol.tlog.checkpoint import Checkpoint, SignedCheckpoint, sign_checkpoint
from protocol.tlog.cosignature import open_cosignature
from protocol.tlog.merkle import Tree, leaf_hash
from protocol.tlog.note import LogKey, WitnessKey, parse_vkey
from protocol.tlog.subtrees import consistency_proof
from protocol.tlog.witness import (
    SIZE_CONTENT_TYPE,
    AddCheckpoint,
    advance,
    parse_answer,
    parse_request,
    parse_size,
    render_request,
)

from .counterpart import ask

SCRIPT = "witness_counterpart.py"
ORIGIN = "aurora.example/log"
NOW = 1_767_000_000
LEAVES = [leaf_hash(b"entry %d" % number) for number in range(1000)]
FORK = [*LEAVES[:299], leaf_hash(b"another story"), *LEAVES[300:]]
LOG = SigningKey(bytes(32))
LOG_KEY = LogKey(name=ORIGIN, key=LOG.public)

pytestmark = pytest.mark.slow


def checkpoint(leaves: list[bytes], key: SigningKey = LOG) -> SignedCheckpoint:
    return sign_checkpoint(Checkpoint(origin=ORIGIN, size=len(leaves), root=Tree(leaves).root), key)


def request(old: int, leaves: list[bytes], key: SigningKey = LOG) -> str:
    tree = Tree(leaves)
    proof = consistency_proof(lambda node: tree.subtree(node.level, node.index), old_size=old, new_size=len(leaves))
    asked = AddCheckpoint(old_size=old, proof=proof, checkpoint=checkpoint(leaves, key))
    return render_request(asked).decode()


def answers(*requests: str) -> tuple[WitnessKey, list[list[Any]]]:
    """Return the key of a new witness, and its answer to each request: status, content type, body."""
    asked = {
        "do": "witness",
        "name": "birch.example/witness",
        "seed": "11" * 32,
        "origin": ORIGIN,
        "vkey": LOG_KEY.vkey,
        "now": NOW,
        "requests": requests,
    }
    found: Any = ask(SCRIPT, asked)
    key = parse_vkey(found["vkey"])
    assert isinstance(key, WitnessKey)
    return key, found["answers"]


def test_a_foreign_witness_cosigns_our_log_as_it_grows() -> None:
    sizes = (1, 256, 300, 300, 999)
    key, found = answers(*(request(old, LEAVES[:new]) for old, new in zip((0, *sizes), sizes, strict=False)))
    assert [answer[0] for answer in found] == [200] * len(sizes)
    for size, answer in zip(sizes, found, strict=True):
        (line,) = parse_answer(answer[2].encode())
        assert open_cosignature(line, checkpoint(LEAVES[:size]).checkpoint, key, now=NOW).at == NOW


def test_a_foreign_witness_tells_the_size_it_holds() -> None:
    _, found = answers(request(0, LEAVES[:300]), request(0, LEAVES[:999]))
    status, content_type, body = found[1]
    assert (status, parse_size(body.encode()), content_type) == (409, 300, SIZE_CONTENT_TYPE)


def test_a_foreign_witness_refuses_a_fork_of_our_log() -> None:
    _, found = answers(request(0, LEAVES[:300]), request(300, FORK), request(300, FORK[:300]))
    assert [answer[0] for answer in found] == [200, 422, 422]


def test_a_foreign_witness_refuses_a_checkpoint_that_we_did_not_sign() -> None:
    _, found = answers(request(0, LEAVES[:300], SigningKey(b"\1" * 32)))
    assert found[0][0] == 403


def test_we_follow_a_foreign_log_as_it_grows() -> None:
    sizes = [1, 7, 8, 8, 21, 300]
    found: Any = ask(SCRIPT, {"do": "log", "seed": "22" * 32, "sizes": sizes})
    key, held = parse_vkey(found["vkey"]), None
    assert isinstance(key, LogKey)
    for size, body in zip(sizes, found["requests"], strict=True):
        request = parse_request(body.encode())
        assert render_request(request) == body.encode()
        held = advance(held, request, [key]).checkpoint
        assert held.size == size
