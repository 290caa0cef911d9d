"""Log first, use later: keys that no attested log shows are never used, and what is wrong is refused in time."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from cli.client import mailbox
from cli.client.api import NodeApi
from cli.client.keychecks import UnprovenError, circle_of, require_listed
from cli.client.parking import PARKED_S
from cli.client.person import Person
from cli.client.pins import document_of
from cli.client.render import session_lines, unwitnessed, waiting_lines
from cli.client.session import view
from cli.client.state import ClientState
from cli.client.views import Alarm, Arrived, Secured
from node.services.key_lookup import KeyAnswer, KeyQuery
from protocol.addresses import audience_id
from protocol.errors import UnverifiedError

from .pair import NOW, Pair
from .world import PROMPTS, become_mentor, companies, company, happens, lists_something, meet, need


def without_proofs(state: ClientState, **changes: object) -> ClientState:
    """Return the state with nothing proven, or with what is proven changed."""
    changed = {name: replace(one, **changes) for name, one in state.proven.items()} if changes else {}
    return replace(state, proven=changed)


def arrive(pair: Pair) -> list[object]:
    item, _, choice = pair.accept(pair.offered(pair.quote(pair.ask())))
    return list(pair.arrive(pair.entry(item, choice)))


def test_a_brief_by_a_device_that_is_not_proven_is_not_opened() -> None:
    for changes in ({}, {"devices": ()}, {"until": NOW}):
        pair = Pair()
        pair.mentor = without_proofs(pair.mentor, **changes)
        with pytest.raises(UnprovenError) as wanted:
            arrive(pair)
        assert (wanted.value.origin, wanted.value.audience) == (pair.aurora.entity, pair.audience)
        assert pair.mentor.threads == {}


def test_a_brief_by_a_device_whose_proof_is_wrong_is_refused() -> None:
    pair = Pair()
    pair.mentor = without_proofs(pair.mentor, refused="wrong")
    with pytest.raises(UnverifiedError) as refusal:
        arrive(pair)
    assert refusal.value.code == "refused-keys"


def test_an_agreement_by_a_device_that_is_not_proven_opens_no_session() -> None:
    pair = Pair()
    pair.until_arrived()
    pair.mentee = without_proofs(pair.mentee)
    yes = pair.yes()
    with pytest.raises(UnprovenError):
        pair.agree(pair.agreement(yes.hash), yes.private)
    assert pair.mentee.sessions == {}


def test_an_agreement_by_a_device_whose_proof_is_wrong_stops_before_names() -> None:
    pair = Pair()
    pair.until_arrived()
    pair.mentee = without_proofs(pair.mentee, refused="wrong")
    yes = pair.yes()
    events = pair.agree(pair.agreement(yes.hash), yes.private)
    assert [type(event) for event in events][1:] == [Alarm]
    assert (pair.record().cancel, pair.mentee.sessions) == ("conflict", {})


def test_keys_that_nobody_outside_attests_are_shown_with_a_caution() -> None:
    pair = Pair()
    pair.mentor = without_proofs(pair.mentor, **kept(pair.mentor), witnessed=False)
    pair.mentee = without_proofs(pair.mentee, **kept(pair.mentee), witnessed=False)
    item, _, choice = pair.accept(pair.offered(pair.quote(pair.ask())))
    (event,) = pair.arrive(pair.entry(item, choice))
    request = cast("Arrived", event).request
    assert not request.witnessed
    assert unwitnessed("de") in waiting_lines(request, "topic", "de")[-1]
    yes = pair.yes()
    (_, secured) = pair.agree(pair.agreement(yes.hash), yes.private)
    assert secured == Secured(thread=pair.thread, role="mentee", witnessed=False)
    assert unwitnessed("en") in session_lines(view(pair.mentee, pair.thread, now=NOW), "en")


def kept(state: ClientState) -> dict[str, object]:
    (one,) = state.proven.values()
    return {"devices": one.devices}


def test_what_is_proven_counts_for_the_person_place_and_time_that_it_is_about() -> None:
    pair = Pair()
    (one,) = pair.mentor.proven.values()
    asked = {"origin": one.origin, "audience": one.audience, "identity_key": one.identity_key}
    assert require_listed(pair.mentor, **asked, devices=one.devices, now=NOW) == one
    for wrong in (
        {"origin": pair.cobalt.entity},
        {"audience": audience_id(pair.cobalt.entity)},
        {"identity_key": "A" * 43},
        {"devices": (*one.devices, "A" * 43)},
        {"now": one.until},
    ):
        with pytest.raises(UnprovenError):
            require_listed(pair.mentor, **{**asked, "devices": one.devices, "now": NOW, **wrong})  # type: ignore[arg-type]


def test_an_audience_is_what_this_device_knows_and_not_what_its_node_says() -> None:
    pair = Pair()
    answer = cast("KeyAnswer", type("Answer", (), {"named": (pair.cobalt.entity,)})())
    circle = circle_of(pair.mentee, pair.audience, pair.cobalt.entity, answer)
    assert circle.members == (pair.aurora.entity, pair.cobalt.entity)
    assert circle.documents[pair.cobalt.entity] == document_of(pair.mentee, pair.cobalt.entity)
    inside = audience_id(pair.aurora.entity)
    assert circle_of(pair.mentee, inside, pair.aurora.entity, answer).members == (pair.aurora.entity,)
    for audience, origin in ((inside, pair.cobalt.entity), (audience_id("https://x.example"), pair.cobalt.entity)):
        with pytest.raises(UnverifiedError):
            circle_of(pair.mentee, audience, origin, answer)


# With real nodes


class BentApi:
    """The own node of one person, as it might lie about keys."""

    def __init__(self, api: NodeApi, bend: Callable[[KeyAnswer], KeyAnswer]) -> None:
        self._api = api
        self._bend = bend

    async def keys(self, query: KeyQuery) -> KeyAnswer:
        return self._bend(await self._api.keys(query))

    def __getattr__(self, name: str) -> object:
        return getattr(self._api, name)


def bend(person: Person, change: Callable[[KeyAnswer], KeyAnswer]) -> None:
    core = person._core
    api = core.api
    core.api = lambda: BentApi(api(), change)  # type: ignore[method-assign,assignment,return-value]  # it lies


def unattested(answer: KeyAnswer) -> KeyAnswer:
    return replace(answer, head=replace(answer.head, attestations=()))


@pytest.mark.slow
@pytest.mark.system
async def test_without_a_quorum_nothing_is_sealed_and_nothing_leaves(tmp_path: Path) -> None:
    async with (
        companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt),
        aurora.person("aurora1") as ana,
        cobalt.person("cobalt1") as ben,
    ):
        await become_mentor(ben)
        await lists_something(ana)
        await ana.ask(need())
        bend(ana, unattested)
        with pytest.raises(UnverifiedError) as refusal:
            await ana.request(1, prompts=PROMPTS)
        assert refusal.value.code == "quorum"
        assert await ben.poll() == ()
        assert all(record.state == "OFFERED" for record in ana.state.threads.values())


@pytest.mark.slow
@pytest.mark.system
async def test_a_mentor_whose_node_shows_no_attested_directory_reads_no_brief(tmp_path: Path) -> None:
    async with (
        companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt),
        aurora.person("aurora1") as ana,
        cobalt.person("cobalt1") as ben,
    ):
        await become_mentor(ben)
        await lists_something(ana)
        await ana.ask(need())
        bend(ben, unattested)
        request = await ana.request(1, prompts=PROMPTS)
        alarm = await happens(ben, Alarm)
        assert "do not hold" in alarm.sentence
        assert request.thread not in ben.state.threads


@pytest.mark.slow
@pytest.mark.system
async def test_a_request_waits_for_keys_that_are_not_listed_yet_and_is_read_once_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana, aurora.person("aurora2") as ben:
        thread, hold = await parked(ana, ben, monkeypatch)
        hold.clear()
        arrived = await happens(ben, Arrived)
        assert (arrived.thread, ben.state.parked) == (thread, ())
        await ben.accept(thread)
        await meet(ana, ben)


@pytest.mark.slow
@pytest.mark.system
async def test_a_request_that_waits_too_long_for_keys_is_told_and_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana, aurora.person("aurora2") as ben:
        thread, _ = await parked(ana, ben, monkeypatch)
        late = tuple(replace(one, since=one.since - PARKED_S) for one in ben.state.parked)
        ben._core.vault.update(lambda state: replace(state, parked=late))
        await happens(ben, Alarm)
        assert ben.state.parked == ()
        assert thread not in ben.state.threads


async def parked(ana: Person, ben: Person, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[bool]]:
    """Bring a request to Ben while his node does not show Ana's entry; return its thread, and what to clear."""
    monkeypatch.setattr(mailbox, "PATIENCE_S", 0)
    hold = [True]
    await become_mentor(ben, listed=False)
    await ana.ask(need())
    request = await ana.request(1, prompts=PROMPTS)
    bend(ben, lambda answer: replace(answer, entries=()) if hold else answer)
    assert await ben.poll(wait_s=5) == ()
    assert [one.thread for one in ben.state.parked] == [request.thread]
    return request.thread, hold
