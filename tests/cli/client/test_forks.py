"""A hub that shows members two orders of changes is found out by the first word that crosses; an honest one is not."""

from msgspec.structs import replace

from cli.client.core import ENGINE
from cli.client.forks import CODE
from cli.client.render import session_lines
from cli.client.session import view
from cli.client.views import Alarm, Shown
from protocol.envelope import Envelope, parse_envelope

from .pair import Pair
from .test_epochs import deliver, epochs, opened, renew, texts, write


def forked() -> Pair:
    """Return two people of whom each was shown their own change of keys alone."""
    pair = opened()
    hers = renew(pair, by_mentor=False)
    pair.now += 600
    his = renew(pair, by_mentor=True)
    assert deliver(pair, hers, to=(False,)) == deliver(pair, his, to=(True,)) == []
    assert epochs(pair) == (2, 2)
    return pair


def said(pair: Pair, text: str, *, by_mentor: bool) -> Envelope:
    write(pair, text, by_mentor=by_mentor)
    return pair.outgoing(by_mentor=by_mentor)[-1]


def test_two_histories_are_told_in_red_by_both_and_the_evidence_stays() -> None:
    pair = forked()
    for by_mentor in (True, False):
        envelope = said(pair, "Can you read me?", by_mentor=by_mentor)
        before = (pair.mentee if by_mentor else pair.mentor).sessions[pair.thread]
        alarm = pair.hear(envelope, by_mentor=not by_mentor)[0]
        assert isinstance(alarm, Alarm)
        assert alarm.code == CODE
        state = pair.mentee if by_mentor else pair.mentor
        after = state.sessions[pair.thread]
        assert (after.state, after.frames) == (before.state, before.frames)
        assert after.fork is not None
        assert parse_envelope(after.fork.envelope) == envelope
        assert (after.fork.epoch, after.fork.mark) == (2, ENGINE.mark(ENGINE.load(after.state)).value)
        shown = view(state, pair.thread, now=pair.now)
        assert shown.forked_at == pair.now
        assert "two histories" in session_lines(shown, "en")[1]
        assert "zwei Geschichten" in session_lines(shown, "de")[1]


def test_a_history_that_went_on_is_still_compared() -> None:
    pair = forked()
    late = said(pair, "of the second epoch", by_mentor=True)
    pair.now += 600
    deliver(pair, [said(pair, "alone", by_mentor=False)], to=(False,))
    deliver(pair, renew(pair, by_mentor=False), to=(False,))
    assert epochs(pair) == (2, 3)
    alarm = pair.hear(late, by_mentor=False)[0]
    assert isinstance(alarm, Alarm)
    assert alarm.code == CODE


def test_the_first_evidence_is_kept_and_every_further_word_is_told() -> None:
    pair = forked()
    first, second = (said(pair, text, by_mentor=True) for text in ("one", "two"))
    assert isinstance(pair.hear(first, by_mentor=False)[0], Alarm)
    pair.now += 60
    assert isinstance(pair.hear(second, by_mentor=False)[0], Alarm)
    fork = pair.mentee.sessions[pair.thread].fork
    assert fork is not None
    assert (fork.at, parse_envelope(fork.envelope)) == (pair.now - 60, first)


def test_honest_changes_show_one_history_to_everybody() -> None:
    pair = opened()
    for number in range(3):
        write(pair, f"before {number}", by_mentor=True)
        late = pair.outgoing(by_mentor=True)
        pair.now += 600
        both = [*renew(pair, by_mentor=False), *renew(pair, by_mentor=True)]
        events = deliver(pair, [*both, *late])
        events += deliver(pair, pair.outgoing(by_mentor=True))
        assert [event for event in events if not isinstance(event, Shown)] == []
        assert texts(events) == [f"before {number}"]
    assert pair.mentor.sessions[pair.thread].fork is pair.mentee.sessions[pair.thread].fork is None
    hers, his = pair.mentee.sessions[pair.thread].marks, pair.mentor.sessions[pair.thread].marks
    assert len(hers.items() & his.items()) >= 3


def test_a_message_of_another_group_is_no_second_history() -> None:
    pair = forked()
    envelope = said(pair, "two", by_mentor=True)
    other = Pair()
    other.until_open()
    foreign = replace(envelope, ciphertext=other.mentor.sessions[other.thread].outbox[0].ciphertext)
    (problem,) = deliver(pair, [foreign], to=(False,))
    assert getattr(problem, "code", "") == "mls-epoch"
    assert pair.mentee.sessions[pair.thread].fork is None
