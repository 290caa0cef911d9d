"""Counts what travels between this node and each peer: cursors for the protocol, a ledger for operators.

Everything is counted in the transaction of the effect. No count is of a person: the ledger ends at the receiving
node, to the minute. Source: docs/protocol/33-delivery.md §7.
"""

from typing import Final

from msgspec.structs import replace

from protocol.delivery import MINUTE_S, Cursor
from protocol.encoding import MAX_SAFE_INTEGER
from protocol.errors import LimitError
from protocol.ids import random_id

from .ports import Clock, Entropy, Reader, Store, Writer, below, where
from .rows import DeliveryRow, InviteRow, LedgerRow, LifeRow, MailboxHeadRow, PeerRow, SessionRow

DAY_S: Final = 86_400
#: How far every counter moves on after a restore: more than was ever given since the backup.
JUMP: Final = 2**20
#: And so much for each second, counted from before any session that is not over: more than was given since the last
#: restore, should it have been of the same backup.
A_SECOND: Final = 4
LONG_BEFORE_S: Final = 2**25


class RecoveringError(LimitError):
    """This node was restored and has not yet compared its threads with the peer's: what it said may be said again."""

    code = "recovering"


async def is_restored(store: Store, *, entity: str, generation: int) -> bool:
    """Tell whether the database was restored since the last start that came as far as `begin`."""
    async with store.read() as reader:
        known = await reader.get(LifeRow, entity)
    return generation != (known.generation if known is not None else 1)


async def begin(store: Store, entropy: Entropy, *, entity: str, generation: int, now: int) -> bool:
    """Begin a new life if the database was restored since the last start; tell whether it was.

    Numbers given since the backup are forgotten, so every counter moves on far beyond them, and each peer is asked for
    the heads of the shared threads before anything more is said in them. Tickets that nobody has used are void.

    Args:
        generation: of the store, one more for each restore.
    """
    async with store.read() as reader:
        known = await reader.get(LifeRow, entity)
    if known is not None and known.generation == generation:
        return False
    async with store.write() as tx:
        known = await tx.get(LifeRow, entity)
        if known is not None and known.generation == generation:
            return False  # another process was quicker
        await tx.put(LifeRow(entity=entity, life=random_id(entropy.take(16)), generation=generation))
        if generation == 1:
            return False
        await tx.delete(InviteRow, where(used_by=None))  # one of them may have been used since
        for peer in await tx.find(PeerRow):
            await tx.put(replace(await _row(tx, peer.entity), recovering=True))
        for session in await tx.find(SessionRow):
            await tx.put(_moved_on(session, now))
        for head in await tx.find(MailboxHeadRow):
            await tx.put(replace(head, cursor=head.cursor + JUMP + A_SECOND * now))
    return True


def _moved_on(session: SessionRow, now: int) -> SessionRow:
    """Return a session beyond every number that it may have given."""
    by = JUMP + A_SECOND * max(0, now - session.ends_at + LONG_BEFORE_S)
    return replace(session, sent=session.sent + by, number=session.number + by)


async def require_recovered(tx: Reader, peer: str) -> None:
    """Return unless the threads with `peer` are still to be compared after a restore. Raises: RecoveringError."""
    row = await tx.get(DeliveryRow, peer)
    if row is not None and row.recovering:
        raise RecoveringError("this node was restored and has not yet heard from that organization; try again later")


async def life_of(tx: Reader, entity: str) -> str:
    """Return the life of this database, empty before this node has begun."""
    life = await tx.get(LifeRow, entity)
    return life.life if life is not None else ""


async def cursor_for(tx: Reader, entity: str, peer: str) -> Cursor | None:
    """Return what `peer` is told of its items here, None before this node has begun."""
    return _cursor(await life_of(tx, entity), await _row(tx, peer))


async def told_by(tx: Reader, peer: str) -> Cursor | None:
    """Return the cursor that `peer` told last, None before the first."""
    row = await _row(tx, peer)
    return Cursor(life=row.told_life, stored=row.told, at=row.told_at) if row.told_life else None


async def count_received(tx: Writer, peer: str, *, life: str, stored: int, refused: int, now: int) -> Cursor | None:
    """Note that so many items of `peer` were stored and refused now; return what it is told."""
    row = await _row(tx, peer)
    if stored:
        row = replace(row, stored=row.stored + stored, stored_at=now - now % MINUTE_S)
        await tx.put(row)
    await _enter(tx, peer, "in", day=now // DAY_S, stored=stored, dead=refused)
    return _cursor(life, row)


async def count_sent(tx: Writer, peer: str, *, stored: int, dead: int, cursor: Cursor | None, now: int) -> None:
    """Note that `peer` stored so many items, that so many were given up, and the cursor it told with them."""
    if cursor is not None:
        await hear_cursor(tx, peer, cursor)
    at = cursor.at if cursor is not None and cursor.at is not None and abs(cursor.at - now) < DAY_S else now
    await _enter(tx, peer, "out", day=at // DAY_S, stored=stored, dead=dead)


async def hear_cursor(tx: Writer, peer: str, cursor: Cursor) -> int:
    """Take the cursor that `peer` tells; return how many items it had stored and has lost since.

    Answers may overtake each other, so within one life only the highest counts.
    """
    row = await _row(tx, peer)
    if cursor.life == row.told_life and cursor.stored <= row.told:
        return 0
    lost = max(0, row.told - cursor.stored) if row.told_life not in ("", cursor.life) else 0
    whole = min(row.lost + lost, MAX_SAFE_INTEGER)  # a peer may say what it likes
    await tx.put(replace(row, told_life=cursor.life, told=cursor.stored, told_at=cursor.at, lost=whole))
    return lost


async def fell_back(tx: Writer, entity: str, peer: str, told: Cursor | None, *, now: int) -> bool:
    """Tell whether `peer` was told of more than is stored here: this database was put back without `restore`.

    Then its threads are to be compared too, and its sessions' numbers move on; not again before that is done.
    """
    own, row = await cursor_for(tx, entity, peer), await _row(tx, peer)
    if told is None or own is None or told.life != own.life or told.stored <= own.stored or row.recovering:
        return False
    await tx.put(replace(row, stored=told.stored, stored_at=told.at, recovering=True))
    for session in await tx.find(SessionRow):
        if session.peer == peer:
            await tx.put(_moved_on(session, now))
    return True


async def is_recovering(tx: Reader, peer: str) -> bool:
    """Tell whether the heads of the threads with `peer` are still to be compared."""
    return (await _row(tx, peer)).recovering


async def recovered(tx: Writer, peer: str) -> None:
    """Note that all threads with `peer` were compared."""
    await tx.put(replace(await _row(tx, peer), recovering=False))


async def forget_ledger(store: Store, clock: Clock, *, days: int) -> int:
    """Erase what the ledger says about days longer ago; return how many rows went."""
    async with store.write() as tx:
        return await tx.delete(LedgerRow, below("day", clock.now() // DAY_S - days))


async def _enter(tx: Writer, peer: str, way: str, *, day: int, stored: int, dead: int) -> None:
    if not stored and not dead:
        return
    row = await tx.get(LedgerRow, peer, way, day) or LedgerRow(peer=peer, way=way, day=day, stored=0, dead=0)
    await tx.put(replace(row, stored=row.stored + stored, dead=row.dead + dead))


def _cursor(life: str, row: DeliveryRow) -> Cursor | None:
    return Cursor(life=life, stored=row.stored, at=row.stored_at) if life else None


async def _row(tx: Reader, peer: str) -> DeliveryRow:
    return await tx.get(DeliveryRow, peer) or DeliveryRow(peer=peer)
