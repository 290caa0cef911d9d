"""From a need to a closed session over real nodes: between two companies, inside one, and by mail link."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from cli.client.person import Person
from cli.client.views import Agreed, Alarm, Arrived, Closed, Mutual, Named, Problem, Refused, Secured, Shown
from federation.ports import where
from federation.rows import SlotRow, ThreadRow
from node.services.mentor_side import Agree
from protocol.e2ee.frames import Action, Again, Takeaway
from protocol.encoding import b64, sha256
from protocol.errors import LimitError, MalformedError, MissingError, RefusedError

from .world import PROMPTS, Company, become_mentor, companies, company, happens, lists_something, meet, need

pytestmark = [pytest.mark.slow, pytest.mark.system]


async def test_two_people_of_two_companies_meet(tmp_path: Path) -> None:
    async with (
        companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt),
        aurora.person("aurora1") as ana,
        cobalt.person("cobalt1") as ben,
    ):
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
        assert (await happens(ana, Agreed)).slot == request.slots[0]
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
    await ben.poll()
    assert ben.session(thread).again == ""
    assert "again" not in [line.kind for line in ben.session(thread).lines]
    await ben.send(thread, Action(action="AAECAwQFBgcICQoLDA0ODw", text="Send the outline", owner="mentor"))
    await ben.send(thread, Again(yes=True))
    await happens(ana, Mutual)
    await ana.close(thread)
    with pytest.raises(RefusedError, match="closed this session"):
        await ana.send_chat(thread, "One more thing")
    assert not (await happens(ben, Closed)).both
    await ben.close(thread)
    assert (await happens(ana, Closed)).both
    for person in (ana, ben):
        await person.poll()
        assert person.state.sessions == {}
        assert {one.text for one in person.state.takeaways} == {"Bad news first.", "Send the outline"}
        assert person.state.contacts[0].again
        record = person.state.threads[thread]
        assert (record.brief, record.own_secret, record.answer_seed, record.reply_key) == (None, b"", b"", b"")


async def asked(mentee: Person, mentor: Person) -> str:
    """Bring a request of `mentee` to `mentor`, whose only mentor they are, and return its thread."""
    await become_mentor(mentor, listed=False)
    await mentee.ask(need())
    request = await mentee.request(1, prompts=PROMPTS)
    assert (await happens(mentor, Arrived)).thread == request.thread
    return request.thread


async def test_two_colleagues_of_one_company_meet(tmp_path: Path) -> None:
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana, aurora.person("aurora2") as ben:
        thread = await asked(ana, ben)
        await ben.accept(thread)
        await meet(ana, ben)
        assert (ana.session(thread).name, ben.session(thread).name) == ("aurora2", "aurora1")
        await converse(ana, ben, thread)


async def test_a_yes_by_mail_link_opens_once_the_mentors_device_is_back(tmp_path: Path) -> None:
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana, aurora.person("aurora2") as ben:
        thread = await asked(ana, ben)
        await yes_by_mail(aurora, thread)
        agreed = await happens(ana, Agreed)
        assert agreed.attested == "node"
        with pytest.raises(MissingError, match="not open yet"):
            await ana.send_chat(thread, "Too early")
        await happens(ben, Secured)
        await happens(ana, Secured)
        assert (await happens(ben, Named)).name == "aurora1"
        assert (await happens(ana, Named)).name == "aurora2"
        await converse(ana, ben, thread)


async def yes_by_mail(aurora: Company, thread: str) -> None:
    """Do what the mailed link of the first time does."""
    async with aurora.store.read() as reader:
        row = await reader.get(ThreadRow, thread, "provider")
        (held, *_) = await reader.find(SlotRow, where(thread=thread), order="start")
    assert row is not None
    await aurora.node.handshakes.answering.answer(row.label, thread, Agree(slot=held.start))


async def test_a_brief_that_somebody_else_could_read_stops_before_names(tmp_path: Path) -> None:
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana, aurora.person("aurora2") as ben:
        thread = await asked(ana, ben)
        # As if the quote had carried the key of another reader beside the mentor's.
        foreign = b64(sha256(b"a key of the node"))
        ana._core.vault.update(
            lambda state: state.with_thread(
                replace(state.threads[thread], sealed_to=(*state.threads[thread].sealed_to, foreign))
            )
        )
        await ben.accept(thread)
        alarm = await happens(ana, Alarm)
        assert "someone else could read your brief" in alarm.sentence
        await ana.poll()
        assert ana.state.sessions == {}
        assert ana.state.threads[thread].state == "CANCELLED"
        assert not [row for row in await threads_of(aurora) if row.state == "ACCEPTED"]


async def threads_of(aurora: Company) -> list[ThreadRow]:
    async with aurora.store.read() as reader:
        return await reader.find(ThreadRow)


async def test_a_text_session_needs_no_time(tmp_path: Path) -> None:
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana, aurora.person("aurora2") as ben:
        await become_mentor(ben, listed=False, format_="text")
        (proposal,) = (await ana.ask(need("text"))).proposals
        assert proposal.candidate.slots == ()
        request = await ana.request(1, prompts=PROMPTS)
        await happens(ben, Arrived)
        await ben.accept(request.thread)
        assert (await happens(ana, Agreed)).slot is None
        await happens(ben, Secured)
        await happens(ana, Named)
        await happens(ben, Named)
        await converse(ana, ben, request.thread)


async def test_a_brief_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana, aurora.person("aurora2") as ben:
        with pytest.raises(MissingError, match="no shortlist yet"):
            await ana.request(1, prompts=PROMPTS)
        await become_mentor(ben, listed=False)
        await ana.ask(need())
        for prompts, match in ((("", "", ""), "say at least"), (("a" * 599, "b", "c"), "600 characters")):
            with pytest.raises(MalformedError, match=match):
                await ana.request(1, prompts=prompts)
        with pytest.raises(MissingError, match="numbers 1 to 1"):
            await ana.request(2, prompts=PROMPTS)
        with pytest.raises(RefusedError, match="out of the times"):
            await ana.request(1, prompts=PROMPTS, slots=(1,))
        assert await ben.poll() == ()
        await ana.request(1, prompts=PROMPTS)
        with pytest.raises(RefusedError, match="waits for its answer"):
            await ana.request(1, prompts=PROMPTS)


async def test_what_cannot_be_read_is_told_and_does_not_stop_the_mailbox(tmp_path: Path) -> None:
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana, aurora.person("aurora2") as ben:
        thread = await asked(ana, ben)
        async with aurora.store.read() as reader:
            row = await reader.get(ThreadRow, thread, "consumer")
        assert row is not None
        async with aurora.store.write() as tx:
            boxes = aurora.node.handshakes.mailboxes
            await boxes.add(tx, row.label, "message", b"no message", thread=thread, side="consumer")
            await boxes.add(tx, row.label, "notice", b"no-\x1b[2Jcapacity", thread=thread, side="consumer")
        assert (await happens(ana, Problem)).code == "malformed"
        assert (await happens(ana, Refused)).reason == "no-[2Jcapacity"


async def test_a_node_bounds_what_one_person_has_open(tmp_path: Path) -> None:
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana, aurora.person("aurora2") as ben:
        await become_mentor(ben, listed=False)
        for _ in range(24):
            await ana.ask(need())
        with pytest.raises(LimitError, match="open requests"):
            await ana.ask(need())
