"""A log that refuses, delays or avoids to show something is reported, and keeps nobody else waiting."""

import asyncio

import pytest

from federation import logwatch
from federation.gossip import Checkpoints, open_checkpoints
from federation.knownlogs import KnownLog
from federation.rows import BundleRow
from protocol.encoding import b64, encode
from protocol.errors import MalformedError, MissingError
from protocol.evidence import open_bundle
from protocol.messages import CheckpointRef

from .watchers import Town, Watcher, fork, leaves, problem_of

AURORA = "https://aurora.example"
LOG = "aurora.example/log"


def withhold(watcher: Watcher, beginning: str) -> list[str]:
    """Let all logs refuse a watcher what begins so, until the list returned is empty."""
    refused = [beginning]
    read = watcher.read

    async def partial(log: KnownLog, path: str, *, limit: int) -> bytes:
        if refused and path.startswith(refused[0]) and log.entity == AURORA:
            raise MissingError("no such tile")
        return await read(log, path, limit=limit)

    watcher.watch._read = partial  # type: ignore[misc]
    watcher.watch._heads._read = partial  # type: ignore[misc]
    return refused


async def kinds(watcher: Watcher) -> list[str]:
    async with watcher.store.read() as rows:
        return [open_bundle(row.bundle).what for row in await rows.find(BundleRow)]


async def test_a_head_listed_twice_is_proved_once_the_log_shows_enough() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await aurora.stories[0].grow(*leaves(300, first=6))
    await town.round()
    # One number twice, and the chain goes on behind it.
    await aurora.stories[0].grow(*leaves(1, first=305, story=1), *leaves(2, first=306))
    prove = birch.watch._heads._twice

    async def unproved(*_: object) -> bytes:
        raise MissingError("no such tile")

    birch.watch._heads._twice = unproved  # type: ignore[method-assign,assignment]
    await town.round()
    assert await problem_of(birch, LOG) == "repeated-head"
    assert await kinds(birch) == []
    birch.watch._heads._twice = prove  # type: ignore[method-assign]
    await town.round()
    assert await kinds(birch) == ["two set heads in one chain, number 305 and 305"]
    (status,) = await birch.watch.status()
    assert status.read == status.size == 308


async def test_a_log_that_refuses_the_tiles_of_a_doubted_tree_is_reported_in_time() -> None:
    town = await Town.of("aurora", "birch", "cobalt")
    aurora, birch, cobalt = town.watchers
    aurora.told[cobalt.entity] = 1
    await fork(aurora, (9, 7))
    refused = withhold(birch, "tile/")
    for _ in range(3):
        await town.round()
    assert await problem_of(birch, LOG) != "log-unproven"
    for _ in range(5):
        await town.round()
    assert await problem_of(birch, LOG) == "log-unproven"
    refused.clear()
    for _ in range(2):
        await town.round()
    assert await problem_of(birch, LOG) == "forked"


async def test_a_log_nobody_reaches_for_a_day_while_it_owes_a_proof_is_reported() -> None:
    town = await Town.of("aurora", "birch", "cobalt")
    aurora, birch, cobalt = town.watchers
    aurora.told[cobalt.entity] = 1
    await fork(aurora, (5, 9))
    await town.round()
    await town.round()
    aurora.away = True
    for _ in range(6):
        await town.round()
    assert await problem_of(birch, LOG) == "unavailable"
    town.clock.advance(86_400)
    await town.round()
    assert await problem_of(birch, LOG) == "log-unproven"


async def test_a_message_that_refers_to_a_tree_that_never_comes_hides_no_other_one() -> None:
    town = await Town.of("aurora", "birch")
    _, birch = town.watchers
    await town.round()
    birch.watch.refer(AURORA, CheckpointRef(origin=LOG, size=2**50, root=b64(bytes(32))))
    await town.round()
    assert await problem_of(birch, LOG) == ""
    for _ in range(5):
        await town.round()
    assert await problem_of(birch, LOG) == "log-unproven"
    birch.watch.refer(AURORA, CheckpointRef(origin=LOG, size=5, root=b64(bytes(32))))
    await town.round()
    assert await problem_of(birch, LOG) == "log-contradicts-message"


@pytest.mark.slow
async def test_a_log_that_never_answers_keeps_no_other_log_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logwatch, "LOOK_S", 1.0)
    monkeypatch.setattr(logwatch, "COMPARE_S", 1.0)
    town = await Town.of("aurora", "birch", "cobalt")
    _, birch, _ = town.watchers
    read = birch.read

    async def slow(log: KnownLog, path: str, *, limit: int) -> bytes:
        if log.entity == AURORA:
            await asyncio.Event().wait()
        return await read(log, path, limit=limit)

    birch.watch._read = slow  # type: ignore[misc]
    await town.watchers[2].look()
    async with asyncio.timeout(30):
        await town.round()
    assert [each.problem for each in await birch.watch.status()] == ["log-slow", ""]


async def test_an_answer_with_many_checkpoints_of_one_log_is_refused() -> None:
    town = await Town.of("aurora")
    (aurora,) = town.watchers
    note = (await aurora.stories[0].book.checkpoint(1)).decode()
    assert len(open_checkpoints(encode(Checkpoints(checkpoints=(note,))))) == 1
    with pytest.raises(MalformedError, match="twice"):
        open_checkpoints(encode(Checkpoints(checkpoints=(note, note))))
