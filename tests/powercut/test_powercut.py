"""Whenever the power goes: the database is sound, and what was acknowledged is there, whole."""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final
from unittest.mock import patch

import pytest

from node.store import connection
from node.store.groupcommit import GroupCommit
from node.store.groups import Group
from node.store.sqlite import SqliteStore
from tests.fakes.clock import SteppedClock

from .check import _log_problem, findings
from .disk import SECTOR, Disk, write
from .recorder import Acknowledged, Created, Deleted, Served, Step, Synced, Truncated, Written
from .workload import CHECKPOINT_PAGES, Life, live

#: Transactions of one life, and images of it.
TRANSACTIONS: Final = 120
IMAGES: Final = 150
#: Enough to find a store that promises too much.
FEW: Final = 60
LOST: Final = "has lost an acknowledged transaction"
#: Lives and images of each in the long run: 5,000 images.
LIVES: Final = 20
MANY: Final = 250


async def lived(folder: Path, seed: int) -> Life:
    place = folder / f"life-{seed}"
    place.mkdir()
    return await live(place, seed, transactions=TRANSACTIONS)


@pytest.mark.slow
async def test_whenever_the_power_goes_nothing_acknowledged_is_lost_or_there_by_halves(tmp_path: Path) -> None:
    assert await findings(await lived(tmp_path, 1), tmp_path, seed=1, images=IMAGES) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, LIVES + 1))
async def test_five_thousand_power_cuts_lose_nothing(tmp_path: Path, seed: int) -> None:
    assert await findings(await lived(tmp_path, seed), tmp_path, seed=seed, images=MANY) == []


def setting(before: str, after: str) -> Callable[[], AbstractContextManager[object]]:
    changed = tuple(text.replace(before, after) for text in connection._WRITER)
    assert changed != connection._WRITER
    return lambda: patch.object(connection, "_WRITER", changed)


async def _at_once(_self: GroupCommit, _group: Group) -> None:
    """Tell everybody that the group is durable before it is."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "what"),
    [
        (setting("synchronous = FULL", "synchronous = NORMAL"), {LOST}),
        (setting("synchronous = FULL", "synchronous = OFF"), {LOST, "cannot be opened"}),
        (setting("journal_mode = WAL", "journal_mode = OFF"), {"shows part of a transaction"}),
        (lambda: patch.object(GroupCommit, "_durable", _at_once), {LOST}),
    ],
    ids=["NORMAL", "OFF", "no journal", "acknowledged before the commit"],
)
async def test_a_store_that_promises_too_much_is_found(
    tmp_path: Path, plant: Callable[[], AbstractContextManager[object]], what: set[str]
) -> None:
    with plant():
        life = await lived(tmp_path, 1)
    found = await findings(life, tmp_path, seed=1, images=FEW)
    assert what <= {one.what.partition(":")[0] for one in found}


@pytest.mark.slow
async def test_a_log_behind_what_was_served_is_found(tmp_path: Path) -> None:
    life = await lived(tmp_path, 1)
    notes = [step.note for step in life.recorder.steps if isinstance(step, Served)]
    disk = Disk()
    for step in life.recorder.steps[: life.recorder.steps.index(Served(notes[0])) + 1]:
        disk.step(step)
    (tmp_path / "early").mkdir()
    write(everything(disk), tmp_path / "early")
    async with SqliteStore.open(tmp_path / "early" / "node.db", clock=SteppedClock()) as store:
        assert await _log_problem(store, notes[0]) == ""
        assert await _log_problem(store, notes[-1]) == "has a checkpoint behind one that was served"


@pytest.mark.slow
async def test_lives_share_commits_move_the_log_of_the_database_and_repeat(tmp_path: Path) -> None:
    life, again = await lived(tmp_path, 1), await live(tmp_path, 1, transactions=TRANSACTIONS)
    assert [shape(step) for step in life.recorder.steps] == [shape(step) for step in again.recorder.steps]
    kinds = Counter(type(step) for step in life.recorder.steps)
    assert kinds[Acknowledged] == len(life.states) - 1 >= TRANSACTIONS
    assert len(set(life.states)) == len(life.states)
    assert life.commits < kinds[Acknowledged]
    assert kinds[Served] > 5
    assert kinds[Deleted] > 2
    moved = [step for step in life.recorder.steps if isinstance(step, Synced) and step.name == "node.db"]
    assert len(moved) > 5
    assert CHECKPOINT_PAGES < 1000


def shape(step: Step) -> object:
    """Return a step without the bytes, in which SQLite's own salts are."""
    return (step.name, step.offset, len(step.data)) if isinstance(step, Written) else step


