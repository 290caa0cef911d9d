"""Runs seeds and says what was found; the last line is JSON. Exit code 1: a violation, or a run that shows too little.

python -m tests.simulator --seeds 100
python -m tests.simulator --seeds 1 --start 4711     # replay one seed
python -m tests.simulator --scenario split-view --nodes 20 --seeds 10
python -m tests.simulator --mutants                  # the tests of the test
"""

import argparse
import sys
from collections.abc import Iterable

import msgspec

from .faults import Line
from .fleet import run_seeds
from .mutants import hunt
from .run import DEFAULT_NODES, LEAST_NODES, SCENARIOS, Outcome

#: Lines of a trace that are printed for one seed.
MAX_LINES = 200


class Summary(msgspec.Struct, kw_only=True):
    """The last line.

    `rounds`, for split views only: how many runs needed so many rounds of gossip until every honest member held the
    evidence; 0 for runs without a lie, or never.
    """

    seeds: int = 0
    handshakes: int = 0
    finalized: int = 0
    faults: dict[str, int] = {}
    violations: int = 0
    rounds: dict[str, int] | msgspec.UnsetType = msgspec.UNSET

    def add(self, outcome: Outcome) -> None:
        """Count one seed."""
        self.seeds += 1
        self.handshakes += outcome.handshakes
        self.finalized += outcome.finalized
        if outcome.rounds is not None:
            counted = {} if self.rounds is msgspec.UNSET else self.rounds
            last = str(outcome.rounds[1])
            self.rounds = dict(sorted({**counted, last: counted.get(last, 0) + 1}.items()))
        self.faults = {kind: self.faults.get(kind, 0) + times for kind, times in outcome.faults.items()}
        self.violations += len(outcome.violations)

    def complaints(self) -> list[str]:
        """Return why the run does not count as shown."""
        missing = [kind for kind, times in self.faults.items() if not times]
        return [
            *([f"{self.violations} violations"] if self.violations else []),
            *(["fewer than half of the handshakes were finalized"] if 2 * self.finalized < self.handshakes else []),
            *([f"never happened: {', '.join(missing)}"] if missing else []),
        ]


def main(arguments: list[str]) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description="Federations that fail on purpose.")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds (default: 100)")
    parser.add_argument("--start", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--nodes", type=int, default=DEFAULT_NODES, help=f"companies (default: {DEFAULT_NODES})")
    parser.add_argument("--scenario", choices=SCENARIOS, default="handshake", help="what people do")
    parser.add_argument("--jobs", type=int, default=0, help="processes (default: one for each processor)")
    parser.add_argument("--json", action="store_true", help="print the last line only")
    parser.add_argument("--mutants", action="store_true", help="plant bugs, and say which seed finds each")
    chosen = parser.parse_args(arguments)
    least = LEAST_NODES[chosen.scenario]
    if chosen.seeds < 1 or chosen.nodes < least:
        parser.error(f"at least one seed and {least} companies")
    if chosen.mutants:
        return _hunt(jobs=chosen.jobs, as_json=chosen.json)
    seeds = range(chosen.start, chosen.start + chosen.seeds)
    jobs = 1 if chosen.seeds == 1 else chosen.jobs
    summary = Summary()
    for outcome in run_seeds(seeds, scenario=chosen.scenario, nodes=chosen.nodes, jobs=jobs):
        summary.add(outcome)
        if outcome.violations:
            print("\n".join(told(outcome)), file=sys.stderr)
        elif not chosen.json:
            print(f"seed {outcome.seed}: {_came_to(outcome)}")
    complaints = summary.complaints()
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    print(msgspec.json.encode(summary).decode())
    return 1 if complaints else 0


def told(outcome: Outcome) -> Iterable[str]:
    """Yield the violations of a seed and the lines of its trace that concern them."""
    threads = {thread for violation in outcome.violations for thread in violation.threads}
    yield f"seed {outcome.seed}: {len(outcome.violations)} violations"
    for violation in outcome.violations:
        yield f"  {violation.rule} {' '.join(violation.threads)}".rstrip()
    lines = [line for line in outcome.trace if not line.threads or threads & set(line.threads)]
    for line in lines[:MAX_LINES]:
        yield _line(line, threads)
    if len(lines) > MAX_LINES:
        yield f"  … {len(lines) - MAX_LINES} more lines"


def _came_to(outcome: Outcome) -> str:
    if outcome.rounds is None:
        return f"{outcome.finalized} of {outcome.handshakes} finalized"
    first, last = outcome.rounds
    return f"found by the first in round {first}, by all in round {last}" if last else "nobody lied"


def _line(line: Line, threads: set[str]) -> str:
    about = " ".join(thread[:6] for thread in line.threads if thread in threads)
    return f"  {line.at:9.3f} s  {line.who} {line.what} {about}".rstrip()


def _hunt(*, jobs: int, as_json: bool) -> int:
    """Plant every bug in turn; the last line says which seed found it, null for one that nobody found."""
    found = {}
    for name, seed, rule in hunt(jobs=jobs):
        found[name] = seed
        if not as_json:
            print(f"{name}: {f'seed {seed}, {rule}' if seed else 'NOT FOUND'}", flush=True)
    print(msgspec.json.encode({"mutants": found, "missed": sum(not seed for seed in found.values())}).decode())
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
