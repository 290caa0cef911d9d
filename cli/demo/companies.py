"""Three fictional companies, drawn from a seed: members, the map of their job families, mentors with their profiles.

The same seed gives the same companies. Whatever the seed, the companies whose people can help list the demo's topic
under the real rules (k, ratio, holder rule), because shares of bands and languages are fixed and only their order is
drawn.
"""

import csv
import io
import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, Literal, TypeVar

import msgspec

from node.services.member_csv import FIELD_NAMES
from node.services.profile import Availability, MentorProfile, ProfileTopic, WeeklyWindow
from node.services.vocabulary import situations
from protocol.concepts import Concept
from protocol.crowd import FamilyMap
from protocol.needs import Approach, Experience, Need
from protocol.offers import SizeBand
from protocol.vocabulary import Band, Format, Kind, Length, TopicId, band_reaches

from .people import Cast, Part, cast_for, mail_of, names

S = TypeVar("S", bound=str)

Count = Literal[1, 2, 3]

TOPIC: Final = "mm:first-board-presentation"
TOPIC_GROUP: Final = "mm:group-speaking-and-convincing"
NEED: Final = Need(
    topics=(TOPIC,),
    kind="been-through",
    languages=("en",),
    format="text",
    length=30,
    approach=("rehearses-with-you",),
)

#: Shares of the members, in percent; the rest is of band `any`.
LEADS_PERCENT: Final = 8
SENIORS_PERCENT: Final = 30
ENGLISH_PERCENT: Final = 85

_APPROACHES: Final[tuple[Approach, ...]] = (
    "asks-questions-first",
    "shares-own-story",
    "gives-frameworks",
    "rehearses-with-you",
    "listens-first",
    "direct-feedback",
)
_EXPERIENCES: Final[tuple[Experience, ...]] = ("did-it-once", "did-it-often", "did-it-recently", "learned-the-hard-way")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for every seed; `mentors` have opted in and agreed to be listed."""

    name: str
    display_name: str
    sector: str
    size_band: SizeBand
    country: str
    language: str
    zone: str
    members: int
    mentors: int
    families: dict[str, tuple[TopicId, ...]]

    @property
    def entity(self) -> str:
        """Entity identifier of the node."""
        return f"https://{self.name}.example"

    @property
    def short(self) -> str:
        """The first word of the name, for narrow places."""
        return self.display_name.partition(" ")[0]


PLANS: Final = (
    Plan(
        name="aurora",
        display_name="Aurora Freight",
        sector="H",
        size_band="50-250",
        country="DE",
        language="de",
        zone="Europe/Berlin",
        members=60,
        mentors=12,
        families={
            "Dispatch": ("mm:group-projects-and-change", "mm:group-difficult-conversations"),
            "Fleet": ("mm:group-leading-a-team",),
            "Finance": ("mm:group-customers-and-money",),
            "Customer service": ("mm:group-customers-and-money", "mm:group-difficult-conversations"),
        },
    ),
    Plan(
        name="birch",
        display_name="Birch Clinic",
        sector="Q",
        size_band="50-250",
        country="NL",
        language="nl",
        zone="Europe/Amsterdam",
        members=200,
        mentors=14,
        families={
            "Nursing": ("mm:group-leading-a-team", "mm:group-difficult-conversations"),
            "Medicine": ("mm:group-new-in-leadership",),
            "Administration": ("mm:group-projects-and-change", "mm:group-customers-and-money"),
            "Research": ("mm:group-speaking-and-convincing",),
        },
    ),
    Plan(
        name="cobalt",
        display_name="Cobalt Works",
        sector="C",
        size_band="250-1k",
        country="AT",
        language="de",
        zone="Europe/Vienna",
        members=800,
        mentors=18,
        families={
            "Engineering": ("mm:group-projects-and-change",),
            "Production": ("mm:group-leading-a-team",),
            "Sales": ("mm:group-customers-and-money", "mm:group-speaking-and-convincing"),
            "People": ("mm:group-new-in-leadership", "mm:group-difficult-conversations"),
            "Strategy": ("mm:group-customers-and-money", "mm:group-speaking-and-convincing"),
        },
    ),
)


class Employee(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a member file."""

    id: str
    mail: str
    job_family: str
    band: Band
    group: str
    supervisor: str
    languages: tuple[str, ...]
    skills: tuple[TopicId, ...]


