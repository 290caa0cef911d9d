"""A log that refuses, delays or avoids to show something is reported, and keeps nobody else waiting."""

import asyncio

import pytest

from federation import logwatch
from federation.gossip import Checkpoints, open_checkpoints
from federation.knownlogs import KnownLog
from federation.rows import BundleRow, TakenHeadRow
from protocol import logaudit
from protocol.encoding import b64, encode
from protocol.errors import LimitError, MalformedError, MeshError, MissingError, UnavailableError
from protocol.evidence import open_bundle
from protocol.messages import CheckpointRef
from tests.patience import PATIENCE_S

from .watchers import AUDIENCE, Town, Watcher, fork, leaves, problem_of

AURORA = "https://aurora.example"
LOG = "aurora.example/log"


REFUSED = MissingError("no such tile")
LOST = UnavailableError("no answer")


def withhold(watcher: Watcher, beginning: str, error: MeshError = REFUSED) -> list[str]:
    """Let aurora's log refuse a watcher what begins so, or lose it, until the list returned is empty."""
    refused = [beginning]
    read = watcher.read

    async def partial(log: KnownLog, path: str, *, limit: int) -> bytes:
        if refused and path.startswith(refused[0]) and log.entity == AURORA:
            raise error
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


async def doubted() -> tuple[Town, Watcher, Watcher]:
    """Return a town, aurora, and birch, which holds a tree of aurora's log and hears from cobalt of a smaller one."""
    town = await Town.of("aurora", "birch", "cobalt")
    aurora, birch, cobalt = town.watchers
    await cobalt.watch.poll_due()
    await aurora.stories[0].grow(*leaves(4, first=6))
    await birch.watch.poll_due()
    return town, aurora, birch


async def test_a_proof_that_is_lost_now_and_then_alarms_nobody_however_late_it_is() -> None:
    town, aurora, birch = await doubted()
    lost = withhold(birch, "tile/", LOST)
    await birch.gossip.round()
    for wait_s in (900, 900):
        town.clock.advance(wait_s)
        await birch.watch.poll_due()
        assert await problem_of(birch, LOG) == ""
    # All that was lost in one bad minute is lost once.
    for _ in range(3):
        await birch.watch.poll(birch.logs.all()[0])
    assert await problem_of(birch, LOG) == ""
    lost.clear()
    await town.round()
    lost.append("tile/")
    await aurora.stories[0].grow(*leaves(1, first=10))
    town.clock.advance(900)
    await birch.look()
    assert await problem_of(birch, LOG) == "unavailable"


@pytest.mark.parametrize("error", [LOST, LimitError("later", retry_at=0)])
async def test_a_log_that_shows_checkpoints_and_always_loses_the_proof_gains_no_day(error: MeshError) -> None:
    town, aurora, birch = await doubted()
    withhold(birch, "tile/", error)
    await birch.gossip.round()
    town.clock.advance(160)
    for at in range(4):
        # To be away between two such looks makes good nothing.
        aurora.away = at == 1
        town.clock.advance(72)
        await birch.watch.poll_due()
    assert await problem_of(birch, LOG) == "log-unproven"
    aurora.away = True
    await town.round()
    assert await problem_of(birch, LOG) == "log-unproven"


@pytest.mark.parametrize("error", [REFUSED, LOST])
async def test_a_log_that_shows_its_checkpoint_and_no_entries_is_reported_though_nobody_compares(
    error: MeshError,
) -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await town.round()
    await aurora.stories[0].grow(*leaves(4, first=6))
    refused = withhold(birch, "tile/entries/", error)
    for _ in range(4):
        await town.round()
    assert await problem_of(birch, LOG) == error.code
    for _ in range(2):
        await town.round()
    assert await problem_of(birch, LOG) == "log-unproven"
    refused.clear()
    await town.round()
    assert await problem_of(birch, LOG) == ""


@pytest.mark.slow
async def test_a_long_log_that_is_read_in_many_looks_over_a_bad_line_is_not_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logaudit, "PORTION", 256)
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await town.round()
    await aurora.stories[0].grow(*leaves(2_000, first=6))
    lost = withhold(birch, "", LOST)
    for number in range(2, 8):
        lost[0] = f"tile/entries/{number:03}"
        await town.round()
        assert await problem_of(birch, LOG) == "unavailable"
    lost.clear()
    await town.round()
    assert await problem_of(birch, LOG) == ""


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


async def test_a_sooner_look_that_is_cut_short_stands_for_no_look_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logwatch, "COMPARE_S", 0.02)
    town, aurora, birch = await doubted()
    await aurora.stories[0].grow(*leaves(4, first=10))
    town.clock.advance(72)
    await town.watchers[2].watch.poll_due()
    lost = withhold(birch, "tile/", LOST)
    partial = birch.watch._read

    async def hanging(log: KnownLog, path: str, *, limit: int) -> bytes:
        try:
            return await partial(log, path, limit=limit)
        except UnavailableError:
            await asyncio.Event().wait()
            raise

    birch.watch._read = hanging  # type: ignore[misc]
    await birch.gossip.round()
    lost.clear()
    await birch.watch.poll_due()
    assert [each.size for each in await birch.watch.status()] == [13, 5]


async def test_a_log_that_grows_faster_than_it_can_be_read_hides_no_head_for_longer_than_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logwatch, "MOST_PORTIONS", 0)
    town = await Town.of("aurora", "birch")
    _, birch = town.watchers
    await town.round()
    async with birch.store.write() as tx:
        await tx.put(TakenHeadRow(origin=AURORA, chain=AUDIENCE, seq=9, head="a.b.c", issued_at=town.clock.now()))
    town.clock.advance(86_000)
    await town.round()
    assert await problem_of(birch, LOG) == ""
    town.clock.advance(400)
    await town.round()
    assert await problem_of(birch, LOG) == "head-not-listed"


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
    async with asyncio.timeout(PATIENCE_S):
        await town.round()
    assert [each.problem for each in await birch.watch.status()] == ["log-slow", ""]


async def test_an_answer_with_many_checkpoints_of_one_log_is_refused() -> None:
    town = await Town.of("aurora")
    (aurora,) = town.watchers
    note = (await aurora.stories[0].book.checkpoint(1)).decode()
    assert len(open_checkpoints(encode(Checkpoints(checkpoints=(note,))))) == 1
    with pytest.raises(MalformedError, match="twice"):
        open_checkpoints(encode(Checkpoints(checkpoints=(note, note))))
