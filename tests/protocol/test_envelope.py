"""Session envelopes: a header that relays read, a ciphertext that they do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.encoding import b64
from protocol.envelope import MAX_CIPHERTEXT_BYTES, Envelope, EnvelopeHeader, parse_envelope, render_envelope
from protocol.errors import MalformedError
from protocol.ids import message_id
from protocol.messages import MAX_ITEM_BYTES

from .e2ee.damage import cut, flipped

COUNTS = st.integers(1, 2**31)
IDS = st.builds(message_id, st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
HEADERS = st.builds(
    EnvelopeHeader,
    mid=IDS,
    id=IDS,
    thread=st.binary(min_size=16, max_size=16).map(b64),
    side=st.sampled_from(["consumer", "provider"]),
    kind=st.sampled_from(["welcome", "message", "commit", "close"]),
    epoch=st.integers(0, 2**31),
    seq=COUNTS,
    number=st.none() | COUNTS,
)
HEADER = EnvelopeHeader(
    mid=message_id(2, bytes(10)),
    id=message_id(1, bytes(10)),
    thread="A" * 22,
    side="consumer",
    kind="message",
    epoch=1,
    seq=1,
    number=2**31,
)


@pytest.mark.slow
@given(HEADERS, st.binary(max_size=100))
def test_an_envelope_is_parsed_as_it_was_rendered(header: EnvelopeHeader, ciphertext: bytes) -> None:
    envelope = Envelope(header=header, ciphertext=ciphertext)
    item = render_envelope(envelope)
    assert parse_envelope(item) == envelope
    assert render_envelope(parse_envelope(item)) == item


def test_an_envelope_changed_in_any_byte_is_refused_or_another_one() -> None:
    item = render_envelope(Envelope(header=HEADER, ciphertext=b"ciphertext"))
    for wrong in flipped(item):
        try:
            found = parse_envelope(wrong)
        except MalformedError:
            continue
        assert render_envelope(found) == wrong


def test_an_envelope_cut_anywhere_is_refused() -> None:
    for wrong in cut(render_envelope(Envelope(header=HEADER, ciphertext=b"ciphertext"))):
        with pytest.raises(MalformedError):
            parse_envelope(wrong)


def test_the_largest_envelope_fits_an_item_of_a_batch() -> None:
    item = render_envelope(Envelope(header=HEADER, ciphertext=bytes(MAX_CIPHERTEXT_BYTES)))
    assert len(item) <= MAX_ITEM_BYTES
    assert len(parse_envelope(item).ciphertext) == MAX_CIPHERTEXT_BYTES


def test_a_larger_ciphertext_is_refused() -> None:
    item = render_envelope(Envelope(header=HEADER, ciphertext=bytes(MAX_CIPHERTEXT_BYTES + 1)))
    with pytest.raises(MalformedError, match="more than 81920 bytes"):
        parse_envelope(item)


@pytest.mark.parametrize("item", [b"", b"\1", b"\3"])
def test_another_kind_of_item_is_refused(item: bytes) -> None:
    with pytest.raises(MalformedError, match="not a session envelope"):
        parse_envelope(item)
