"""A crash in the middle of watching a log neither loses what was found nor finds what is not there."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from federation.ports import Writer
from federation.rows import BundleRow
from tests.fakes.memory_store import MemoryStore

from .watchers import Town, Watcher, fork, leaves


class CrashError(BaseException):
    """The process is gone."""


def crash_after(store: MemoryStore, commits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process end right after so many commits."""
    write: Callable[[], Any] = store.write
    left = iter(range(commits - 1, -1, -1))

    @asynccontextmanager
    async def counted() -> AsyncIterator[Writer]:
        async with write() as tx:
            yield tx
        if next(left) == 0:
            raise CrashError

    monkeypatch.setattr(store, "write", counted)


async def crashes(watcher: Watcher, work: Callable[[], Awaitable[None]], commits: int) -> bool:
    """Do something and crash in it; tell whether there were so many commits. What was in memory is forgotten."""
    with pytest.MonkeyPatch.context() as patched:
        crash_after(watcher.store, commits, patched)
        try:
            await work()
        except CrashError:
            watcher.watch._watches.clear()
            watcher.watch._proved.clear()
            return True
    return False


@pytest.mark.parametrize("commits", range(1, 6))
async def test_a_contradiction_is_proved_whenever_the_watcher_crashed(commits: int) -> None:
    town = await Town.of("aurora", "birch")
    await town.round()
    aurora, birch = town.watchers
    await fork(aurora, (7, 7))
    await birch.watch.poll(birch.logs.all()[0])
    aurora.told[birch.entity] = 1
    town.clock.advance(100)
    await crashes(birch, birch.watch.poll_due, commits)
    town.clock.advance(100)
    await birch.watch.poll_due()
    async with birch.store.read() as rows:
        assert [row.kind for row in await rows.find(BundleRow)] == ["two-checkpoints"]


@pytest.mark.parametrize("commits", range(1, 6))
async def test_entries_that_are_read_again_after_a_crash_are_no_repetition(commits: int) -> None:
    town = await Town.of("aurora", "birch")
    await town.round()
    aurora, birch = town.watchers
    await aurora.stories[0].grow(*leaves(20, first=100))
    town.clock.advance(100)
    await crashes(birch, birch.watch.poll_due, commits)
    town.clock.advance(100)
    await birch.watch.poll_due()
    (status,) = await birch.watch.status()
    assert (status.problem, status.read, status.size) == ("", 25, 25)
