"""The fictional companies: whatever the seed, the real rules list what the story needs."""

from typing import get_args

import pytest

from cli.demo.companies import NEED, PLANS, TOPIC, Company, Count, World, make_world
from cli.demo.nodes import settings
from node import config as configuration
from node.birth import render_settings
from node.services.availability import require_valid
from node.services.member_csv import parse_members
from node.services.vocabulary import situations
from protocol.concepts import Vocabulary
from protocol.crowd import Crowd, Member
from protocol.crowd import Mentor as CountedMentor
from protocol.editions import Catalog, Policy, next_edition
from protocol.minimize import Rules, minimize
from protocol.offers import Offer
from protocol.vocabulary import Topic

NOW = 1_800_000_000
VOCABULARY = Vocabulary(situations())
WORLDS = [(seed, count) for seed in range(20) for count in get_args(Count)]


def crowd(company: Company) -> Crowd:
    members = (
        Member(
            member=one.id,
            job_family=one.job_family,
            band=one.band,
            country=company.plan.country,
            languages=one.languages,
            skills=one.skills,
        )
        for one in company.employees
    )
    mentors = (
        CountedMentor(
            member=one.id,
            topics=tuple(Topic(id=topic.id, kind=topic.kind) for topic in one.profile.topics),
            formats=one.profile.formats,
            lengths=one.profile.lengths,
            languages=one.profile.languages,
        )
        for one in company.mentors
    )
    return Crowd(
        members,
        mentors,
        families=company.family_map(),
        vocabulary=VOCABULARY,
        site_languages=("en", company.plan.language),
    )


def first_edition(company: Company) -> list[Offer]:
    people = crowd(company)
    catalog = next_edition(
        Catalog(),
        minimize(people, Rules()).cells,
        people.holders,
        policy=Policy(edition_s=5.0),
        now=NOW,
        entropy=bytes(32),
    )
    return [one.offer for one in catalog.listed if one.offer]


@pytest.mark.parametrize(("seed", "count"), WORLDS)
def test_whoever_can_help_is_listed_from_the_first_edition_on_and_nobody_else(seed: int, count: Count) -> None:
    world = make_world(seed, count)
    for company in world.companies:
        near = [one for one in first_edition(company) if one.topic.id in VOCABULARY.relatives(TOPIC)]
        helps = any(part.company == company.plan.name for part in world.cast.mentors)
        assert {one.topic.id for one in near} == ({TOPIC} if helps else set())
        answers = [one for one in near if one.language in NEED.languages and NEED.format in one.formats]
        assert len(answers) == helps


@pytest.mark.parametrize(("seed", "count"), WORLDS[:9])
def test_companies_have_the_sizes_that_the_story_names(seed: int, count: Count) -> None:
    world = make_world(seed, count)
    assert [company.plan.name for company in world.companies] == {
        1: ["aurora"],
        2: ["aurora", "cobalt"],
        3: ["aurora", "birch", "cobalt"],
    }[count]
    for company in world.companies:
        assert len(company.employees) == len({one.mail for one in company.employees}) == company.plan.members
        assert len(company.mentors) == len({one.id for one in company.mentors}) == company.plan.mentors >= 10


@pytest.mark.parametrize(("seed", "count"), WORLDS[:9])
def test_the_member_file_is_one_that_a_node_takes(seed: int, count: Count) -> None:
    for company in make_world(seed, count).companies:
        parsed = parse_members(company.member_csv())
        assert parsed.errors == ()
        assert len(parsed.records) == company.plan.members


def test_a_seed_always_gives_the_same_companies() -> None:
    assert make_world(7, 3) == make_world(7, 3)


def test_another_seed_gives_other_people() -> None:
    assert members_of(make_world(7, 3)) != members_of(make_world(8, 3))


def members_of(world: World) -> set[str]:
    return {one.mail for company in world.companies for one in company.employees}


@pytest.mark.parametrize("count", get_args(Count))
def test_the_cast_works_where_the_story_says(count: Count) -> None:
    world = make_world(0, count)
    assert world.cast.ana.company == world.companies[0].plan.name
    assert world.cast.ben.company == world.companies[-1].plan.name
    assert len({part.key for part in world.cast.all}) == len(world.cast.all)
    for part in world.cast.all:
        assert world.company(part.company).id_of(part)


@pytest.mark.parametrize(("seed", "count"), WORLDS[:9])
def test_nobody_who_acts_is_the_supervisor_of_anybody(seed: int, count: Count) -> None:
    world = make_world(seed, count)
    for company in world.companies:
        acting = {company.id_of(part) for part in world.cast.at(company.plan.name)}
        assert acting.isdisjoint(one.supervisor for one in company.employees)


@pytest.mark.parametrize(("seed", "count"), WORLDS[:9])
def test_every_profile_is_one_that_a_node_takes(seed: int, count: Count) -> None:
    for company in make_world(seed, count).companies:
        for mentor in company.mentors:
            require_valid(mentor.profile.availability)
            assert all(topic.id in VOCABULARY for topic in mentor.profile.topics)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_the_settings_of_a_demo_node_are_good_ones(plan: object) -> None:
    chosen = next(one for one in PLANS if one is plan)
    config = configuration.parse(render_settings(settings(chosen)), {})
    assert config.development.enabled
    assert config.listen_host == "127.0.0.1"
    # A purge round in the middle of a demo could take the topic away.
    assert config.editions.purge_every * config.editions.edition_s > 30 * 86_400