class Mentor(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who opts in: id in the member file, and the profile."""

    id: str
    profile: MentorProfile


class Company(msgspec.Struct, frozen=True, kw_only=True):
    """One company as it will be told to its node."""

    plan: Plan
    employees: tuple[Employee, ...]
    mentors: tuple[Mentor, ...]

    def id_of(self, part: Part) -> str:
        """Return the member id of somebody who acts."""
        return next(one.id for one in self.employees if one.mail == part.mail)

    def member_csv(self) -> bytes:
        """Return the member file."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(FIELD_NAMES)
        writer.writerows(self._row(one) for one in self.employees)
        return text.getvalue().encode()

    def _row(self, one: Employee) -> tuple[str, ...]:
        values = {
            "id": one.id,
            "mail": one.mail,
            "status": "active",
            "job_family": one.job_family,
            "band": one.band,
            "country": self.plan.country,
            "group": one.group,
            "supervisor": one.supervisor,
            "languages": ";".join(one.languages),
            "skills": ";".join(one.skills),
        }
        return tuple(values[name] for name in FIELD_NAMES)

    def family_map(self) -> FamilyMap:
        """Return the published map of job families to topic groups."""
        return FamilyMap(version=1, families=self.plan.families)


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a seed decides."""

    companies: tuple[Company, ...]
    cast: Cast

    def company(self, name: str) -> Company:
        """Return a company by the name of its node."""
        return next(one for one in self.companies if one.plan.name == name)


def make_world(seed: int, count: Count) -> World:
    """Return the companies and the cast: with one company A alone, with two A and C, with three all of them."""
    plans = {1: PLANS[:1], 2: (PLANS[0], PLANS[2]), 3: PLANS}[count]
    cast = cast_for(tuple(plan.name for plan in plans))
    return World(companies=tuple(_Draw(seed, plan, cast).company() for plan in plans), cast=cast)


class _Draw:
    """The draws of one company."""

    def __init__(self, seed: int, plan: Plan, cast: Cast) -> None:
        self._rng: Final = random.Random(f"{seed}/{plan.name}")  # noqa: S311 -- fictional people, no secret
        self._plan: Final = plan
        self._cast: Final = cast
        self._topics: Final = [one for one in situations() if _usable(one)]

    def company(self) -> Company:
        """Return the company."""
        employees = self._employees()
        return Company(plan=self._plan, employees=employees, mentors=tuple(self._mentors(employees)))

    def _employees(self) -> tuple[Employee, ...]:
        parts = self._cast.at(self._plan.name)
        size = self._plan.members - len(parts)
        mails = [mail_of(name, self._plan.name) for name in islice(names(self._rng), size)]
        shares: dict[Band, int] = {"lead": LEADS_PERCENT, "senior": SENIORS_PERCENT}
        bands = self._spread(size, shares, "any")
        speak = self._spread(size, {"en": ENGLISH_PERCENT}, "")
        families = list(self._plan.families)
        people = [
            Employee(
                id=f"E-{1001 + number}",
                mail=mail,
                job_family=self._rng.choice(families),
                band=bands[number],
                group=self._rng.choice(("North", "South", "West")),
                supervisor="",
                languages=tuple(filter(None, (speak[number], self._plan.language))),
                skills=self._skills(),
            )
            for number, mail in enumerate(mails)
        ]
        acting = [self._acting(part, f"E-{1001 + len(mails) + number}") for number, part in enumerate(parts)]
        return tuple(self._supervised((*people, *acting), [one.id for one in people if one.band == "lead"]))

    def _acting(self, part: Part, member: str) -> Employee:
        """Return somebody who acts: mentees are of band `any`, mentors senior, and all speak English."""
        return Employee(
            id=member,
            mail=part.mail,
            job_family=self._rng.choice(list(self._plan.families)),
            band="senior" if part in self._cast.mentors else "any",
            group="North",
            supervisor="",
            languages=("en", self._plan.language),
            skills=(),
        )

    def _supervised(self, people: Iterable[Employee], leads: Sequence[str]) -> Iterable[Employee]:
        """Yield everybody with a supervisor, who never acts: nobody is proposed their own."""
        for one in people:
            above = self._rng.choice(leads)
            yield one if one.id == above else msgspec.structs.replace(one, supervisor=above)

    def _spread(self, size: int, percent: Mapping[S, int], rest: S) -> list[S]:
        """Return `size` values of which each has exactly its share, in a drawn order."""
        values = [value for value, share in percent.items() for _ in range(size * share // 100)]
        values += [rest] * (size - len(values))
        self._rng.shuffle(values)
        return values

    def _skills(self) -> tuple[TopicId, ...]:
        wanted = self._rng.choice((0, 0, 1, 2))
        return tuple(one.id for one in self._rng.sample(self._topics, wanted))

    def _mentors(self, employees: tuple[Employee, ...]) -> Iterable[Mentor]:
        parts = [one for one in self._cast.mentors if one.company == self._plan.name]
        acting = {one.mail for one in parts}
        yield from (Mentor(id=one.id, profile=self._helper()) for one in employees if one.mail in acting)
        asking = {self._cast.ana.mail, self._cast.rival.mail}
        able = [one for one in employees if one.mail not in acting | asking and one.band != "any"]
        for one in self._rng.sample(able, self._plan.mentors - len(parts)):
            yield Mentor(id=one.id, profile=self._profile(self._other_topics(one.band), one.languages))

    def _helper(self) -> MentorProfile:
        """Return the profile of somebody who has stood before a board, and has one place."""
        topic = ProfileTopic(id=TOPIC, kind="been-through", experience=(self._rng.choice(_EXPERIENCES),))
        return msgspec.structs.replace(
            self._profile((topic,), ("en", self._plan.language)), formats=("call", "text"), lengths=(15, 30, 45)
        )

    def _other_topics(self, band: Band) -> tuple[ProfileTopic, ...]:
        lived = [one for one in self._topics if band_reaches(band, one.holder or "any")]
        drawn = self._rng.sample(lived, self._rng.randint(1, 3))
        return tuple(ProfileTopic(id=one.id, kind=self._kind(one)) for one in drawn)

    def _kind(self, topic: Concept) -> Kind:
        return "been-through" if self._rng.random() < 0.7 else self._rng.choice(topic.kinds)

    def _profile(self, topics: tuple[ProfileTopic, ...], languages: tuple[str, ...]) -> MentorProfile:
        draw = self._rng
        windows = tuple(
            WeeklyWindow(weekday=day, start=start, end=start + 120)
            for day in sorted(draw.sample(range(5), draw.randint(2, 4)))
            for start in (draw.choice((540, 600, 780, 840, 960)),)
        )
        formats: tuple[tuple[Format, ...], ...] = (("call",), ("call", "text"), ("call", "in-person", "text"))
        lengths: tuple[tuple[Length, ...], ...] = ((30,), (15, 30), (30, 45, 60))
        return MentorProfile(
            topics=topics,
            languages=languages,
            formats=draw.choice(formats),
            lengths=draw.choice(lengths),
            availability=Availability(zone=self._plan.zone, weekly=windows),
            per_week=1,
            approach=tuple(draw.sample(_APPROACHES, 2)),
        )


def _usable(one: Concept) -> bool:
    """Tell whether other mentors may have this topic: only the cast can help with anything near the demo's."""
    return not (one.group or one.sensitive or TOPIC_GROUP in one.broader)
