"""Another master key: told, signed by the old one or waited for, disputed when two follow one, and never silent."""

import time
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from cli.client import unlock
from cli.client.api import NodeApi
from cli.client.contacts import contact_named
from cli.client.core import ENGINE
from cli.client.members import is_own
from cli.client.newkeys import (
    judge,
    known_as,
    own_changes,
    require_undisputed,
    told_in_session,
    trusted,
    with_changes,
)
from cli.client.person import Person
from cli.client.records import Contact, SessionRecord, ThreadRecord
from cli.client.state import ClientState
from cli.client.views import Alarm, Arrived, KeyChanged, Shown
from node.rows import LabelRow
from protocol.e2ee.frames import MasterChanged, Name
from protocol.e2ee.masterchange import WAIT_S, MasterChange, StatedChange, open_change, state_change
from protocol.e2ee.safety import safety_number
from protocol.encoding import sha256
from protocol.errors import MalformedError, MissingError, RefusedError, UnavailableError, UnverifiedError
from protocol.signing import SigningKey
from tests.patience import PATIENCE_S, comes_true

from .test_again import met
from .test_commands import Home
from .world import PASSPHRASE, PROMPTS, QUICK, become_mentor, companies, company, happens, meet, need, profile

KEYS: Final = [SigningKey(sha256(f"master {number}".encode())) for number in range(4)]
NOW: Final = 1_800_000_000


def changed(old: int, new: int, *, signed: bool = True) -> StatedChange:
    change = MasterChange(created_at=NOW, new_key=KEYS[new].public.text, old_key=KEYS[old].public.text)
    return state_change(change, KEYS[new], KEYS[old] if signed else None)


def ben(**fields: object) -> Contact:
    contact = Contact(
        thread="t", name="Ben", entity="https://b.example", label="", master_key=KEYS[0].public.text, met_at=1
    )
    return replace(contact, **fields)


def knowing(*contacts: Contact) -> ClientState:
    return ClientState(account_seed=bytes(32), device_seed=bytes(32), contacts=contacts)


def shown(state: ClientState, *stated: StatedChange, now: int = NOW) -> tuple[ClientState, list[bool]]:
    """Return the state after changes were shown, and whether what was told is believed."""
    leads_to = open_change(stated[-1]).change.new_key
    after, events = with_changes(state, "t", stated, leads_to=leads_to, now=now)
    return after, [event.believed for event in events if isinstance(event, KeyChanged)]


def test_what_the_old_key_signed_is_followed_at_once() -> None:
    state, told = shown(knowing(ben()), changed(0, 1))
    assert told == [True]
    (after,) = state.contacts
    assert (after.master_key, after.former) == (KEYS[1].public.text, (KEYS[0].public.text,))
    state, told = shown(state, changed(0, 1), changed(1, 2))
    assert (told, state.contacts[0].master_key) == ([True], KEYS[2].public.text)
    assert shown(state, changed(0, 1), changed(1, 2)) == (state, [])


def test_what_the_old_key_did_not_sign_counts_after_72_hours_from_first_sight() -> None:
    change = changed(0, 1, signed=False)
    state, told = shown(knowing(ben()), change)
    assert (told, state.contacts[0].master_key) == ([False], KEYS[0].public.text)
    with pytest.raises(RefusedError, match="did not sign"):
        require_undisputed(state.contacts[0], KEYS[1].public.text)
    state, told = shown(state, change, now=NOW + WAIT_S - 1)
    assert (told, state.contacts[0].next_since) == ([False], NOW)
    state, told = shown(state, change, now=NOW + WAIT_S)
    assert (told, state.contacts[0].master_key) == ([True], KEYS[1].public.text)
    require_undisputed(state.contacts[0], KEYS[1].public.text)


