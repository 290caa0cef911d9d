"""The handshake's table: every triple is legal or refused, and both sides always end in the same place."""

from collections import deque
from itertools import product
from typing import get_args

import msgspec
import pytest

from protocol.handshake import (
    CANCEL,
    CROSSING,
    MAX_COUNTERS,
    NEXT,
    TERMINAL,
    VERBS,
    Handshake,
    IllegalStepError,
    Side,
    State,
    Verb,
    advance,
    handshake_stands,
    may_move,
)
from tests.together import together

TRIPLES = [
    pytest.param(state, side, verb, id=f"{side.value} {verb} in {state.value if state else 'no state'}")
    for state, side, verb in product([None, *State], Side, VERBS)
]


@together(TRIPLES)
def test_every_triple_is_in_the_table_or_refused(state: State | None, side: Side, verb: Verb) -> None:
    before = None if state is None else Handshake(state=state)
    wanted = NEXT.get((state, side, verb))
    if verb == "cancel" and state is not None:
        wanted = CANCEL.get((state, side))
    if wanted is None:
        with pytest.raises(IllegalStepError) as caught:
            advance(before, side, verb)
        assert caught.value.state is state
    else:
        assert advance(before, side, verb).state is wanted


@pytest.mark.parametrize(("state", "side"), list(product(State, Side)))
def test_a_crossing_cancel_follows_its_own_table(state: State, side: Side) -> None:
    wanted = CROSSING.get((state, side))
    if wanted is None:
        with pytest.raises(IllegalStepError):
            advance(Handshake(state=state), side, "cancel", crossing=True)
    else:
        assert advance(Handshake(state=state), side, "cancel", crossing=True).state is wanted


def test_the_verbs_are_those_of_the_table_and_cancel() -> None:
    assert get_args(Verb) == VERBS
    assert set(VERBS) == {verb for _, _, verb in NEXT} | {"cancel"}


def test_only_a_cancel_may_cross() -> None:
    with pytest.raises(IllegalStepError):
        advance(Handshake(state=State.OFFERED), Side.CONSUMER, "accept", crossing=True)


def test_one_counter_more_than_allowed_is_refused() -> None:
    full = Handshake(state=State.ACCEPTED, counters=MAX_COUNTERS)
    with pytest.raises(IllegalStepError, match="at most 3 counters"):
        advance(full, Side.PROVIDER, "counter")
    last = Handshake(state=State.ACCEPTED, counters=MAX_COUNTERS - 1)
    assert advance(last, Side.PROVIDER, "redirect").counters == MAX_COUNTERS


def test_a_cancel_after_agreed_ends_the_session_and_not_the_handshake() -> None:
    after = advance(Handshake(state=State.FINALIZED), Side.CONSUMER, "cancel")
    assert after == Handshake(state=State.FINALIZED, session_cancelled=True)


@pytest.mark.parametrize("state", list(State))
def test_exactly_one_side_may_move_unless_it_is_an_ending(state: State) -> None:
    assert (may_move(state) is None) == (state in TERMINAL)


class _Sent(msgspec.Struct, frozen=True):
    """A message in flight: what it says and how many of the receiver's messages its sender had seen."""

    verb: Verb
    seen: int


class _Party(msgspec.Struct, frozen=True):
    """One side of the model: its handshake, messages sent and seen, and the number of its last move."""

    handshake: Handshake | None = None
    sent: int = 0
    seen: int = 0
    moved: int = 0


class _World(msgspec.Struct, frozen=True):
    """Both parties and the ordered, lossless queues between them (delivery repairs loss and order)."""

    parties: tuple[_Party, _Party]
    queues: tuple[tuple[_Sent, ...], tuple[_Sent, ...]]


_CHOICES: dict[tuple[State | None, Side], tuple[Verb, ...]] = {
    (None, Side.CONSUMER): ("request",),
    (State.REQUESTED, Side.PROVIDER): ("offer", "refuse"),
    (State.OFFERED, Side.CONSUMER): ("accept",),
    (State.ACCEPTED, Side.PROVIDER): ("counter", "agree", "decline", "expire", "refuse"),
}
#: What a node does by itself, in the transaction that received the cause.
_AUTOMATIC: dict[tuple[State, Side], Verb] = {
    (State.AGREED, Side.CONSUMER): "verify",
    (State.VERIFIED, Side.PROVIDER): "finalize",
}
_SIDES = (Side.CONSUMER, Side.PROVIDER)


def _send(world: _World, me: int, verb: Verb) -> _World | None:
    party = world.parties[me]
    try:
        after = advance(party.handshake, _SIDES[me], verb)
    except IllegalStepError:
        return None
    moved = party.moved if handshake_stands(party.handshake, after) else party.sent + 1
    changed = _Party(handshake=after, sent=party.sent + 1, seen=party.seen, moved=moved)
    queue = (*world.queues[me], _Sent(verb, party.seen))
    return _replace(world, me, changed, {me: queue})


def _receive(world: _World, me: int) -> _World:
    other = 1 - me
    message, *rest = world.queues[other]
    party = world.parties[me]
    crossing = party.moved > message.seen
    after = party.handshake
    try:
        after = advance(after, _SIDES[other], message.verb, crossing=crossing)
    except IllegalStepError:
        assert after is not None
        assert after.state in TERMINAL, (after, message, crossing)
    assert after is not None
    changed = _Party(handshake=after, sent=party.sent, seen=party.seen + 1, moved=party.moved)
    world = _replace(world, me, changed, {other: tuple(rest)})
    if verb := _AUTOMATIC.get((after.state, _SIDES[me])):
        automatic = _send(world, me, verb)
        assert automatic is not None
        return automatic
    return world


def _replace(world: _World, me: int, party: _Party, queues: dict[int, tuple[_Sent, ...]]) -> _World:
    parties = (party, world.parties[1]) if me == 0 else (world.parties[0], party)
    both = (queues.get(0, world.queues[0]), queues.get(1, world.queues[1]))
    return _World(parties=parties, queues=both)


def _steps(world: _World) -> list[_World]:
    found: list[_World | None] = []
    for me in (0, 1):
        handshake = world.parties[me].handshake
        state = handshake.state if handshake else None
        verbs = _CHOICES.get((state, _SIDES[me]), ())
        found += [_send(world, me, verb) for verb in verbs]
        if handshake and not handshake.session_cancelled:
            found.append(_send(world, me, "cancel"))
        if world.queues[1 - me]:
            found.append(_receive(world, me))
    return [step for step in found if step is not None]


def test_both_sides_agree_after_every_possible_order_of_events() -> None:
    """Breadth-first over all interleavings of moves, cancels and deliveries, to quiescence."""
    start = _World(parties=(_Party(), _Party()), queues=((), ()))
    seen, todo = {msgspec.msgpack.encode(start)}, deque([start])
    endings: set[tuple[State, bool]] = set()
    while todo:
        world = todo.popleft()
        if not any(world.queues) and all(party.handshake for party in world.parties):
            mine, theirs = (party.handshake for party in world.parties)
            assert mine is not None
            assert theirs is not None
            assert (mine.state, mine.session_cancelled) == (theirs.state, theirs.session_cancelled)
            if mine.state in TERMINAL:
                endings.add((mine.state, mine.session_cancelled))
        for after in _steps(world):
            key = msgspec.msgpack.encode(after)
            if key not in seen:
                seen.add(key)
                todo.append(after)
    assert endings == {
        (State.FINALIZED, False),
        (State.FINALIZED, True),
        *((state, False) for state in (State.DECLINED, State.EXPIRED, State.CANCELLED, State.TERMINATED)),
    }
