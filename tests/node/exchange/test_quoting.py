"""What a quote gives away: few people, always the same, nothing that only one mentor says, and not without end."""

import msgspec
import pytest
from msgspec.structs import replace

from federation.ports import where
from federation.rows import QuotaRow, ThreadRow
from node.rows import DeviceRow, MemberRow, MentorRow
from node.services.mentors import parse_profile
from node.services.profile import ProfileTopic, ShowMore
from protocol.addresses import audience_id
from protocol.bodies import Quote
from protocol.devices import sealing_key_hash
from protocol.sealing import SealingPublicKey

from .conftest import Town
from .people import Mentee
from .world import TOPIC, Somebody, mentor_profile, settle


async def more_mentors(town: Town, count: int, **changes: object) -> list[Somebody]:
    """Add mentors of the topic at Cobalt."""
    audience = audience_id(town.aurora.entity, town.cobalt.entity)
    profile = mentor_profile(**changes)
    return [
        await town.cobalt.add_person(f"m{number}", audiences=(audience,), profile=profile) for number in range(count)
    ]


def shown_keys(quote: Quote) -> set[str]:
    """Return the hashes of the sealing keys in a quote: who was proposed, as the test knows them."""
    return {sealing_key_hash(SealingPublicKey.parse(key)) for one in quote.candidates for key in one.keys}


@pytest.mark.slow
async def test_asking_again_in_other_words_meets_the_same_few_people(town: Town) -> None:
    await more_mentors(town, 30)
    seen: set[str] = set()
    for minutes in range(40):
        need = Mentee(town.ana, town.cobalt, town.offer).need
        mentee = Mentee(
            town.ana, town.cobalt, town.offer, replace(need, kind=("know", "do", "been-through")[minutes % 3])
        )
        quote = await mentee.quote()
        seen |= shown_keys(quote)
        town.clock.advance(901)
        await town.aurora.exchanging.sweep()
    assert 3 <= len(seen) <= 6


async def test_a_new_edition_may_show_other_people(town: Town) -> None:
    await more_mentors(town, 30)
    first = shown_keys(await town.mentee().quote())
    town.offer = await town.cobalt.list_offer(town.aurora.entity, edition=2)
    assert shown_keys(await town.mentee().quote()) != first


async def test_every_ref_is_fresh_for_its_thread(town: Town) -> None:
    quotes = [await town.mentee().quote() for _ in range(3)]
    assert len({one.ref for quote in quotes for one in quote.candidates}) == 3


async def test_a_statement_of_two_mentors_does_not_show_and_one_of_three_does(town: Town) -> None:
    rare = ProfileTopic(id=TOPIC, kind="been-through", experience=("did-it-once", "saw-both-sides"))
    await more_mentors(town, 2, topics=(rare,), approach=("listens-first",))
    quote = await town.mentee().quote()
    told = {code for one in quote.candidates for code in (*one.experience, *one.approach)}
    assert told == {"did-it-once"}


async def test_who_chose_to_show_more_shows_it(town: Town) -> None:
    async with town.cobalt.store.write() as tx:
        row = await tx.get(MentorRow, town.ben.member)
        assert row is not None
        profile = replace(parse_profile(row), show_more=ShowMore(line="I like numbers", known_as="Head of controlling"))
        await tx.put(replace(row, profile=msgspec.json.encode(profile).decode()))
    (candidate,) = (await town.mentee().quote()).candidates
    assert (candidate.line, candidate.known_as) == ("I like numbers", "Head of controlling")
    assert candidate.experience == ("did-it-once",)


async def _gets_a_quote(town: Town) -> bool:
    mentee = town.mentee()
    (result,) = await town.aurora.exchanging.consumer.ask(town.ana.label, [mentee.ask()])
    return mentee.read(result.item).head.type == "offer"


@pytest.mark.slow
async def test_quotes_that_are_never_taken_up_have_a_daily_limit(town: Town) -> None:
    asked = 0
    while await _gets_a_quote(town):
        asked += 1
        town.clock.advance(901)
        await town.aurora.exchanging.sweep()
        assert asked <= 60
    assert asked == 50
    async with town.cobalt.store.read() as tx:
        (row,) = await tx.find(QuotaRow)
    assert (row.quoted, row.accepted) == (50, 0)
    town.clock.advance(86_400)
    assert (await town.mentee().quote()).candidates


async def test_a_quote_that_became_a_request_does_not_count(town: Town) -> None:
    mentee = town.mentee()
    await mentee.accept(await mentee.quote())
    await settle(town.aurora, town.cobalt)
    async with town.cobalt.store.read() as tx:
        (row,) = await tx.find(QuotaRow)
    assert (row.quoted, row.accepted) == (1, 1)


async def test_an_offer_that_was_never_shown_to_the_asker_gives_the_busy_answer(town: Town) -> None:
    other = await town.cobalt.list_offer("https://birch.example")
    assert await Mentee(town.ana, town.cobalt, other).refusal() == "no-capacity"


async def test_nobody_is_proposed_without_a_device_in_use(town: Town) -> None:
    async with town.cobalt.store.write() as tx:
        (row,) = await tx.find(DeviceRow, where(member=town.ben.member))
        await tx.put(replace(row, seen_on=row.seen_on - 40 * 86_400))
    assert await town.mentee().refusal() == "no-capacity"


async def test_nobody_who_left_or_opted_out_is_proposed(town: Town) -> None:
    async with town.cobalt.store.write() as tx:
        row = await tx.get(MemberRow, town.ben.member)
        assert row is not None
        await tx.put(replace(row, active=False))
    assert await town.mentee().refusal() == "no-capacity"


async def test_inside_a_company_nobody_meets_themselves_or_their_supervisor(town: Town) -> None:
    alone = (audience_id(town.cobalt.entity),)
    cleo = await town.cobalt.add_person("cleo", audiences=alone, profile=mentor_profile())
    boss = await town.cobalt.add_person("boss", audiences=alone, profile=mentor_profile())
    peer = await town.cobalt.add_person("peer", audiences=alone, profile=mentor_profile())
    async with town.cobalt.store.write() as tx:
        row = await tx.get(MemberRow, cleo.member)
        assert row is not None
        await tx.put(replace(row, supervisor="boss"))
    quote = await Mentee(cleo, town.cobalt, town.offer).quote()
    assert shown_keys(quote) == {sealing_key_hash(peer.sealing.public)}
    assert boss.member != peer.member


async def test_a_request_sealed_for_another_thread_is_not_opened(town: Town) -> None:
    mentee, other = town.mentee(), town.mentee()
    ask = replace(mentee.ask(), thread=other.thread)
    (result,) = await town.aurora.exchanging.consumer.ask(town.ana.label, [ask])
    assert (result.item, result.reason) == (b"", "unverified")
    async with town.cobalt.store.read() as tx:
        assert await tx.count(ThreadRow) == 0
