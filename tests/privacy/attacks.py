"""What a colleague with the whole directory can learn from the offers of their own organization.

Everything here is written anew, without the counting of `protocol.crowd`, so that a mistake there shows.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import combinations
from typing import Final

import msgspec

from protocol.crowd import Cell, Member
from protocol.editions import Catalog
from protocol.vocabulary import band_reaches

from .history import Month
from .organizations import FAMILIES, VOCABULARY


def could_hold(member: Member, cell: Cell) -> bool:
    """Tell from the directory alone whether a member could be meant by a cell."""
    return _fits(member, cell, (*member.skills, *FAMILIES.families[member.job_family]))


def carries(member: Member, cell: Cell) -> bool:
    """Tell the same for somebody who takes the skills in the directory for all that people can do."""
    return _fits(member, cell, member.skills)


def _fits(member: Member, cell: Cell, topics: Iterable[str]) -> bool:
    there = band_reaches(member.band, cell.band) and member.country == cell.region
    return there and cell.language in member.languages and any(cell.topic.id in _at_or_above(each) for each in topics)


@cache
def _at_or_above(topic: str) -> frozenset[str]:
    return frozenset({topic, *VOCABULARY.ancestors(topic)})


def crowd_of(members: Iterable[Member], cell: Cell) -> tuple[Member, ...]:
    return tuple(each for each in members if could_hold(each, cell))


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Claims "this person who left was the mentor behind that offer", and how many mentors left and were found."""

    claims: int = 0
    right: int = 0
    left: int = 0
    found: int = 0

    @property
    def precision(self) -> float:
        return self.right / self.claims if self.claims else 0.0

    @property
    def recall(self) -> float:
        return self.found / self.left if self.left else 0.0

    def __add__(self, other: "Trace") -> "Trace":
        return Trace(
            claims=self.claims + other.claims,
            right=self.right + other.right,
            left=self.left + other.left,
            found=self.found + other.found,
        )


def shown(catalog: Catalog) -> frozenset[Cell]:
    return frozenset(one.cell for one in catalog.listed)


def trace_leavers(months: Sequence[Month], *, patience: int = 0) -> Trace:
    """Accuse whoever left in a month and is the only leaver who could have held an offer that vanished in it.

    Args:
        patience: wait so many months first, and count only what did not come back meanwhile: what only rotated does.
    """
    asked: dict[str, set[Cell]] = {}
    for month in months:
        for name, cells in month.asked.items():
            asked.setdefault(name, set()).update(cells)
    before = shown(months[0].catalogs[-1])
    claims: list[tuple[str, bool]] = []
    watched = months[1 : len(months) - patience]
    for month in watched:
        later = months[month.number : month.number + patience + 1]
        vanished = _vanished(before, month) - (_came_back(later) if patience else set())
        for cell in vanished:
            suspects = [(member, mentor) for member, mentor in month.left if could_hold(member, cell)]
            if len(suspects) == 1:
                member, mentor = suspects[0]
                claims.append((member.member, mentor is not None and cell in asked.get(member.member, ())))
        before = shown(month.catalogs[-1])
    return Trace(
        claims=len(claims),
        right=sum(right for _, right in claims),
        left=sum(mentor is not None for month in watched for _, mentor in month.left),
        found=len({member for member, right in claims if right}),
    )


def _vanished(before: frozenset[Cell], month: Month) -> set[Cell]:
    gone: set[Cell] = set()
    for catalog in month.catalogs:
        now = shown(catalog)
        gone |= before - now
        before = now
    return gone


def _came_back(months: Sequence[Month]) -> set[Cell]:
    """Return what was shown at some time after the purge round of the first month."""
    first, *later = months
    after = [*first.catalogs[1:], *(catalog for month in later for catalog in month.catalogs)]
    return {cell for catalog in after for cell in shown(catalog)}


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """Pairs of offers that arrived in one edition, and how many of them do rest on one mentor."""

    pairs: int
    right: int


def link_arrivals(months: Sequence[Month]) -> Links:
    """Guess that two offers that appear in one edition rest on one mentor; the bulk start is no guess."""
    before: frozenset[Cell] = frozenset()
    pairs = right = 0
    for month, following in zip(months, [*months[1:], None], strict=True):
        mentors = following.asked.values() if following else ()
        for catalog in month.catalogs:
            now = shown(catalog)
            for one, other in combinations(now - before, 2) if before else ():
                pairs += 1
                right += any(one in cells and other in cells for cells in mentors)
            before = now
    return Links(pairs=pairs, right=right)


WIDTH: Final = 44


def line(what: str, size: int, values: Sequence[float]) -> str:
    """Return one line of a report: the mean and all values."""
    mean = sum(values) / len(values)
    return f"{what:<{WIDTH}} {size:>5} people  mean {mean:.3f}  {' '.join(f'{value:.2f}' for value in values)}"
