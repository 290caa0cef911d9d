"""A thread's book: two chains of hashes by which both sides find gaps, repeats and forks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol.encoding import b64, decode, encode, sha256
from protocol.errors import MalformedError, RefusedError, UnverifiedError
from protocol.handshake import BOUND, MAX_COUNTERS, TERMINAL, VERBS, Handshake, IllegalStepError, Side, State, Verb
from protocol.threads import MAX_MESSAGES, Book, ForkError, OutOfOrderError, hear, heard_late, is_repeat, speak

from .pairs import BODIES, KEYS, NODES, NOW, PATH, Pair, pair_after

C, P = Side.CONSUMER, Side.PROVIDER
OTHER = b64(sha256(b"never sent"))


def test_a_whole_handshake_leaves_two_books_that_mirror_each_other() -> None:
    pair = pair_after(6)
    consumer, provider = pair.books[C], pair.books[P]
    assert pair.states == (State.FINALIZED, State.FINALIZED)
    assert (consumer.said, consumer.heard) == (provider.heard, provider.said)
    assert consumer.handshake == provider.handshake == Handshake(state=State.FINALIZED)


def test_an_empty_book_has_no_handshake() -> None:
    assert Pair().books[C].handshake is None


def test_each_message_names_the_one_before_it_and_the_last_one_seen() -> None:
    pair, messages = Pair(), []
    for side, verb in PATH:
        messages.append(pair.say(side, verb))
        pair.hear(side.other)
    request, offer, accept, agree, verify, _ = messages
    chain = [(one.head.seq, one.head.prev, one.head.seen) for one in messages[:5]]
    assert chain == [
        (1, None, None),
        (1, None, request.hash),
        (2, request.hash, offer.hash),
        (2, offer.hash, accept.hash),
        (3, accept.hash, agree.hash),
    ]
    assert len({one.hash for one in messages}) == 6
    assert verify.head.aud == NODES[P]


def test_speaking_and_hearing_leave_the_old_book_as_it_was() -> None:
    pair = pair_after(1)
    before = pair.books[P]
    copy = encode(before)
    pair.say(P, "offer")
    assert encode(before) == copy
    assert pair.books[P] != before


def test_what_the_table_forbids_cannot_be_said() -> None:
    with pytest.raises(IllegalStepError):
        pair_after(2).say(P, "agree")


def test_what_the_table_forbids_is_refused_when_heard() -> None:
    pair = pair_after(2)
    with pytest.raises(IllegalStepError) as caught:
        hear(pair.books[C], pair.forge(P, "agree"))
    assert caught.value.state is State.OFFERED


def test_a_message_after_a_missing_one_is_out_of_order_and_names_what_is_missing() -> None:
    pair = pair_after(2)
    with pytest.raises(OutOfOrderError) as caught:
        hear(pair.books[P], pair.forge(C, "accept", seq=3))
    assert (caught.value.expected_seq, caught.value.code) == (2, "out-of-order")


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"seq": 1}, id="another message in a place that is taken"),
        pytest.param({"prev": OTHER}, id="another message before it"),
        pytest.param({"prev": None}, id="no message before it"),
    ],
)
def test_a_message_that_contradicts_the_chain_is_a_fork(changed: dict[str, object]) -> None:
    pair = pair_after(2)
    with pytest.raises(ForkError) as caught:
        hear(pair.books[P], pair.forge(C, "accept", **changed))
    assert caught.value.code == "fork"


def test_a_first_message_that_claims_to_follow_another_is_a_fork() -> None:
    pair = Pair()
    with pytest.raises(ForkError):
        hear(pair.books[P], pair.forge(C, "request", prev=OTHER))


def test_a_repeat_is_no_fork() -> None:
    pair = pair_after(1)
    offer = pair.say(P, "offer")
    pair.hear(C)
    with pytest.raises(RefusedError) as caught:
        hear(pair.books[C], offer)
    assert caught.value.code == "repeat"
    assert is_repeat(pair.books[C], offer)
    assert not is_repeat(pair.books[C], pair.forge(P, "cancel"))
    with pytest.raises(ForkError):
        is_repeat(pair.books[C], pair.forge(P, "refuse", seq=1, prev=None))


@pytest.mark.parametrize("changed", [{"thread": OTHER[:21] + "A"}, {"side": "provider"}])
def test_a_message_of_another_thread_or_side_is_refused(changed: dict[str, object]) -> None:
    pair = pair_after(2)
    with pytest.raises(UnverifiedError) as caught:
        hear(pair.books[P], pair.forge(C, "accept", **changed))
    assert caught.value.code == "wrong-thread"


@pytest.mark.parametrize("verb", ["accept", "cancel"])
def test_whoever_claims_to_have_seen_what_was_never_sent_is_refused(verb: Verb) -> None:
    pair = pair_after(2)
    with pytest.raises(UnverifiedError) as caught:
        hear(pair.books[P], pair.forge(C, verb, seen=OTHER))
    assert caught.value.code == "wrong-seen"


def test_an_answer_to_an_offer_that_its_sender_has_not_seen_is_refused() -> None:
    pair = pair_after(2)
    with pytest.raises(IllegalStepError):
        hear(pair.books[P], pair.forge(C, "accept", seen=None))


def test_an_acceptance_of_the_offer_before_the_counter_is_refused() -> None:
    pair = pair_after(3)
    first_offer = pair.books[C].heard[0]
    pair.exchange((P, "counter"))
    with pytest.raises(IllegalStepError):
        hear(pair.books[P], pair.forge(C, "accept", seen=first_offer))
    assert hear(pair.books[P], pair.forge(C, "accept")).state is State.ACCEPTED


def test_a_cancel_that_crosses_agreed_wins() -> None:
    pair = pair_after(3)
    pair.say(C, "cancel")
    agree = pair.say(P, "agree")
    pair.hear(P)
    assert pair.states == (State.CANCELLED, State.CANCELLED)
    with pytest.raises(IllegalStepError):
        pair.hear(C)
    late = heard_late(pair.books[C], agree)
    assert late.state is State.CANCELLED
    assert late.heard == pair.books[P].said


def test_a_cancel_after_agreed_was_seen_calls_off_the_session_and_nothing_else() -> None:
    pair = pair_after(4)
    pair.say(P, "cancel")
    pair.say(C, "verify")
    pair.hear(P)
    pair.hear(C)
    pair.exchange((P, "finalize"))
    assert pair.states == (State.FINALIZED, State.FINALIZED)
    assert all(book.session_cancelled for book in pair.books.values())
    assert pair.books[P].moved == 4
    assert pair.books[C].moved == 3


def test_a_message_of_another_place_cannot_be_taken_late() -> None:
    pair = pair_after(3).exchange((P, "decline"))
    with pytest.raises(OutOfOrderError):
        heard_late(pair.books[C], pair.forge(P, "agree", seq=9))


def test_a_thread_of_too_many_messages_takes_no_more() -> None:
    pair = pair_after(6)
    full = (OTHER,) * MAX_MESSAGES
    with pytest.raises(MalformedError, match="32 messages"):
        speak(replace(pair.books[C], said=full), "cancel", BODIES["cancel"], key=KEYS[C], mid="", deadline=NOW)
    with pytest.raises(MalformedError, match="at most 32"):
        hear(replace(pair.books[P], heard=full), pair.forge(C, "cancel", seq=MAX_MESSAGES + 1, prev=OTHER))


def test_the_last_message_that_a_thread_takes_is_taken() -> None:
    pair = pair_after(6)
    almost = (OTHER,) * (MAX_MESSAGES - 1)
    book = replace(pair.books[P], heard=almost)
    assert len(hear(book, pair.forge(C, "cancel", seq=MAX_MESSAGES, prev=OTHER)).heard) == MAX_MESSAGES


def test_every_book_on_the_way_is_stored_and_read_as_it_was() -> None:
    for count in range(len(PATH) + 1):
        for book in pair_after(count).books.values():
            assert decode(encode(book), Book) == book


@pytest.mark.slow
@given(st.data())
def test_two_books_stay_in_step_whatever_both_sides_do(data: st.DataObject) -> None:
    """Any order of legal words and deliveries: the chains mirror each other and both end in the same place."""
    pair = Pair()
    for _ in range(data.draw(st.integers(0, 14))):
        side = data.draw(st.sampled_from(list(Side)))
        if data.draw(st.booleans()) and pair.waiting[side]:
            settle(pair, side)
        else:
            try:
                pair.say(side, data.draw(st.sampled_from(VERBS)))
            except IllegalStepError:
                continue
    while any(pair.waiting.values()):
        for side in Side:
            if pair.waiting[side]:
                settle(pair, side)
    consumer, provider = pair.books[C], pair.books[P]
    assert (consumer.said, consumer.heard) == (provider.heard, provider.said)
    assert consumer.counters == provider.counters <= MAX_COUNTERS
    assert consumer.handshake == provider.handshake
    assert consumer.session_cancelled <= (consumer.state in BOUND)


def settle(pair: Pair, side: Side) -> None:
    """Hear what waits; a late word on an ending is kept without effect, as a node does."""
    message = pair.waiting[side].pop(0)
    try:
        pair.books[side] = hear(pair.books[side], message)
    except IllegalStepError as error:
        if error.state not in TERMINAL:
            raise
        pair.books[side] = heard_late(pair.books[side], message)
