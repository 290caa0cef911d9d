"""A year in an organization: people leave and join, mentors change their minds, editions follow each other.

Days between two purge rounds change nobody, so people change once a month and editions run every day.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Final

import msgspec

from protocol.crowd import Cell, Crowd, Member, Mentor
from protocol.editions import Catalog, Policy, next_edition
from protocol.minimize import Minimized, minimize

from .organizations import FAMILIES, VOCABULARY, Hiring

DAY_S: Final = 86_400
DAYS: Final = 30
#: A whole number of purge rounds after 1970.
START: Final = 600 * DAYS * DAY_S
#: Yearly churn of people, and of mentors who stop or start while they stay.
LEAVE: Final = 0.18 / 12
STAND_DOWN: Final = 0.10 / 12


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """One month as its actors see it.

    Attributes:
        number: from 0; month 0 is the start.
        left: members who left at its beginning, with what they mentored (None: they did not).
        asked: the cells each mentor's profile asked for, before the leavers left.
        catalogs: the catalog after each day, the first with the purge round.
        crowd: the people after the change.
    """

    number: int
    left: tuple[tuple[Member, Mentor | None], ...]
    asked: dict[str, frozenset[Cell]]
    catalogs: tuple[Catalog, ...]
    crowd: Crowd


class Year:
    """Runs one organization month by month."""

    def __init__(self, size: int, seed: int, policy: Policy) -> None:
        self._hiring = Hiring(size, seed)
        self._policy = policy
        self._seed = f"{size} {seed}".encode()
        self._people: dict[str, tuple[Member, Mentor | None]] = {}
        for _ in range(size):
            self._hire()
        self._catalog = Catalog()

    def months(self, count: int, *, days: int = DAYS) -> Iterator[Month]:
        """Yield `count` months with editions on the first `days` days of each."""
        asked: dict[str, frozenset[Cell]] = {}
        for number in range(count):
            left = self._change() if number else ()
            crowd = self._crowd()
            wanted = minimize(crowd, self._policy.rules)
            catalogs = tuple(self._editions(number, wanted, _remembered(crowd), days))
            yield Month(number=number, left=left, asked=asked, catalogs=catalogs, crowd=crowd)
            asked = _asked(wanted)

    def _hire(self) -> None:
        member, mentor = self._hiring.hire()
        self._people[member.member] = (member, mentor)

    def _change(self) -> tuple[tuple[Member, Mentor | None], ...]:
        draw = self._hiring.random
        gone = [name for name in self._people if draw.random() < LEAVE]
        left = tuple(self._people.pop(name) for name in gone)
        for name, (member, mentor) in self._people.items():
            if mentor and draw.random() < STAND_DOWN:
                self._people[name] = (member, None)
        for _ in gone:
            self._hire()
        return left

    def _crowd(self) -> Crowd:
        return Crowd(
            [member for member, _ in self._people.values()],
            [mentor for _, mentor in self._people.values() if mentor],
            families=FAMILIES,
            vocabulary=VOCABULARY,
            site_languages=("en",),
        )

    def _editions(
        self, month: int, wanted: Minimized, holders: Callable[[Cell], frozenset[str]], days: int
    ) -> Iterator[Catalog]:
        for day in range(days):
            now = START + (month * DAYS + day) * DAY_S
            entropy = sha256(self._seed + now.to_bytes(8, "big")).digest()
            self._catalog = next_edition(
                self._catalog, wanted.cells, holders, policy=self._policy, now=now, entropy=entropy
            )
            yield self._catalog


def _remembered(crowd: Crowd) -> Callable[[Cell], frozenset[str]]:
    """Return `crowd.holders` that counts each cell once a month."""
    known: dict[Cell, frozenset[str]] = {}

    def holders(cell: Cell) -> frozenset[str]:
        if cell not in known:
            known[cell] = crowd.holders(cell)
        return known[cell]

    return holders


def _asked(wanted: Minimized) -> dict[str, frozenset[Cell]]:
    asked: dict[str, set[Cell]] = {}
    for one in wanted.why:
        if one.cell:
            asked.setdefault(one.member, set()).add(one.cell)
    return {member: frozenset(cells) for member, cells in asked.items()}
