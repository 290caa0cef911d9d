"""Whoever changed their master key stays in open sessions, by the one change that was told there, and no thief does."""

import pytest
from msgspec.structs import replace

from cli.client.book import book_of, with_book
from cli.client.core import ENGINE
from cli.client.handoff import handed_on
from cli.client.kept_records import ChangingRecord
from cli.client.masterkey import _with_told
from cli.client.members import is_own
from cli.client.naming import named
from cli.client.places import coming_back
from cli.client.records import Contact
from cli.client.rejoining import MOST, asked_in, wants_in
from cli.client.remains import destroyed
from cli.client.session import view, with_frame
from cli.client.state import ClientState
from cli.client.verifying import begun, ready
from cli.client.views import KeyChanged, Named
from protocol.e2ee.frames import Frame, MasterChanged, Name
from protocol.e2ee.keys import AccountSecret
from protocol.e2ee.masterchange import MasterChange, StatedChange, state_change
from protocol.e2ee.siblings import Handoff, Word
from protocol.encoding import decode, encode
from protocol.errors import UnverifiedError

from .pair import Pair, seed
from .test_coming_back import hear_each_other, settled
from .test_epochs import deliver, renew
from .test_rejoining import codes


def change(state: ClientState, new: bytes, *, signed: bool = True) -> StatedChange:
    old, master = state.account_secret.master(), AccountSecret(new).master()
    said = MasterChange(created_at=1, new_key=master.public.text, old_key=old.public.text)
    return state_change(said, master, old if signed else None)


def told(pair: Pair, new: str, *, signed: bool = True, audience: str = "") -> list[str]:
    """Let the mentor's device say in the session that its person takes another master key; return what she is told."""
    stated = change(pair.mentor, seed(new), signed=signed)
    identity = AccountSecret(seed(new)).state_identity(audience or pair.audience)
    frame = MasterChanged(change=stated, identity=identity)
    pair.mentor = with_frame(pair.core, pair.mentor, pair.thread, frame)
    return codes(deliver(pair, pair.outgoing(by_mentor=True)))


def changed(pair: Pair, new: str) -> None:
    """Let the mentor's account go on under another secret, which stands in the directory."""
    pair.mentor = replace(pair.mentor, account_seed=seed(new))
    proven = pair.mentee.proven
    pair.mentee = pair.knows(pair.mentee, pair.mentor)
    pair.mentee = replace(pair.mentee, proven={**proven, **pair.mentee.proven})


def asks(pair: Pair) -> list[str]:
    pair.mentor = asked_in(pair.core, pair.mentor, thread=pair.thread)
    return codes(deliver(pair, pair.outgoing(by_mentor=True), to=(False,)))


def test_the_device_that_changed_the_key_takes_its_place_anew_under_the_new_identity() -> None:
    pair = settled()
    stated = encode(change(pair.mentor, seed("new")))
    changing = ChangingRecord(seed=seed("new"), change=stated)
    pair.mentor = _with_told(pair.mentor, core=pair.core, thread=pair.thread, changing=changing)
    (event,) = deliver(pair, pair.outgoing(by_mentor=True))
    assert isinstance(event, KeyChanged)
    assert not wants_in(pair.mentor, pair.thread, now=pair.now)
    changed(pair, "new")
    hear_each_other(pair)
    assert asks(pair) == ["let-in-again"]
    assert not wants_in(pair.mentor, pair.thread, now=pair.now)
    assert codes(deliver(pair, renew(pair, by_mentor=False))) == []
    assert codes(deliver(pair, pair.outgoing(by_mentor=False))) == ["let-in-again"]
    deliver(pair, pair.outgoing(by_mentor=True))
    hear_each_other(pair)
    record = pair.record(by_mentor=True)
    members = ENGINE.members(ENGINE.load(pair.mentor.session(pair.thread).state))
    assert [is_own(pair.mentor, record, one, now=pair.now) for one in members].count(True) == 1
    assert not wants_in(pair.mentor, pair.thread, now=pair.now)


@pytest.mark.parametrize("what", ["not told", "not signed by the old key", "without the identity"])
def test_an_identity_that_nobody_stated_in_the_session_lets_nobody_in(what: str) -> None:
    pair = settled()
    if what == "not signed by the old key":
        told(pair, "new", signed=False)
    if what == "without the identity":
        frame = MasterChanged(change=change(pair.mentor, seed("new")))
        pair.mentor = with_frame(pair.core, pair.mentor, pair.thread, frame)
        deliver(pair, pair.outgoing(by_mentor=True))
    assert pair.record().peer_next == ()
    changed(pair, "new")
    pair.mentor = asked_in(pair.core, pair.mentor, thread=pair.thread)
    (ask,) = pair.outgoing(by_mentor=True)
    with pytest.raises(UnverifiedError, match="belongs to nobody"):
        pair.hear(ask, by_mentor=False)


@pytest.mark.parametrize("met", [True, False])
def test_whoever_stole_a_device_and_signs_a_second_change_gets_neither_in(met: bool) -> None:
    pair = settled()
    if met:
        master = pair.mentor.account_secret.master().public.text
        contact = Contact(thread="t", name="Ben", entity=pair.cobalt.entity, label="", master_key=master, met_at=1)
        pair.mentee = replace(pair.mentee, contacts=(contact,))
    assert told(pair, "new") == []
    assert told(pair, "new") == []
    assert len(pair.record().peer_next) == 1
    assert told(pair, "thief") == ["two-successors"]
    assert told(pair, "third") == []
    before = pair.mentor
    for name in ("thief", "new", "third"):
        pair.mentor = before
        changed(pair, name)
        pair.mentor = asked_in(pair.core, pair.mentor, thread=pair.thread)
        (ask,) = pair.outgoing(by_mentor=True)
        with pytest.raises(UnverifiedError, match="belongs to nobody"):
            pair.hear(ask, by_mentor=False)


