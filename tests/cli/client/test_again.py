"""Asking the same mentor again: the token that both earn, one neutral answer for every no, and who really says yes."""

from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from cli.client.contacts import contact_named, to_give, token_taken
from cli.client.person import Person
from cli.client.records import Contact, SessionRecord
from cli.client.state import ClientState
from cli.client.views import Alarm, Arrived, Closed, Mutual, Shown
from node.rows import ContactTokenRow, MentorRow
from protocol.contacttokens import LIFE_S, token_commitment
from protocol.e2ee.frames import Again, ContactToken
from protocol.encoding import b64, sha256
from protocol.errors import MissingError, RefusedError

from .test_archive import talked
from .world import PROMPTS, Company, become_mentor, companies, happens, lists_something, meet, need, profile

pytestmark = [pytest.mark.slow, pytest.mark.system]
MASTER: Final = b64(sha256(b"somebody else"))


async def met(ana: Person, ben: Person) -> str:
    """Let two people meet, both wish to meet again, and part; return the thread."""
    await lists_something(ana)
    await ana.ask(need())
    request = await ana.request(1, prompts=PROMPTS)
    arrived = await happens(ben, Arrived)
    assert arrived.request.known == ""
    await ben.accept(request.thread)
    await meet(ana, ben)
    await ana.send(request.thread, Again(yes=True))
    await ana.send_chat(request.thread, "Until next time!")
    await happens(ben, Shown)
    await ben.send(request.thread, Again(yes=True))
    await happens(ana, Mutual)
    await ben.close(request.thread)
    await happens(ana, Closed)
    await ana.close(request.thread)
    await happens(ben, Closed)
    await ana.poll()
    return request.thread


async def refusal(ana: Person) -> tuple[str, ...]:
    shortlist = await ana.ask_again(need(), "cobalt1")
    assert shortlist.proposals == ()
    return shortlist.refused


async def tokens(company: Company) -> list[ContactTokenRow]:
    async with company.store.read() as reader:
        return await reader.find(ContactTokenRow)


async def test_the_same_mentor_is_asked_again_until_somebody_takes_it_back(tmp_path: Path) -> None:
    async with (
        companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt),
        aurora.person("aurora1") as ana,
        cobalt.person("cobalt1") as ben,
    ):
        await become_mentor(ben)
        await ben.api.save_profile(replace(profile(), per_week=10))
        await met(ana, ben)
        held, given = contact_named(ana.state, "Cobalt1"), contact_named(ben.state, "aurora1")
        assert held.token == given.given != ""
        assert (held.given, given.token) == ("", "")
        (row,) = await tokens(cobalt)
        assert b64(row.commitment) == token_commitment(held.token)
        assert held.token.encode() not in row.commitment
        assert await tokens(aurora) == []
        await asked_again(ana, ben)
        await somebody_else_says_yes(ana, ben, held)
        await every_no_is_the_same(ana, ben, cobalt)


async def asked_again(ana: Person, ben: Person) -> None:
    """The mentor reads who asks; the topic does not matter, and nobody else is proposed."""
    elsewhere = replace(need(), topics=("mm:domain-career",))
    (proposal,) = (await ana.ask_again(elsewhere, "cobalt1")).proposals
    assert (proposal.candidate.fit, proposal.candidate.experience) == ("exact", ())
    request = await ana.request(1, prompts=PROMPTS)
    arrived = await happens(ben, Arrived)
    assert arrived.request.known == "aurora1"
    await ben.accept(request.thread)
    await meet(ana, ben)


async def somebody_else_says_yes(ana: Person, ben: Person, held: Contact) -> None:
    """A node that lets another person answer is found out before a name is told."""

    def other(state: ClientState) -> ClientState:
        return replace(state, contacts=(replace(held, master_key=MASTER),))

    before = ana.state.contacts
    ana._core.vault.update(other)
    assert (await ana.ask_again(need(), "cobalt1")).proposals
    request = await ana.request(1, prompts=PROMPTS)
    await happens(ben, Arrived)
    await ben.accept(request.thread)
    alarm = await happens(ana, Alarm)
    assert "somebody else than cobalt1 said yes" in alarm.sentence
    assert request.thread not in ana.state.sessions
    ana._core.vault.update(lambda state: replace(state, contacts=before))
    await ben.poll()


async def every_no_is_the_same(ana: Person, ben: Person, cobalt: Company) -> None:
    before = ana.state.contacts
    strange = replace(before[0], token=b64(sha256(b"guessed")[:16]))
    ana._core.vault.update(lambda state: replace(state, contacts=(strange,)))
    assert await refusal(ana) == ("unavailable",)
    ana._core.vault.update(lambda state: replace(state, contacts=before))
    async with cobalt.store.write() as tx:
        (row,) = await tx.find(ContactTokenRow)
        await tx.put(replace(row, expires_at=1))
    assert await refusal(ana) == ("unavailable",)
    async with cobalt.store.write() as tx:
        await tx.put(row)
        (mentor,) = await tx.find(MentorRow)
        await tx.put(replace(mentor, opted_in=False))
    assert await refusal(ana) == ("unavailable",)
    async with cobalt.store.write() as tx:
        await tx.put(mentor)
    await ben.revoke("aurora1")
    assert await refusal(ana) == ("unavailable",)
    assert await tokens(cobalt) == []
    await ana.revoke("cobalt1")
    with pytest.raises(RefusedError, match="you can ask again whom"):
        await ana.ask_again(need(), "cobalt1")
    with pytest.raises(MissingError, match="met nobody of this name"):
        await ana.ask_again(need(), "nobody")


async def test_a_token_counts_only_from_a_mentor_and_only_after_both_said_yes(tmp_path: Path) -> None:
    async with companies(tmp_path, "aurora") as (aurora,), aurora.person("aurora1") as ana:
        state = talked(ana.state, "Ben")
        thread = next(iter(state.sessions))
        record, session = state.thread(thread), state.session(thread)
        given = ContactToken(token=b64(sha256(b"t")[:16]), until=ana._core.now() + LIFE_S)

        def taken(session: SessionRecord, *, mine: bool = False, role: str = "mentee") -> str:
            return token_taken(replace(record, role=role), session, given, mine=mine).token

        both = replace(session, again_mine=True, again_theirs=True)
        assert taken(both) == given.token
        assert taken(session) == taken(replace(both, again_mine=False)) == taken(both, mine=True) == ""
        assert taken(both, role="mentor") == ""
        mentor = state.with_thread(replace(record, role="mentor"))
        assert to_give(mentor.with_session(both)) == [thread]
        assert to_give(mentor.with_session(replace(both, closed_mine=True))) == []
        assert to_give(mentor) == to_give(state.with_session(both)) == []


def test_a_name_of_several_people_asks_nobody() -> None:
    def somebody(master: str) -> Contact:
        return Contact(
            thread=master * 11, name="Ben", entity="https://c.example", label="", master_key=master, met_at=1
        )

    state = ClientState(account_seed=bytes(32), device_seed=bytes(32), contacts=(somebody("ab"), somebody("cd")))
    with pytest.raises(RefusedError, match="several people have this name"):
        contact_named(state, "ben")
    assert contact_named(state, "cdcd").master_key == "cd"
