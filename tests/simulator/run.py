"""One seed from beginning to end."""

import asyncio
from typing import Final, Literal

import msgspec

from protocol.errors import MeshError

from .faults import Line
from .handshakes import HANDSHAKES, Handshake, play_handshakes
from .invariants import Violation, check_exchange
from .keys import kept_keys
from .loop import EndlessRunError, SteppedLoop
from .sessions import Session, play_sessions
from .splitview import Consortium, Met, met
from .town import Town

Scenario = Literal["handshake", "delivery", "split-view"]
SCENARIOS: Final[tuple[Scenario, ...]] = ("handshake", "delivery", "split-view")
DEFAULT_NODES: Final = 5
#: A liar needs two others to tell two stories to, and evidence somebody who was not lied to.
LEAST_NODES: Final[dict[Scenario, int]] = {"handshake": 2, "delivery": 2, "split-view": 4}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one seed came to.

    `rounds`: of a split view, after how many rounds of gossip the first and the last honest member held evidence;
    both 0 when there was no lie.
    """

    seed: int
    handshakes: int
    finalized: int
    faults: dict[str, int]
    violations: tuple[Violation, ...]
    trace: tuple[Line, ...]
    rounds: tuple[int, int] | None = None


def run_seed(
    seed: int, *, scenario: Scenario = "handshake", nodes: int = DEFAULT_NODES, trace: bool = False
) -> Outcome:
    """Return what happened in one run; the same seed gives the same run.

    Args:
        trace: tell everything that happened, also when nothing is wrong.
    """
    loop = SteppedLoop()
    with kept_keys(), asyncio.Runner(loop_factory=lambda: loop) as runner:
        if scenario == "split-view":
            return runner.run(_run_split(Consortium(seed, nodes, loop), met(nodes), seed, told=trace))
        town = Town(seed, nodes, loop)
        town.told = trace
        try:
            return runner.run(run_town(town, seed, scenario))
        except EndlessRunError as error:
            return _outcome(town, seed, [Violation(rule=str(error))])


async def run_town(town: Town, seed: int, scenario: Scenario, *, handshakes: int = HANDSHAKES) -> Outcome:
    """Return what happened in a town; its loop is the running one."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # crashed nodes leave exceptions to nobody
    await town.open()
    searches: list[Handshake] = []
    sessions: list[Session] = []
    violations: list[Violation] = []
    try:
        if scenario == "handshake":
            searches = await play_handshakes(town, handshakes)
        else:
            sessions = await play_sessions(town)
        for company in town.companies:
            await company.rest()
        violations += check_exchange(town)
        violations += [violation for session in sessions for violation in session.check()]
    except MeshError as error:
        violations.append(Violation(rule=f"somebody could not go on: {error}"))
    return _outcome(town, seed, violations, *searches, *sessions)


async def _run_split(consortium: Consortium, before: Met, seed: int, *, told: bool) -> Outcome:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    await consortium.open(before)
    await consortium.play()
    violations = [*consortium.check(), *await consortium.suspend()]
    return Outcome(
        seed=seed,
        handshakes=0,
        finalized=0,
        faults=dict(consortium.faults.counts),
        violations=tuple(violations),
        trace=consortium.faults.trace() if violations or told else (),
        rounds=(consortium.first, consortium.last),
    )


def _outcome(town: Town, seed: int, violations: list[Violation], *played: Handshake | Session) -> Outcome:
    return Outcome(
        seed=seed,
        handshakes=len(played),
        finalized=sum(one.is_finalized() for one in played),
        faults=dict(town.faults.counts),
        violations=tuple(violations),
        trace=town.faults.trace() if violations or town.told else (),
    )
