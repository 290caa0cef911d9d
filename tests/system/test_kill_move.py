"""`store move`, killed with -9 at moments drawn from a seed and run again: complete, and never two live stores."""

import asyncio
import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

import asyncpg
import msgspec
import pytest

from node.clock import SystemClock
from node.rows import BlobRow, SafeRow
from node.sections import StoreSection
from node.store.opening import open_files, open_store
from node.store.postgres.connection import Server
from node.store.postgres.turn import wait_for_turn
from protocol.encoding import b64
from tests.fakes.clock import SteppedClock
from tests.postgres import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.system]

FILES: Final = 3
SIZE: Final = 9
ROWS: Final = 60
#: Words of a move that nothing interrupts; the last four are about the two last marks.
STEPS: Final = 29
#: Moves what it is told to in small steps, and says a word at each.
PROGRAM: Final = """
import asyncio, sys
from pathlib import Path
import msgspec
from node.sections import StoreSection
from node.store import copying, moving
from node.store.places import place_of

copying.PORTION = 7

leaving = []

def say(*_):
    print("leaving" if leaving else "step", flush=True)

def saying(call, here):
    async def called(rows, meta):
        if rows is here:
            leaving.append(True)
        say()
        await call(rows, meta)
        say()
    return called

async def main():
    directory, here, there = sys.argv[1:]
    here, there = (msgspec.json.decode(text, type=StoreSection) for text in (here, there))
    async with place_of(Path(directory), here, now=1) as source, place_of(Path(directory), there, now=1) as target:
        moving.mark = saying(moving.mark, source.rows)
        await moving.move(source, target, progress=say)

asyncio.run(main())
"""


async def fill(directory: Path, section: StoreSection) -> None:
    clock = SteppedClock()
    async with (
        open_store(directory, section, clock=clock) as store,
        open_files(directory, section, clock=clock) as files,
        store.write() as tx,
    ):
        for number in range(ROWS):
            await tx.put(SafeRow(member=f"m{number}", name="archive", version=1, data=bytes(50), stored_on=0))
        for number in range(FILES):
            blob = b64(number.to_bytes(16, "big"))
            await files.write(blob, 0, bytes([number] * SIZE), last=True)
            row = BlobRow(blob=blob, thread="", side="", label="", peer="", size=SIZE, stored=SIZE, expires_at=9)
            await tx.put(row)


async def whole(directory: Path, section: StoreSection) -> bool:
    """Return whether a node can go on with the store, and everything is in it."""
    clock = SteppedClock()
    async with open_store(directory, section, clock=clock) as store, store.read() as view:
        rows = await view.count(SafeRow) == ROWS
        blobs = [row.blob for row in await view.find(BlobRow)]
        async with open_files(directory, section, clock=clock) as files:
            found = [await files.read(blob, 0, SIZE + 1) for blob in blobs]
    return rows and sorted(found) == [bytes([number] * SIZE) for number in range(FILES)]


async def is_live(directory: Path, section: StoreSection) -> bool:
    """Return whether a node could be started on a store, without touching it."""
    if section.url:
        connection = await asyncpg.connect(section.url)
        try:
            if await connection.fetchval("SELECT to_regclass('meta')") is None:
                return False
            generation = await connection.fetchval("SELECT generation FROM meta")
        finally:
            await connection.close()
    else:
        path = directory / section.path
        if not path.exists():
            return False
        with closing(sqlite3.connect(path.as_uri() + "?mode=ro", uri=True)) as reading:
            tables = reading.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'").fetchone()
            found = reading.execute("SELECT generation FROM meta").fetchone() if tables[0] else None
            generation = found[0] if found else None
    return generation is not None and generation > 0


async def run(directory: Path, here: StoreSection, there: StoreSection, *, steps: int = -1) -> tuple[int, str]:
    """Return how a move ended, and its last word; it is killed after so many."""
    given = (str(directory), msgspec.json.encode(here).decode(), msgspec.json.encode(there).decode())
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *given, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    done, last = 0, ""
    while done != steps and (line := await child.stdout.readline()):
        done, last = done + 1, line.decode().strip()
    if done == steps:
        child.kill()
    # It may have come further than we have read.
    for line in (await child.stdout.read()).splitlines():
        last = line.decode()
    return await child.wait(), last


async def killed(directory: Path, here: StoreSection, there: StoreSection, *, seed: int, kills: int) -> None:
    """Kill a move so often, then let it end."""
    dice, url = random.Random(seed), here.url or there.url
    left = False
    for number in range(kills):
        # The last steps are the dangerous ones: one of two kills falls among them.
        at = dice.randint(1, STEPS) if number % 2 else STEPS - dice.randint(0, 5)
        ended, last = await run(directory, here, there, steps=at)
        await wait_for_turn(Server(url=url), clock=SystemClock())
        live = [await is_live(directory, here), await is_live(directory, there)]
        assert sum(live) <= 1, f"two nodes after {at} steps"
        left = left or last == "leaving"
        assert live != [False, False] or left, "nobody may go on only once the old place is marked as left"
        if ended == 0 or live[1]:
            break
    else:
        assert (await run(directory, here, there))[0] == 0
    assert [await is_live(directory, here), await is_live(directory, there)] == [False, True]
    assert await whole(directory, there)


async def both_ways(directory: Path, url: str, *, seed: int, kills: int) -> None:
    file, database, back = StoreSection(), StoreSection(url=url), StoreSection(path="back/node.db")
    (directory / "data").mkdir(parents=True)
    await fill(directory, file)
    await killed(directory, file, database, seed=seed, kills=kills)
    await killed(directory, database, back, seed=seed + 1, kills=kills)


async def test_a_move_that_is_killed_goes_on_and_there_are_never_two_live_stores(
    postgres: Cluster, tmp_path: Path
) -> None:
    await both_ways(tmp_path, await postgres.fresh(), seed=1, kills=3)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(10, 20))
async def test_a_move_that_is_killed_again_and_again_ends_complete(
    postgres: Cluster, tmp_path: Path, seed: int
) -> None:
    await both_ways(tmp_path, await postgres.fresh(), seed=seed, kills=10)
