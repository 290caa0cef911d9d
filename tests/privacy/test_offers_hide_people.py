"""The real minimizer and the real editions on synthetic organizations: nobody is singled out, and help is still found.

Every figure is printed. Three seeds by default; twenty under `long`.
"""

import random
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from protocol.editions import Catalog, Policy, next_edition
from protocol.minimize import Rules, minimize

from .attacks import Trace, carries, could_hold, crowd_of, line, link_arrivals, shown, trace_leavers
from .history import START, Month, Year
from .organizations import SITES_OF, Organization, organization
from .questions import recall

SIZES: Final = tuple(SITES_OF)
THREE: Final = (1, 2, 3)
TWENTY: Final = tuple(range(1, 21))
#: Cells looked at in the largest organization: all of them would take minutes.
SAMPLE: Final = 100
MOST_PRECISION: Final = 0.35
#: For somebody who waits two months to see what comes back; the price of pauses that end after one round.
MOST_PATIENT: Final = 0.45
LEAST_RECALL: Final = {50: 0.90, 500: 0.99, 5000: 0.99}
MONTHS: Final = 13

seeds = pytest.mark.parametrize(
    "seeds", [THREE, pytest.param(TWENTY, marks=(pytest.mark.long, pytest.mark.timeout(1800)))], ids=["3", "20"]
)


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """Print the lines that a test leaves here, also when it passes."""
    lines: list[str] = []
    yield lines
    with capsys.disabled():
        sys.stdout.write("".join(f"\n  {each}" for each in lines))


def first_catalog(people: Organization, seed: int) -> Catalog:
    """Return the catalog once every new offer has waited its time."""
    crowd = people.crowd()
    wanted = minimize(crowd, Rules())
    policy = Policy(mean_delay=0)
    catalog = Catalog()
    for day in range(29):
        if day and all(one.phase == "listed" for one in catalog.cells):
            break
        catalog = next_edition(
            catalog,
            wanted.cells,
            crowd.holders,
            policy=policy,
            now=START + day * 86_400,
            entropy=bytes([seed, day]) * 16,
        )
    return catalog


@seeds
@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_no_offer_singles_anybody_out_for_a_colleague_with_the_directory(
    size: int, seeds: Sequence[int], tell: list[str]
) -> None:
    unique, surely, smallest = [], [], []
    for seed in seeds:
        people = organization(size, seed)
        cells = [one.cell for one in minimize(people.crowd(), Rules()).cells]
        looked_at = random.Random(seed).sample(cells, min(len(cells), SAMPLE)) if size == 5000 else cells
        crowds = [len(crowd_of(people.members, cell)) for cell in looked_at]
        unique.append(sum(count < 2 for count in crowds) / max(len(crowds), 1))
        smallest += [min(crowds)] if crowds else []
        carrying = [sum(carries(each, cell) for each in people.members) for cell in looked_at]
        surely.append(sum(count < 2 for count in carrying) / max(len(carrying), 1))
    tell.append(line("uniquely identified", size, unique))
    tell.append(line("unique if skill lists were complete", size, surely))
    tell.append(line("smallest crowd behind an offer", size, smallest))
    assert set(unique) == {0.0}
    assert set(surely) == {0.0}
    assert min(smallest) >= Rules().k


@seeds
@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_help_is_still_found(size: int, seeds: Sequence[int], tell: list[str]) -> None:
    found = []
    for seed in seeds:
        people = organization(size, seed)
        found.append(recall(people.crowd(), first_catalog(people, seed), size=size, seed=seed))
    tell.append(line("needs that find an offer", size, found))
    mean = sum(found) / len(found)
    assert mean >= LEAST_RECALL.get(size, 0.0)


@seeds
@pytest.mark.slow
@pytest.mark.parametrize("size", [50, 500])
def test_who_left_cannot_be_told_from_what_vanished(size: int, seeds: Sequence[int], tell: list[str]) -> None:
    # A small organization has too few leavers for three years to say anything.
    years = [list(Year(size, seed, Policy()).months(MONTHS)) for seed in _more(size, seeds)]
    _judge_traces(years, size, tell)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_who_left_cannot_be_told_in_a_large_organization(tell: list[str]) -> None:
    _judge_traces([list(Year(5000, seed, Policy()).months(MONTHS, days=10)) for seed in THREE], 5000, tell)


@pytest.mark.slow
def test_without_rotation_and_chance_a_leaver_is_traced(tell: list[str]) -> None:
    plain = Policy(purge_percent=100, rotate_percent=0)
    traces = [trace_leavers(list(Year(500, seed, plain).months(MONTHS, days=10))) for seed in THREE]
    tell.append(line("plain monthly policy, precision", 500, [each.precision for each in traces]))
    assert min(each.precision for each in traces) > MOST_PRECISION


def _more(size: int, seeds: Sequence[int]) -> Sequence[int]:
    return range(1, 10 * len(seeds) + 1) if size == 50 else seeds


def _judge_traces(years: Sequence[Sequence[Month]], size: int, tell: list[str]) -> None:
    for patience, most in ((0, MOST_PRECISION), (2, MOST_PATIENT)):
        traces = [trace_leavers(months, patience=patience) for months in years]
        all_years = sum(traces, Trace())
        who = f"leaver trace after {patience} months" if patience else "leaver trace at once"
        tell.append(line(f"{who}: precision", size, [each.precision for each in traces]))
        tell.append(
            f"{'  all years together':<44} {size:>5} people  precision {all_years.precision:.3f}"
            f"  recall {all_years.recall:.3f}  ({all_years.right} of {all_years.claims} claims right)"
        )
        assert all_years.claims > 20
        assert all_years.precision <= most
    links = [link_arrivals(months) for months in years]
    tell.append(f"{'pairs arriving in one edition, linked':<44} {size:>5} people  {sum(each.right for each in links)}")
    assert sum(each.right for each in links) == 0
    _judge_listings(years, size, tell)


def _judge_listings(years: Sequence[Sequence[Month]], size: int, tell: list[str]) -> None:
    """A listing hides at least `keep` people who could have held it all the time; its use after a year is printed."""
    empty = []
    for months in years:
        for month in months:
            for one in month.catalogs[-1].listed:
                assert len(one.holders or ()) >= Policy().keep
                assert all(
                    could_hold(month.crowd.members[member], one.cell) or member in _mentors(month)
                    for member in one.holders or ()
                )
        wanted = {one.cell for one in minimize(months[-1].crowd, Rules()).cells}
        listed = shown(months[-1].catalogs[-1])
        empty.append(len(listed - wanted) / max(len(listed), 1))
    tell.append(line("listed without a mentor after a year", size, empty))
    kept = [
        recall(months[-1].crowd, months[-1].catalogs[-1], size=size, seed=at) for at, months in enumerate(years[:20])
    ]
    tell.append(line("needs that find an offer after a year", size, kept))


def _mentors(month: Month) -> frozenset[str]:
    return frozenset(each.member for each in month.crowd.mentors)
