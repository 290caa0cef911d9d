"""A crash, or another process, in the middle of watching a log loses nothing, and finds nothing that is not there."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from federation.knownlogs import KnownLog
from federation.logtree import ReadLog
from federation.logwatch import LogWatch
from federation.ports import Writer
from federation.rows import BundleRow
from federation.watchwords import FORKED, ContradictedLogError
from protocol.errors import MeshError
from tests.fakes.entropy import SeededEntropy
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
        except (CrashError, BaseExceptionGroup):
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


def second_of(watcher: Watcher, read: ReadLog) -> LogWatch:
    """Return the watch of another process of the same node."""
    return LogWatch(
        watcher.store,
        watcher.town.clock,
        SeededEntropy(9),
        watcher.logs,
        read=read,
        record=watcher.evidence.record,
        policy=watcher.watch.policy,
    )


@pytest.mark.parametrize("reads", range(1, 5))
async def test_two_processes_that_read_a_log_at_once_find_nothing_that_is_not_there(reads: int) -> None:
    town = await Town.of("aurora", "birch")
    await town.round()
    aurora, birch = town.watchers
    await aurora.stories[0].grow(*leaves(20, first=100))
    left = iter(range(reads - 1, -1, -1))

    async def read(log: KnownLog, path: str, *, limit: int) -> bytes:
        data = await birch.read(log, path, limit=limit)
        if next(left, -1) == 0:
            await aurora.stories[0].grow(*leaves(20, first=200))
            await birch.watch.poll(log)
        return data

    (log,) = birch.logs.all()
    with suppress(MeshError):
        await second_of(birch, read).poll(log)
    assert next(left, None) is None
    town.clock.advance(100)
    await birch.watch.poll_due()
    (status,) = await birch.watch.status()
    assert (status.problem, status.read, status.size) == ("", 45, 45)


async def test_a_contradiction_that_another_process_found_stays_noted() -> None:
    town = await Town.of("aurora", "birch")
    await town.round()
    aurora, birch = town.watchers
    await fork(aurora, (7, 7))
    left = iter((1, 0))

    async def read(log: KnownLog, path: str, *, limit: int) -> bytes:
        data = await birch.read(log, path, limit=limit)
        if next(left, -1) == 0:
            await birch.watch.poll(log)
            aurora.told[birch.entity] = 1
            with pytest.raises(ContradictedLogError):
                await birch.watch.poll(log)
            aurora.told[birch.entity] = 0
        return data

    (log,) = birch.logs.all()
    with suppress(MeshError):
        await second_of(birch, read).poll(log)
    (status,) = await birch.watch.status()
    assert status.problem == FORKED
