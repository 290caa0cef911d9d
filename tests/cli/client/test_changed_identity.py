"""Whoever changed their master key stays in open sessions, by the one change that was told there, and no thief does."""

import pytest
from msgspec.structs import replace

from cli.client.core import ENGINE
from cli.client.kept_records import ChangingRecord
from cli.client.masterkey import _with_told
from cli.client.members import is_own
from cli.client.records import Contact
from cli.client.rejoining import MOST, asked_in, wants_in
from cli.client.session import with_frame
from cli.client.state import ClientState
from cli.client.views import KeyChanged
from protocol.e2ee.frames import MasterChanged
from protocol.e2ee.keys import AccountSecret
from protocol.e2ee.masterchange import MasterChange, StatedChange, state_change
from protocol.encoding import encode
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