@pytest.mark.parametrize("signed", [True, False])
def test_a_second_change_that_states_no_identity_ends_the_first(signed: bool) -> None:
    pair = settled()
    assert told(pair, "thief") == []
    frame = MasterChanged(change=change(pair.mentor, seed("new"), signed=signed))
    pair.mentor = with_frame(pair.core, pair.mentor, pair.thread, frame)
    assert codes(deliver(pair, pair.outgoing(by_mentor=True))) == ["two-successors"]
    assert pair.record().peer_identities == (pair.record().peer_identity,)


def let_in(pair: Pair) -> None:
    """Let the mentor's device take its place anew under the identity of now."""
    assert asks(pair) == ["let-in-again"]
    deliver(pair, renew(pair, by_mentor=False))
    assert codes(deliver(pair, pair.outgoing(by_mentor=False))) == ["let-in-again"]
    deliver(pair, pair.outgoing(by_mentor=True))


def numbers(pair: Pair) -> list[str]:
    return [view(state, pair.thread, now=pair.now).safety for state in (pair.mentor, pair.mentee)]


@pytest.mark.parametrize("between", [True, False])
def test_a_second_change_is_followed_where_the_first_was(between: bool) -> None:
    pair = settled()
    before = pair.mentor.account_secret.master().public.text
    for new in ("new", "newer"):
        pair.now += 1
        assert told(pair, new) == []
        changed(pair, new)
        assert len(set(numbers(pair))) == 1
        if between:
            let_in(pair)
    if not between:
        let_in(pair)
    hear_each_other(pair)
    session = pair.mentee.session(pair.thread)
    assert session.master_key == pair.mentor.account_secret.master().public.text
    (contact,) = destroyed(pair.mentee, pair.thread, now=pair.now).contacts
    assert (contact.master_key, contact.former) == (session.master_key, session.former)
    assert (contact.former[0], len(contact.former), contact.disputed) == (before, 2, False)


def test_codes_that_are_compared_after_a_change_of_keys_match() -> None:
    pair = settled()
    assert told(pair, "new") == []
    changed(pair, "new")
    pair.mentee, said = begun(pair.mentee, pair.thread)
    pair.mentee = with_frame(pair.core, pair.mentee, pair.thread, said)
    for by_mentor in (False, True, False):
        deliver(pair, pair.outgoing(by_mentor=by_mentor))
    codes_read = [ready(state, pair.thread) for state in (pair.mentor, pair.mentee)]
    assert codes_read[0] == codes_read[1]


def test_whoever_follows_an_earlier_key_in_another_way_ends_all_that_followed_it() -> None:
    pair = settled()
    old = pair.mentor
    told(pair, "new")
    changed(pair, "new")
    told(pair, "newer")
    state = replace(pair.mentor, account_seed=old.account_seed)
    pair.mentor, new = state, pair.mentor
    assert told(pair, "new") == []  # said again
    assert told(pair, "thief") == ["two-successors"]
    assert pair.record().peer_identities == (pair.record().peer_identity,)
    pair.mentor = new
    changed(pair, "newer")
    pair.mentor = asked_in(pair.core, pair.mentor, thread=pair.thread)
    with pytest.raises(UnverifiedError, match="belongs to nobody"):
        pair.hear(pair.outgoing(by_mentor=True)[-1], by_mentor=False)
    (contact,) = destroyed(pair.mentee, pair.thread, now=pair.now).contacts
    assert contact.disputed


def test_a_name_that_was_told_before_the_change_and_comes_behind_it_is_no_alarm() -> None:
    pair = settled()
    record, frames = pair.record(), pair.mentee.session(pair.thread).frames
    his = next(one for one in frames if b'"type":"name"' in one.frame and one.sender in record.peer_devices)
    frame = decode(his.frame, Frame)
    told(pair, "new")
    assert isinstance(frame.content, Name)
    after, events = named(pair.core, pair.mentee, record, frame.content)
    assert [type(one) for one in events] == [Named]
    assert after.session(pair.thread).master_key == pair.mentee.session(pair.thread).master_key


def test_other_devices_of_the_person_and_the_archive_know_the_whole_chain() -> None:
    pair = settled()
    for new in ("new", "newer"):
        told(pair, new)
        changed(pair, new)
    record, session = pair.record(), pair.mentee.session(pair.thread)
    assert len(record.peer_identities) == 3
    back = with_book(replace(pair.mentee, threads={}, sessions={}), book_of(pair.mentee, now=pair.now))
    back = coming_back(back, now=pair.now)
    assert back.threads[pair.thread].peer_identities == record.peer_identities
    assert back.session(pair.thread).former == session.former
    state = handed_on(pair.mentee, record, session, ["device"], welcome=b"w", number=1, now=pair.now)
    content = decode(state.words[0].word, Word).content
    assert isinstance(content, Handoff)
    assert ((content.peer_chain, content.peer_next), content.former) == (
        (record.peer_chain, record.peer_next),
        session.former,
    )


def test_a_statement_for_other_organizations_is_refused() -> None:
    pair = settled()
    other = AccountSecret(seed("other")).master().public.text
    assert told(pair, "new", audience=other) != []
    assert pair.record().peer_next == ()


def test_who_is_not_answered_asks_five_times_and_goes_on_under_the_keys_of_before() -> None:
    pair = settled()
    told(pair, "new")
    changed(pair, "new")
    made = 0
    for _ in range(MOST + 2):
        pair.mentor = asked_in(pair.core, pair.mentor, thread=pair.thread)
        made += len(pair.outgoing(by_mentor=True))
        pair.now += 600
    assert made == MOST
    hear_each_other(pair)
