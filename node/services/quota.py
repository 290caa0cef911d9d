"""How many quotes a peer may open in a day without anybody of it asking a person: the limit on probing.

Source: docs/protocol/31-handshake.md.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from federation.ports import Clock, Reader, Writer
from federation.rows import QuotaRow
from protocol.offers import SizeBand

DAY_S: Final = 86_400
#: Members that a size band stands for when a peer's quota is counted.
MEMBERS: Final[dict[SizeBand, int]] = {"<50": 50, "50-250": 250, "250-1k": 1000, "1k-5k": 5000, ">5k": 10_000}


class QuotaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Quotes never taken up that a peer may open a day: `percent` of its declared members, at least `least`."""

    own: str
    percent: int = 2
    least: int = 5


class Quota:
    """Counts quotes; the own organization has no limit."""

    def __init__(self, clock: Clock, settings: QuotaSettings) -> None:
        self._clock: Final = clock
        self._settings: Final = settings

    async def has_room(self, tx: Reader, peer: str, size_band: SizeBand) -> bool:
        """Tell whether `peer` may be given one more quote today."""
        if peer == self._settings.own:
            return True
        limit = max(self._settings.least, MEMBERS[size_band] * self._settings.percent // 100)
        row = await tx.get(QuotaRow, peer, self._clock.now() // DAY_S)
        return row is None or row.quoted - row.accepted < limit

    async def spend(self, tx: Writer, peer: str, size_band: SizeBand) -> bool:
        """Count one more quote; False, and nothing is counted, when there is no room."""
        if not await self.has_room(tx, peer, size_band):
            return False
        day = self._clock.now() // DAY_S
        row = await tx.get(QuotaRow, peer, day) or QuotaRow(peer=peer, day=day, quoted=0, accepted=0)
        await tx.put(replace(row, quoted=row.quoted + 1))
        return True

    async def accepted(self, tx: Writer, peer: str, quoted_at: int) -> None:
        """Count a quote that became a request to a person, so that it no longer weighs."""
        await self._count_accepted(tx, peer, quoted_at, 1)

    async def withdrawn(self, tx: Writer, peer: str, quoted_at: int) -> None:
        """Let a quote weigh again whose request was called off before the person could answer.

        Otherwise a peer could have person after person disturbed, for nothing and without end.
        """
        await self._count_accepted(tx, peer, quoted_at, -1)

    async def _count_accepted(self, tx: Writer, peer: str, quoted_at: int, change: int) -> None:
        row = await tx.get(QuotaRow, peer, quoted_at // DAY_S)
        if row is not None:
            await tx.put(replace(row, accepted=row.accepted + change))
