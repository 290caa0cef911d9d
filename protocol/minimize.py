"""The most precise offers that still hide each mentor among colleagues, with the reason for every step.

For each declared topic and language: leaf before group before domain, the mentor's own band before wider ones, and of
several admissible parents the one with the fewest people. Pure: the same facts give the same cells in any order.
Source: docs/protocol/11-offers.md §5.
"""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from .crowd import BANDS, Cell, Crowd, Mentor
from .encoding import encode
from .vocabulary import Band, Country, Format, Language, Length, Level, Topic, band_reaches

LEVELS: Final[tuple[Level, ...]] = ("leaf", "group", "domain")
#: Fewer mentors than this would be known by their formats and lengths.
LEAST_MIX: Final = 3

#: Why a level was passed over; `""` where the topic is listed.
Why = Literal[
    "", "sensitive", "small-organization", "nothing-broader", "too-few-carriers", "too-few-people", "too-many-mentors"
]


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers behind "who could hold it"; a node states them in its policy."""

    k: int = 8
    carriers: int = 5
    ratio_percent: int = 50
    smallest_members: int = 25

    def too_many_mentors(self, mentors: int, holders: int) -> bool:
        """Tell whether mentors are a larger share of the holders than allowed."""
        return mentors * 100 > self.ratio_percent * holders


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """A cell that may be listed: who could hold it, whose profile asks for it, and how many mentors it may hide."""

    cell: Cell
    formats: tuple[Format, ...]
    lengths: tuple[Length, ...]
    holders: frozenset[str]
    mentors: frozenset[str]
    behind: int


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One level tried: how many people counted there (carriers, holders or mentors) and how many the rule asks for."""

    level: Level
    why: Why
    count: int = 0
    needed: int = 0


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one topic of one mentor in one language; `cell` is None where it is withheld."""

    member: str
    topic: Topic
    language: Language
    cell: Cell | None
    steps: tuple[Step, ...]

    @property
    def outcome(self) -> Level | Literal["withheld"]:
        """The level shown outside."""
        return self.cell.topic.level if self.cell else "withheld"

    @property
    def missing(self) -> int:
        """How many more people a withheld topic needs at its widest level; 0 where counting people is not the rule."""
        last = self.steps[-1]
        people = self.cell is None and last.why in {"too-few-people", "too-few-carriers"}
        return last.needed - last.count if people else 0


class Minimized(msgspec.Struct, frozen=True, kw_only=True):
    """Desired cells by their canonical bytes, and an explanation for each mentor, topic and language."""

    cells: tuple[Desired, ...]
    why: tuple[Explanation, ...]


def minimize(crowd: Crowd, rules: Rules) -> Minimized:
    """Return what may be listed for the mentors of `crowd`, never below `rules.k` people."""
    why = tuple(_explain(crowd, rules, mentor, topic, tag) for mentor, topic, tag in _declared(crowd))
    asked: dict[Cell, set[str]] = {}
    for one in why:
        if one.cell:
            asked.setdefault(one.cell, set()).add(one.member)
    mixes = {country: _mix(crowd, country) for country in {cell.region for cell in asked}}
    cells = (
        Desired(
            cell=cell,
            formats=mixes[cell.region][0],
            lengths=mixes[cell.region][1],
            holders=crowd.holders(cell),
            mentors=frozenset(asked[cell]),
            behind=crowd.mentor_count(cell),
        )
        for cell in sorted(asked, key=cell_key)
    )
    return Minimized(cells=tuple(cells), why=why)


def explain(crowd: Crowd, rules: Rules, member: str) -> tuple[Explanation, ...]:
    """Return the explanations for one mentor, in the order of the profile."""
    return tuple(_explain(crowd, rules, *each) for each in _declared(crowd) if each[0].member == member)


def cell_key(cell: Cell) -> bytes:
    """Return the bytes by which cells are ordered and randomness is drawn."""
    return encode(cell)


def _declared(crowd: Crowd) -> Iterator[tuple[Mentor, Topic, Language]]:
    for mentor in crowd.mentors:
        for topic in mentor.topics:
            for tag in crowd.languages(mentor):
                yield mentor, topic, tag


def _explain(crowd: Crowd, rules: Rules, mentor: Mentor, topic: Topic, language: Language) -> Explanation:
    member = crowd.members[mentor.member]
    steps: list[Step] = []
    chosen: Cell | None = None
    for level in LEVELS[LEVELS.index(crowd.level(topic)) :]:
        step, chosen = _try_level(crowd, rules, topic, level, _Place(member.band, language, member.country))
        steps.append(step)
        if chosen:
            break
    return Explanation(member=mentor.member, topic=topic, language=language, cell=chosen, steps=tuple(steps))


class _Place(msgspec.Struct, frozen=True):
    """Where a mentor stands: what is the same at every level of the topic."""

    band: Band
    language: Language
    region: Country


def _try_level(crowd: Crowd, rules: Rules, topic: Topic, level: Level, place: _Place) -> tuple[Step, Cell | None]:
    """Return the best admissible cell of `level`, or why there is none."""
    if barred := _barred(crowd, rules, topic, level):
        return Step(level=level, why=barred), None
    concepts = _concepts(crowd, topic, level)
    if level == "domain":
        concepts = tuple(each for each in concepts if not crowd.vocabulary.is_sensitive(each))
    if not concepts:
        return Step(level=level, why="sensitive" if _concepts(crowd, topic, level) else "nothing-broader"), None
    failed: list[Step] = []
    for band in (each for each in BANDS if band_reaches(place.band, each)):
        found = []
        for concept in concepts:
            wide = Topic(id=concept, level=level, kind=topic.kind)
            cell = Cell(topic=wide, band=band, language=place.language, region=place.region)
            step = _judge(crowd, rules, cell)
            if step.why:
                failed.append(step)
            else:
                found.append((step.count, cell.topic.id, cell, step))
        if found:
            _, _, cell, step = min(found, key=lambda each: each[:2])
            return step, cell
    return max(failed, key=_nearest), None


def _nearest(step: Step) -> tuple[bool, int]:
    """Order failures so that the one closest to being listed is told."""
    return step.why == "too-many-mentors", step.count - step.needed


def _concepts(crowd: Crowd, topic: Topic, level: Level) -> tuple[str, ...]:
    return (topic.id,) if level == crowd.level(topic) else crowd.vocabulary.generalize(topic.id, level)


def _barred(crowd: Crowd, rules: Rules, topic: Topic, level: Level) -> Why:
    """Return why nothing below a domain may be listed, whoever could hold it."""
    if level != "domain" and crowd.vocabulary.is_sensitive(topic.id):
        return "sensitive"
    if level != "domain" and crowd.size < rules.smallest_members:
        return "small-organization"
    return ""


def _judge(crowd: Crowd, rules: Rules, cell: Cell) -> Step:
    """Return the step of one cell: why it may not be listed, or its number of holders."""
    level = cell.topic.level
    if level == "leaf" and not crowd.is_situation(cell.topic):
        carriers = crowd.carrier_count(cell.topic.id)
        if carriers < rules.carriers:
            return Step(level=level, why="too-few-carriers", count=carriers, needed=rules.carriers)
    holders = crowd.holder_count(cell)
    if holders < rules.k:
        return Step(level=level, why="too-few-people", count=holders, needed=rules.k)
    mentors = crowd.mentor_count(cell)
    if rules.too_many_mentors(mentors, holders):
        return Step(level=level, why="too-many-mentors", count=mentors, needed=rules.ratio_percent * holders // 100)
    return Step(level=level, why="", count=holders, needed=rules.k)


def _mix(crowd: Crowd, country: Country) -> tuple[tuple[Format, ...], tuple[Length, ...]]:
    """Return formats and lengths of all mentors in a country: a rare combination would tie one mentor's cells together.

    Where fewer than `LEAST_MIX` mentors work, those of the whole organization count.
    """
    mixed = crowd.mentors_of(country)
    if len(mixed) < LEAST_MIX:
        mixed = crowd.mentors
    formats = {each for mentor in mixed for each in mentor.formats}
    lengths = {each for mentor in mixed for each in mentor.lengths}
    return tuple(sorted(formats)), tuple(sorted(lengths))
