"""What a person does with their own words: notes for themselves, taking back; the board; what is newer than us."""

import pytest
from msgspec.structs import replace

from cli.client.ownwords import frames_of, said_last, taken_back, with_private
from cli.client.remains import destroyed
from cli.client.render import session_lines
from cli.client.session import view, with_frame
from cli.client.state import dump_state, load_state
from cli.client.views import Event, SessionView, Shown
from protocol.e2ee import frames
from protocol.e2ee.frames import Content, Retract
from protocol.e2ee.padding import pad
from protocol.e2ee.signals import CallCandidate, CallOffer
from protocol.errors import MalformedError, MissingError, RefusedError
from tests.vectors.generate.frames import ID, SDP

from .pair import NOW, Pair
from .test_epochs import deliver, opened


def say(pair: Pair, content: Content, *, by_mentor: bool = False) -> list[Event]:
    """Let one say something, and return what happens at both."""
    state = pair.mentor if by_mentor else pair.mentee
    pair.keep(with_frame(pair.core, state, pair.thread, content), by_mentor=by_mentor)
    return deliver(pair, pair.outgoing(by_mentor=by_mentor))


def seen(pair: Pair, *, by_mentor: bool) -> SessionView:
    state = pair.mentor if by_mentor else pair.mentee
    return view(state, pair.thread, now=pair.now)


def lines(pair: Pair, *, by_mentor: bool) -> list[str]:
    return [line.text for line in seen(pair, by_mentor=by_mentor).lines if line.kind != "name"]


def test_what_is_taken_back_is_hidden_on_both_devices_and_both_see_that_it_was() -> None:
    pair = opened()
    say(pair, frames.Takeaway(text="Too much said"))
    events = say(pair, Retract(frame=said_last(pair.mentee, pair.thread, None)))
    assert [event.kind for event in events if isinstance(event, Shown)] == ["retract"]
    for by_mentor in (True, False):
        assert lines(pair, by_mentor=by_mentor)[0] == "(taken back)"
        assert "may have been read or copied" in lines(pair, by_mentor=by_mentor)[1]
    assert destroyed(pair.mentor, pair.thread, now=NOW).takeaways == ()


def test_what_was_taken_back_stays_in_the_receivers_vault_for_a_report_until_the_end() -> None:
    pair = opened()
    say(pair, frames.Chat(text="a threat"))
    say(pair, Retract(frame=said_last(pair.mentee, pair.thread, None)))
    assert any(b"a threat" in one.frame for one in pair.mentor.session(pair.thread).frames)
    assert b"a threat" not in dump_state(destroyed(pair.mentor, pair.thread, now=NOW))


def test_what_was_taken_back_before_is_hidden_on_a_device_that_is_told_of_it_later() -> None:
    pair = opened()
    say(pair, frames.Chat(text="Too much said"))
    say(pair, Retract(frame=said_last(pair.mentee, pair.thread, None)))
    for state in (pair.mentor, pair.mentee):
        before, record = state.session(pair.thread), state.thread(pair.thread)
        assert any(one.hidden for one in before.frames)
        told = replace(before, frames=tuple(replace(one, hidden=False) for one in before.frames))
        assert taken_back(record, told) == before


def test_nobody_takes_back_what_the_other_said() -> None:
    pair = opened()
    say(pair, frames.Chat(text="You owe me one"))
    target = said_last(pair.mentee, pair.thread, None)
    with pytest.raises(RefusedError, match="only who said something"):
        say(pair, Retract(frame=target), by_mentor=True)
    # A program that does it all the same is refused by the other one.
    before = pair.mentor
    session = before.session(pair.thread)
    pair.mentor = before.with_session(replace(session, frames=()))
    pair.keep(with_frame(pair.core, pair.mentor, pair.thread, Retract(frame=target)), by_mentor=True)
    (envelope,) = pair.outgoing(by_mentor=True)
    with pytest.raises(RefusedError, match="only who said something"):
        pair.hear(envelope, by_mentor=False)
    assert lines(pair, by_mentor=False) == ["You owe me one"]


