"""Keys of a session change under way: the first change counts, nothing said is lost, and no relay blocks a member."""

import pytest
from msgspec.structs import replace

from cli.client.core import ENGINE
from cli.client.entries import problem_of, refused_as_old, take_entry
from cli.client.epochs import PATIENCE_S, renewed, too_old, wants_turn
from cli.client.session import MAX_FRAME_BYTES, view, with_frame
from cli.client.views import Alarm, Event, Problem, Shown
from node.api.exchange import Entry
from protocol.e2ee.frames import Chat, Frame, Note
from protocol.encoding import b64, encode
from protocol.envelope import MAX_EPOCH, Envelope, render_envelope
from protocol.errors import MeshError, UnverifiedError

from .pair import NOW, Pair


def opened() -> Pair:
    """Return two people whose names have been told, before any change of keys."""
    pair = Pair()
    pair.until_open()
    for by_mentor in (True, False):
        deliver(pair, pair.outgoing(by_mentor=by_mentor))
    return pair


def deliver(pair: Pair, envelopes: list[Envelope], *, to: tuple[bool, ...] = (True, False)) -> list[Event]:
    """Hand envelopes to both in the hub's order; what is refused is passed over, as the mailbox does."""
    events: list[Event] = []
    for envelope in envelopes:
        for by_mentor in to:
            try:
                events += pair.hear(envelope, by_mentor=by_mentor)
            except MeshError as error:
                events.append(Problem(thread=pair.thread, code=error.code, sentence=str(error)))
    return events


def renew(pair: Pair, *, by_mentor: bool) -> list[Envelope]:
    """Let one device renew its keys, and return what it sends."""
    state = pair.mentor if by_mentor else pair.mentee
    pair.keep(renewed(pair.core, state, pair.thread), by_mentor=by_mentor)
    return pair.outgoing(by_mentor=by_mentor)


def write(pair: Pair, text: str, *, by_mentor: bool) -> None:
    state = pair.mentor if by_mentor else pair.mentee
    pair.keep(with_frame(pair.core, state, pair.thread, Chat(text=text)), by_mentor=by_mentor)


def epochs(pair: Pair) -> tuple[int, int]:
    """Return the mentor's and the mentee's epoch."""
    mentor, mentee = pair.mentor.sessions[pair.thread], pair.mentee.sessions[pair.thread]
    return ENGINE.epoch(ENGINE.load(mentor.state)), ENGINE.epoch(ENGINE.load(mentee.state))


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Shown)]


def test_the_mentees_device_renews_its_keys_once_the_session_is_open() -> None:
    pair = opened()
    (commit,) = renew(pair, by_mentor=False)
    assert (commit.header.kind, commit.header.epoch) == ("commit", 1)
    assert deliver(pair, [commit]) == []
    assert epochs(pair) == (2, 2)
    assert renew(pair, by_mentor=False) == []
    assert renew(pair, by_mentor=True) == []


def test_keys_are_not_renewed_while_something_said_is_on_its_way() -> None:
    pair = opened()
    write(pair, "Hello", by_mentor=False)
    waiting = pair.outgoing(by_mentor=False)
    assert renew(pair, by_mentor=False) == []
    deliver(pair, waiting)
    assert len(renew(pair, by_mentor=False)) == 1


def test_what_never_comes_back_holds_renewal_up_for_ten_minutes_only() -> None:
    pair = opened()
    write(pair, "Hello", by_mentor=False)
    pair.outgoing(by_mentor=False)
    assert not wants_turn(pair.mentee, pair.thread, now=NOW + PATIENCE_S - 1)
    assert wants_turn(pair.mentee, pair.thread, now=NOW + PATIENCE_S)


