"""What an operator sees of delivery: one line for each peer, and the ledger of one; counts only, and nobody's.

The ledger ends at the receiving node, to the minute, and the peer's operator sees the same figures from the other side.
Source: docs/protocol/33-delivery.md §7 and §9.
"""

from typing import Final, Literal

import msgspec

from federation.breaker import Breaker, Intake
from federation.directory import Peer, PeerDirectory
from federation.outbox import Outbox
from federation.pauses import PeerStatus
from federation.ports import Clock, Reader, Store, where
from federation.rows import DeliveryRow, LedgerRow, OutboxRow
from node.operations import Command, Operation
from protocol.delivery import MINUTE_S
from protocol.tickets import Mode


class ShowBoard(Command, frozen=True, kw_only=True):
    """Ask for the state of all peers."""


class ShowLedger(Command, frozen=True, kw_only=True):
    """Ask for what travelled between this node and one peer."""

    entity: str


class SendingState(msgspec.Struct, frozen=True, kw_only=True):
    """The outgoing breaker: open while the peer is left alone after failures; `until` is when it is tried again."""

    state: Literal["closed", "open"]
    failures: int
    last_error: str
    down_since: int | None
    until: int | None


class TakingState(msgspec.Struct, frozen=True, kw_only=True):
    """The incoming breaker: open while the peer is turned away because too much of what it sent could not be taken."""

    state: Literal["closed", "open"]
    faults: int
    until: int | None


class PeerStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How delivery with one peer goes; `lag_s` is the age of the oldest message that waits, `oldest_at` its minute.

    `contact_at` is when the peer last answered or asked, since this process started; `comparing`: this node was
    restored and has not yet compared its threads with the peer's; `lost`: items that the peer had stored and lost.
    """

    entity: str
    display_name: str
    mode: Mode
    sending: SendingState
    taking: TakingState
    waiting: int
    oldest_at: int | None
    lag_s: int
    contact_at: int | None
    comparing: bool
    lost: int


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """To the peer: how many items were given to it to store, and what became of them; `stored_at` is its own minute."""

    sent: int
    stored: int
    waiting: int
    dead: int
    oldest_at: int | None
    stored_at: int | None


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """From the peer: items stored and refused here."""

    stored: int
    refused: int
    stored_at: int | None


class LedgerDay(msgspec.Struct, frozen=True, kw_only=True):
    """One day (Unix seconds of its beginning) of both directions."""

    day_at: int
    sent: int
    dead: int
    received: int
    refused: int


class PeerLedger(msgspec.Struct, frozen=True, kw_only=True):
    """What travelled between this node and one peer; sums are of the days listed, the newest first."""

    entity: str
    sent: Sent
    received: Received
    days: tuple[LedgerDay, ...]


class Board:
    """Answers operators about delivery."""

    def __init__(self, store: Store, directory: PeerDirectory, outbox: Outbox, breaker: Breaker, clock: Clock) -> None:
        self._store: Final = store
        self._directory: Final = directory
        self._outbox: Final = outbox
        self._breaker: Final = breaker
        self._clock: Final = clock

    async def board(self, _: ShowBoard) -> tuple[PeerStanding, ...]:
        """Return one line for each peer."""
        async with self._store.read() as tx:
            return tuple([await self._standing(tx, peer) for peer in self._directory.all()])

    async def ledger(self, command: ShowLedger) -> PeerLedger:
        """Return what travelled between this node and one peer. Raises: MissingError."""
        entity = self._directory.get(command.entity).entity
        async with self._store.read() as tx:
            rows = await tx.find(LedgerRow, where(peer=entity), order="-day")
            held = await tx.get(DeliveryRow, entity) or DeliveryRow(peer=entity)
            waiting, oldest_at = await _waiting(tx, entity)
        out = [row for row in rows if row.way == "out"]
        came = [row for row in rows if row.way == "in"]
        stored, dead = _sums(out)
        taken, refused = _sums(came)
        return PeerLedger(
            entity=entity,
            sent=Sent(
                sent=stored + dead + waiting,
                stored=stored,
                waiting=waiting,
                dead=dead,
                oldest_at=oldest_at,
                stored_at=held.told_at,
            ),
            received=Received(stored=taken, refused=refused, stored_at=held.stored_at),
            days=_days(rows),
        )

    async def _standing(self, tx: Reader, peer: Peer) -> PeerStanding:
        now, entity = self._clock.now(), peer.entity
        waiting, oldest_at = await _waiting(tx, entity)
        held = await tx.get(DeliveryRow, entity) or DeliveryRow(peer=entity)
        return PeerStanding(
            entity=entity,
            display_name=peer.document.org.display_name,
            mode=peer.mode_at(now),
            sending=_sending(self._outbox.status.get(entity, PeerStatus())),
            taking=_taking(self._breaker.intake.get(entity, Intake()), now),
            waiting=waiting,
            oldest_at=oldest_at,
            lag_s=max(0, now - oldest_at) if oldest_at is not None else 0,
            contact_at=self._outbox.contacts.get(entity),
            comparing=held.recovering,
            lost=held.lost,
        )

    def operations(self) -> tuple[Operation, ...]:
        """Return what an operator can ask here."""
        return (
            Operation(
                name="peer.ledger",
                summary="What travelled between this node and one peer",
                request=ShowLedger,
                response=PeerLedger,
                run=self.ledger,
            ),
        )


async def _waiting(tx: Reader, peer: str) -> tuple[int, int | None]:
    """Return how many items wait for a peer, and the minute of the oldest."""
    oldest = await tx.find(OutboxRow, where(peer=peer), order="created_ms", limit=1)
    at = oldest[0].created_ms // 1000 if oldest else None
    return await tx.count(OutboxRow, where(peer=peer)), at - at % MINUTE_S if at is not None else None


def _sending(status: PeerStatus) -> SendingState:
    return SendingState(
        state="open" if status.pausing else "closed",
        failures=status.failures,
        last_error=status.last_error,
        down_since=status.down_since,
        until=status.until if status.pausing else None,
    )


def _taking(intake: Intake, now: int) -> TakingState:
    is_open = intake.is_open(now)
    return TakingState(
        state="open" if is_open else "closed", faults=intake.faults, until=intake.until if is_open else None
    )


def _sums(rows: list[LedgerRow]) -> tuple[int, int]:
    return sum(row.stored for row in rows), sum(row.dead for row in rows)


def _days(rows: list[LedgerRow]) -> tuple[LedgerDay, ...]:
    found: dict[int, dict[str, LedgerRow]] = {}
    for row in rows:
        found.setdefault(row.day, {})[row.way] = row
    nothing = LedgerRow(peer="", way="", day=0, stored=0, dead=0)
    return tuple(
        LedgerDay(
            day_at=day * 86_400,
            sent=ways.get("out", nothing).stored,
            dead=ways.get("out", nothing).dead,
            received=ways.get("in", nothing).stored,
            refused=ways.get("in", nothing).dead,
        )
        for day, ways in found.items()
    )