@pytest.mark.parametrize("rival", [changed(0, 2), changed(0, 2, signed=False)])
def test_two_keys_that_follow_one_are_disputed_until_their_owner_is_asked(rival: StatedChange) -> None:
    """Whoever stole a device has the old key, too, and signs a change of their own."""
    state, _ = shown(knowing(ben()), changed(0, 1))
    state, told = shown(state, rival)
    (after,) = state.contacts
    assert (told, after.disputed, after.master_key) == ([False], True, KEYS[1].public.text)
    with pytest.raises(RefusedError, match="Two different keys"):
        require_undisputed(after, KEYS[2].public.text)
    assert shown(state, changed(1, 3))[1] == [False]
    own = state.account_secret.master().public
    numbers = [safety_number(own, one.public) for one in KEYS]
    for key in (2, 1):
        number = numbers[key]
        for read in (number, number[:12], number.replace(" ", "")):
            (believed,) = trusted(state, after, read, now=NOW + 5).contacts
            assert (believed.master_key, believed.disputed) == (KEYS[key].public.text, False)
            assert (believed.next_key, believed.compared_at) == ("", NOW + 5)
    with pytest.raises(UnverifiedError, match="no key that Ben has shown"):
        trusted(state, after, numbers[0], now=NOW)
    with pytest.raises(MalformedError, match="first 10 digits"):
        trusted(state, after, numbers[1][:9], now=NOW)
    with pytest.raises(MissingError):
        trusted(state, ben(), numbers[1], now=NOW)


def test_a_waiting_key_is_disputed_when_another_one_comes_or_the_old_one_is_still_used() -> None:
    state, _ = shown(knowing(ben()), changed(0, 1, signed=False))
    assert shown(state, changed(0, 2, signed=False))[0].contacts[0].disputed
    told = Name(name="Ben", master_key=KEYS[0].public.text, identity="x" * 100)
    after, events = known_as(state, record("https://b.example"), told, now=NOW + WAIT_S)
    assert after.contacts[0].disputed
    assert [type(event) for event in events] == [KeyChanged]


def record(peer: str) -> ThreadRecord:
    return ThreadRecord(
        thread="t", role="mentee", consumer="https://a.example", provider=peer, audience="", state="", updated_at=1
    )


def test_the_same_name_with_other_keys_and_no_word_between_them_is_not_taken_silently() -> None:
    state = knowing(ben())
    told = Name(name="ben", master_key=KEYS[3].public.text, identity="x" * 100)
    _, events = known_as(state, record("https://b.example"), told, now=NOW)
    assert isinstance(events[0], Alarm)
    assert "Compare the safety number" in events[0].sentence
    for name, key, peer in (("Cleo", 3, "b"), ("ben", 3, "c"), ("ben", 0, "b")):
        told = Name(name=name, master_key=KEYS[key].public.text, identity="x" * 100)
        assert known_as(state, record(f"https://{peer}.example"), told, now=NOW) == (state, [])


def test_a_change_of_somebody_else_changes_no_contact() -> None:
    state = knowing(ben())
    assert shown(state, changed(2, 3)) == (state, [])
    assert judge(ben(), (), now=NOW) is None


@pytest.mark.parametrize("told_before", ["", KEYS[3].public.text])
def test_in_a_session_a_change_counts_only_for_the_key_that_was_told_there(told_before: str) -> None:
    """Whoever has not told who they are cannot say that somebody else's key changes."""
    state, session = knowing(ben()), SessionRecord(thread="t", engine="mls-1", state=b"", master_key=told_before)
    for signed in (True, False):
        told = MasterChanged(change=changed(0, 1, signed=signed))
        after, (event,) = told_in_session(state, record("https://b.example"), session, told, now=NOW)
        assert after == state
        assert isinstance(event, Alarm)
        assert event.code == "wrong-change"


async def safe_names(person: Person) -> set[str]:
    return {view.name for view in await person.api.safe()}


@pytest.mark.slow
@pytest.mark.system
async def test_who_changed_the_master_key_is_the_same_person_to_whom_it_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt),
        aurora.person("aurora1") as ana,
        cobalt.person("cobalt1") as mentor,
    ):
        await become_mentor(mentor)
        await mentor.api.save_profile(replace(profile(), per_week=10))
        await met(ana, mentor)
        await mentor.recovery.add_words(sha256(b"words"))
        await mentor.archive.push()
        thread = await in_session(ana, mentor)
        old = mentor.state.account_secret.master().public.text
        await interrupted(mentor, monkeypatch)
        done = await mentor.master_keys.change()
        assert (done.old_key, done.told) == (old, 1)
        assert done.new_key == mentor.state.account_secret.master().public.text != old
        assert (await happens(ana, KeyChanged)).believed
        assert contact_named(ana.state, "cobalt1").master_key == done.new_key
        assert await safe_names(mentor) == set()
        assert len(mentor.state.audiences) == 2
        async with cobalt.store.read() as reader:
            labels = {row.label for row in await reader.find(LabelRow)}
        assert {mentor.state.account_secret.label(one) for one in mentor.state.audiences} <= labels
        # The session goes on with the keys that it began with.
        await mentor.send_chat(thread, "Still here.")
        assert (await happens(ana, Shown)).text == "Still here."
        await mentor.listed()
        await takes_place_anew(mentor, ana, thread)
        await mentor.send_chat(thread, "Under new keys.")
        assert (await happens(ana, Shown)).text == "Under new keys."
        ana._core.vault.update(partial(_not_told, old=old))
        await asked_again(ana, mentor)


