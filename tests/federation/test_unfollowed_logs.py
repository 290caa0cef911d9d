"""Of a log that nobody here follows any more, little is kept; when it is followed again, it is judged by that."""

from federation.rows import TakenHeadRow, WatchedHeadRow, WatchedLogRow
from federation.unfollowed import forget_unfollowed
from federation.watchwords import REPEATED

from .watchers import AUDIENCE, Town, Watcher, fork, leaves, problem_of

AURORA = "https://aurora.example"
LOG = "aurora.example/log"
DAY_S = 86_400


async def kept(watcher: Watcher) -> tuple[int, int, int]:
    """Return how many listed and taken heads are kept of all logs, and how many entries of Aurora's count as read."""
    async with watcher.store.read() as rows:
        row = await rows.get(WatchedLogRow, LOG)
        assert row is not None
        return await rows.count(WatchedHeadRow), await rows.count(TakenHeadRow), row.read


async def forget(town: Town, watcher: Watcher) -> None:
    await forget_unfollowed(watcher.store, watcher.logs, now=town.clock.now())


async def taken(town: Town, watcher: Watcher) -> None:
    async with watcher.store.write() as tx:
        await tx.put(TakenHeadRow(origin=AURORA, chain=AUDIENCE, seq=9, head="a.b.c", issued_at=town.clock.now()))


async def test_the_entries_of_a_log_that_is_not_followed_are_forgotten() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await town.round()
    await taken(town, birch)
    await forget(town, birch)
    assert await kept(birch) == (5, 1, 5)
    birch.directory.remove(AURORA)
    await forget(town, birch)
    assert await kept(birch) == (0, 1, 0)
    town.clock.advance(8 * DAY_S)
    await forget(town, birch)
    assert await kept(birch) == (0, 0, 0)
    birch.meets(aurora)
    await town.round()
    assert await kept(birch) == (5, 0, 5)


async def test_a_log_is_still_compared_with_what_it_was_before_it_was_not_followed() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await town.round()
    await fork(aurora, (7, 8))
    await birch.watch.poll(birch.logs.all()[0])
    birch.directory.remove(AURORA)
    await forget(town, birch)
    birch.meets(aurora)
    aurora.told[birch.entity] = 1
    await town.round()
    assert await problem_of(birch, LOG) == "forked"
    birch.directory.remove(AURORA)
    await forget(town, birch)
    birch.meets(aurora)
    assert await problem_of(birch, LOG) == "forked"


async def test_what_was_wrong_in_the_entries_is_found_again() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await aurora.stories[0].grow(*leaves(1, first=3, story=1))
    await town.round()
    assert await problem_of(birch, LOG) == REPEATED
    birch.directory.remove(AURORA)
    await forget(town, birch)
    birch.meets(aurora)
    assert await problem_of(birch, LOG) == ""
    await town.round()
    assert await problem_of(birch, LOG) == REPEATED
