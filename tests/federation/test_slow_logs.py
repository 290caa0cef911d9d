"""Logs that take their time, however many there are of them, keep no other log from being looked at and compared."""

import asyncio

import pytest
from msgspec.structs import replace

from federation import gossip, logwatch, looks
from federation.knownlogs import KnownLog

from .watchers import Town, Watcher, fork, leaves, problem_of

SLOW = ("aurora", "birch", "cedar", "dogwood")
LOG = "zelkova.example/log"


class Waiting:
    """Has the logs of the slow nodes wait for a gate, and counts how many are waited for."""

    def __init__(self, watcher: Watcher, *names: str) -> None:
        self.slow = {f"https://{name}.example" for name in names}
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self._read = watcher.read
        watcher.watch._read = self.read  # type: ignore[misc]
        watcher.watch._heads._read = self.read  # type: ignore[misc]

    async def read(self, log: KnownLog, path: str, *, limit: int) -> bytes:
        self.asked.append(log.entity)
        if log.entity in self.slow:
            await self.gate.wait()
        return await self._read(log, path, limit=limit)


async def turns() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


async def test_slow_logs_are_looked_at_after_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logwatch, "LOOK_S", 3600.0)
    town = await Town.of("watcher", *SLOW, "zelkova")
    watcher = town.watchers[0]
    waiting = Waiting(watcher, *SLOW)
    job = asyncio.ensure_future(watcher.watch.run())
    await turns()
    assert len(waiting.asked) == looks.AT_ONCE
    town.clock.advance(100)
    waiting.gate.set()
    await turns()
    assert await problem_of(watcher, LOG) == ""
    waiting.gate.clear()
    waiting.asked.clear()
    town.clock.advance(100)
    await turns()
    # Who was slow comes after who was not, and keeps nobody waiting who is due while it is looked at.
    assert waiting.asked[0] == "https://zelkova.example"
    assert len(set(waiting.asked)) == 1 + looks.AT_ONCE_SLOW
    for _ in range(3):
        waiting.asked.clear()
        town.clock.advance(100)
        await turns()
        assert "https://zelkova.example" in waiting.asked
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job


async def test_a_node_with_many_logs_has_one_of_them_looked_at_at_a_time() -> None:
    town = await Town.of("watcher", "aurora")
    watcher, aurora = town.watchers
    waiting = Waiting(watcher, "aurora")
    (present,) = watcher.logs.all()
    former = [replace(present, prefix=f"/log/{number}", is_former=True) for number in range(2, 5)]
    watcher.logs._known[aurora.entity] = (watcher.directory.get(aurora.entity), (present, *former))
    look = asyncio.ensure_future(watcher.watch.looks.all([present, *former]))
    await turns()
    assert waiting.asked == [aurora.entity]
    waiting.gate.set()
    await look


async def test_logs_that_are_slow_to_prove_do_not_use_up_the_turn_of_who_shows_another_fork(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logwatch, "COMPARE_S", 0.2)
    monkeypatch.setattr(gossip, "TURN_S", 0.5)
    town = await Town.of("watcher", *SLOW, "teller", "zelkova")
    watcher, *slow, teller, zelkova = town.watchers
    zelkova.told[teller.entity] = 1
    await fork(zelkova)
    await watcher.watch.poll_due()
    for each in slow:
        await each.stories[0].grow(*leaves(1, first=6))
    await teller.watch.poll_due()
    Waiting(watcher, *SLOW)
    await watcher.gossip.round()
    assert await problem_of(watcher, LOG) == "forked"
