"""Messages on the wire: one size, one spelling, nothing read before its signature and hash hold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol.bodies import BOX_CHARACTERS, AcceptedBody, CancelledBody, OfferedBody, RequestBody, SealedBrief, Wrapped
from protocol.encoding import b64, decode, encode, sha256
from protocol.errors import LimitError, MalformedError, UnverifiedError
from protocol.handshake import VERBS, Side, State
from protocol.messages import (
    BODIES,
    ITEM_BYTES,
    MAX_BATCH_ITEMS,
    MAX_ITEM_BYTES,
    CheckpointRef,
    Message,
    MessageHead,
    Outcome,
    Outcomes,
    Receipt,
    body_hash,
    join_batch,
    message_hash,
    open_message,
    open_receipt,
    parse_item,
    sign_message,
    sign_receipt,
    split_batch,
)

from .e2ee.damage import flipped
from .pairs import BODIES as SAMPLES
from .pairs import HASH, KEYS, NODES, NOW, SEALED, THREAD, Pair

C, P = Side.CONSUMER, Side.PROVIDER
OTHER = b64(sha256(b"another"))
MESSAGE = Pair().forge(P, "decline")
HASHES = st.binary(min_size=32, max_size=32).map(b64)
HEADS = st.builds(
    MessageHead,
    mid=st.just(MESSAGE.head.mid),
    aud=st.just(NODES[C]),
    thread=st.binary(min_size=16, max_size=16).map(b64),
    side=st.sampled_from(["consumer", "provider"]),
    seq=st.integers(1, 1000),
    prev=st.none() | HASHES,
    seen=st.none() | HASHES,
    deadline=st.integers(0, 253402300799),
    type=st.sampled_from(VERBS),
    body_hash=HASHES,
    checkpoint=st.none()
    | st.builds(
        CheckpointRef,
        origin=st.text("abc./", min_size=1, max_size=30),
        size=st.integers(0, 2**53 - 1),
        root=HASHES,
    ),
)


def opened(item: bytes, *, by: Side = P, audience: str = NODES[C]) -> Message:
    return open_message(parse_item(item), KEYS[by].public, audience=audience)


@pytest.mark.slow
@given(HEADS)
def test_every_head_survives_the_wire(head: MessageHead) -> None:
    assert decode(encode(head), MessageHead) == head


@given(HEADS)
@settings(max_examples=30)
def test_every_signed_message_opens_as_what_it_was(head: MessageHead) -> None:
    body = SAMPLES[head.type]
    message = sign_message(replace(head, body_hash=body_hash(body)), body, KEYS[P])
    assert len(message.item) == ITEM_BYTES
    assert opened(message.item) == message
    assert message.sender is Side(head.side)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_body_that_survives_the_wire(verb: str) -> None:
    kind = BODIES[verb]  # type: ignore[index] # one of the verbs
    assert isinstance(SAMPLES[verb], kind)  # type: ignore[index] # as above
    assert decode(encode(SAMPLES[verb]), kind) == SAMPLES[verb]  # type: ignore[index] # as above


def test_a_message_changed_in_any_byte_is_refused() -> None:
    used = len(MESSAGE.item.rstrip(b"\0"))
    for wrong in flipped(MESSAGE.item[:used]):
        with pytest.raises((MalformedError, UnverifiedError)):
            opened(wrong + MESSAGE.item[used:])
    for wrong in flipped(MESSAGE.item[used:], step=501):
        with pytest.raises(MalformedError, match="padding"):
            opened(MESSAGE.item[:used] + wrong)


@pytest.mark.parametrize("size", [0, 1, ITEM_BYTES - 1, ITEM_BYTES + 1])
def test_an_item_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(MalformedError, match="exactly 32768 bytes"):
        parse_item((MESSAGE.item + b"\0")[:size])


@pytest.mark.parametrize("at", [ITEM_BYTES - 4, ITEM_BYTES - 8, ITEM_BYTES - 9])
def test_a_head_that_leaves_no_room_for_a_body_is_refused(at: int) -> None:
    item = b"\1" + (at - 5).to_bytes(4, "big") + b"A" * (ITEM_BYTES - 5)
    with pytest.raises(MalformedError, match="runs past its end"):
        parse_item(item)


def test_a_head_and_a_body_may_fill_an_item_to_its_last_byte() -> None:
    head = replace(MESSAGE.head, type="accept")
    brief = SealedBrief(wrapped=(Wrapped(key=HASH, sealed="A" * 1558),), box="A" * BOX_CHARACTERS)
    room = ITEM_BYTES - len(sign_message(head, AcceptedBody(choice=SEALED, brief=brief), KEYS[P]).item.rstrip(b"\0"))
    body = AcceptedBody(choice=SEALED + "A" * room, brief=brief)
    full = sign_message(replace(head, body_hash=body_hash(body)), body, KEYS[P])
    assert not full.item.endswith(b"\0")
    assert opened(full.item).body == body
    with pytest.raises(MalformedError, match="1 bytes too long"):
        sign_message(head, replace(body, choice=body.choice + "A"), KEYS[P])


def test_a_message_for_another_node_or_by_another_key_is_refused() -> None:
    with pytest.raises(UnverifiedError) as caught:
        opened(MESSAGE.item, audience=NODES[P])
    assert caught.value.code == "wrong-audience"
    with pytest.raises(UnverifiedError):
        opened(MESSAGE.item, by=C)


def test_a_body_that_was_not_signed_is_refused_before_it_is_read() -> None:
    swapped = sign_message(MESSAGE.head, CancelledBody(reason="conflict"), KEYS[P])
    with pytest.raises(UnverifiedError) as caught:
        opened(swapped.item)
    assert caught.value.code == "body-mismatch"


def test_a_body_of_another_verb_is_refused() -> None:
    body = RequestBody(request=SEALED)
    message = sign_message(replace(MESSAGE.head, body_hash=body_hash(body)), body, KEYS[P])
    with pytest.raises(MalformedError, match=r"^decline body"):
        opened(message.item)


def test_a_body_is_read_as_what_it_is() -> None:
    assert MESSAGE.as_(type(SAMPLES["decline"])) == SAMPLES["decline"]
    with pytest.raises(TypeError, match="not OfferedBody"):
        MESSAGE.as_(OfferedBody)


def test_the_hash_of_a_message_covers_its_body() -> None:
    other = sign_message(
        replace(MESSAGE.head, body_hash=body_hash(CancelledBody(reason="conflict"))), MESSAGE.body, KEYS[P]
    )
    assert other.hash != MESSAGE.hash
    size = int.from_bytes(MESSAGE.item[1:5], "big")
    assert message_hash(MESSAGE.item[5 : 5 + size].decode()) == MESSAGE.hash == parse_item(MESSAGE.item).hash


RECEIPTS = st.builds(
    Receipt,
    mid=st.just(MESSAGE.head.mid),
    hash=HASHES,
    received_at=st.integers(0, 253402300799),
    state=st.sampled_from(State),
    deadline=st.none() | st.integers(0, 253402300799),
)


@given(RECEIPTS)
@settings(max_examples=40)
def test_a_receipt_is_opened_by_its_signer_alone(receipt: Receipt) -> None:
    text = sign_receipt(receipt, KEYS[P])
    assert open_receipt(text, KEYS[P].public) == receipt
    with pytest.raises(UnverifiedError):
        open_receipt(text, KEYS[C].public)


def test_a_message_is_no_receipt() -> None:
    size = int.from_bytes(MESSAGE.item[1:5], "big")
    with pytest.raises(MalformedError, match="must be of type mentormesh-receipt"):
        open_receipt(MESSAGE.item[5 : 5 + size].decode(), KEYS[P].public)


def test_outcomes_survive_the_wire() -> None:
    outcomes = Outcomes(
        outcomes=(
            Outcome(mid=MESSAGE.head.mid, status="stored", receipt="a.b.c"),
            Outcome(mid=MESSAGE.head.mid, status="refused", code="out-of-order", expected_seq=3),
            Outcome(mid=MESSAGE.head.mid, status="refused", code="illegal-step", state=State.CANCELLED),
            Outcome(mid=MESSAGE.head.mid, status="later", code="limit"),
        )
    )
    assert decode(encode(outcomes), Outcomes) == outcomes


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=MAX_BATCH_ITEMS))
def test_a_batch_is_split_into_the_items_it_was_joined_of(items: list[bytes]) -> None:
    assert split_batch(join_batch(items)) == items


def test_a_batch_cut_anywhere_but_between_items_is_refused() -> None:
    data = join_batch([b"one", b"two"])
    for size in set(range(len(data))) - {7}:
        with pytest.raises(MalformedError):
            split_batch(data[:size])
    assert split_batch(data[:7]) == [b"one"]


@pytest.mark.parametrize("count", [0, MAX_BATCH_ITEMS + 1])
def test_a_batch_of_no_or_too_many_items_is_a_programming_mistake(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 64 items"):
        join_batch([b"item"] * count)


def test_an_item_larger_than_any_is_refused() -> None:
    assert split_batch(join_batch([bytes(MAX_ITEM_BYTES)])) == [bytes(MAX_ITEM_BYTES)]
    with pytest.raises(LimitError, match="item 2 of the batch") as refusal:
        split_batch(join_batch([b"one", bytes(MAX_ITEM_BYTES + 1)]))
    assert refusal.value.code == "too-large"


def test_the_sample_thread_is_the_one_of_the_samples() -> None:
    assert (MESSAGE.head.thread, MESSAGE.head.deadline) == (THREAD, NOW)
