"""What was said and never arrived is shown where it was said; what only comes late, or comes twice, is not."""

from msgspec.structs import replace

from cli.client.epochs import PATIENCE_S, too_old
from cli.client.gaps import missing
from cli.client.render import thread_line
from cli.client.render_cautions import gap_lines
from cli.client.session import view
from protocol.e2ee.frames import Frame
from protocol.encoding import decode, encode

from .pair import Pair
from .test_epochs import deliver, opened, renew, write
from .test_forks import said


def kinds(pair: Pair, *, language: str = "en") -> list[tuple[str, str]]:
    """Return what the mentee is shown of the mentor."""
    shown = view(pair.mentee, pair.thread, now=pair.now, language=language).lines
    return [(one.kind, one.text) for one in shown if not one.mine and one.kind != "name"]


def test_what_a_hub_leaves_out_is_shown_at_its_place() -> None:
    pair = opened()
    said(pair, "left out", by_mentor=True)
    deliver(pair, [said(pair, "after it", by_mentor=True)], to=(False,))
    assert kinds(pair) == [("chat", "after it")]
    pair.now += PATIENCE_S - 1
    assert len(kinds(pair)) == 1
    pair.now += 1
    missing = "(something that was said is missing here: it never arrived)"
    assert kinds(pair) == [("missing", missing), ("chat", "after it")]
    assert kinds(pair, language="de")[0][1] == "(hier fehlt etwas, das gesagt wurde: es kam nie an)"


def test_a_list_of_sessions_says_where_something_is_missing() -> None:
    pair = opened()
    said(pair, "left out", by_mentor=True)
    deliver(pair, [said(pair, "after it", by_mentor=True)], to=(False,))

    def listed(language: str) -> tuple[int, str, list[str]]:
        count = missing(pair.mentee.sessions[pair.thread], now=pair.now)
        line = thread_line(pair.record(), "Cobalt", language, missing=count)
        return count, line, gap_lines(pair.mentee, language, now=pair.now)

    assert listed("en")[0] == 0
    assert "missing" not in listed("en")[1]
    assert listed("en")[2] == []
    pair.now += PATIENCE_S
    count, line, (sentence,) = listed("en")
    assert count == 1
    assert "missing here: it never arrived" in line
    assert f"({pair.thread[:8]}): (something that was said is missing here" in sentence
    assert "es kam nie an" in listed("de")[1]
    assert missing(None, now=pair.now) == 0  # a session that is over


def test_what_is_left_out_from_the_first_word_on_is_shown() -> None:
    pair = Pair()
    pair.until_open()
    pair.outgoing(by_mentor=True)
    deliver(pair, [said(pair, "the first that arrives", by_mentor=True)], to=(False,))
    pair.now += PATIENCE_S
    assert [kind for kind, _ in kinds(pair)] == ["missing", "chat"]


def test_who_came_later_misses_nothing_of_before() -> None:
    pair = opened()
    said(pair, "before she came", by_mentor=True)
    session = pair.mentee.sessions[pair.thread]
    pair.mentee = pair.mentee.with_session(replace(session, frames=(), late=True))
    deliver(pair, [said(pair, "when she was there", by_mentor=True)], to=(False,))
    said(pair, "left out", by_mentor=True)
    deliver(pair, [said(pair, "after it", by_mentor=True)], to=(False,))
    pair.now += PATIENCE_S
    assert [kind for kind, _ in kinds(pair)] == ["chat", "missing", "chat"]


def test_what_was_encrypted_again_and_comes_after_a_later_word_is_not_missing() -> None:
    pair = opened()
    write(pair, "slow", by_mentor=True)
    refused = pair.mentor.sessions[pair.thread].outbox[-1]
    deliver(pair, renew(pair, by_mentor=False))
    pair.mentor = too_old(pair.core, pair.mentor, pair.thread, refused.id)
    (slow,) = pair.outgoing(by_mentor=True)
    deliver(pair, [said(pair, "quick", by_mentor=True)])
    deliver(pair, [slow])
    pair.now += PATIENCE_S
    assert kinds(pair) == [("chat", "quick"), ("chat", "slow")]


def test_a_device_that_was_set_back_and_counts_again_leaves_no_gap() -> None:
    pair = opened()
    before = pair.mentor.sessions[pair.thread].said
    deliver(pair, [said(pair, "once", by_mentor=True)])
    session = pair.mentor.sessions[pair.thread]
    pair.mentor = pair.mentor.with_session(replace(session, said=before))
    for text in ("again", "and on"):
        deliver(pair, [said(pair, text, by_mentor=True)])
    pair.now += PATIENCE_S
    assert [text for _, text in kinds(pair)] == ["once", "again", "and on"]


def test_frames_of_before_there_were_places_miss_nothing() -> None:
    pair = opened()
    session = pair.mentee.sessions[pair.thread]
    bare = tuple(replace(one, frame=encode(replace(decode(one.frame, Frame), seq=None))) for one in session.frames)
    pair.mentee = pair.mentee.with_session(replace(session, frames=bare))
    pair.now += PATIENCE_S
    assert kinds(pair) == []
