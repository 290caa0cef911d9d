"""Policies and proofs: a quorum is what its groups say, and what is written is read back."""

from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import MeshError
from protocol.signing import SigningKey
from protocol.tlog.checkpoint import Checkpoint, sign_checkpoint
from protocol.tlog.cosignature import Cosigned
from protocol.tlog.merkle import Tree
from protocol.tlog.note import LogKey, WitnessKey
from protocol.tlog.policy import (
    Group,
    Line,
    Policy,
    PolicyLimitError,
    PolicyLog,
    PolicyWitness,
    Quorum,
    QuorumError,
    check_quorum,
    parse_policy,
    policy_text,
)
from protocol.tlog.proof import MAX_EXTRA_BYTES, LogProof, ProofLimitError, parse_log_proof, render_log_proof
from tests.vectors.c2sp import LEAVES, ORIGIN

KEYS = [SigningKey(bytes([number + 1]) * 32).public for number in range(8)]
WITNESSES = [PolicyWitness(name=f"w{n}", key=WitnessKey(name=f"w{n}.example", key=key)) for n, key in enumerate(KEYS)]
LOG = PolicyLog(key=LogKey(name=ORIGIN, key=SigningKey(bytes(32)).public))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Return a policy over eight witnesses whose groups gather what stands before them, as they must."""
    lines: list[Line] = [LOG, *WITNESSES]
    free = [witness.name for witness in WITNESSES]
    for number in range(draw(st.integers(0, 4))):
        members = draw(st.lists(st.sampled_from(free), min_size=1, max_size=4, unique=True))
        rule = draw(st.sampled_from(["any", "all", *map(str, range(1, len(members) + 1))]))
        lines.append(Group(name=f"g{number}", rule=rule, members=tuple(members)))
        free = [*(name for name in free if name not in members), f"g{number}"]
    lines.append(Quorum(name=draw(st.sampled_from([*free, "none"]))))
    return Policy(lines=tuple(lines))


def fulfilled(policy: Policy, name: str, by: set[str]) -> bool:
    """Say by the words of the specification, from the top down, whether `name` has witnessed."""
    groups = {group.name: group for group in policy.of(Group)}
    if name not in groups:
        return name in by or name == "none"
    group = groups[name]
    votes = sum(fulfilled(policy, member, by) for member in group.members)
    if group.rule.isdigit():
        return votes >= int(group.rule)
    return votes > 0 if group.rule == "any" else votes == len(group.members)


@pytest.mark.slow
@settings(max_examples=60)
@given(policies(), st.data())
def test_a_policy_says_the_same_in_its_canonical_form(policy: Policy, data: st.DataObject) -> None:
    text = list(policy_text(policy))
    for _ in range(data.draw(st.integers(1, 4))):
        text.insert(data.draw(st.integers(0, len(text))), data.draw(st.sampled_from(" \t\n#w0")))
    try:
        found = parse_policy("".join(text).encode())
    except MeshError:
        return
    assert parse_policy(policy_text(found).encode()) == found


@pytest.mark.parametrize(("kind", "most"), [("witness", 32), ("group", 32)])
def test_the_number_of_lines_of_a_kind_is_bounded(kind: str, most: int) -> None:
    def of(count: int) -> bytes:
        keys = [SigningKey(number.to_bytes(32, "big")).public for number in range(count)]
        witnesses = [PolicyWitness(name=f"w{n}", key=WitnessKey(name=f"w{n}", key=key)) for n, key in enumerate(keys)]
        groups = [Group(name=f"g{n}", rule="any", members=(f"g{n - 1}" if n else "w0",)) for n in range(count)]
        lines = witnesses if kind == "witness" else [witnesses[0], *groups]
        return policy_text(Policy(lines=(*lines, Quorum(name="w0")))).encode()

    rows = policy_text(parse_policy(of(most))).splitlines()
    assert sum(row.startswith(kind) for row in rows) == most
    with pytest.raises(PolicyLimitError):
        parse_policy(of(most + 1))


def test_the_size_of_a_policy_is_bounded() -> None:
    line = b"quorum none\n"
    fits = b"#" * (64 * 1024 - len(line) - 1) + b"\n" + line
    assert parse_policy(fits).quorum == "none"
    with pytest.raises(PolicyLimitError):
        parse_policy(b"#" + fits)


@given(st.integers(1, 300), st.data(), st.binary(max_size=50))
def test_a_proof_is_read_as_written(size: int, data: st.DataObject, extra: bytes) -> None:
    index = data.draw(st.integers(0, size - 1))
    tree = Tree(LEAVES[:size])
    signed = sign_checkpoint(Checkpoint(origin=ORIGIN, size=size, root=tree.root), SigningKey(bytes(32)))
    proof = LogProof(extra=extra, index=index, hashes=tree.inclusion_proof(index), checkpoint=signed)
    found = parse_log_proof(render_log_proof(proof))
    assert (found.extra, found.index, found.hashes) == (extra, index, proof.hashes)
    assert found.checkpoint.note == signed.note


def test_a_proof_of_63_hashes_can_be_read() -> None:
    signed = sign_checkpoint(Checkpoint(origin=ORIGIN, size=1, root=LEAVES[0]), SigningKey(bytes(32)))
    proof = LogProof(extra=bytes(MAX_EXTRA_BYTES), index=0, hashes=(LEAVES[0],) * 63, checkpoint=signed)
    found = parse_log_proof(render_log_proof(proof))
    assert (found.extra, found.hashes) == (proof.extra, proof.hashes)


def test_a_proof_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(ProofLimitError):
        parse_log_proof(b"\xff" * (160 * 1024 + 1))


def test_groups_can_stand_in_each_other_up_to_the_bound() -> None:
    def around(lines: tuple[Line, ...], number: int) -> tuple[Line, ...]:
        return (*lines, Group(name=f"g{number}", rule="all", members=(f"g{number - 1}" if number else "w0",)))

    first: tuple[Line, ...] = (WITNESSES[0],)
    lines = reduce(around, range(32), first)
    policy = parse_policy(policy_text(Policy(lines=(*lines, Quorum(name="g31")))).encode())
    check_quorum(policy, [Cosigned(witness=WITNESSES[0].key, at=1)])
    with pytest.raises(QuorumError):
        check_quorum(policy, [Cosigned(witness=WITNESSES[1].key, at=1)])
