"""Needs of people in other organizations that somebody here can meet, and the share of them that finds this place."""

import random
from collections.abc import Iterator
from typing import Final

from node.matching.facts import MirroredOffer
from node.matching.search import search
from protocol.crowd import Crowd, Mentor
from protocol.editions import Catalog
from protocol.needs import Need
from protocol.vocabulary import band_reaches

from .organizations import FUNCTIONS, GROUPS, SITES, SITES_OF, SKILLS, VOCABULARY, popularity, skill_id

QUESTIONS: Final = 100
MOST_DRAWS: Final = 60_000


def recall(crowd: Crowd, catalog: Catalog, *, size: int, seed: int) -> float:
    """Return the share of needs with a fitting mentor for which the search over the catalog finds an offer."""
    offers = [MirroredOffer(origin="https://birch.example", offer=one.offer) for one in catalog.listed if one.offer]
    needs = list(answerable(crowd, size=size, seed=seed))
    found = sum(bool(search(need, offers, VOCABULARY, tie=b"tie")) for need in needs)
    return found / len(needs) if needs else 1.0


def answerable(crowd: Crowd, *, size: int, seed: int) -> Iterator[Need]:
    """Yield needs that at least one mentor meets exactly: leaf skill, least band, language, format and length."""
    draw = random.Random(f"questions {size} {seed}")
    by_skill: dict[str, list[Mentor]] = {}
    for mentor in crowd.mentors:
        for topic in mentor.topics:
            by_skill.setdefault(topic.id, []).append(mentor)
    made = 0
    for _ in range(MOST_DRAWS):
        need = _need(draw, size)
        if any(_meets(crowd, mentor, need) for mentor in by_skill.get(need.topics[0], ())):
            yield need
            made += 1
        if made == QUESTIONS:
            return


def _need(draw: random.Random, size: int) -> Need:
    _, local = draw.choice(SITES[: SITES_OF[size]])
    number = draw.choices(range(GROUPS * SKILLS), popularity())[0]
    return Need(
        topics=(skill_id(draw.randrange(FUNCTIONS), number),),
        kind="do",
        languages=(local, "en") if draw.random() < 0.75 else ("en",),
        format=draw.choice(("call", "text", "link")),
        length=draw.choice((15, 20, 30, 45, 60)),
        band=draw.choices(("any", "senior", "lead"), (60, 30, 10))[0],
    )


def _meets(crowd: Crowd, mentor: Mentor, need: Need) -> bool:
    return (
        need.format in mentor.formats
        and need.length in mentor.lengths
        and band_reaches(crowd.members[mentor.member].band, need.band)
        and bool(set(crowd.languages(mentor)) & set(need.languages))
    )
