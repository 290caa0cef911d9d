"""A no leads to the next person by itself; other times, interruptions and second thoughts leave nothing half-done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from cli.client.api import NodeApi
from cli.client.person import Person
from cli.client.state import ClientState
from cli.client.unlock import open_vault
from cli.client.views import Agreed, Arrived, Cancelled, Countered, Exhausted, Passed, Problem, Refused, Secured
from node.services.mentor_side import Answer
from node.services.thread_views import ThreadView
from protocol.errors import MissingError, RefusedError, UnavailableError

from .world import PASSPHRASE, PROMPTS, Company, become_mentor, company, happens, meet, need

pytestmark = [pytest.mark.slow, pytest.mark.system]


@asynccontextmanager
async def colleagues(folder: Path, mentors: int) -> AsyncIterator[tuple[Company, Person, list[Person]]]:
    """Yield a company, its mentee and its mentors."""
    async with AsyncExitStack() as stack:
        aurora = await stack.enter_async_context(company(folder, "aurora"))
        mentee = await stack.enter_async_context(aurora.person("aurora0"))
        people = [await stack.enter_async_context(aurora.person(f"aurora{one + 1}")) for one in range(mentors)]
        for person in people:
            await become_mentor(person, listed=False)
        yield aurora, mentee, people


async def whom(people: list[Person], thread: str) -> Person:
    """Return the mentor whom a request went to."""
    for _ in range(60):
        for person in people:
            await person.poll(wait_s=0.1)
            if thread in {one.thread for one in person.requests()}:
                return person
    raise AssertionError("the request arrived at nobody")


async def test_after_a_no_the_next_person_is_asked_and_never_the_same(tmp_path: Path) -> None:
    async with colleagues(tmp_path, 3) as (_, ana, mentors):
        assert len((await ana.ask(need())).proposals) == 3
        request = await ana.request(1, prompts=PROMPTS)
        first = await whom(mentors, request.thread)
        await first.decline(request.thread, reason="no-time")
        assert (await happens(ana, Refused)).reason == "no-time"
        passed = await happens(ana, Passed)
        assert passed.before == request.thread
        second = await whom(mentors, passed.thread)
        assert second is not first
        await second.decline(passed.thread, reason="not-my-topic")
        third = await whom(mentors, (await happens(ana, Passed)).thread)
        assert third not in (first, second)
        await third.decline(third.requests()[0].thread)
        assert (await happens(ana, Exhausted)).tried == 3
        assert [person.requests() for person in mentors] == [(), (), ()]
        assert all(record.brief is None for person in mentors for record in person.state.threads.values())


async def test_the_own_order_of_backups_is_kept(tmp_path: Path) -> None:
    async with colleagues(tmp_path, 3) as (_, ana, mentors):
        shortlist = await ana.ask(need())
        wanted = shortlist.proposals[1].candidate.keys
        request = await ana.request(3, prompts=PROMPTS, backups=(2, 1))
        await (await whom(mentors, request.thread)).decline(request.thread)
        passed = await happens(ana, Passed)
        record = ana.state.threads[passed.thread]
        assert record.quote is not None
        (chosen,) = [one for one in record.quote.candidates if one.ref == record.ref]
        assert chosen.keys == wanted


async def test_without_backups_a_no_is_the_end(tmp_path: Path) -> None:
    async with colleagues(tmp_path, 2) as (_, ana, mentors):
        await ana.ask(need())
        request = await ana.request(1, prompts=PROMPTS, backups=())
        await (await whom(mentors, request.thread)).decline(request.thread)
        await happens(ana, Refused)
        assert await ana.poll() == ()
        assert [person.requests() for person in mentors] == [(), ()]


async def test_other_times_are_proposed_and_taken_up(tmp_path: Path) -> None:
    async with colleagues(tmp_path, 1) as (_, ana, (ben,)):
        await ana.ask(need())
        request = await ana.request(1, prompts=PROMPTS)
        await happens(ben, Arrived)
        with pytest.raises(RefusedError, match="nobody proposes"):
            await ana.take_up(request.thread, ())
        later = tuple(slot + 7 * 86_400 for slot in request.slots[:2])
        await ben.counter(request.thread, later)
        assert ben.requests() == ()
        assert (await happens(ana, Countered)).slots == later
        await ana.take_up(request.thread, (later[1],))
        again = await happens(ben, Arrived)
        assert (again.request.slots, again.request.prompts) == ((later[1],), PROMPTS)
        await ben.accept(request.thread)
        assert (await happens(ana, Agreed)).slot == later[1]


async def test_an_answer_is_given_once(tmp_path: Path) -> None:
    async with colleagues(tmp_path, 1) as (_, ana, (ben,)):
        await ana.ask(need())
        request = await ana.request(1, prompts=PROMPTS)
        await happens(ben, Arrived)
        with pytest.raises(RefusedError, match="times asked for"):
            await ben.accept(request.thread, slot=1)
        with pytest.raises(RefusedError, match="decline it instead"):
            await ben.cancel(request.thread)
        await ben.accept(request.thread)
        for again in (ben.accept, ben.decline):
            with pytest.raises(RefusedError, match="does not wait for your answer"):
                await again(request.thread)
        await meet(ana, ben)


async def test_a_yes_whose_confirmation_got_lost_is_the_yes_that_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with colleagues(tmp_path, 1) as (_, ana, (ben,)):
        await ana.ask(need())
        request = await ana.request(1, prompts=PROMPTS)
        slots = (await happens(ben, Arrived)).request.slots
        real = NodeApi.answer

        async def cut_off(self: NodeApi, thread: str, answer: Answer) -> ThreadView:
            await real(self, thread, answer)
            raise UnavailableError("your node does not answer", code="node-away")

        with monkeypatch.context() as cut:
            cut.setattr(NodeApi, "answer", cut_off)
            with pytest.raises(UnavailableError):
                await ben.accept(request.thread, slot=slots[1])
        with pytest.raises(RefusedError, match="yes to another time is on its way"):
            await ben.accept(request.thread, slot=slots[0])
        await ben.accept(request.thread)
        await meet(ana, ben)


async def test_a_mentee_steps_back_and_nobody_else_is_asked(tmp_path: Path) -> None:
    async with colleagues(tmp_path, 2) as (_, ana, mentors):
        await ana.ask(need())
        request = await ana.request(1, prompts=PROMPTS)
        ben = await whom(mentors, request.thread)
        await ana.cancel(request.thread)
        assert (await happens(ben, Cancelled)).reason == "not-needed"
        assert await ana.poll() == ()
        assert [person.requests() for person in mentors] == [(), ()]
        assert ben.state.threads[request.thread].brief is None


async def test_a_session_called_off_is_destroyed_on_both_devices(tmp_path: Path) -> None:
    async with colleagues(tmp_path, 1) as (_, ana, (ben,)):
        await ana.ask(need())
        request = await ana.request(1, prompts=PROMPTS)
        await happens(ben, Arrived)
        await ben.accept(request.thread)
        await meet(ana, ben)
        await ben.cancel(request.thread, reason="conflict")
        assert (await happens(ana, Cancelled)).reason == "conflict"
        assert (ana.state.sessions, ben.state.sessions) == ({}, {})


async def test_a_lapsed_proposal_is_asked_for_again_in_one_step(tmp_path: Path) -> None:
    async with colleagues(tmp_path, 1) as (_, ana, (ben,)):
        shortlist = await ana.ask(need())
        ana._core.vault.update(_lapsed)
        request = await ana.request(1, prompts=PROMPTS)
        assert request.thread != shortlist.proposals[0].thread
        assert (await happens(ben, Arrived)).thread == request.thread


async def test_a_person_who_is_gone_is_not_replaced_unasked(tmp_path: Path) -> None:
    async with colleagues(tmp_path, 1) as (_, ana, (ben,)):
        await ana.ask(need())
        ana._core.vault.update(_lapsed)
        await ben.api.opt_out()
        with pytest.raises(RefusedError, match="not free any more"):
            await ana.request(1, prompts=PROMPTS)
        shortlist = ana.shortlist()
        assert shortlist is not None
        assert shortlist.proposals == ()


def _lapsed(state: ClientState) -> ClientState:
    """Return the state as it is after every quote has lapsed."""
    ask = state.last_ask
    assert ask is not None
    return state.with_ask(replace(ask, offered=tuple(replace(one, valid_until=1) for one in ask.offered)))


# interruptions


async def test_another_program_goes_on_where_one_ended(tmp_path: Path) -> None:
    async with colleagues(tmp_path, 1) as (_, ana, (ben,)):
        await ana.ask(need())
        request = await ana.request(1, prompts=PROMPTS)
        await happens(ben, Arrived)
        await ben.accept(request.thread)
        assert not await ben.send_chat(request.thread, "Sent before both nodes have signed")
        async with Person(open_vault(ana.folder, passphrase=PASSPHRASE, ask=str)) as later:
            await happens(later, Agreed)
            await happens(ben, Secured)
            assert (await happens(later, Secured)).role == "mentee"
        assert await ana.poll() is not None
        assert ana.session(request.thread).role == "mentee"


async def test_two_programs_of_one_person_tell_a_thing_once(tmp_path: Path) -> None:
    async with colleagues(tmp_path, 1) as (_, ana, (ben,)):
        await ana.ask(need())
        request = await ana.request(1, prompts=PROMPTS)
        await happens(ben, Arrived)
        async with Person(open_vault(ana.folder, passphrase=PASSPHRASE, ask=str)) as second:
            both = asyncio.gather(ana.poll(wait_s=5), second.poll(wait_s=5))
            await ben.accept(request.thread)
            events = [event for told in await both for event in told]
            while not any(isinstance(event, Agreed) for event in events):
                events += [*await ana.poll(wait_s=0.5), *await second.poll()]
        assert [isinstance(event, Agreed) for event in events].count(True) == 1


async def test_two_programs_of_one_person_ask_one_person(tmp_path: Path) -> None:
    async with colleagues(tmp_path, 2) as (_, ana, mentors):
        await ana.ask(need())
        request = await ana.request(1, prompts=PROMPTS)
        ask = ana.state.last_ask
        assert ask is not None
        (other,) = [one for one in ask.offered if one.candidate.ref != ana.state.threads[request.thread].ref]
        for stale in ("", "AAECAwQFBgcICQoLDA0ODw"):
            with pytest.raises(RefusedError, match="another program of yours"):
                await ana._requesting._accept(ask.id, other, (), before=stale)
        assert len([person for person in mentors if await waits(person)]) == 1


async def waits(person: Person) -> bool:
    await person.poll(wait_s=0.5)
    return bool(person.requests())


async def test_a_request_cut_off_before_the_node_had_it_can_be_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with colleagues(tmp_path, 1) as (_, ana, (ben,)):
        await ana.ask(need())
        with monkeypatch.context() as cut:
            cut.setattr(NodeApi, "accept", _away)
            with pytest.raises(UnavailableError):
                await ana.request(1, prompts=PROMPTS)
        ana._core.vault.update(partial(_older, seconds=120))
        assert await ana.poll() == ()
        request = await ana.request(1, prompts=PROMPTS)
        assert (await happens(ben, Arrived)).thread == request.thread


async def test_a_request_whose_confirmation_got_lost_is_called_back_and_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with colleagues(tmp_path, 1) as (_, ana, (ben,)):
        await ana.ask(need())
        real = NodeApi.accept

        async def lost(*given: object) -> None:
            await real(*given)  # type: ignore[arg-type] # whatever the caller gave
            raise UnavailableError("the answer got lost")

        with monkeypatch.context() as cut:
            cut.setattr(NodeApi, "accept", lost)
            with pytest.raises(UnavailableError):
                await ana.request(1, prompts=PROMPTS)
        first = await happens(ben, Arrived)
        ana._core.vault.update(partial(_older, seconds=120))
        passed = await happens(ana, Passed)
        assert passed.before == first.thread
        await happens(ben, Cancelled)
        assert (await happens(ben, Arrived)).thread == passed.thread


async def test_a_message_waits_while_the_node_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with colleagues(tmp_path, 1) as (_, ana, (ben,)):
        await ana.ask(need())
        request = await ana.request(1, prompts=PROMPTS)
        await happens(ben, Arrived)
        await ben.accept(request.thread)
        await meet(ana, ben)
        with monkeypatch.context() as cut:
            cut.setattr(NodeApi, "envelope", _away)
            assert not await ana.send_chat(request.thread, "Is anybody there?")
        await ana.poll()
        while not [line for line in ben.session(request.thread).lines if line.text == "Is anybody there?"]:
            await ben.poll(wait_s=0.5)


async def test_events_go_on_after_the_node_was_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.client.happening.SHORTEST_PAUSE_S", 0.01)
    async with colleagues(tmp_path, 1) as (_, ana, (ben,)):
        await ana.ask(need())
        events = ben.events(wait_s=5)
        with monkeypatch.context() as cut:
            cut.setattr(NodeApi, "mailbox", _away)
            problem = await anext(events)
        assert isinstance(problem, Problem)
        request = await ana.request(1, prompts=PROMPTS)
        arrived = await anext(events)
        assert isinstance(arrived, Arrived)
        assert arrived.thread == request.thread


async def _away(*_: object, **__: object) -> None:
    raise UnavailableError("your node does not answer", code="node-away")


def _older(state: ClientState, *, seconds: int) -> ClientState:
    """Return the state as if everything in it was so much older."""
    return replace(
        state,
        threads={
            name: replace(record, updated_at=record.updated_at - seconds) for name, record in state.threads.items()
        },
    )


async def test_a_thread_of_nobody_is_unknown(tmp_path: Path) -> None:
    async with colleagues(tmp_path, 1) as (_, ana, _people):
        with pytest.raises(MissingError, match="knows no such request"):
            await ana.cancel("AAECAwQFBgcICQoLDA0ODw")
