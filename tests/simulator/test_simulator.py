"""A few seeds of each scenario in every test run, many in the long one, and planted bugs that must be found."""

from collections import Counter

import pytest

from .__main__ import Summary, told
from .faults import KINDS
from .invariants import Violation
from .mutants import MUTANTS, SEEDS, Mutant, find
from .run import SCENARIOS, Outcome, Scenario, run_seed

FEW = 6
MANY = 1000
#: Found by the first seed within a second; the others are looked for in the long run.
QUICK = ("a row is deleted before the answer", "half hours are not held", "the hub counts in memory")


def failures(outcomes: list[Outcome]) -> list[str]:
    return [f"seed {one.seed}: {violation}" for one in outcomes for violation in one.violations]


def check(outcomes: list[Outcome]) -> None:
    assert failures(outcomes) == []
    assert 2 * sum(one.finalized for one in outcomes) >= sum(one.handshakes for one in outcomes) > 0
    faults: Counter[str] = Counter()
    for one in outcomes:
        faults.update(one.faults)
    assert [kind for kind in KINDS if not faults[kind]] == []


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_whatever_fails_both_sides_end_alike_and_nothing_is_lost_or_doubled(scenario: Scenario) -> None:
    check([run_seed(seed, scenario=scenario) for seed in range(1, FEW + 1)])


@pytest.mark.slow
def test_two_companies_are_enough() -> None:
    assert failures([run_seed(1, nodes=2)]) == []


@pytest.mark.slow
def test_the_same_seed_is_the_same_run() -> None:
    first, again, other = (run_seed(seed, trace=True) for seed in (4711, 4711, 4712))
    assert first == again
    assert first.trace != other.trace


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.name in QUICK], ids=lambda one: one.name)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    assert find(mutant, seeds=2)[0] is not None


@pytest.mark.slow
def test_a_violation_is_told_with_what_happened_to_its_thread() -> None:
    (mutant,) = [one for one in MUTANTS if one.name == "an expiry is not sent"]
    with mutant.plant():
        outcome = run_seed(1)
    lines = list(told(outcome))
    assert lines[0].startswith("seed 1: ")
    assert any("the two books differ" in line for line in lines)
    assert any("accept 2" in line for line in lines)
    assert any("faults end" in line for line in lines)


def outcome(*, finalized: int = 10, faults: int = 1, violations: int = 0) -> Outcome:
    return Outcome(
        seed=1,
        handshakes=20,
        finalized=finalized,
        faults=dict.fromkeys(KINDS, faults),
        violations=(Violation(rule="something"),) * violations,
        trace=(),
    )


@pytest.mark.parametrize(
    ("ran", "complaints"),
    [
        (outcome(), 0),
        (outcome(violations=2), 1),
        (outcome(finalized=9), 1),
        (outcome(faults=0), 1),
        (outcome(finalized=0, faults=0, violations=1), 3),
    ],
)
def test_a_run_that_shows_too_little_counts_as_failed(ran: Outcome, complaints: int) -> None:
    summary = Summary()
    summary.add(ran)
    assert len(summary.complaints()) == complaints
    assert summary.seeds == 1


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_thousand_seeds_show_no_violation(scenario: Scenario) -> None:
    check([run_seed(seed, scenario=scenario) for seed in range(1, MANY + 1)])


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_every_planted_bug_is_found_within_fifty_seeds(mutant: Mutant) -> None:
    assert find(mutant, seeds=SEEDS)[0] is not None
