"""Words vanish on both devices when the two have wished so, also on one that was off; what is for keeping stays."""

from pathlib import Path
from typing import Literal

import pytest
from msgspec.structs import replace

from cli.client.ending import let_go
from cli.client.gaps import gaps_before
from cli.client.handoff import frames_told, handed_on
from cli.client.person import Person
from cli.client.render import session_lines
from cli.client.state import ClientState, dump_state
from cli.client.unlock import create_vault
from cli.client.vanishing import vanishing
from cli.client.views import Vanishing
from cli.session import parse_span
from protocol.e2ee.frames import Chat, Note, Takeaway, Vanish
from protocol.e2ee.siblings import Handoff, Word
from protocol.encoding import b64, decode, sha256
from protocol.errors import MalformedError

from .pair import NOW, Pair
from .test_coming_back import come_back, new_device, settled
from .test_epochs import deliver, opened, renew, texts, write
from .test_own_words import lines, say, seen
from .world import PASSPHRASE, QUICK

HOUR_S = 3_600
NOTE = b64(sha256(b"note")[:16])


def wish(pair: Pair, seconds: int | None, *, after: Literal["end", "said"] = "said", by_mentor: bool = False) -> None:
    say(pair, Vanish(after=after, seconds=seconds), by_mentor=by_mentor)


def both(pair: Pair) -> tuple[ClientState, ClientState]:
    """Return what is left of both devices' states by now."""
    return let_go(pair.mentor, now=pair.now), let_go(pair.mentee, now=pair.now)


def test_of_both_wishes_the_shortest_counts_and_each_can_only_shorten() -> None:
    pair = opened()
    for by_mentor, seconds, holds in (
        (False, 2 * HOUR_S, 2 * HOUR_S),
        (True, HOUR_S, HOUR_S),
        (True, 9 * HOUR_S, 2 * HOUR_S),
        (True, None, 2 * HOUR_S),
        (False, None, None),
    ):
        wish(pair, seconds, by_mentor=by_mentor)
        assert [seen(pair, by_mentor=one).vanishing for one in (True, False)] == [Vanishing(said_s=holds)] * 2


def test_a_message_vanishes_on_both_devices_at_its_second_and_its_text_leaves_the_vault() -> None:
    pair = opened()
    wish(pair, HOUR_S)
    say(pair, Chat(text="between us"))
    say(pair, Takeaway(text="for keeps"))
    assert [line.gone_at for line in seen(pair, by_mentor=True).lines if line.kind == "chat"] == [NOW + HOUR_S]
    pair.now += HOUR_S - 1
    assert all(b"between us" in dump_state(state) for state in both(pair))
    pair.now += 1
    pair.mentor, pair.mentee = both(pair)
    for by_mentor in (True, False):
        assert lines(pair, by_mentor=by_mentor)[1:] == ["(vanished)", "for keeps"]
    assert not any(b"between us" in dump_state(state) for state in (pair.mentor, pair.mentee))
    assert both(pair) == (pair.mentor, pair.mentee)


def test_a_copy_that_comes_after_its_time_shows_nothing_again() -> None:
    pair = opened()
    wish(pair, HOUR_S)
    write(pair, "once", by_mentor=False)
    late = pair.outgoing(by_mentor=False)
    deliver(pair, late, to=(True,))
    pair.now += 600
    (change,) = renew(pair, by_mentor=True)
    deliver(pair, [change])
    pair.now += HOUR_S
    pair.mentor, _ = both(pair)
    deliver(pair, late, to=(False,))  # the hub's echo comes behind a change: the sender says it again
    again = pair.outgoing(by_mentor=False)
    assert len(again) == 1
    assert texts(deliver(pair, again)) == []
    assert lines(pair, by_mentor=True)[-1] == "(vanished)"


def test_a_clock_that_is_ahead_keeps_nothing_longer() -> None:
    pair = opened()
    wish(pair, HOUR_S)
    pair.now += 30 * HOUR_S
    say(pair, Chat(text="from tomorrow"))
    session = pair.mentor.session(pair.thread)
    pair.mentor = pair.mentor.with_session(
        replace(session, frames=tuple(replace(one, taken_at=NOW) for one in session.frames))
    )
    pair.now = NOW + HOUR_S
    pair.mentor, _ = both(pair)
    assert lines(pair, by_mentor=True)[-1] == "(vanished)"


@pytest.mark.parametrize("by_mentor", [True, False])
def test_a_device_that_comes_later_knows_the_wishes_of_before_however_much_was_said_since(by_mentor: bool) -> None:
    pair = opened()
    wish(pair, HOUR_S, by_mentor=by_mentor)
    for number in range(40):
        say(pair, Note(note=NOTE, text=f"{number} " + "long " * 200))
    record, session = pair.record(), pair.mentee.session(pair.thread)
    state = handed_on(pair.mentee, record, session, ["tablet"], welcome=b"w", number=9, now=pair.now)
    told = decode(state.words[0].word, Word).content
    assert isinstance(told, Handoff)
    frames = frames_told(told, now=pair.now)
    assert len(frames) < len(session.frames)
    later = replace(session, frames=frames, late=True)
    assert vanishing(record, later) == Vanishing(said_s=HOUR_S)
    assert gaps_before(later, now=pair.now + HOUR_S) == frozenset()


def test_who_comes_back_is_told_again_that_words_vanish() -> None:
    pair = settled()
    wish(pair, HOUR_S)
    new_device(pair, by_mentor=True)
    come_back(pair, by_mentor=True)
    assert seen(pair, by_mentor=True).vanishing == seen(pair, by_mentor=False).vanishing == Vanishing(said_s=HOUR_S)


def test_all_words_go_so_long_after_the_end_and_takeaways_stay() -> None:
    pair = opened()
    wish(pair, HOUR_S, after="end")
    say(pair, Chat(text="between us"))
    say(pair, Takeaway(text="for keeps"))
    pair.mentor = replace(pair.mentor, archive=replace(pair.mentor.archive, on=True))
    ends_at = pair.record().ends_at
    shown = "\n".join(session_lines(seen(pair, by_mentor=True), "en"))
    assert "Words vanish on both devices: all of them" in shown
    assert "can still be copied" in shown
    pair.now = ends_at + HOUR_S - 1
    assert both(pair) == (pair.mentor, pair.mentee)
    pair.now += 1
    for state in both(pair):
        assert state.sessions == {}
        assert b"between us" not in dump_state(state)
        assert [one.text for one in state.takeaways] == ["for keeps"]
        assert state.archive.sessions == {}


async def test_a_device_that_was_off_forgets_before_it_asks_its_node_anything(tmp_path: Path) -> None:
    pair = opened()
    wish(pair, HOUR_S, after="end")
    vault = create_vault(tmp_path / "vault", pair.mentee, passphrase=PASSPHRASE, cost=QUICK)
    async with Person(vault, clock=lambda: pair.record().ends_at + HOUR_S) as ana:
        assert ana.state.sessions == {}


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1_800), ("1h", 3_600), ("7d", 604_800), ("off", None)])
def test_a_time_is_written_shortly(text: str, seconds: int | None) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "1 h", "-1h", "1w", "99999m", "1h30m"])
def test_any_other_time_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_span(text)
