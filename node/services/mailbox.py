"""Mailboxes of people's devices: opaque entries in order, waited for, and gone once every device has read them.

Source: docs/protocol/41-envelopes.md §5.
"""

import asyncio
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final, Literal

from federation.ports import Clock, Reader, Store, Writer, above, at_most, where
from federation.rows import MailboxAckRow, MailboxHeadRow, MailboxRow
from federation.waiting import sleep_or_wake
from node.rows import LabelRow
from protocol.errors import LimitError

#: `quote` and `message` carry a signed handshake item, `request` one that awaits this person's answer, `envelope`
#: session ciphertext, `sibling` what one of the person's devices tells another, `notice` a code of the node's own (the
#: other side is unreachable, a link was used …).
EntryKind = Literal["quote", "message", "request", "envelope", "sibling", "notice"]

MAX_PAGE: Final = 200
MAX_WAIT_S: Final = 60.0
#: Bytes that may wait for one person's devices before further envelopes have to.
MAX_WAITING_BYTES: Final = 256 * 1024 * 1024
#: Devices, and tabs, of one person that may wait at once.
MAX_WATCHERS: Final = 32


class Mailboxes:
    """Adds, waits for and forgets entries; waiting costs one event a person, no polling of the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._waiting: Final[dict[str, set[asyncio.Event]]] = {}

    async def add(self, tx: Writer, label: str, kind: EntryKind, data: bytes, *, thread: str, side: str) -> None:
        """Append one entry inside the transaction that explains it, and wake the devices once it is durable.

        What comes late for somebody whose account was erased is dropped.

        Raises: LimitError: too much waits for the person's devices; the few messages of a handshake are taken even so.
        """
        head = await tx.get(MailboxHeadRow, label)
        if head is None and await tx.get(LabelRow, label) is None:
            return  # an erasure takes both rows, so whoever has a head has the label
        cursor, total = (head.cursor, head.total) if head else (0, 0)
        if kind in {"envelope", "sibling"} and total > MAX_WAITING_BYTES:
            await self._check_room(tx, label, total)
        row = MailboxRow(
            label=label,
            cursor=cursor + 1,
            thread=thread,
            side=side,
            kind=kind,
            data=data,
            total=total + len(data),
            at=self._clock.now(),
        )
        await tx.put(MailboxHeadRow(label=label, cursor=row.cursor, total=row.total))
        await tx.insert(row)
        tx.on_commit(lambda: self.wake({label}))

    async def _check_room(self, tx: Reader, label: str, total: int) -> None:
        """Return if there is room for one more envelope beside what waits of the `total` that ever came."""
        oldest = await tx.find(MailboxRow, where(label=label), order="cursor", limit=1)
        if oldest and total - oldest[0].total + len(oldest[0].data) > MAX_WAITING_BYTES:
            raise LimitError(f"more than {MAX_WAITING_BYTES} bytes wait for this person's devices", code="mailbox-full")

    def wake(self, labels: AbstractSet[str] | None) -> None:
        """Have those who wait for entries under these labels look again; None: all."""
        for label in self._waiting.keys() if labels is None else labels & self._waiting.keys():
            for event in self._waiting[label]:
                event.set()

    def is_watched(self, label: str) -> bool:
        """Tell whether a device of this person is waiting right now."""
        return bool(self._waiting.get(label))

    async def wait(self, label: str, after: int, wait_s: float) -> list[MailboxRow]:
        """Return at most 200 entries after cursor `after`, waiting up to `wait_s` (≤ 60) seconds for the first.

        Raises: LimitError: too many of this person's requests wait already.
        """
        if len(self._waiting.get(label, ())) >= MAX_WATCHERS:
            raise LimitError(f"at most {MAX_WATCHERS} requests of one person may wait at once")
        event = asyncio.Event()
        self._waiting.setdefault(label, set()).add(event)
        try:
            rows = await self._entries(label, after)
            if rows or wait_s <= 0:
                return rows
            await sleep_or_wake(self._clock, min(wait_s, MAX_WAIT_S), event)
            return await self._entries(label, after)
        finally:
            self._waiting[label].discard(event)
            if not self._waiting[label]:
                del self._waiting[label]

    async def _entries(self, label: str, after: int) -> list[MailboxRow]:
        async with self._store.read() as tx:
            return await tx.find(MailboxRow, where(label=label), above("cursor", after), order="cursor", limit=MAX_PAGE)

    async def acknowledge(self, label: str, device: str, cursor: int, *, devices: Iterable[str]) -> None:
        """Note that `device` has read up to `cursor` and forget what all of the person's `devices` have read."""
        async with self._store.write() as tx:
            head = await tx.get(MailboxHeadRow, label)
            before = await tx.get(MailboxAckRow, label, device)
            reached = min(max(cursor, before.cursor if before else 0), head.cursor if head else 0)
            await tx.put(MailboxAckRow(label=label, device=device, cursor=reached))
            acks = {row.device: row.cursor for row in await tx.find(MailboxAckRow, where(label=label))}
            read_by_all = min(acks.get(one, 0) for one in {*devices, device})
            await tx.delete(MailboxRow, where(label=label), at_most("cursor", read_by_all))

    async def forget_old(self, tx: Writer, before: int) -> int:
        """Erase entries stored at `before` (Unix seconds) or earlier; return how many."""
        return await tx.delete(MailboxRow, at_most("at", before))
