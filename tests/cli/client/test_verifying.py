"""Two people compare a short code; what matched is remembered, and what somebody in the middle does shows."""

import pytest
from msgspec.structs import replace

from cli.client.records import Contact
from cli.client.render import event_line, session_lines
from cli.client.session import view, with_frame
from cli.client.state import dump_state, load_state
from cli.client.verifying import begun, matched, ready
from cli.client.views import Alarm, CodeReady, Event, Named, Problem
from protocol.e2ee.emoji import EMOJI
from protocol.e2ee.shortcode import MAX_RUNS, CodeCommit, CodeReveal, Step
from protocol.encoding import b64
from protocol.errors import RefusedError

from .pair import NOW, Pair
from .test_epochs import deliver, opened


def send(pair: Pair, content: Step, *, by_mentor: bool = False) -> list[Event]:
    """Let one program say something, and return what happens until nobody says any more."""
    state = pair.mentor if by_mentor else pair.mentee
    pair.keep(with_frame(pair.core, state, pair.thread, content), by_mentor=by_mentor)
    events: list[Event] = []
    while envelopes := [*pair.outgoing(by_mentor=False), *pair.outgoing(by_mentor=True)]:
        events += deliver(pair, envelopes)
    return events


def begin(pair: Pair, *, by_mentor: bool = False) -> list[Event]:
    state, said = begun(pair.mentor if by_mentor else pair.mentee, pair.thread)
    pair.keep(state, by_mentor=by_mentor)
    return send(pair, said, by_mentor=by_mentor)


def compared(*, by_mentor: bool = False) -> Pair:
    pair = opened()
    begin(pair, by_mentor=by_mentor)
    return pair


@pytest.mark.parametrize("by_mentor", [False, True])
def test_both_see_the_same_seven_pictures_and_three_numbers(*, by_mentor: bool) -> None:
    pair = opened()
    first, second = begin(pair, by_mentor=by_mentor)
    assert isinstance(first, CodeReady)
    assert first == second == ready(pair.mentee, pair.thread) == ready(pair.mentor, pair.thread)
    assert (len(first.pictures), len(first.numbers)) == (7, 3)
    assert all(EMOJI[one.number - 1] == (one.emoji, one.name) for one in first.pictures)
    for language in ("en", "de"):
        assert first.pictures[0].name in event_line(first, language)
    # Programs talk to each other there, and nobody has to read it.
    assert {line.kind for line in view(pair.mentee, pair.thread, now=NOW).lines} == {"name"}


def test_another_run_shows_another_code() -> None:
    pair = compared()
    before = ready(pair.mentee, pair.thread)
    begin(pair, by_mentor=True)
    assert ready(pair.mentee, pair.thread) == ready(pair.mentor, pair.thread) != before


def test_who_has_another_master_key_shows_another_code() -> None:
    # As with somebody in the middle, who holds a key of their own towards each of the two.
    pair = compared()
    session = pair.mentee.session(pair.thread)
    swapped = replace(session, master_key=b64(bytes(32)))
    assert ready(pair.mentee.with_session(swapped), pair.thread) != ready(pair.mentor, pair.thread)


def test_when_both_begin_at_once_one_run_counts_and_both_see_its_code() -> None:
    pair = opened()
    for by_mentor in (False, True):
        state, said = begun(pair.mentor if by_mentor else pair.mentee, pair.thread)
        pair.keep(with_frame(pair.core, state, pair.thread, said), by_mentor=by_mentor)
    crossed = [*pair.outgoing(by_mentor=False), *pair.outgoing(by_mentor=True)]
    deliver(pair, crossed)
    while envelopes := [*pair.outgoing(by_mentor=False), *pair.outgoing(by_mentor=True)]:
        deliver(pair, envelopes)
    assert ready(pair.mentee, pair.thread) == ready(pair.mentor, pair.thread)


def test_a_nonce_that_was_not_committed_to_is_an_alarm() -> None:
    pair = opened()
    state, said = begun(pair.mentee, pair.thread)
    pair.keep(state, by_mentor=False)
    # The end comes from a program that has waited for the answer, and picked another nonce.
    pair.keep(with_frame(pair.core, pair.mentee, pair.thread, said), by_mentor=False)
    deliver(pair, pair.outgoing(by_mentor=False))
    run = pair.mentor.session(pair.thread).code
    assert run is not None
    forged = CodeReveal(run=said.run, nonce=b64(bytes(32)), device=run.answered)
    pair.keep(with_frame(pair.core, pair.mentee, pair.thread, forged), by_mentor=False)
    events = deliver(pair, pair.outgoing(by_mentor=False))
    assert [event.code for event in events if isinstance(event, Alarm)] == ["code"]
    assert pair.mentor.session(pair.thread).code is None


def test_a_commitment_of_an_epoch_that_has_ended_begins_nothing() -> None:
    pair = opened()
    (problem,) = send(pair, CodeCommit(run=pair.thread, commitment=b64(bytes(32)), epoch=99))
    assert isinstance(problem, Problem)
    assert pair.mentor.session(pair.thread).code is None


def test_codes_are_not_compared_until_chance_makes_two_look_alike() -> None:
    pair = compared()
    full = replace(pair.mentee.session(pair.thread), runs=MAX_RUNS)
    with pytest.raises(RefusedError):
        begun(pair.mentee.with_session(full), pair.thread)


def test_before_the_other_name_is_told_there_is_nothing_to_compare() -> None:
    pair = opened()
    unknown = replace(pair.mentee.session(pair.thread), master_key="")
    with pytest.raises(RefusedError):
        begun(pair.mentee.with_session(unknown), pair.thread)


def test_a_code_that_matched_is_remembered_and_shown_in_later_sessions() -> None:
    pair = compared()
    fresh = opened()
    with pytest.raises(RefusedError):
        matched(fresh.mentee, fresh.thread, now=NOW)
    pair.mentee = load_state(dump_state(matched(pair.mentee, pair.thread, now=NOW)))
    shown = view(pair.mentee, pair.thread, now=NOW)
    assert shown.verified_at == NOW
    assert any(line.startswith("codes matched on") for line in session_lines(shown, "en"))
    assert view(pair.mentor, pair.thread, now=NOW).verified_at == 0


def test_somebody_of_the_same_name_with_another_key_than_was_verified_is_an_alarm() -> None:
    pair = Pair()
    known = b64(bytes(31) + b"\x07")
    name = pair.mentor.signed_in.name
    contact = Contact(thread=pair.thread, name=name, entity=pair.cobalt.entity, label="", master_key=known, met_at=NOW)
    pair.mentee = replace(pair.mentee, contacts=(contact,), verified={known: NOW})
    pair.until_open()
    named, alarm = deliver(pair, pair.outgoing(by_mentor=True))
    assert isinstance(named, Named)
    assert isinstance(alarm, Alarm)
    assert alarm.code == "another-key"
