"""Tests of mentor profiles, consents and opting in and out, over both stores."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from node.services import consents
from node.services.consents import CURRENT, TEXTS, ConsentText
from node.services.profile import Availability, ProfileTopic, ShowMore
from protocol.encoding import decode_loose
from protocol.errors import MalformedError, MissingError, RefusedError

from .world import World, people_file, profile, row, staff

PAGE = Path(__file__).resolve().parents[4] / "docs" / "reference" / "consents.md"


async def test_a_profile_says_nothing_before_opting_in(world: World) -> None:
    await world.add(staff(2))
    member = (await world.member("E1")).member
    await world.mentors.save(member, profile())
    view = await world.mentors.view(member)
    assert (view.profile, view.opted_in, view.listed) == (profile(), False, False)
    assert await world.mentors.active() == ()


async def test_opting_in_needs_the_consent_and_a_profile(world: World) -> None:
    await world.add(staff(2))
    member = (await world.member("E1")).member
    with pytest.raises(RefusedError) as caught:
        await world.mentors.opt_in(member, listed=False)
    assert caught.value.code == "consent"
    await world.mentors.give_consent(member, "mentoring", 1)
    with pytest.raises(RefusedError) as caught:
        await world.mentors.opt_in(member, listed=False)
    assert caught.value.code == "no-profile"
    await world.mentors.save(member, profile())
    with pytest.raises(RefusedError, match="listing"):
        await world.mentors.opt_in(member, listed=True)
    await world.mentors.opt_in(member, listed=False)
    (mentor,) = await world.mentors.active()
    assert (mentor.member, mentor.profile, mentor.listed) == (member, profile(), False)


async def test_opting_out_works_at_once_and_twice(world: World) -> None:
    await world.add(staff(2))
    member = (await world.mentor("E1", listed=True)).member
    assert [mentor.listed for mentor in await world.mentors.active()] == [True]
    for _ in range(2):
        await world.mentors.opt_out(member)
        assert await world.mentors.active() == ()
    view = await world.mentors.view(member)
    assert (view.opted_in, view.listed, view.profile is None) == (False, False, False)


async def test_somebody_who_left_or_never_was_cannot_mentor(world: World) -> None:
    await world.add(staff(2))
    member = (await world.mentor("E1")).member
    await world.add(people_file(row("E0"), row("E1", "not")))
    for one in (member, "nobody"):
        with pytest.raises(MissingError):
            await world.mentors.opt_in(one, listed=False)


async def test_only_active_members_are_active_mentors(world: World) -> None:
    await world.add(staff(2))
    member = await world.mentor("E1")
    async with world.store.write() as writer:
        await writer.put(replace(member, active=False))  # even if nobody had opted them out
    assert await world.mentors.active() == ()


async def test_a_consent_that_was_withdrawn_is_missing(world: World) -> None:
    await world.add(staff(2))
    member = (await world.mentor("E1")).member
    await world.mentors.withdraw_consent(member, "mentoring")
    with pytest.raises(RefusedError, match="is needed first"):
        await world.mentors.opt_in(member, listed=False)


async def test_a_pause_ends_by_itself(world: World) -> None:
    await world.add(staff(2))
    member = (await world.mentor("E1")).member
    await world.mentors.pause(member, world.clock.now() + 60)
    assert await world.mentors.active() == ()
    world.clock.advance(60)
    assert len(await world.mentors.active()) == 1
    with pytest.raises(MissingError):
        await world.mentors.pause("nobody", 1)


async def test_consents_keep_who_what_version_and_when(world: World) -> None:
    await world.add(staff(2))
    member = (await world.member("E1")).member
    await world.mentors.give_consent(member, "mentoring", 1)
    given_at = world.clock.now()
    world.clock.advance(10)
    await world.mentors.give_consent(member, "mentoring", 1)
    (consent,) = (await world.mentors.view(member)).consents
    assert (consent.kind, consent.version, consent.given_at, consent.withdrawn_at) == ("mentoring", 1, given_at, None)
    await world.mentors.withdraw_consent(member, "mentoring")
    (consent,) = (await world.mentors.view(member)).consents
    assert consent.withdrawn_at == world.clock.now()
    world.clock.advance(10)
    await world.mentors.withdraw_consent(member, "mentoring")
    await world.mentors.give_consent(member, "mentoring", 1)
    (consent,) = (await world.mentors.view(member)).consents
    assert (consent.given_at, consent.withdrawn_at) == (world.clock.now(), None)


async def test_only_the_current_text_can_be_agreed_to(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.add(staff(2))
    member = (await world.member("E1")).member
    with pytest.raises(RefusedError, match="at version 1 now"):
        await world.mentors.give_consent(member, "mentoring", 2)
    await world.mentors.save(member, profile())
    await world.mentors.give_consent(member, "mentoring", 1)
    newer = ConsentText(kind="mentoring", version=2, en="", de="")
    monkeypatch.setitem(consents.CURRENT, "mentoring", newer)
    with pytest.raises(RefusedError, match="version 2 is needed first"):
        await world.mentors.opt_in(member, listed=False)


async def test_withdrawing_a_consent_ends_what_rests_on_it(world: World) -> None:
    await world.add(staff(2))
    member = (await world.mentor("E1", listed=True)).member
    await world.mentors.give_consent(member, "show-more", 1)
    await world.mentors.save(member, profile(show_more=ShowMore(line="Ask me anything", known_as="Ben")))
    await world.mentors.withdraw_consent(member, "show-more")
    (mentor,) = await world.mentors.active()
    assert (mentor.profile.show_more, mentor.listed) == (None, True)
    await world.mentors.withdraw_consent(member, "listing")
    (mentor,) = await world.mentors.active()
    assert not mentor.listed
    await world.mentors.withdraw_consent(member, "mentoring")
    assert await world.mentors.active() == ()
    await world.mentors.withdraw_consent("nobody", "listing")


async def test_showing_more_needs_its_own_consent(world: World) -> None:
    await world.add(staff(2))
    member = (await world.member("E1")).member
    with pytest.raises(RefusedError, match="show-more"):
        await world.mentors.save(member, profile(show_more=ShowMore(line="Ask me")))
    assert (await world.mentors.view(member)).profile is None


async def test_saving_a_profile_again_keeps_the_mentor_opted_in(world: World) -> None:
    await world.add(staff(2))
    member = (await world.mentor("E1", listed=True)).member
    await world.mentors.save(member, profile(per_week=3))
    (mentor,) = await world.mentors.active()
    assert (mentor.profile.per_week, mentor.listed) == (3, True)


async def test_a_profile_with_unknown_topics_or_zones_is_refused(world: World) -> None:
    await world.add(staff(2))
    member = (await world.member("E1")).member
    unknown = (*profile().topics, ProfileTopic(id="mm:nothing", kind="do"))
    with pytest.raises(RefusedError, match=r"topics\[1\].id") as caught:
        await world.mentors.save(member, profile(topics=unknown))
    assert caught.value.code == "unknown-topic"
    with pytest.raises(MalformedError, match="zone"):
        await world.mentors.save(member, profile(availability=Availability(zone="Mars/Base")))


def test_a_line_to_show_has_140_characters_on_one_line() -> None:
    assert decode_loose(msgspec.json.encode({"line": "x" * 140}), ShowMore).line
    for line in ("x" * 141, "two\nlines", "B\u202een"):
        with pytest.raises(MalformedError, match="line"):
            decode_loose(msgspec.json.encode({"line": line}), ShowMore)


def test_each_version_of_a_text_stands_once_and_the_newest_is_current() -> None:
    keys = [(text.kind, text.version) for text in TEXTS]
    assert len(set(keys)) == len(keys)
    for kind, text in CURRENT.items():
        assert text.version == max(version for other, version in keys if other == kind)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: f"{text.kind}-{text.version}")
def test_the_reference_page_has_every_consent_text_word_for_word(text: ConsentText) -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").replace(">", " ").split())
    assert f"{text.kind}, version {text.version}" in page
    assert text.en in page
    assert text.de in page
