"""Synthetic organizations: made-up people with made-up skills, the same for every run of a seed.

Twelve functions with six groups of twelve skills each; a skill's popularity within its function falls like a Zipf law
with exponent 0.9, and so do the sizes of functions: no company has twelve equal ones. People have 5–12 skills, four in
five of them from their own function. 15 % mentor, more of the senior ones, with three of their skills each. A
colleague's directory shows everything but who mentors.
"""

import random
from typing import Final

import msgspec

from protocol.concepts import Concept, Vocabulary
from protocol.crowd import Crowd, FamilyMap, Member, Mentor
from protocol.vocabulary import Band, Topic

FUNCTIONS: Final = 12
GROUPS: Final = 6
SKILLS: Final = 12
MENTOR_SHARE: Final[dict[Band, float]] = {"any": 0.115, "senior": 0.22, "lead": 0.30}
#: Countries and the language spoken there.
SITES: Final = (
    ("DE", "de"),
    ("FR", "fr"),
    ("ES", "es"),
    ("PL", "pl"),
    ("IT", "it"),
    ("NL", "nl"),
    ("SE", "sv"),
)
SITES_OF: Final = {25: 1, 50: 1, 500: 3, 5000: 7}

_POPULARITY: Final = tuple(1 / (rank + 1) ** 0.9 for rank in range(GROUPS * SKILLS))


def popularity() -> tuple[float, ...]:
    """Weights of the skills of a function, the most popular first."""
    return _POPULARITY


def function_name(function: int) -> str:
    return f"Function {function}"


def skill_id(function: int, number: int) -> str:
    """Skill `number` of a function; neighbours are in different groups, so that all groups have popular ones."""
    return f"ext:sim:f{function}g{number % GROUPS}s{number // GROUPS}"


def vocabulary() -> Vocabulary:
    concepts = []
    for function in range(FUNCTIONS):
        domain = f"ext:sim:f{function}"
        concepts.append(Concept(id=domain, labels={"en": (domain,)}, group=True))
        for group in range(GROUPS):
            name = f"{domain}g{group}"
            concepts.append(Concept(id=name, labels={"en": (name,)}, broader=(domain,), group=True))
            concepts += [
                Concept(id=f"{name}s{skill}", labels={"en": (f"{name}s{skill}",)}, broader=(name,))
                for skill in range(SKILLS)
            ]
    return Vocabulary(concepts)


def family_map() -> FamilyMap:
    return FamilyMap(
        families={
            function_name(function): tuple(f"ext:sim:f{function}g{group}" for group in range(GROUPS))
            for function in range(FUNCTIONS)
        }
    )


VOCABULARY: Final = vocabulary()
FAMILIES: Final = family_map()


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    """Members, and those of them who mentor."""

    members: tuple[Member, ...]
    mentors: tuple[Mentor, ...]

    def crowd(self) -> Crowd:
        return Crowd(self.members, self.mentors, families=FAMILIES, vocabulary=VOCABULARY, site_languages=("en",))


class Hiring:
    """Draws people of one organization, one after the other."""

    def __init__(self, size: int, seed: int) -> None:
        self.random: Final = random.Random(f"{size} {seed}")
        self._sites: Final = SITES[: SITES_OF[size]]
        self._functions: Final = self.random.sample(range(FUNCTIONS), FUNCTIONS)
        self._count = 0

    def hire(self) -> tuple[Member, Mentor | None]:
        draw = self.random
        self._count += 1
        function = draw.choices(self._functions, _POPULARITY[:FUNCTIONS])[0]
        country, language = draw.choice(self._sites)
        member = Member(
            member=f"{self._count:022d}",
            job_family=function_name(function),
            band=draw.choices(("any", "senior", "lead"), (72, 21, 7))[0],
            country=country,
            languages=self._languages(language),
            skills=self._skills(function),
        )
        return member, self._mentor(member)

    def _languages(self, local: str) -> tuple[str, ...]:
        spoken = ["en"]
        if self.random.random() < 0.75:
            spoken.append(local)
        others = [language for _, language in SITES if language not in spoken]
        return (*spoken, *self.random.sample(others, self.random.choices((0, 1, 2), (75, 20, 5))[0]))

    def _skills(self, function: int) -> tuple[str, ...]:
        found: set[str] = set()
        wanted = self.random.randint(5, 12)
        while len(found) < wanted:
            field = function if self.random.random() < 0.8 else self.random.randrange(FUNCTIONS)
            number = self.random.choices(range(GROUPS * SKILLS), _POPULARITY)[0]
            found.add(skill_id(field, number))
        return tuple(sorted(found))

    def _mentor(self, member: Member) -> Mentor | None:
        if self.random.random() >= MENTOR_SHARE[member.band]:
            return None
        return Mentor(
            member=member.member,
            topics=tuple(
                Topic(id=skill, kind=self.random.choice(("do", "know")))
                for skill in self.random.sample(member.skills, 3)
            ),
            formats=tuple(sorted(self.random.sample(("call", "text", "in-person", "link"), 2))),
            lengths=tuple(sorted(self.random.sample((15, 20, 30, 45, 60), 2))),
            languages=member.languages[:2],
        )


def organization(size: int, seed: int) -> Organization:
    hiring = Hiring(size, seed)
    people = [hiring.hire() for _ in range(size)]
    return Organization(
        members=tuple(member for member, _ in people), mentors=tuple(mentor for _, mentor in people if mentor)
    )