async def takes_place_anew(mentor: Person, ana: Person, thread: str) -> None:
    """Return once a device is in a session under the keys that its person has now."""
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        session, record = mentor.state.session(thread), mentor.state.thread(thread)
        mine = mentor.state.device_secret.key(record.audience).public.text
        (here,) = [one for one in ENGINE.members(ENGINE.load(session.state)) if one.device == mine]
        if session.asked and session.rejoin is None and is_own(mentor.state, record, here, now=mentor._core.now()):
            return
        await mentor.poll(wait_s=0.1)
        await ana.poll(wait_s=0.1)
    raise AssertionError("the device is in the session by its old place")


async def interrupted(mentor: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the node go away after it took the new keys, before this device knows."""
    real = NodeApi.enrol

    async def lost(self: NodeApi, command: object) -> None:
        await real(self, command)  # type: ignore[arg-type]
        raise UnavailableError("away")

    with monkeypatch.context() as away:
        away.setattr(NodeApi, "enrol", lost)
        with pytest.raises(UnavailableError):
            await mentor.master_keys.change()
    assert mentor.state.changing is not None


async def in_session(ana: Person, mentor: Person) -> str:
    await ana.ask_again(need(), "cobalt1")
    request = await ana.request(1, prompts=PROMPTS)
    with pytest.raises(RefusedError, match="is under way"):
        await ana.master_keys.change()
    await happens(mentor, Arrived)
    await mentor.accept(request.thread)
    await meet(ana, mentor)
    return request.thread


async def proposed(ana: Person) -> None:
    """Return once the mentor is proposed: the new keys have to be in a head that the other node attested."""

    async def is_proposed() -> bool:
        return bool((await ana.ask_again(need(), "cobalt1")).proposals)

    await comes_true(is_proposed)


async def asked_again(ana: Person, mentor: Person) -> None:
    """Even if nobody told in time, the answer carries the word of the old key; without it nothing is told."""
    before = mentor.state.changes
    mentor._core.vault.update(lambda state: replace(state, changes=()))
    assert own_changes(mentor.state) == ()
    await proposed(ana)
    request = await ana.request(1, prompts=PROMPTS)
    await happens(mentor, Arrived)
    await mentor.accept(request.thread)
    assert "somebody else than cobalt1" in (await happens(ana, Alarm)).sentence
    mentor._core.vault.update(lambda state: replace(state, changes=before))
    await proposed(ana)
    request = await ana.request(1, prompts=PROMPTS)
    await happens(mentor, Arrived)
    await mentor.accept(request.thread)
    await meet(ana, mentor)
    assert contact_named(ana.state, "cobalt1").master_key == mentor.state.account_secret.master().public.text


def _not_told(state: ClientState, *, old: str) -> ClientState:
    return replace(state, contacts=tuple(replace(one, master_key=old, former=()) for one in state.contacts))


@pytest.mark.slow
@pytest.mark.system
async def test_a_change_of_keys_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unlock.create_vault, "__kwdefaults__", {"cost": QUICK})
    monkeypatch.setenv("MENTORMESH_PASSPHRASE", PASSPHRASE)
    async with company(tmp_path, "aurora") as aurora:
        ana = await Home(aurora, "aurora1").sign_in()
        before = (await ana.read("person", "show"))["master_key"]
        assert "say --yes" in (await ana.type("person", "change-master-key", "--json")).stderr
        assert "say --number" in (await ana.type("person", "contacts", "trust", "Ben")).stderr
        done = await ana.read("person", "change-master-key", "--yes")
        assert (done["old_key"], done["told"]) == (before, 0)
        assert (await ana.read("person", "show"))["master_key"] == done["new_key"]
        same = await ana.type("person", "change-master-key", "--lost", done["new_key"])
        assert "the master key that you have" in same.stderr
        assert "waits 72 hours" in await ana.done("person", "change-master-key", "--lost", before)
        assert await ana.read("person", "contacts", "list") == []
        for words in (("revoke", "Ben"), ("trust", "Ben", "--number", "0123456789")):
            assert "met nobody of this name" in (await ana.type("person", "contacts", *words)).stderr