def everything(disk: Disk) -> dict[str, bytes]:
    """Return the image of a disk on which all that was asked for has arrived."""
    for name in list(disk._named):
        disk.step(Synced(name, True))
    return disk.image(random.Random(0))


def images(*steps: Step) -> list[dict[str, bytes]]:
    disk = Disk()
    for step in steps:
        disk.step(step)
    return [disk.image(random.Random(seed)) for seed in range(400)]


def test_what_was_synced_is_in_every_image() -> None:
    steps = (Created("db"), Written("db", 0, b"kept"), Synced("db", True))
    assert images(*steps) == [{"db": b"kept"}] * 400


def test_what_was_not_synced_is_lost_kept_or_torn_between_sectors_and_never_touches_its_neighbours() -> None:
    old, new = b"o" * 3 * SECTOR, b"n" * 2 * SECTOR
    found = images(Created("db"), Written("db", 0, old), Synced("db", True), Written("db", 100, new))
    torn = {image["db"] for image in found}
    assert {old, old[:100] + new + old[100 + len(new) :]} < torn
    assert old[:100] + new[: SECTOR - 100] + old[SECTOR:] in torn
    assert all(data[:100] == old[:100] and data[100 + len(new) :] == old[100 + len(new) :] for data in torn)


def test_a_later_write_may_survive_an_earlier_one() -> None:
    found = images(
        Created("db"),
        Written("db", 0, b"o" * 1024),
        Synced("db", True),
        Written("db", 0, b"1"),
        Written("db", 512, b"2"),
    )
    assert {(image["db"][:1], image["db"][512:513]) for image in found} >= {
        (b"o", b"o"), (b"1", b"o"), (b"o", b"2"), (b"1", b"2"),
    }  # fmt: skip


def test_a_file_may_be_longer_or_shorter_than_it_was_cut() -> None:
    found = images(Created("db"), Written("db", 0, b"long"), Synced("db", True), Truncated("db", 1))
    assert {image["db"] for image in found} == {b"long", b"l"}


def test_a_name_that_the_directory_has_not_synced_may_be_gone_or_back() -> None:
    made = images(Created("wal"), Written("wal", 0, b"x"), Synced("wal", False))
    assert {image.get("wal") for image in made} == {None, b"x"}
    gone = images(Created("wal"), Written("wal", 0, b"x"), Synced("wal", True), Deleted("wal", False))
    assert {image.get("wal") for image in gone} == {None, b"x"}
    surely = images(Created("wal"), Written("wal", 0, b"x"), Synced("wal", True), Deleted("wal", True))
    assert surely == [{}] * 400


@pytest.mark.slow
async def test_an_image_with_a_stranger_in_it_is_refused(tmp_path: Path) -> None:
    """The check itself opens images as a node does: a file that is no database is a finding."""
    life = await lived(tmp_path, 2)
    life.recorder.steps[:] = [Created("node.db"), Written("node.db", 0, b"no database" * 1000), Synced("node.db", True)]
    found = await findings(life, tmp_path, seed=1, images=3)
    assert len(found) >= 1
    assert all(one.what.startswith("cannot be opened") for one in found)
