"""What an operator can see of erasures at peers: how many entries each has confirmed, and receipts by commitment."""

from typing import Annotated, Final

import msgspec

from federation.ports import Store, where
from federation.rows import EntryErasureRow
from node.operations import Command, Operation
from protocol.ids import Entity, Seconds


class ListErasures(Command, frozen=True, kw_only=True):
    """Ask what peers confirmed; with `entry`, a commitment from somebody's own receipt, for its receipts."""

    entry: Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9_-]{43})?(?!\n)$")] = ""


class PeerErasures(msgspec.Struct, frozen=True, kw_only=True):
    """Entries that left the key directory, decoys among them: how many a peer confirmed, and how many not yet."""

    peer: Entity
    confirmed: int
    waiting: int
    waiting_since: Seconds | None = None


class Erasures(msgspec.Struct, frozen=True, kw_only=True):
    """Erasures by peer; `receipts` are those of the entry that was asked for, JWS by the peers."""

    peers: tuple[PeerErasures, ...]
    receipts: tuple[str, ...] = ()


class ErasureOperations:
    """Erasures at peers, for operators."""

    def __init__(self, store: Store) -> None:
        self._store: Final = store

    def operations(self) -> tuple[Operation, ...]:
        """Return what an operator can ask here."""
        return (
            Operation(
                name="member.erasures",
                summary="What peers confirmed about erased directory entries",
                request=ListErasures,
                response=Erasures,
                run=self.erasures,
            ),
        )

    async def erasures(self, command: ListErasures) -> Erasures:
        """Return what peers confirmed."""
        async with self._store.read() as rows:
            found = [row for row in await rows.find(EntryErasureRow, order="asked_at") if row.peer]
            asked = await rows.find(EntryErasureRow, where(commitment=command.entry)) if command.entry else []
        return Erasures(
            peers=tuple(_of(peer, found) for peer in sorted({row.peer for row in found})),
            receipts=tuple(row.receipt for row in asked if row.receipt),
        )


def _of(peer: str, found: list[EntryErasureRow]) -> PeerErasures:
    mine = [row for row in found if row.peer == peer]
    waiting = [row.asked_at for row in mine if not row.receipt]
    return PeerErasures(
        peer=peer,
        confirmed=len(mine) - len(waiting),
        waiting=len(waiting),
        waiting_since=min(waiting, default=None),
    )
