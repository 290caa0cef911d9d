"""Two real nodes that are killed again and again: nothing taken is lost or doubled, and everything is in order."""

from pathlib import Path

import pytest

from .kills import check, survive
from .two_nodes import paired

pytestmark = [pytest.mark.system, pytest.mark.slow]

FEW = 4
MANY = 200


async def kill(folder: Path, *, cycles: int, seed: int) -> None:
    async with paired(folder) as pair:
        came = await survive(pair, folder, cycles=cycles, seed=seed)
        await check(pair, came)
    assert all(len(sent) > cycles // 2 for sent in came.sent)


async def test_a_few_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    await kill(tmp_path, cycles=FEW, seed=1)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_two_hundred_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    await kill(tmp_path, cycles=MANY, seed=2)
