"""What an operator sees of delivery: the same counts on both sides, both breakers, and nobody's name."""

from collections.abc import Callable

import msgspec
import pytest

from federation import breaker
from federation.breaker import BreakerOpenError
from federation.delivery import begin, forget_ledger
from federation.ports import where
from federation.rows import LedgerRow
from node.services.board import Board, PeerLedger, ShowBoard, ShowLedger
from protocol.errors import LimitError, MalformedError, MissingError
from protocol.handshake import Side
from protocol.messages import Outcome
from tests.fakes.entropy import SeededEntropy

from .conftest import Town
from .test_agreement import requested
from .test_delivery import deliver, own_messages, unguarded
from .test_sessions import agreed, sent, submit
from .world import TestNode, settle


def board(node: TestNode) -> Board:
    exchanging = node.exchanging
    return Board(node.store, node.directory, exchanging.outbox, exchanging.inbox.breaker, node.clock)


async def ledger(node: TestNode, peer: TestNode) -> PeerLedger:
    return await board(node).ledger(ShowLedger(entity=peer.entity))


@pytest.fixture
async def two(town: Town) -> Town:
    """Return two nodes that have begun."""
    for node in (town.aurora, town.cobalt):
        await begin(node.store, SeededEntropy(7), entity=node.entity, generation=1, now=node.around.clock.now())
    return town


async def test_both_operators_see_the_same_figures(two: Town) -> None:
    thread = (await agreed(two)).thread
    await submit(two.ben, thread, Side.PROVIDER, sent(two.cobalt, b"hello"))
    await settle(two.aurora, two.cobalt)
    ours, theirs = await ledger(two.aurora, two.cobalt), await ledger(two.cobalt, two.aurora)
    assert (ours.sent.stored, theirs.sent.stored) == (theirs.received.stored, ours.received.stored) == (2, 3)
    assert (ours.sent.stored_at, theirs.sent.stored_at) == (theirs.received.stored_at, ours.received.stored_at)
    assert (ours.sent.stored_at or 1) % 60 == 0
    assert ours.sent.sent == 2
    assert [(day.sent, day.received) for day in ours.days] == [(2, 3)]


async def test_what_waits_and_what_was_given_up_shows(two: Town) -> None:
    two.network.down.add(two.cobalt.entity)
    mentee = two.mentee()
    two.network.down.clear()
    quote = await mentee.quote()
    two.network.down.add(two.cobalt.entity)
    await mentee.accept(quote)
    await two.aurora.exchanging.outbox.step(two.cobalt.entity)
    two.clock.advance(3600)
    (line,) = await board(two.aurora).board(ShowBoard())
    assert (line.sending.state, line.sending.failures, line.sending.last_error) == ("open", 1, "peer-down")
    assert (line.waiting, line.taking.state) == (1, "closed")
    assert 3540 <= line.lag_s <= 3660
    two.clock.advance(15 * 86_400)
    await two.aurora.exchanging.outbox.step(two.cobalt.entity)
    found = await ledger(two.aurora, two.cobalt)
    assert (found.sent.sent, found.sent.dead, found.sent.waiting, found.sent.oldest_at) == (1, 1, 0, None)


async def test_a_peer_that_answered_has_been_in_contact(two: Town) -> None:
    await requested(two)
    (line,) = await board(two.aurora).board(ShowBoard())
    assert line.contact_at == two.clock.now()
    assert (line.sending.state, line.lag_s, line.oldest_at) == ("closed", 0, None)


async def test_a_stranger_has_no_ledger(two: Town) -> None:
    with pytest.raises(MissingError):
        await board(two.aurora).ledger(ShowLedger(entity="https://birch.example"))


async def test_the_ledger_looks_back_as_many_days_as_it_may(two: Town) -> None:
    await requested(two)
    two.clock.advance(31 * 86_400)
    await forget_ledger(two.aurora.store, two.clock, days=32)
    async with two.aurora.store.read() as tx:
        assert await tx.count(LedgerRow, where(peer=two.cobalt.entity)) == 1
    await forget_ledger(two.aurora.store, two.clock, days=30)
    assert (await ledger(two.aurora, two.cobalt)).days == ()


async def test_no_figure_is_of_a_person(two: Town) -> None:
    await agreed(two)
    told = msgspec.json.encode((await ledger(two.aurora, two.cobalt), await board(two.aurora).board(ShowBoard())))
    for person in (two.ana, two.ben):
        for name in (person.name, person.label, person.member):
            assert name.encode() not in told


async def refuse(two: Town) -> Outcome:
    """Let Cobalt refuse one item of Aurora's."""
    mentee = await requested(two)
    (request, _) = await own_messages(two, mentee.thread)
    (outcome,) = await deliver(two, request.item)
    return outcome


async def test_a_peer_that_sends_nothing_but_nonsense_is_turned_away_for_a_while(two: Town) -> None:
    receive = two.cobalt.exchanging.inbox.receive
    for _ in range(breaker.MOST_FAULTS // breaker.MALFORMED_FAULTS):
        with pytest.raises(MalformedError):
            await receive(two.aurora.entity, b"nonsense", unguarded)
    with pytest.raises(LimitError) as turned_away:
        await refuse_now(two)
    assert isinstance(turned_away.value, BreakerOpenError)
    assert turned_away.value.retry_at == two.clock.now() + breaker.FIRST_S
    (line,) = await board(two.cobalt).board(ShowBoard())
    assert (line.taking.state, line.taking.until) == ("open", two.clock.now() + breaker.FIRST_S)
    two.clock.advance(breaker.FIRST_S)
    assert (await refuse(two)).status == "refused"
    (line,) = await board(two.cobalt).board(ShowBoard())
    assert line.taking.state == "closed"


async def refuse_now(two: Town) -> None:
    await two.cobalt.exchanging.inbox.receive(two.aurora.entity, b"nonsense", unguarded)


def opened(times: int) -> Callable[[], breaker.Breaker]:
    def make() -> breaker.Breaker:
        made, now = breaker.Breaker(), 0
        for _ in range(times):
            made.fault("peer", breaker.MOST_FAULTS, now=now)
            now = made.intake["peer"].until
        return made

    return make


@pytest.mark.parametrize(("times", "away_s"), [(1, 60), (2, 120), (3, 240), (4, 480), (5, 900), (9, 900)])
def test_who_goes_on_is_turned_away_for_longer(times: int, away_s: int) -> None:
    before = opened(times - 1)()
    since = before.intake["peer"].until if before.intake else 0
    assert opened(times)().intake["peer"].until - since == away_s


def test_faults_of_another_minute_and_sins_of_another_hour_are_forgotten() -> None:
    made = breaker.Breaker()
    made.fault("peer", breaker.MOST_FAULTS - 1, now=1000)
    made.fault("peer", breaker.MOST_FAULTS - 1, now=1000 + breaker.WINDOW_S)
    made.check("peer", now=1061)
    made.fault("peer", 1, now=1070)
    with pytest.raises(BreakerOpenError):
        made.check("peer", now=1071)
    later = made.intake["peer"].until + breaker.FORGIVEN_S
    made.fault("peer", breaker.MOST_FAULTS, now=later)
    assert made.intake["peer"].until == later + breaker.FIRST_S


def test_one_peers_faults_are_no_other_peers() -> None:
    made = breaker.Breaker()
    made.fault("peer", breaker.MOST_FAULTS, now=0)
    made.check("other", now=1)
