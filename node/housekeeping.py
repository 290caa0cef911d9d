"""What a node does by the clock: steps that are repeated, the end of retention, and fresh documents of peers."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NoReturn

from msgspec.structs import replace

from federation.directory import PeerDirectory
from federation.discovery import Discovery
from federation.ports import Clock, Store, at_most, below
from federation.rows import InboxRow, QuotaRow, SessionRow, ThreadRow
from protocol.errors import MeshError

from .events import Events
from .services.mailbox import Mailboxes
from .services.places import forget_past
from .services.threads import Desk

RETENTION_EVERY_S: Final = 600.0
DOCUMENTS_EVERY_S: Final = 3600.0
PORTION: Final = 500
DAY_S: Final = 86_400
#: A request is withdrawn, if at all, within so many days of its quote, give or take the mentor's weekends.
QUOTA_DAYS: Final = 30

Step = Callable[[], Awaitable[object]]


async def every(
    clock: Clock, events: Events, seconds: float, steps: Mapping[str, Step], *, at_once: bool = False
) -> NoReturn:
    """Do `steps` in order, again and again, after a pause each time; `at_once` also before the first pause.

    A step that raises is reported by its name and keeps no other one from its turn.
    """
    pause = 0.0 if at_once else seconds
    while True:
        await clock.sleep(pause)
        pause = seconds
        for name, step in steps.items():
            try:
                await step()
            except Exception as error:  # noqa: BLE001 -- the outermost loop of a job, once for each of its steps
                events.step_failed(name, error)


async def forget_old_rows(
    store: Store, clock: Clock, mailboxes: Mailboxes, desk: Desk, *, undelivered_days: int
) -> None:
    """Erase what nobody needs any more: unread mailbox entries, receipts, quotas and half hours of the past, threads.

    A thread stays as long as its session: until then either side may call it off.
    """
    now = clock.now()
    async with store.write() as tx:
        await mailboxes.forget_old(tx, now - undelivered_days * DAY_S)
        await tx.delete(InboxRow, at_most("purge_at", now))
        await tx.delete(QuotaRow, below("day", now // DAY_S - QUOTA_DAYS))
        await forget_past(tx, now)
        for row in await tx.find(ThreadRow, at_most("purge_at", now), limit=PORTION):
            session = await tx.get(SessionRow, row.thread, row.side)
            if session is not None and session.destroy_at > now:
                await tx.put(replace(row, purge_at=session.destroy_at))
            else:
                await desk.forget(tx, row)


async def refresh_documents(directory: PeerDirectory, discovery: Discovery, events: Events, now: int) -> None:
    """Look at the documents of all peers again; one that cannot be had now is asked for the next time.

    Whoever was met through registries is not asked while none of them states it as a member.

    A federation key that nobody known vouches for is reported at each look until it was confirmed, or is gone.
    """
    for peer in directory.all():
        if peer.via and not peer.registries(now):
            continue
        try:
            await discovery.refresh(peer.entity)
        except MeshError as error:
            events.document_refused(error.code)