def test_the_message_to_take_back_is_named_by_its_number_and_must_be_ones_own() -> None:
    pair = opened()
    say(pair, frames.Chat(text="one"))
    say(pair, frames.Chat(text="two"))
    say(pair, frames.Chat(text="theirs"), by_mentor=True)
    first, _, theirs = [line for line in seen(pair, by_mentor=False).lines if line.kind == "chat"]
    say(pair, Retract(frame=said_last(pair.mentee, pair.thread, first.number)))
    assert lines(pair, by_mentor=True)[:2] == ["(taken back)", "two"]
    for number in (theirs.number, 999):
        with pytest.raises(MissingError):
            said_last(pair.mentee, pair.thread, number)


def test_a_private_note_is_never_sent_and_outlives_the_session() -> None:
    pair = opened()
    pair.mentee = with_private(pair.mentee, pair.thread, "He seemed tired", now=NOW)
    assert pair.outgoing(by_mentor=False) == []
    shown = session_lines(seen(pair, by_mentor=False), "en")
    assert "\N{LOCK} only you: He seemed tired" in shown
    assert b"He seemed tired" not in b"".join(one.frame for one in pair.mentee.session(pair.thread).frames)
    over = destroyed(load_state(dump_state(pair.mentee)), pair.thread, now=NOW)
    assert [(one.kind, one.text) for one in over.takeaways] == [("private", "He seemed tired")]
    with pytest.raises(MalformedError):
        with_private(pair.mentee, pair.thread, "a" * 12_001, now=NOW)


def test_the_board_shows_the_newest_form_of_each_and_what_is_left_of_the_running_part() -> None:
    pair = opened()
    say(pair, frames.Goal(goal=ID, text="Old"))
    say(pair, frames.Goal(goal=ID, text="Three sentences"), by_mentor=True)
    say(pair, frames.Action(action=ID, text="Call them"))
    say(pair, frames.Action(action=ID, text="Call them", done=True))
    items = tuple(frames.AgendaItem(title=title, minutes=5) for title in ("What happened", "Options", "Next"))
    say(pair, frames.Agenda(items=items, started_at=NOW))
    pair.now = NOW + 7 * 60
    for by_mentor in (True, False):
        board = seen(pair, by_mentor=by_mentor).board
        assert (board.goals, [one.done for one in board.actions]) == (("Three sentences",), [True])
        assert [part.left_s for part in board.agenda] == [0, 180, 300]
    text = "\n".join(session_lines(seen(pair, by_mentor=True), "en"))
    assert "What happened ✓ · → Options (3 min left) · Next (5 min)" in text
    assert "1. [x] Call them (mentee)" in text
    assert len(frames_of(pair.mentee, pair.thread)) == len(pair.mentee.session(pair.thread).frames)


def test_an_offered_call_is_shown_and_its_candidates_are_not() -> None:
    pair = opened()
    say(pair, CallOffer(call=ID, sdp=SDP))
    say(pair, CallCandidate(call=ID, candidate="", mid="0"))
    (line,) = lines(pair, by_mentor=True)
    assert line == "wants to call; this program cannot take calls"


def test_what_a_newer_program_says_is_shown_as_something_that_cannot_be_shown_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = opened()
    padded = pad(b'{"at":1,"content":{"type":"poll"},"id":"AAECAwQFBgcICQoLDA0ODw","v":2}', 1_024, what="frame")
    with monkeypatch.context() as patched:
        patched.setattr("cli.client.session.encode_frame", lambda _frame: padded)
        pair.keep(with_frame(pair.core, pair.mentee, pair.thread, frames.Chat(text="x")), by_mentor=False)
    (envelope,) = pair.outgoing(by_mentor=False)
    (event,) = pair.hear(envelope, by_mentor=True)
    assert isinstance(event, Shown)
    assert (event.kind, event.text) == (
        "unknown",
        "something your program cannot show yet: update it to see this (poll)",
    )
    pair.mentor = load_state(dump_state(pair.mentor))
    assert lines(pair, by_mentor=True) == [event.text]
