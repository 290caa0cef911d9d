"""A witness follows one log, whatever it is asked and in whatever order, and its messages are read as written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.encoding import MAX_SAFE_INTEGER
from protocol.errors import MeshError, MissingError, UnavailableError, UnverifiedError
from protocol.signing import SigningKey
from protocol.tlog.checkpoint import Checkpoint, CheckpointNote, parse_checkpoint, sign_checkpoint
from protocol.tlog.cosignature import cosign, open_cosignature
from protocol.tlog.merkle import Tree, leaf_hash
from protocol.tlog.note import (
    MAX_NOTE_BYTES,
    LogKey,
    Note,
    NoteBytesError,
    SignatureLine,
    WitnessKey,
    render_note,
    render_signatures,
)
from protocol.tlog.subtrees import consistency_proof
from protocol.tlog.witness import (
    MAX_REQUEST_BYTES,
    AddCheckpoint,
    SizeConflictError,
    WitnessLimitError,
    advance,
    parse_answer,
    parse_request,
    render_request,
    status,
)
from tests.vectors.c2sp import LEAVES, LOG, ORIGIN

KEY = SigningKey(bytes(LOG.key))
OTHER_LEAVES = [*LEAVES[:40], *[leaf_hash(b"%d" % number) for number in range(60)]]
HISTORIES = (LEAVES, OTHER_LEAVES)
NOW = 1_767_000_000


def checkpoint(leaves: list[bytes]) -> Checkpoint:
    return Checkpoint(origin=ORIGIN, size=len(leaves), root=Tree(leaves).root)


def asking(old: int, leaves: list[bytes]) -> AddCheckpoint:
    tree = Tree(leaves)
    proof = consistency_proof(lambda node: tree.subtree(node.level, node.index), old_size=old, new_size=len(leaves))
    return AddCheckpoint(old_size=old, proof=proof, checkpoint=sign_checkpoint(checkpoint(leaves), KEY))


def keys() -> list[LogKey]:
    return [LogKey(name=ORIGIN, key=KEY.public)]


@pytest.mark.slow
@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.booleans()), max_size=12))
def test_what_a_witness_holds_only_ever_grows_along_one_history(asked: list[tuple[int, int, bool]]) -> None:
    held: Checkpoint | None = None
    possible = {0, 1}
    for one, two, forked in asked:
        old, new = sorted((one, two))
        request = asking(old, HISTORIES[forked][:new])
        try:
            now_held = advance(held, request, keys()).checkpoint
        except MeshError:
            continue
        assert request.old_size == (held.size if held else 0)
        assert held is None or now_held.size >= held.size
        known = {number for number, leaves in enumerate(HISTORIES) if now_held == checkpoint(leaves[: now_held.size])}
        assert known & possible
        possible = known
        held = now_held


def test_a_log_that_asks_from_the_wrong_size_is_told_the_right_one() -> None:
    with pytest.raises(SizeConflictError) as refusal:
        advance(checkpoint(LEAVES[:50]), asking(40, LEAVES[:60]), keys())
    assert refusal.value.size == 50


def test_a_fork_is_refused_even_when_its_own_history_is_consistent() -> None:
    with pytest.raises(UnverifiedError):
        advance(checkpoint(LEAVES[:50]), asking(50, OTHER_LEAVES[:60]), keys())
    assert advance(checkpoint(LEAVES[:40]), asking(40, OTHER_LEAVES[:60]), keys()).checkpoint.size == 60


@given(st.integers(0, 100), st.integers(0, 100))
def test_a_request_is_read_as_written(one: int, two: int) -> None:
    old, new = sorted((one, two))
    request = asking(old, LEAVES[:new])
    found = parse_request(render_request(request))
    assert (found.old_size, found.proof) == (request.old_size, request.proof)
    assert found.checkpoint == CheckpointNote(checkpoint=request.checkpoint.checkpoint, note=request.checkpoint.note)


def test_the_answer_to_a_request_verifies() -> None:
    signed = sign_checkpoint(checkpoint(LEAVES), KEY)
    witness = SigningKey(b"\2" * 32)
    body = render_signatures([cosign(signed, name="birch.example/w", key=witness, now=NOW)]).encode()
    (line,) = parse_answer(body)
    key = WitnessKey(name="birch.example/w", key=witness.public)
    assert open_cosignature(line, signed.checkpoint, key, now=NOW).at == NOW


def test_a_request_or_answer_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(WitnessLimitError):
        parse_request(b"\xff" * (MAX_REQUEST_BYTES + 1))
    with pytest.raises(WitnessLimitError):
        parse_answer(b"\xff" * (128 * 1024 + 1))


def test_the_longest_request_fits_to_the_byte() -> None:
    # One signature line that fills a note up to its bound, after the longest old size and the longest proof.
    size = MAX_SAFE_INTEGER
    text = Checkpoint(origin=ORIGIN, size=size, root=LEAVES[0]).text
    left = MAX_NOTE_BYTES - len(f"{text}\n— abc \n".encode())
    name = "abc" + "d" * (left % 4)
    line = SignatureLine(name=name, key_id=bytes(4), signature=bytes(left // 4 * 3 - 4))
    note = CheckpointNote(
        checkpoint=Checkpoint(origin=ORIGIN, size=size, root=LEAVES[0]), note=Note(text=text, signatures=(line,))
    )
    request = AddCheckpoint(old_size=size, proof=(LEAVES[0],) * 63, checkpoint=note)
    body = render_request(request)
    assert len(body) == MAX_REQUEST_BYTES
    assert parse_request(body) == request


def test_what_is_not_the_fault_of_the_log_says_so() -> None:
    assert status(UnavailableError("disk is away")) == 500
    assert status(MissingError("no such log")) == 404


def test_bytes_that_are_no_text_are_refused() -> None:
    note = render_note(sign_checkpoint(checkpoint(LEAVES), KEY).note)
    assert parse_checkpoint(note).checkpoint == checkpoint(LEAVES)
    with pytest.raises(NoteBytesError):
        parse_request(b"old \xff\n\n" + note)
    with pytest.raises(NoteBytesError):
        parse_answer(b"\xff\n")
