"""Nodes of two processes each on one PostgreSQL: kills of any of them, and of the server, lose and double nothing."""

from pathlib import Path

import pytest

from tests.postgres import own_cluster

from .balanced import Company, Database
from .kills import Victim, check, survive
from .two_nodes import paired

pytestmark = [pytest.mark.system, pytest.mark.slow]

#: All processes of both, and the database.
VICTIMS = 5
ROUNDS = 5


async def kill(folder: Path, *, cycles: int, seed: int) -> None:
    with own_cluster() as cluster:
        aurora, cobalt = [Company(folder, name, await cluster.fresh()) for name in ("aurora", "cobalt")]
        async with paired(folder, aurora, cobalt) as pair:
            victims: list[Victim] = [*aurora.processes, *cobalt.processes, Database(cluster)]
            came = await survive(pair, folder, cycles=cycles, seed=seed, victims=victims)
            await check(pair, came)
    assert all(len(sent) > cycles // 2 for sent in came.sent)


async def test_killing_each_process_and_the_database_once_loses_and_doubles_nothing(tmp_path: Path) -> None:
    await kill(tmp_path, cycles=VICTIMS, seed=1)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_killing_all_of_them_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    await kill(tmp_path, cycles=ROUNDS * VICTIMS, seed=2)
