"""What goes wrong in one run: decided by the seed alone, counted, and written down to be read after a violation."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

FaultKind = Literal["drop", "lost_answer", "duplicate", "reorder", "delay", "partition", "crash"]
KINDS: Final[tuple[FaultKind, ...]] = ("drop", "lost_answer", "duplicate", "reorder", "delay", "partition", "crash")

#: How often each happens: to a request, and for a crash at each side of a commit. Partitions have a plan of their own.
RATES: Final[dict[FaultKind, float]] = {
    "drop": 0.10,
    "lost_answer": 0.10,
    "duplicate": 0.12,
    "reorder": 0.08,
    "delay": 0.15,
    "crash": 0.012,
}
PARTITIONS: Final = 2


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """From `begins` to `ends` (seconds of the run) nothing goes between `cut` and the others."""

    begins: float
    ends: float
    cut: frozenset[str]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the trace; without `threads` it concerns all."""

    at: float
    who: str
    what: str
    threads: tuple[str, ...] = ()


#: Words and threads of a line, worked out when somebody wants to read it.
Told = Callable[[], tuple[str, tuple[str, ...]]]


class Faults:
    """The dice of one run; `stop` ends all faults.

    Args:
        rates: other rates than the usual ones, and then no partitions.
    """

    def __init__(self, seed: int, rates: Mapping[FaultKind, float] | None = None) -> None:
        self.dice: Final = random.Random(f"simulator {seed}")
        self.counts: Final[Counter[str]] = Counter(dict.fromkeys(KINDS if rates is None else rates, 0))
        self._rates: Final = RATES if rates is None else rates
        self._told: Final[list[tuple[float, str, Told]]] = []
        self.partitions: tuple[Partition, ...] = ()
        self.active = True
        #: Kinds that do not happen any more.
        self.spared: Final[set[FaultKind]] = set()

    def plan_partitions(self, entities: list[str], *, after: float, within: float) -> None:
        """Draw which nodes are cut off from the others, beginning `within` seconds `after` a moment of the run."""
        for _ in range(PARTITIONS):
            begins = after + self.dice.uniform(0, within)
            cut = self.dice.sample(entities, self.dice.randint(1, max(1, len(entities) // 2)))
            ends = begins + self.dice.choice((self.dice.uniform(60, 400), self.dice.uniform(400, 1200)))
            self.partitions += (Partition(begins=begins, ends=ends, cut=frozenset(cut)),)

    def hits(self, kind: FaultKind) -> bool:
        """Tell whether this fault happens now, and count it."""
        if not self.active or kind in self.spared or self.dice.random() >= self._rates[kind]:
            return False
        self.counts[kind] += 1
        return True

    def parted(self, one: str, other: str, *, at: float) -> bool:
        """Tell whether two nodes cannot reach each other now, and count it."""
        cut = self.active and any(
            plan.begins <= at < plan.ends and (one in plan.cut) != (other in plan.cut) for plan in self.partitions
        )
        self.counts["partition"] += cut
        return cut

    def note(self, at: float, who: str, what: str, *threads: str) -> None:
        """Write a line of the trace."""
        self.note_later(at, who, lambda: (what, threads))

    def note_later(self, at: float, who: str, told: Told) -> None:
        """Write a line that takes some work."""
        self._told.append((at, who, told))

    def trace(self) -> tuple[Line, ...]:
        """Return what was written down."""
        lines = ((at, who, told()) for at, who, told in self._told)
        return tuple(Line(at=at, who=who, what=what, threads=threads) for at, who, (what, threads) in lines)

    @classmethod
    def calm(cls) -> "Faults":
        """Return faults that never happen."""
        made = cls(0, {})
        made.stop()
        return made

    def stop(self) -> None:
        """From now on everything works."""
        self.active = False
