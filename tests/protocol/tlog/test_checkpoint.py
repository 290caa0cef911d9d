"""Checkpoints and cosignatures: what is signed opens again, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.encoding import MAX_SAFE_INTEGER
from protocol.errors import MeshError
from protocol.signing import SigningKey
from protocol.tlog.checkpoint import (
    Checkpoint,
    OtherOriginError,
    SignedCheckpoint,
    open_checkpoint,
    parse_checkpoint,
    parse_text,
    sign_checkpoint,
)
from protocol.tlog.cosignature import (
    MAX_TIME,
    SKEW_S,
    CosignatureError,
    Cosigned,
    FutureError,
    cosign,
    cosigners,
    open_cosignature,
)
from protocol.tlog.lines import NumberError
from protocol.tlog.note import BadSignatureError, LogKey, SignatureLine, WitnessKey, render_note, with_signatures

ORIGIN = "aurora.example/log"
NOW = 1_767_000_000
LOG, WITNESS = SigningKey(bytes(32)), SigningKey(b"\1" * 32)
LOG_KEY = LogKey(name=ORIGIN, key=LOG.public)
WITNESS_KEY = WitnessKey(name="birch.example/w", key=WITNESS.public)
CHECKPOINT = Checkpoint(origin=ORIGIN, size=5, root=bytes(range(32)))


@pytest.fixture
def signed() -> SignedCheckpoint:
    return sign_checkpoint(CHECKPOINT, LOG)


@given(st.integers(1, MAX_SAFE_INTEGER), st.binary(min_size=32, max_size=32))
def test_a_signed_checkpoint_opens_as_what_it_was(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(origin=ORIGIN, size=size, root=root)
    data = render_note(sign_checkpoint(checkpoint, LOG).note)
    assert open_checkpoint(parse_checkpoint(data), [LOG_KEY]).checkpoint == checkpoint


@pytest.mark.slow
@given(st.data())
def test_a_text_that_is_read_is_written_the_same(data: st.DataObject) -> None:
    text = list(CHECKPOINT.text)
    for _ in range(data.draw(st.integers(1, 3))):
        text.insert(data.draw(st.integers(0, len(text))), data.draw(st.sampled_from("0159٣ +-_=\n\r\tA/")))
        del text[data.draw(st.integers(0, len(text) - 1))]
    said = "".join(text)
    try:
        found = parse_text(said)
    except MeshError:
        return
    assert found.text == said


@pytest.mark.parametrize(
    ("checkpoint", "error"),
    [
        (Checkpoint(origin=ORIGIN, size=MAX_SAFE_INTEGER + 1, root=bytes(32)), NumberError),
        (Checkpoint(origin=ORIGIN, size=-1, root=bytes(32)), NumberError),
        (Checkpoint(origin=ORIGIN, size=1, root=bytes(31)), MeshError),
        (Checkpoint(origin="two\nlines", size=1, root=bytes(32)), MeshError),
    ],
)
def test_a_log_cannot_sign_what_nobody_could_read(checkpoint: Checkpoint, error: type[MeshError]) -> None:
    with pytest.raises(error):
        sign_checkpoint(checkpoint, LOG)


def test_one_key_of_another_log_among_the_keys_is_refused(signed: SignedCheckpoint) -> None:
    other = LogKey(name="birch.example/log", key=LOG.public)
    with pytest.raises(OtherOriginError):
        open_checkpoint(signed, [LOG_KEY, other])


def test_a_cosignature_joins_the_checkpoint_and_tells_its_time(signed: SignedCheckpoint) -> None:
    line = cosign(signed, name=WITNESS_KEY.name, key=WITNESS, now=NOW)
    data = render_note(with_signatures(signed.note, [line]))
    opened = open_checkpoint(parse_checkpoint(data), [LOG_KEY])
    assert cosigners(opened, [WITNESS_KEY], now=NOW) == (Cosigned(witness=WITNESS_KEY, at=NOW),)


def test_a_cosignature_of_another_witness_is_refused_before_it_is_verified(signed: SignedCheckpoint) -> None:
    line = cosign(signed, name="cobalt.example/w", key=WITNESS, now=NOW)
    with pytest.raises(BadSignatureError, match="another witness"):
        open_cosignature(line, CHECKPOINT, WITNESS_KEY, now=NOW)


@pytest.mark.parametrize(("ahead", "refused"), [(SKEW_S, False), (SKEW_S + 1, True)])
def test_a_cosignature_from_the_future_is_refused(signed: SignedCheckpoint, ahead: int, refused: bool) -> None:
    line = cosign(signed, name=WITNESS_KEY.name, key=WITNESS, now=NOW + ahead)
    if refused:
        with pytest.raises(FutureError):
            open_cosignature(line, CHECKPOINT, WITNESS_KEY, now=NOW)
    else:
        assert open_cosignature(line, CHECKPOINT, WITNESS_KEY, now=NOW).at == NOW + ahead


def test_the_largest_time_can_be_signed_and_the_next_cannot(signed: SignedCheckpoint) -> None:
    line = cosign(signed, name=WITNESS_KEY.name, key=WITNESS, now=MAX_TIME)
    assert open_cosignature(line, CHECKPOINT, WITNESS_KEY, now=MAX_TIME).at == MAX_TIME
    for now in (0, -1, MAX_TIME + 1):
        with pytest.raises(ValueError, match="needs a time"):
            cosign(signed, name=WITNESS_KEY.name, key=WITNESS, now=now)


@pytest.mark.parametrize("length", [0, 7, 8, 71, 73])
def test_a_cosignature_of_another_length_is_malformed(length: int) -> None:
    line = SignatureLine(name=WITNESS_KEY.name, key_id=WITNESS_KEY.key_id, signature=b"\1" * length)
    with pytest.raises(CosignatureError):
        open_cosignature(line, CHECKPOINT, WITNESS_KEY, now=NOW)
