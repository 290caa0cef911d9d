"""Whether an image is what the store promises: sound, with all that was acknowledged, and nothing by halves."""

import random
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from typing import Final

import msgspec

from federation.logbook import FIRST_LOG, Logbook, entries
from federation.sequencer import Sequencer
from node.store.sqlite import SqliteStore
from protocol.errors import MeshError
from protocol.tlog.checkpoint import parse_checkpoint
from protocol.tlog.merkle import leaf_hash, root_hash
from tests.fakes.clock import SteppedClock

from .disk import Disk, write
from .recorder import Acknowledged, Served
from .workload import KEY, OWN, START, Life, state_of

#: A stale index of the log, which a crash leaves beside it, is worth nothing and must be taken for nothing.
SHM: Final = "node.db-shm"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A promise that an image breaks: after which step the power went, and which image of that moment it is."""

    step: int
    image: int
    what: str


async def findings(life: Life, folder: Path, *, seed: int, images: int) -> list[Finding]:
    """Return what is wrong with images of a life; which ones depends on `seed` alone."""
    found: list[Finding] = []
    dice = random.Random(f"cuts {seed}")
    cuts = sorted(dice.randrange(1, len(life.recorder.steps) + 1) for _ in range(images))
    for number, (step, disk, acknowledged, served) in enumerate(_moments(life, cuts)):
        image = disk.image(random.Random(f"image {seed} {number}"))
        if number % 3 == 0:
            image[SHM] = random.Random(number).randbytes(32768)
        place = folder / f"image-{number}"
        place.mkdir()
        write(image, place)
        what = await _wrong(life, place, acknowledged, served)
        if what:
            found.append(Finding(step=step, image=number, what=what))
        rmtree(place)
    return found


def _moments(life: Life, cuts: list[int]) -> Iterator[tuple[int, Disk, int, bytes]]:
    """Yield for each cut the disk, the newest acknowledged transaction and the newest checkpoint that was served."""
    disk, acknowledged, served, done = Disk(), 0, b"", 0
    for cut in cuts:
        for step in life.recorder.steps[done:cut]:
            disk.step(step)
            if isinstance(step, Acknowledged):
                acknowledged = max(acknowledged, step.transaction)
            elif isinstance(step, Served):
                served = step.note
        done = cut
        yield cut, disk, acknowledged, served


async def _wrong(life: Life, folder: Path, acknowledged: int, served: bytes) -> str:
    """Return what is wrong with the image in `folder`; empty if nothing is."""
    try:
        store = SqliteStore.open(folder / "node.db", clock=SteppedClock(START))
    except MeshError as error:
        return f"cannot be opened: {error}"
    async with store:
        try:
            return await _broken_promise(life, store, acknowledged, served)
        except MeshError as error:
            return f"cannot be read: {error}"


async def _broken_promise(life: Life, store: SqliteStore, acknowledged: int, served: bytes) -> str:
    sound = store._writer.execute("PRAGMA integrity_check(1)").fetchone()
    if sound != ("ok",):
        return f"is damaged: {sound}"
    async with store.read() as rows:
        state = await state_of(rows)
    if state not in life.states:
        return "shows part of a transaction"
    if life.states.index(state) < acknowledged:
        return "has lost an acknowledged transaction"
    return await _log_problem(store, served)


async def _log_problem(store: SqliteStore, served: bytes) -> str:
    """Return what is wrong with the log, which must go on from what was served."""
    if not served:
        return ""
    old = parse_checkpoint(served).checkpoint
    new = parse_checkpoint(await Logbook(store).checkpoint(FIRST_LOG)).checkpoint
    if new.size < old.size:
        return "has a checkpoint behind one that was served"
    async with store.read() as rows:
        kept = await entries(rows, FIRST_LOG, 0, old.size)
    if root_hash([leaf_hash(row.entry) for row in kept]) != old.root:
        return "has a checkpoint that contradicts one that was served"
    await Sequencer(store, SteppedClock(START), own=OWN, key=KEY, generation=store.generation).sequence()
    return ""
