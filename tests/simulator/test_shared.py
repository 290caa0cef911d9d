"""The handshake scenario with two processes for each company over a real PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from node.clock import SystemClock
from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from tests.postgres import Cluster

from .eye import Eye
from .faults import KINDS
from .handshakes import HANDSHAKES
from .keys import kept_keys
from .loop import EndlessRunError
from .mixedtime import mixed_loop
from .mutants import MUTANTS
from .run import Outcome, run_town
from .shared import SharedCompany
from .test_simulator import failures
from .town import Town

pytestmark = pytest.mark.slow

NODES = 3
#: Seeds of the long run: three minutes on two processors that have nothing else to do.
MANY = 6


@contextmanager
def places(postgres: Cluster, nodes: int) -> Iterator[None]:
    """Let companies have schemas, which are made once."""
    urls = [asyncio.run(made(postgres)) for _ in range(nodes)]
    with (
        Eye() as eye,
        patch.object(SharedCompany, "urls", urls, create=True),
        patch.object(SharedCompany, "eye", eye, create=True),
    ):
        yield


async def made(postgres: Cluster) -> str:
    """Return the URL of a schema with the tables of a node."""
    url = await postgres.fresh()
    async with await PostgresStore.open(Server(url=url), clock=SystemClock()):
        return url


def run_shared(seed: int, *, nodes: int = NODES, handshakes: int = HANDSHAKES) -> Outcome:
    with kept_keys(), mixed_loop() as (runner, loop):
        town = Town(seed, nodes, loop, SharedCompany)
        try:
            return runner.run(run_town(town, seed, "handshake", handshakes=handshakes))
        except EndlessRunError as error:
            pytest.fail(f"seed {seed}: {error}")


def check(outcomes: list[Outcome]) -> None:
    assert failures(outcomes) == []
    assert 2 * sum(one.finalized for one in outcomes) >= sum(one.handshakes for one in outcomes) > 0


def test_with_two_processes_over_one_database_both_sides_end_alike_and_nothing_is_lost_or_doubled(
    postgres: Cluster,
) -> None:
    with places(postgres, 2):
        check([run_shared(1, nodes=2, handshakes=4)])


@pytest.mark.long
def test_a_process_that_believes_its_own_memory_is_found(postgres: Cluster) -> None:
    (planted,) = [mutant for mutant in MUTANTS if mutant.name == "repeats are known in memory only"]
    with places(postgres, 2), planted.plant():
        assert failures([run_shared(1, nodes=2, handshakes=8)]) != []


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_seeds_with_two_processes_show_no_violation(postgres: Cluster) -> None:
    with places(postgres, NODES):
        outcomes = [run_shared(seed) for seed in range(1, MANY + 1)]
    check(outcomes)
    faults: Counter[str] = Counter()
    for one in outcomes:
        faults.update(one.faults)
    assert [kind for kind in KINDS if not faults[kind]] == []
