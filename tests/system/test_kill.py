"""Two real nodes that are killed again and again: nothing taken is lost or doubled, and everything is in order."""

from pathlib import Path

import pytest

from protocol.handshake import Side

from .kills import ENDED, books, survive
from .two_nodes import paired

pytestmark = [pytest.mark.system, pytest.mark.slow]

FEW = 4
MANY = 200


async def check(folder: Path, *, cycles: int, seed: int) -> None:
    async with paired(folder) as pair:
        came = await survive(pair, folder, cycles=cycles, seed=seed)
        ours, theirs = [await books(node) for node in pair.nodes]
    assert came.read == (came.sent[1], came.sent[0])
    assert all(len(sent) > cycles // 2 for sent in came.sent)
    for numbers in came.numbers:
        assert list(numbers) == list(range(numbers[0], numbers[0] + len(numbers))), (
            "the hub's order has no gap and nothing twice"
        )
    assert came.numbers[0] == came.numbers[1]
    assert came.handshakes
    assert set(ours) == set(theirs)
    for thread, book in ours.items():
        other = theirs[thread]
        assert (book.said, book.heard) == (other.heard, other.said)
        assert book.state is other.state
        assert book.state is not None
        assert book.state.value in ENDED
        assert book.own_side is Side.CONSUMER


@pytest.mark.timeout(240)
async def test_a_few_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    await check(tmp_path, cycles=FEW, seed=1)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_two_hundred_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    await check(tmp_path, cycles=MANY, seed=2)
