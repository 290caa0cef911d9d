"""A device that lost its place asks to be let in again, is checked, and follows from there on; not for ever."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from cli.client.core import ENGINE
from cli.client.epochs import PATIENCE_S
from cli.client.forks import CODE
from cli.client.keychecks import UnprovenError
from cli.client.rejoining import MOST, answering
from cli.client.state import ClientState
from cli.client.views import Alarm, Arrived, Event, Problem, Shown
from protocol.e2ee.crypto import Change
from protocol.e2ee.mls.framing import parse_private
from protocol.e2ee.rejoin import is_rejoin, open_rejoin, seal_rejoin
from protocol.envelope import Envelope
from protocol.errors import UnverifiedError
from tests import patience

from .pair import Pair
from .test_epochs import deliver, epochs, opened, renew, texts
from .test_forks import forked, said
from .world import PROMPTS, become_mentor, companies, happens, lists_something, meet, need


def codes(events: list[Event]) -> list[str]:
    return [event.code for event in events if isinstance(event, Alarm | Problem)]


def behind() -> tuple[Pair, list[Envelope]]:
    """Return two people of whom the mentee missed a change, and her ask, which has not arrived."""
    pair = opened()
    deliver(pair, renew(pair, by_mentor=False))
    pair.now += PATIENCE_S
    deliver(pair, [said(pair, "before", by_mentor=True)])
    deliver(pair, renew(pair, by_mentor=True), to=(True,))
    assert epochs(pair) == (3, 2)
    assert codes(deliver(pair, [said(pair, "unread", by_mentor=True)])) == ["lost-place"]
    asks = pair.outgoing(by_mentor=False)
    assert [is_rejoin(one.ciphertext) for one in asks] == [True]
    return pair, asks


def let_in(pair: Pair, asks: list[Envelope]) -> list[Event]:
    """Deliver an ask and all that follows from it, with a word that the mentor says between change and answer."""
    assert codes(deliver(pair, asks)) == ["let-in-again"]
    commit = renew(pair, by_mentor=True)
    assert [one.header.kind for one in commit] == ["commit"]
    events = deliver(pair, commit)
    answer = pair.outgoing(by_mentor=True)
    between = said(pair, "between", by_mentor=True)
    return events + deliver(pair, [between, *answer])


def test_a_device_that_missed_a_change_is_let_in_again_and_reads_what_came_since() -> None:
    pair, asks = behind()
    events = let_in(pair, asks)
    assert codes(events) == ["let-in-again"]
    assert texts(events) == ["between"]
    assert epochs(pair) == (4, 4)
    session = pair.mentee.sessions[pair.thread]
    assert (session.rejoin, session.asked) == (None, 1)
    for by_mentor in (True, False):
        assert texts(deliver(pair, [said(pair, "hello", by_mentor=by_mentor)])) == ["hello"]
    assert deliver(pair, renew(pair, by_mentor=False)) == []
    assert epochs(pair) == (5, 5)


def test_of_two_histories_the_mentors_goes_on_and_what_the_mentee_said_arrives() -> None:
    pair = forked()
    assert texts(deliver(pair, [said(pair, "Do you hear me?", by_mentor=False)], to=(False,))) == []
    events = deliver(pair, [said(pair, "Hello?", by_mentor=True)])
    assert codes(events) == [CODE, "lost-place"]
    assert codes(let_in(pair, pair.outgoing(by_mentor=False))) == [CODE, "let-in-again"]
    assert texts(deliver(pair, pair.outgoing(by_mentor=False))) == ["Do you hear me?"]
    assert epochs(pair) == (3, 3)
    assert pair.mentee.sessions[pair.thread].fork is not None
    again = forked()
    assert codes(deliver(again, [said(again, "Hello?", by_mentor=False)])) == [CODE]
    assert again.mentor.sessions[again.thread].rejoin is None


def test_when_both_ask_the_mentors_device_answers() -> None:
    pair, asks = behind()
    mentor = pair.mentor.sessions[pair.thread]
    waiting = pair.mentee.sessions[pair.thread].rejoin
    pair.mentor = pair.mentor.with_session(replace(mentor, rejoin=waiting))
    let_in(pair, asks)
    assert epochs(pair) == (4, 4)


def test_a_device_asks_once_in_ten_minutes_and_five_times_in_a_session() -> None:
    pair, asks = behind()
    made = len(asks)
    assert renew(pair, by_mentor=False) == []
    for _ in range(MOST + 2):
        events = deliver(pair, [said(pair, "unread", by_mentor=True)], to=(False,))
        assert events == []
        pair.now += PATIENCE_S
        events = deliver(pair, [said(pair, "unread", by_mentor=True)], to=(False,))
        assert codes(events) == ["lost-place"]
        made += len(pair.outgoing(by_mentor=False))
        if made == MOST:
            break
    pair.now += PATIENCE_S
    (told,) = deliver(pair, [said(pair, "unread", by_mentor=True)], to=(False,))
    assert isinstance(told, Problem)
    assert "too often" in told.sentence
    assert pair.outgoing(by_mentor=False) == []


def test_who_asks_while_a_change_is_under_way_is_answered_by_the_next_one() -> None:
    pair, asks = behind()
    deliver(pair, asks)
    first = renew(pair, by_mentor=True)
    pair.now += PATIENCE_S
    deliver(pair, [said(pair, "unread", by_mentor=True)], to=(False,))
    assert codes(deliver(pair, pair.outgoing(by_mentor=False), to=(True,))) == ["let-in-again"]
    deliver(pair, first)
    assert pair.outgoing(by_mentor=True) == []  # the welcome is for a key package that nobody holds any more
    deliver(pair, renew(pair, by_mentor=True))
    assert codes(deliver(pair, pair.outgoing(by_mentor=True))) == ["let-in-again"]
    assert epochs(pair) == (5, 5)
    session = pair.mentor.session(pair.thread)
    assert (session.newcomers, session.adding, session.returning) == ({}, {}, ())


def test_an_ask_that_is_repeated_or_one_too_many_lets_nobody_in() -> None:
    pair, asks = behind()
    let_in(pair, asks)
    before = pair.mentor
    assert deliver(pair, asks) == []
    assert pair.mentor == before
    session = pair.mentor.sessions[pair.thread]
    (device,) = session.asks
    pair, asks = behind()
    session = pair.mentor.sessions[pair.thread]
    pair.mentor = pair.mentor.with_session(replace(session, asks={device: tuple(range(1, MOST + 1))}))
    assert deliver(pair, asks, to=(True,)) == []
    assert renew(pair, by_mentor=True) == []


def test_an_ask_that_comes_after_somebody_else_has_answered_it_lets_nobody_in_again() -> None:
    """Who is taken out and added by a key package that it has used cannot come back at all."""
    pair, asks = behind()
    hers = pair.mentee.device_secret.key(pair.audience).public.text
    event = Change(by="another device", joined=(hers,), left=(hers,), epoch=4)
    session = answering(pair.core, pair.mentor.session(pair.thread), event, number=9)
    assert session.asks == {hers: (pair.now,)}
    pair.mentor = pair.mentor.with_session(session)
    assert deliver(pair, asks, to=(True,)) == []
    assert pair.mentor.session(pair.thread).newcomers == {}


def test_a_device_that_the_directory_lists_no_more_is_not_let_in() -> None:
    pair, asks = behind()
    pair.mentor = replace(pair.mentor, proven={})
    before = pair.mentor
    with pytest.raises(UnprovenError):
        pair.hear(asks[0], by_mentor=True)
    assert pair.mentor == before


def test_nobody_comes_back_into_a_group_with_a_device_that_the_directory_lists_no_more() -> None:
    pair, asks = behind()
    deliver(pair, asks)
    deliver(pair, renew(pair, by_mentor=True))
    (answer,) = pair.outgoing(by_mentor=True)
    proven = pair.mentee.proven
    pair.mentee = replace(pair.mentee, proven={})
    before = pair.mentee
    with pytest.raises(UnprovenError):
        pair.hear(answer, by_mentor=False)
    assert pair.mentee == before
    pair.mentee = replace(pair.mentee, proven=proven)
    assert codes(deliver(pair, [answer])) == ["let-in-again"]


def test_a_device_without_the_common_key_hears_no_ask() -> None:
    pair, (ask,) = behind()
    word = open_rejoin(ask.ciphertext, pair.mentee.session(pair.thread).rejoin_key, thread=pair.thread)
    with pytest.raises(ValueError, match="32 bytes"):
        seal_rejoin(word, b"", thread=pair.thread, salt=bytes(32))
    pair.mentor = pair.mentor.with_session(replace(pair.mentor.session(pair.thread), rejoin_key=b""))
    with pytest.raises(UnverifiedError, match="no key"):
        pair.hear(ask, by_mentor=True)


def test_who_is_no_member_or_is_to_leave_is_not_let_in() -> None:
    pair, asks = behind()
    session = pair.mentor.sessions[pair.thread]
    hers = pair.mentee.device_secret.key(pair.audience).public.text
    pair.mentor = pair.mentor.with_session(replace(session, leaving=(hers,)))
    assert deliver(pair, asks, to=(True,)) == []
    deliver(pair, renew(pair, by_mentor=True), to=(True,))
    assert [one.device for one in ENGINE.members(ENGINE.load(pair.mentor.sessions[pair.thread].state))] != []
    assert deliver(pair, asks, to=(True,)) == []
    assert pair.mentor.sessions[pair.thread].newcomers == {}


def test_a_changed_ask_or_one_of_another_session_is_refused() -> None:
    pair, (ask,) = behind()
    other = behind()[0]
    changed = ask.ciphertext[:-1] + bytes([ask.ciphertext[-1] ^ 1])
    for data in (changed, ask.ciphertext[:40]):
        assert deliver(pair, [replace(ask, ciphertext=data)], to=(True,)) != []
    header = replace(ask.header, thread=other.thread)
    with pytest.raises(UnverifiedError):
        other.hear(replace(ask, header=header), by_mentor=True)
    assert pair.mentor.sessions[pair.thread].newcomers == {}


def test_junk_among_what_was_kept_holds_up_nobodys_return() -> None:
    pair, asks = behind()
    deliver(pair, asks)
    deliver(pair, renew(pair, by_mentor=True))
    answer = pair.outgoing(by_mentor=True)
    genuine = said(pair, "genuine", by_mentor=True)
    changed = replace(genuine, ciphertext=genuine.ciphertext[:-1] + bytes([genuine.ciphertext[-1] ^ 1]))
    events = deliver(pair, [changed, genuine, *answer], to=(False,))
    assert codes(events) == ["let-in-again", "mls-decrypt"]
    assert texts(events) == ["genuine"]


def test_whoever_feigns_a_later_epoch_costs_a_member_nothing() -> None:
    pair = opened()
    deliver(pair, renew(pair, by_mentor=False))
    envelope = said(pair, "genuine", by_mentor=True)
    feigned = replace(parse_private(envelope.ciphertext), epoch=9).encoded()
    assert codes(deliver(pair, [replace(envelope, ciphertext=feigned)], to=(False,))) == ["lost-place"]
    assert texts(deliver(pair, [envelope])) == ["genuine"]
    assert texts(let_in(pair, pair.outgoing(by_mentor=False))) == ["between"]
    assert epochs(pair) == (3, 3)


def set_back(state: ClientState, *, thread: str, group: bytes) -> ClientState:
    return state.with_session(replace(state.session(thread), state=group))


@pytest.mark.slow
@pytest.mark.system
async def test_a_device_that_lost_its_place_comes_back_through_real_nodes(tmp_path: Path) -> None:
    async with (
        companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt),
        aurora.person("aurora1") as ana,
        cobalt.person("cobalt1") as ben,
    ):
        await become_mentor(ben)
        await lists_something(ana)
        await ana.ask(need())
        thread = (await ana.request(1, prompts=PROMPTS)).thread
        await happens(ben, Arrived)
        await ben.accept(thread)
        await meet(ana, ben)
        old = ana.state.session(thread).state
        while ENGINE.epoch(ENGINE.load(ana.state.session(thread).state)) <= ENGINE.epoch(ENGINE.load(old)):
            await ana.poll(wait_s=0.1)
            await ben.poll(wait_s=0.1)
        await ana.send_chat(thread, "Here I am")
        assert (await happens(ben, Shown)).text == "Here I am"

        ana._core.vault.update(partial(set_back, thread=thread, group=old))
        await ben.send_chat(thread, "What nobody reads")
        assert (await happens(ana, Problem)).code == "lost-place"
        assert (await happens(ben, Problem)).code == "let-in-again"
        async with asyncio.timeout(patience.PATIENCE_S):
            while ana.state.session(thread).rejoin is not None:
                await ben.poll(wait_s=0.1)
                await ana.poll(wait_s=0.1)
        await ben.send_chat(thread, "Welcome back")
        while (await happens(ana, Shown)).text != "Welcome back":
            pass
        await ana.send_chat(thread, "I can read you")
        while (await happens(ben, Shown)).text != "I can read you":
            pass
