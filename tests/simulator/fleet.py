"""Many seeds at once: each processor plays some, and the outcomes come back in order."""

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Final, TypeVar

from .run import DEFAULT_NODES, Outcome, Scenario, run_seed

T = TypeVar("T")
R = TypeVar("R")

#: Most seeds that a process takes at a time.
PORTION: Final = 8


def run_seeds(
    seeds: Sequence[int], *, scenario: Scenario = "handshake", nodes: int = DEFAULT_NODES, jobs: int = 0
) -> Iterator[Outcome]:
    """Yield the outcome of each seed in order; `jobs` 0 means one process for each processor."""
    portion = max(1, min(PORTION, len(seeds) // (4 * processes(jobs))))
    return spread(partial(run_seed, scenario=scenario, nodes=nodes), seeds, jobs=jobs, portion=portion)


def processes(jobs: int) -> int:
    """Return how many processes `jobs` stands for."""
    return jobs or os.cpu_count() or 1


def spread(work: Callable[[T], R], of: Iterable[T], *, jobs: int = 0, portion: int = 1) -> Iterator[R]:
    """Yield what `work` returns for each, in order; it must be a function that another process can import."""
    count = processes(jobs)
    if count == 1:
        settle_memory()
        yield from map(work, of)
        return
    # Fresh processes: a fork would take half-used threads and loops along.
    with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=settle_memory) as pool:
        yield from pool.map(work, of, chunksize=portion)


def settle_memory() -> None:
    """Look for garbage seldom: a run makes many objects and few cycles."""
    gc.freeze()
    gc.set_threshold(100_000)
