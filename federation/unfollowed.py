"""Forgets what a log listed that is not followed any more, such as that of a peer which a registry named for a day.

Otherwise whoever can name many nodes fills the store. The newest checkpoint stays: a log that is followed again is
compared with it, and its entries are read anew. Source: docs/protocol/53-witnesses.md §9.
"""

from typing import Final

from msgspec.structs import replace

from .headwatch import REMEMBERED_S
from .knownlogs import KnownLogs
from .ports import Store, at_most, where
from .rows import TakenHeadRow, WatchedHeadRow, WatchedLogRow
from .watchwords import FORKED

#: A mirrored head is reported for a week where its log is read, and then needed no more.
_KEPT_S: Final = REMEMBERED_S + 3600


async def forget_unfollowed(store: Store, logs: KnownLogs, *, now: int) -> None:
    """Forget the entries of all logs that are not followed now, and heads that none of those will list."""
    await logs.load(store)
    followed = logs.all()
    origins, entities = {each.origin for each in followed}, {each.entity for each in followed}
    async with store.read() as rows:
        old = {row.origin for row in await rows.find(WatchedLogRow) if row.origin not in origins and row.read}
        waiting = {row.origin for row in await rows.find(TakenHeadRow, at_most("issued_at", now - _KEPT_S))}
    for origin in sorted(old):
        async with store.write() as tx:
            row = await tx.get(WatchedLogRow, origin)
            if row is not None:
                await tx.delete(WatchedHeadRow, where(origin=origin))
                await tx.put(replace(row, read=0, problem=row.problem if row.problem == FORKED else ""))
    for entity in sorted(waiting - entities):
        async with store.write() as tx:
            await tx.delete(TakenHeadRow, where(origin=entity), at_most("issued_at", now - _KEPT_S))
