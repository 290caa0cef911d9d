"""What is kept of a thread, and for how long."""

from msgspec.structs import replace

from federation.ports import where
from federation.rows import MessageRow, PlaceRow, QuotaRow, SlotRow, ThreadRow
from node.housekeeping import forget_old_rows
from protocol.handshake import Side
from protocol.needs import Window
from protocol.session import SessionState

from .conftest import Town
from .people import NEED, Mentee, agree, waiting_request
from .test_agreement import requested
from .world import START, Site, settle

DAY_S = 86_400


async def forget(*sites: Site) -> None:
    """Do what a node does every ten minutes."""
    for site in sites:
        exchanging = site.exchanging
        await exchanging.sessions.sweep()
        await forget_old_rows(site.store, site.clock, exchanging.mailboxes, exchanging.desk, undelivered_days=30)


async def kept(site: Site, thread: str) -> tuple[int, int]:
    """Return how many rows of the thread and of its messages a node holds."""
    async with site.store.read() as tx:
        return await tx.count(ThreadRow, where(thread=thread)), await tx.count(MessageRow, where(thread=thread))


async def test_a_session_far_ahead_can_be_called_off_until_it_begins(town: Town) -> None:
    far = Window(start=START + 42 * DAY_S, end=START + 49 * DAY_S)
    mentee = Mentee(town.ana, town.cobalt, town.offer, replace(NEED, windows=(far,)))
    await mentee.accept(await mentee.quote())
    await settle(town.aurora, town.cobalt)
    slot = (await waiting_request(town.ben)).held[0]
    await agree(town.ben, town.aurora, slot=slot)
    await settle(town.aurora, town.cobalt)

    town.clock.advance(slot - DAY_S - town.clock.now())
    await forget(town.aurora, town.cobalt)
    await town.aurora.exchanging.consumer.cancel(town.ana.label, mentee.thread, "cannot-make-it")
    await settle(town.aurora, town.cobalt)
    async with town.cobalt.store.read() as tx:
        state = await town.cobalt.exchanging.sessions.state(tx, mentee.thread, Side.PROVIDER)
    assert state is SessionState.CANCELLED


async def test_a_thread_goes_with_its_session(town: Town) -> None:
    mentee = await requested(town)
    slot = (await waiting_request(town.ben)).held[0]
    await agree(town.ben, town.aurora, slot=slot)
    await settle(town.aurora, town.cobalt)
    town.clock.advance(60 * DAY_S)
    await forget(town.aurora, town.cobalt)
    assert [await kept(site, mentee.thread) for site in (town.aurora, town.cobalt)] == [(0, 0), (0, 0)]


async def test_a_thread_without_an_agreement_goes_after_thirty_days(town: Town) -> None:
    mentee = await requested(town)
    town.clock.advance(30 * DAY_S - 1)
    await forget(town.cobalt)
    assert (await kept(town.cobalt, mentee.thread))[0] == 1
    town.clock.advance(1)
    await forget(town.cobalt)
    assert await kept(town.cobalt, mentee.thread) == (0, 0)


async def test_places_half_hours_and_quotas_of_the_past_are_forgotten(town: Town) -> None:
    await requested(town)
    slot = (await waiting_request(town.ben)).held[0]
    await agree(town.ben, town.aurora, slot=slot)
    await settle(town.aurora, town.cobalt)
    town.clock.advance(slot + 1799 - town.clock.now())
    await forget(town.cobalt)
    async with town.cobalt.store.read() as tx:
        assert await tx.count(PlaceRow) == 1
    town.clock.advance(2 * DAY_S)
    await forget(town.cobalt)
    async with town.cobalt.store.read() as tx:
        assert [await tx.count(kind) for kind in (PlaceRow, SlotRow, QuotaRow)] == [0, 0, 1]
    town.clock.advance(31 * DAY_S)
    await forget(town.cobalt)
    async with town.cobalt.store.read() as tx:
        assert await tx.count(QuotaRow) == 0
