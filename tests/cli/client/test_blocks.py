"""Whoever is blocked is not shown: neither their requests nor they themselves, whatever label they have by then."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from cli.client.blockrecord import BlockRecord
from cli.client.blocks import DECLINING, LATEST_S, SOONEST_S, blocked, find_block, with_block, without_block
from cli.client.newkeys import with_changes
from cli.client.records import Contact
from cli.client.remains import destroyed
from cli.client.state import ClientState, dump_state, load_state
from cli.client.views import Arrived, Named, Problem, Refused, Secured
from protocol.addresses import audience_id
from protocol.e2ee.masterchange import MasterChange, state_change
from protocol.encoding import encode, sha256
from protocol.errors import MissingError, RefusedError, UnverifiedError
from protocol.signing import SigningKey

from .pair import ASK, NOW, Pair
from .test_epochs import deliver
from .world import PROMPTS, become_mentor, company, happens, need


def test_a_request_of_somebody_blocked_is_never_shown_and_is_declined_when_somebody_might() -> None:
    met = Pair()
    met.until_open()
    pair = Pair()
    pair.mentor = replace(pair.mentor, blocks=with_block(met.mentor, met.thread, now=NOW).blocks)
    assert pair.mentor.blocks[0].master_key == ""  # no name was told yet
    item, _, choice = pair.accept(pair.offered(pair.quote(pair.ask())))
    assert pair.arrive(pair.entry(item, choice)) == []
    record = pair.record(by_mentor=True)
    assert (record.state, record.brief, record.peer_identity) == (DECLINING, None, "")
    assert NOW + SOONEST_S <= record.updated_at <= NOW + 3_540  # not after its deadline
    assert LATEST_S > 3_540
    assert b"How?" not in dump_state(pair.mentor)


def test_others_are_shown_as_before() -> None:
    pair = Pair()
    stranger = BlockRecord(entity=pair.aurora.entity, at=NOW, master_key="A" * 43, identities=("B" * 43,))
    pair.mentor = replace(pair.mentor, blocks=(stranger,))
    item, _, choice = pair.accept(pair.offered(pair.quote(pair.ask())))
    (arrived,) = pair.arrive(pair.entry(item, choice))
    assert isinstance(arrived, Arrived)


def test_a_mentor_who_is_blocked_is_never_proposed_again() -> None:
    met = Pair()
    met.until_open()
    pair = Pair()
    pair.mentee = replace(pair.mentee, blocks=with_block(met.mentee, met.thread, now=NOW).blocks)
    item = pair.quote(pair.ask())
    with pytest.raises(IndexError):
        pair.offered(item)
    assert pair.mentee.asks[ASK].offered == ()


def test_a_block_takes_them_out_of_the_shortlist_that_is_there() -> None:
    pair = Pair()
    pair.until_open()
    assert pair.mentee.asks[ASK].offered
    assert with_block(pair.mentee, pair.thread, now=NOW).asks[ASK].offered == ()


def test_a_mentor_who_comes_with_other_keys_is_recognized_by_their_yes_before_any_name() -> None:
    pair = Pair()
    pair.until_arrived()
    master = pair.mentor.account_secret.master().public.text
    known = BlockRecord(entity="https://earlier.example", at=NOW, master_key=master)
    pair.mentee = replace(pair.mentee, blocks=(known,))
    yes = pair.yes()
    *_, event = pair.agree(pair.agreement(yes.hash), yes.private)
    assert isinstance(event, Problem)
    assert event.code == "blocked"
    assert pair.record().cancel == "not-needed"
    assert pair.mentee.sessions == {}
    (again,) = pair.mentee.blocks
    assert again.identities == (pair.mentor.account_secret.identity(pair.audience).public.text,)
    assert again.sealing == pair.record().sealed_to


def test_a_mentee_who_comes_with_other_keys_is_recognized_by_their_name() -> None:
    pair = Pair()
    pair.until_open()
    master = pair.mentee.account_secret.master().public.text
    pair.mentor = replace(pair.mentor, blocks=(BlockRecord(entity="", at=NOW, master_key=master),))
    events = deliver(pair, pair.outgoing(by_mentor=False), to=(True,))
    assert [event.code for event in events if isinstance(event, Problem)] == ["blocked"]
    assert not any(isinstance(event, Named | Secured) for event in events)
    assert pair.record(by_mentor=True).cancel == "not-needed"


def changed_from(old: SigningKey, state: ClientState, *, signed: bool) -> ClientState:
    """Return the state of somebody whose master key follows `old`, and who shows that."""
    new = state.account_secret.master()
    change = MasterChange(created_at=NOW, new_key=new.public.text, old_key=old.public.text)
    return replace(state, changes=(encode(state_change(change, new, old if signed else None)),))


@pytest.mark.parametrize("signed", [True, False])
def test_a_mentee_who_changed_the_master_key_stays_blocked(signed: bool) -> None:
    pair, old = Pair(), SigningKey(sha256(b"master key of before"))
    pair.mentee = changed_from(old, pair.mentee, signed=signed)
    pair.until_open()
    pair.mentor = replace(pair.mentor, blocks=(BlockRecord(entity="", at=NOW, master_key=old.public.text),))
    events = deliver(pair, pair.outgoing(by_mentor=False), to=(True,))
    assert [event.code for event in events if isinstance(event, Problem)] == ["blocked"]
    assert not any(isinstance(event, Named) for event in events)
    (block,) = pair.mentor.blocks
    assert block.former == (pair.mentee.account_secret.master().public.text,)
    assert block.identities == (pair.mentee.account_secret.identity(pair.audience).public.text,)


def test_a_mentor_who_changed_the_master_key_stays_blocked() -> None:
    pair, old = Pair(), SigningKey(sha256(b"master key of before"))
    pair.mentor = changed_from(old, pair.mentor, signed=True)
    pair.until_arrived()
    block = BlockRecord(entity="https://earlier.example", at=NOW, master_key=old.public.text)
    pair.mentee = replace(pair.mentee, blocks=(block,))
    yes = pair.yes()
    *_, event = pair.agree(pair.agreement(yes.hash), yes.private)
    assert isinstance(event, Problem)
    assert event.code == "blocked"
    assert pair.mentee.sessions == {}


def test_nobody_is_blocked_by_a_change_that_others_made_up() -> None:
    bad, good, thief = (SigningKey(sha256(name)) for name in (b"blocked", b"good", b"thief"))
    change = MasterChange(created_at=NOW, new_key=good.public.text, old_key=bad.public.text)
    state = replace(Pair().mentor, blocks=(BlockRecord(entity="", at=NOW, master_key=bad.public.text),))
    with pytest.raises(UnverifiedError):
        with_changes(state, "t", (state_change(change, thief, bad),), leads_to=good.public.text, now=NOW)
    after, _ = with_changes(state, "t", (state_change(change, good, bad),), leads_to=good.public.text, now=NOW)
    assert find_block(after, entity="", master_key=good.public.text) is not None
    assert find_block(after, entity="", master_key=thief.public.text) is None


def test_a_block_knows_every_key_that_a_contact_has_shown() -> None:
    keys = [SigningKey(sha256(name)).public.text for name in (b"first", b"now", b"waiting")]
    met = Contact(thread="t", name="B", entity="e", label="", master_key=keys[1], met_at=1)
    state = replace(Pair().mentor, contacts=(replace(met, former=(keys[0],), next_key=keys[2]),))
    state = with_block(state, "t", now=NOW)
    assert all(find_block(state, entity="", master_key=one) is not None for one in keys)
    assert find_block(state, entity="", master_key="") is None


def test_a_contact_is_blocked_as_a_person_and_a_block_survives_and_can_be_forgotten() -> None:
    pair = Pair()
    pair.until_open()
    for by_mentor in (True, False):
        deliver(pair, pair.outgoing(by_mentor=by_mentor))
    state = destroyed(pair.mentor, pair.thread, now=NOW).without_threads(pair.thread)
    state = load_state(dump_state(with_block(state, pair.thread, now=NOW)))
    (view,) = blocked(state)
    assert (view.number, view.name, view.by_person) == (1, "Mentee", True)
    master = pair.mentee.account_secret.master().public.text
    assert find_block(state, entity="https://new.example", master_key=master) is not None
    with pytest.raises(MissingError):
        without_block(state, 2)
    assert without_block(state, 1).blocks == ()


def test_nobody_of_whom_nothing_is_known_can_be_blocked() -> None:
    pair = Pair()
    pair.ask()
    with pytest.raises(RefusedError, match="nothing is known"):
        with_block(pair.mentee, pair.thread, now=NOW)
    with pytest.raises(MissingError):
        with_block(pair.mentee, "elsewhere", now=NOW)


@pytest.mark.slow
@pytest.mark.system
async def test_the_no_to_somebody_blocked_reaches_them_like_any_other_and_leaves_nothing(tmp_path: Path) -> None:
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana, aurora.person("aurora2") as ben:
        await become_mentor(ben, listed=False)
        await ana.ask(need())
        audience = audience_id(aurora.entity, aurora.entity)
        identity = ana.state.account_secret.identity(audience).public.text
        block = BlockRecord(entity=aurora.entity, at=NOW, identities=(identity,))
        ben._core.vault.update(lambda state: replace(state, blocks=(block,)))
        thread = (await ana.request(1, prompts=PROMPTS, backups=())).thread
        while thread not in ben.state.threads:
            assert await ben.poll(wait_s=0.5) == ()
        assert ben.requests() == ()
        record = ben.state.threads[thread]
        assert record.state == DECLINING
        ben._core.vault.update(lambda state: state.with_thread(replace(record, updated_at=0)))
        await ben.poll()
        assert thread not in ben.state.threads
        assert (await happens(ana, Refused)).reason == "other"