def test_of_two_changes_at_once_the_second_is_skipped_without_a_word_and_made_again() -> None:
    pair = opened()
    hers = renew(pair, by_mentor=False)
    pair.now += 600
    his = renew(pair, by_mentor=True)
    assert deliver(pair, [*hers, *his]) == []
    assert epochs(pair) == (2, 2)
    again = renew(pair, by_mentor=True)
    assert deliver(pair, again) == []
    assert epochs(pair) == (3, 3)


def test_a_commit_that_a_relay_loses_is_sent_again_and_counts_once() -> None:
    pair = opened()
    lost = renew(pair, by_mentor=False)
    assert renew(pair, by_mentor=False) == []
    pair.now += PATIENCE_S
    again = renew(pair, by_mentor=False)
    assert [one.ciphertext for one in again] == [one.ciphertext for one in lost]
    assert again[0].header.id != lost[0].header.id
    assert deliver(pair, [*again, *lost]) == []
    assert epochs(pair) == (2, 2)


def test_what_was_encrypted_before_a_change_is_encrypted_again_and_shown_once() -> None:
    pair = opened()
    write(pair, "from before", by_mentor=True)
    late = pair.outgoing(by_mentor=True)
    first = renew(pair, by_mentor=False)
    deliver(pair, first)
    deliver(pair, late, to=(True,))  # the relay keeps it from the mentee until it cannot be read any more
    again = pair.outgoing(by_mentor=True)
    assert texts(deliver(pair, again)) == ["from before"]
    assert texts(deliver(pair, late, to=(False,))) == []
    kinds = [line.kind for line in view(pair.mentor, pair.thread, now=pair.now).lines if line.mine]
    assert kinds == ["name", "chat"]


def test_what_the_hub_calls_too_old_is_encrypted_for_the_epoch_of_now() -> None:
    pair = opened()
    write(pair, "late", by_mentor=True)
    deliver(pair, renew(pair, by_mentor=False))
    refused = pair.mentor.sessions[pair.thread].outbox[-1]
    pair.mentor = too_old(pair.core, pair.mentor, pair.thread, refused.id)
    (again,) = pair.outgoing(by_mentor=True)
    assert (again.header.epoch, again.header.id == refused.id) == (2, False)
    assert texts(deliver(pair, [again])) == ["late"]


def test_a_hub_that_was_made_to_count_too_many_does_not_silence_a_member() -> None:
    pair = opened()
    write(pair, "still here", by_mentor=True)
    named = []
    for _ in range(4):
        refused = pair.mentor.sessions[pair.thread].outbox[-1]
        pair.mentor = too_old(pair.core, pair.mentor, pair.thread, refused.id)
        named.append(pair.mentor.sessions[pair.thread].outbox[-1].epoch)
    assert named == [2, 4, 8, 16]
    assert texts(deliver(pair, pair.outgoing(by_mentor=True))) == ["still here"]


def test_a_hub_that_refuses_for_ever_never_makes_a_device_name_an_epoch_beyond_all_envelopes() -> None:
    pair = opened()
    deliver(pair, renew(pair, by_mentor=False))
    write(pair, "never taken", by_mentor=True)
    named = []
    told: list[Event] = []
    while outbox := pair.mentor.sessions[pair.thread].outbox:
        assert told == []
        named.append(outbox[-1].epoch)
        pair.mentor, told = refused_as_old(pair.core, pair.mentor, thread=pair.thread, envelope=outbox[-1].id)
    assert 2**29 < max(named) <= MAX_EPOCH
    assert [one.code for one in told if isinstance(one, Problem)] == ["given-up"]


def test_a_change_that_the_hub_calls_too_old_is_sent_again() -> None:
    pair = opened()
    (commit,) = renew(pair, by_mentor=False)
    pair.mentee = too_old(pair.core, pair.mentee, pair.thread, commit.header.id)
    (again,) = pair.outgoing(by_mentor=False)
    assert (again.header.epoch, again.ciphertext) == (2, commit.ciphertext)
    deliver(pair, [again, commit])
    assert epochs(pair) == (2, 2)


