"""A few seeds of each scenario in every test run, many in the long one, and planted bugs that must be found."""

from collections import Counter

import pytest

from .__main__ import Summary, told
from .faults import KINDS
from .fleet import run_seeds
from .invariants import Violation
from .lossy import RATES
from .mutants import MUTANTS, SEEDS, Mutant, find
from .run import Outcome, Scenario, run_seed
from .splitview import ROUNDS

EXCHANGES: tuple[Scenario, ...] = ("handshake", "delivery")
FEW = 6
MANY = 1000
#: Members of the consortia of which one lies, and seeds of each in the long run.
CONSORTIA = {5: 300, 10: 40, 20: 12, 50: 2}
#: Found by the first seed within a second; the others are looked for in the long run.
QUICK = (
    "a row is deleted before the answer",
    "a row is forgotten at a restart",
    "a suspended member is still served",
    "evidence is not kept",
    "half hours are not held",
    "the hub counts in memory",
)


def failures(outcomes: list[Outcome]) -> list[str]:
    return [f"seed {one.seed}: {violation}" for one in outcomes for violation in one.violations]


def check(outcomes: list[Outcome]) -> None:
    assert failures(outcomes) == []
    assert 2 * sum(one.finalized for one in outcomes) >= sum(one.handshakes for one in outcomes) > 0
    faults: Counter[str] = Counter()
    for one in outcomes:
        faults.update(one.faults)
    assert [kind for kind in KINDS if not faults[kind]] == []


def check_split(outcomes: list[Outcome]) -> None:
    assert failures(outcomes) == []
    rounds = [one.rounds for one in outcomes if one.rounds is not None]
    assert len(rounds) == len(outcomes)
    assert any(last for _, last in rounds)
    assert all(first <= ROUNDS for first, _ in rounds)
    faults: Counter[str] = Counter()
    for one in outcomes:
        faults.update(one.faults)
    assert [kind for kind in RATES if not faults[kind]] == []


@pytest.mark.slow
@pytest.mark.parametrize("scenario", EXCHANGES)
def test_whatever_fails_both_sides_end_alike_and_nothing_is_lost_or_doubled(scenario: Scenario) -> None:
    check([run_seed(seed, scenario=scenario) for seed in range(1, FEW + 1)])


@pytest.mark.slow
def test_a_member_that_tells_two_stories_is_found_by_all_others_within_two_rounds() -> None:
    check_split([run_seed(seed, scenario="split-view") for seed in range(1, 13)])


@pytest.mark.slow
def test_it_is_found_in_a_larger_consortium_too() -> None:
    assert failures([run_seed(1, scenario="split-view", nodes=9)]) == []


@pytest.mark.slow
def test_processes_play_the_same_runs_in_the_same_order() -> None:
    seeds = (3, 1)
    apart, here = (list(run_seeds(seeds, scenario="split-view", jobs=jobs)) for jobs in (2, 1))
    assert apart == here
    assert [one.seed for one in here] == [3, 1]


@pytest.mark.slow
def test_two_companies_are_enough() -> None:
    assert failures([run_seed(1, nodes=2)]) == []


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["handshake", "split-view"])
def test_the_same_seed_is_the_same_run(scenario: Scenario) -> None:
    first, again, other = (run_seed(seed, scenario=scenario, trace=True) for seed in (4711, 4711, 4712))
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
    assert any(" accepts " in line for line in lines)
    assert any("faults end" in line for line in lines)


def split(seed: int, *rounds: int) -> Outcome:
    faults: dict[str, int] = dict.fromkeys(RATES, 1)
    return Outcome(
        seed=seed, handshakes=0, finalized=0, faults=faults, violations=(), trace=(), rounds=(rounds[0], rounds[1])
    )


def test_the_last_line_counts_the_rounds_that_split_views_took() -> None:
    summary = Summary()
    for one in (split(1, 1, 2), split(2, 0, 0), split(3, 1, 1), split(4, 1, 2)):
        summary.add(one)
    assert summary.rounds == {"0": 1, "1": 1, "2": 2}
    assert summary.complaints() == []


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
@pytest.mark.parametrize("scenario", EXCHANGES)
def test_a_thousand_seeds_show_no_violation(scenario: Scenario) -> None:
    check(list(run_seeds(range(1, MANY + 1), scenario=scenario)))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("nodes", CONSORTIA)
def test_two_stories_are_found_in_consortia_of_any_size(nodes: int) -> None:
    check_split(list(run_seeds(range(1, CONSORTIA[nodes] + 1), scenario="split-view", nodes=nodes)))


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_every_planted_bug_is_found_within_fifty_seeds(mutant: Mutant) -> None:
    assert find(mutant, seeds=SEEDS)[0] is not None
