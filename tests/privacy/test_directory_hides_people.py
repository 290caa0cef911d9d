"""Who mirrors a key directory for a year cannot tell its people from its decoys: classifiers stay at chance + .02."""

import math
from collections.abc import Callable, Iterable
from statistics import fmean

import msgspec
import pytest
from msgspec.structs import replace

from protocol.decoys import Crowd, advance

from .classifiers import Classifier, Labelled, Vector, balanced_accuracy, logistic, nearest, stump
from .directory import DAY_S, START, YEAR, Decide, Mirror, Seen, year

CHANCE = 0.5
MARGIN = 0.02
#: Size of a certificate in an entry, and of everything else.
CERTIFICATE, REST = 530, 330
LEARNERS: dict[str, Callable[[Labelled], Classifier]] = {"logistic": logistic, "nearest": nearest, "stump": stump}


def features(one: Seen) -> Vector:
    """Return what an observer can count about an entry at the end of the year."""
    end = one.gone_at or START + YEAR
    gaps = [late - early for early, late in zip((one.born_at, *one.changes), one.changes, strict=False)]
    times = (one.born_at, *one.changes)
    return (
        float(len(one.devices)),
        float(one.most),
        float(one.seq),
        float(len(one.changes)),
        float(end - one.born_at),
        float(one.born_at - START),
        float(one.gone_at > 0),
        fmean(gaps) if gaps else 0.0,
        float(end - one.last_at),
        fmean(at % DAY_S for at in times),
        fmean((at // DAY_S + 3) % 7 for at in times),
        fmean(one.fresh),
        float(len(one.devices) * CERTIFICATE + REST),
    )


def cases(mirrors: Iterable[Mirror], *, present: bool) -> Labelled:
    """Return all entries that were ever seen, or those that are there in the end."""
    return [
        (features(one), one.real) for mirror in mirrors for one in mirror.seen.values() if not (present and one.gone_at)
    ]


class Told(msgspec.Struct, frozen=True):
    """How well each classifier told people from decoys, and the sampling error of so many entries."""

    scores: dict[str, float]
    error: float

    @property
    def best(self) -> float:
        """The best of them."""
        return max(self.scores.values())


def told(size: int, seeds: range, decide: Decide = advance, *, rollout_s: float = 0) -> Told:
    """Train on the first half of the simulated years, tell entries of the other half apart, and the other way round.

    While a directory fills, decoys make way for people: whoever went then was a decoy, but nobody is any more.
    """
    mirrors = [year(size, seed, decide, rollout_s=rollout_s) for seed in seeds]
    assert all(one & (one - 1) == 0 for mirror in mirrors for one in mirror.sizes)
    middle, present = len(mirrors) // 2, rollout_s > 0
    halves = cases(mirrors[:middle], present=present), cases(mirrors[middle:], present=present)
    found = {}
    for name, learn in LEARNERS.items():
        both = [balanced_accuracy(learn(one), other) for one, other in (halves, halves[::-1])]
        found[name] = fmean(both)
        print(f"{size:>4} people, {name:<9} {found[name]:.3f}  ({both[0]:.3f}, {both[1]:.3f})")  # noqa: T201 -- shown by -s
    everybody = [label for half in halves for _, label in half]
    error = math.sqrt(sum(0.25 / everybody.count(kind) for kind in (True, False))) / 2
    print(f"{size:>4} people: {len(everybody)} entries, sampling error {error:.3f}")  # noqa: T201 -- shown by -s
    return Told(found, error)


def frozen(crowd: Crowd, people: object, **more: object) -> Crowd:
    """Make decoys as somebody might at first: they come with the directory and never change."""
    after = advance(crowd, people, **more)  # type: ignore[arg-type]  # passed through
    known = {one.secret: one for one in crowd.decoys}
    return replace(after, decoys=tuple(known.get(one.secret, one) for one in after.decoys))


def by_night(crowd: Crowd, people: object, **more: object) -> Crowd:
    """Make decoys that change by a job that runs at midnight."""
    after = advance(crowd, people, **more)  # type: ignore[arg-type]  # passed through
    later = (replace(one, due_at=one.due_at - one.due_at % -DAY_S) if one.due_at else one for one in after.decoys)
    return replace(after, decoys=tuple(later))


@pytest.mark.parametrize(("size", "seeds"), [(25, range(12)), (50, range(8))])
@pytest.mark.slow
def test_people_look_like_decoys_in_a_small_directory(size: int, seeds: range) -> None:
    found = told(size, seeds)
    assert found.best <= CHANCE + MARGIN + found.error


@pytest.mark.slow
def test_people_look_like_decoys_after_a_rollout() -> None:
    # A little shows of a rollout: decoys come with people, in proportion only to how many there may be in the end.
    found = told(25, range(16), rollout_s=4 * DAY_S)
    assert found.best <= CHANCE + 2 * MARGIN + found.error


@pytest.mark.parametrize("decide", [frozen, by_night])
@pytest.mark.slow
def test_decoys_that_do_not_behave_like_people_are_told_apart(decide: Decide) -> None:
    found = told(25, range(6), decide)
    assert found.best > CHANCE + 5 * (MARGIN + found.error)


@pytest.mark.parametrize(("size", "seeds"), [(25, range(40)), (50, range(30)), (500, range(4))])
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_people_look_like_decoys_in_many_years(size: int, seeds: range) -> None:
    found = told(size, seeds)
    assert found.best <= CHANCE + MARGIN + found.error