def test_what_the_hub_refused_is_named_by_a_notice_and_an_unknown_name_does_nothing() -> None:
    pair = opened()
    write(pair, "late", by_mentor=False)
    (envelope,) = pair.outgoing(by_mentor=False)
    for name, waiting in (("019b6968-4600-7000-8000-00000000000f", 0), (envelope.header.id, 1)):
        notice = Entry(
            cursor=1,
            at=NOW,
            thread=pair.thread,
            side="consumer",
            kind="notice",
            data=b64(f"stale-epoch {name}".encode()),
        )
        pair.mentee, events = take_entry(pair.core, pair.mentee, notice)
        assert events == []
        assert len(pair.mentee.sessions[pair.thread].outbox) == waiting


def test_junk_and_forged_commits_are_named_and_block_nobody() -> None:
    pair = opened()
    write(pair, "one", by_mentor=True)
    (genuine,) = pair.outgoing(by_mentor=True)
    (commit,) = renew(pair, by_mentor=False)
    flipped = commit.ciphertext[:-1] + bytes([commit.ciphertext[-1] ^ 1])
    junk = [
        replace(genuine, ciphertext=b"junk"),
        replace(genuine, ciphertext=bytes(2_000)),
        replace(commit, ciphertext=flipped, header=replace(commit.header, id="019b6968-4600-7000-8000-00000000000f")),
        replace(commit, ciphertext=genuine.ciphertext[:-3], header=replace(commit.header, side="provider")),
    ]
    before = pair.mentor
    events = deliver(pair, junk[2:], to=(True,))
    assert pair.mentor == before
    assert [event.code for event in events if isinstance(event, Problem)] == ["mls-decrypt", "mls-form"]
    events = deliver(pair, junk[:2], to=(False,))
    assert all(isinstance(event, Problem) and event.code.startswith("mls-") for event in events)
    assert texts(deliver(pair, [genuine, genuine, commit, commit])) == ["one"]
    assert epochs(pair) == (2, 2)
    write(pair, "two", by_mentor=True)
    assert texts(deliver(pair, pair.outgoing(by_mentor=True))) == ["two"]


def test_a_refusal_is_told_with_its_reason() -> None:
    pair = opened()
    write(pair, "one", by_mentor=True)
    (genuine,) = pair.outgoing(by_mentor=True)
    damaged = replace(genuine, ciphertext=genuine.ciphertext[:-1] + bytes([genuine.ciphertext[-1] ^ 1]))
    entry = Entry(
        cursor=1, at=NOW, thread=pair.thread, side="consumer", kind="envelope", data=b64(render_envelope(damaged))
    )
    with pytest.raises(UnverifiedError) as caught:
        take_entry(pair.core, pair.mentee, entry)
    told = problem_of(entry, caught.value)
    assert isinstance(told, Alarm)
    assert told.code == "mls-decrypt"


def test_a_session_takes_in_no_more_than_a_vault_can_bear() -> None:
    pair = opened()
    session = pair.mentee.sessions[pair.thread]
    large = encode(Frame(id=b64(bytes(16)), at=NOW, content=Note(note=b64(bytes(16)), text="x" * 12_000)))
    many = (replace(session.frames[0], frame=large),) * (MAX_FRAME_BYTES // len(large) + 1)
    for frames, told in ((many[:-1], ["fits"]), (many, [])):
        pair.mentee = pair.mentee.with_session(replace(session, frames=frames))
        write(pair, "fits", by_mentor=True)
        (envelope,) = pair.outgoing(by_mentor=True)
        events = deliver(pair, [envelope], to=(False,))
        assert texts(events) == told
        assert [event.code for event in events if isinstance(event, Problem)] == ([] if told else ["full"])


def test_a_closed_session_renews_nothing() -> None:
    pair = opened()
    pair.mentee = pair.mentee.with_session(replace(pair.mentee.sessions[pair.thread], closed_theirs=True))
    assert renew(pair, by_mentor=False) == []
