"""From a need to a closed session over real nodes: inside one company and between two."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli.client.person import Person
from cli.client.views import Agreed, Arrived, Closed, Mutual, Named, Secured, Shown
from protocol.e2ee.frames import Action, Again, Takeaway

from .world import Company, become_mentor, companies, happens, need

PROMPTS = ("How do I tell the board that we ship late?", "I wrote a draft twice.", "Three sentences I can say.")
pytestmark = [pytest.mark.slow, pytest.mark.system]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Company, Company]]:
    async with companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt):
        yield aurora, cobalt


async def lists_something(person: Person) -> None:
    """Wait until the mirrored catalog has an answer to the need."""
    for _ in range(200):
        if (await person.api.search(need(), ())).offers:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("nothing is listed")


async def test_two_people_of_two_companies_meet(pair: tuple[Company, Company]) -> None:
    aurora, cobalt = pair
    async with aurora.person("aurora1") as ana, cobalt.person("cobalt1") as ben:
        await become_mentor(ben)
        await lists_something(ana)
        shortlist = await ana.ask(need())
        assert shortlist.companies == 1
        (proposal,) = shortlist.proposals
        assert proposal.org.display_name == "Cobalt Works"
        request = await ana.request(1, prompts=PROMPTS, about=("sector-h",))
        arrived = await happens(ben, Arrived)
        assert arrived.request.prompts == PROMPTS
        assert arrived.request.topic == "mm:first-board-presentation"
        assert arrived.request.slots == request.slots
        await ben.accept(request.thread)
        agreed = await happens(ana, Agreed)
        assert agreed.slot == request.slots[0]
        assert (await happens(ben, Secured)).role == "mentor"
        assert (await happens(ana, Named)).name == "cobalt1"
        assert (await happens(ben, Named)).name == "aurora1"
        await converse(ana, ben, request.thread)
        await finish(ana, ben, request.thread)


async def converse(ana: Person, ben: Person, thread: str) -> None:
    await ana.send_chat(thread, "Hello Ben!")
    shown = await happens(ben, Shown)
    assert (shown.from_role, shown.kind, shown.text) == ("mentee", "chat", "Hello Ben!")
    await ben.send_chat(thread, "Hello Ana!")
    assert (await happens(ana, Shown)).text == "Hello Ana!"
    assert [line.text for line in ana.session(thread).lines if line.kind == "chat"] == ["Hello Ben!", "Hello Ana!"]


async def finish(ana: Person, ben: Person, thread: str) -> None:
    """Share what stays, say that one would meet again, and close on both sides."""
    await ana.send(thread, Takeaway(text="Bad news first."))
    await ana.send(thread, Again(yes=True))
    assert (await happens(ben, Shown)).text == "Bad news first."
    assert ben.session(thread).again == ""
    await ben.send(thread, Action(action="AAECAwQFBgcICQoLDA0ODw", text="Send the outline", owner="mentor"))
    await ben.send(thread, Again(yes=True))
    await happens(ana, Mutual)
    await ana.close(thread)
    assert not (await happens(ben, Closed)).both
    await ben.close(thread)
    assert (await happens(ana, Closed)).both
    for person in (ana, ben):
        await person.poll()
        assert person.state.sessions == {}
        assert {one.text for one in person.state.takeaways} == {"Bad news first.", "Send the outline"}
        assert person.state.contacts[0].again
        assert person.state.threads[thread].brief is None
