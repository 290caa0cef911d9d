"""How envelopes leave: room for so many, and none before the agreement."""

import pytest
from msgspec.structs import replace

from federation.lanes import AT_ONCE
from federation.ports import where
from federation.rows import OutboxRow, SessionRow, ThreadRow
from node.services.pace import MAX_WAITING, Pace
from protocol.envelope import KIND_SESSION
from protocol.errors import LimitError
from protocol.messages import KIND_HANDSHAKE
from tests.fakes.memory_store import MemoryStore

PEER = "https://birch.example"
SESSION = SessionRow(
    thread="t", side="provider", peer=PEER, label="l", state="OPEN", slot=None, ends_at=100, destroy_at=200
)


def waiting(number: int, *, kind: int = KIND_SESSION, due_ms: int = AT_ONCE) -> OutboxRow:
    return OutboxRow(
        peer=PEER,
        mid=f"{kind} {number}",
        thread="t",
        side="provider",
        seq=number,
        item=bytes([kind]),
        created_ms=0,
        due_ms=due_ms,
        expires_at=1000,
    )


async def send(store: MemoryStore, pace: Pace, session: SessionRow) -> SessionRow:
    """Queue one envelope as `Sessions` does."""
    async with store.write() as tx:
        await pace.require_room(tx, session)
        session = replace(session, sent=session.sent + 1)
        await tx.insert(waiting(session.sent, due_ms=await pace.due_ms(tx, session)))
    return session


@pytest.mark.slow
async def test_so_many_wait_and_not_one_more_however_often_some_leave() -> None:
    store, pace, session = MemoryStore(), Pace(), SESSION
    for _ in range(MAX_WAITING):
        session = await send(store, pace, session)
    for left in (1, 700):
        with pytest.raises(LimitError, match="2000 messages wait"):
            await send(store, pace, session)
        async with store.write() as tx:
            for row in await tx.find(OutboxRow, order="seq", limit=left):
                await tx.delete(OutboxRow, where(peer=PEER, mid=row.mid))
        for _ in range(left):
            session = await send(store, pace, session)
    async with store.read() as tx:
        assert await tx.count(OutboxRow) == MAX_WAITING
    with pytest.raises(LimitError):
        await send(store, Pace(), session)


async def test_envelopes_wait_for_an_agreement_that_waits_for_its_beat() -> None:
    store, pace = MemoryStore(), Pace()
    thread = ThreadRow(
        thread="t",
        side="provider",
        peer=PEER,
        label="l",
        state="AGREED",
        deadline=None,
        book=b"",
        notes=b"",
        purge_at=1000,
    )
    agreement = waiting(1, kind=KIND_HANDSHAKE, due_ms=5000)
    async with store.write() as tx:
        await tx.insert(thread, agreement)
    session = await send(store, pace, SESSION)
    session = await send(store, pace, session)
    async with store.write() as tx:
        await tx.delete(OutboxRow, where(peer=PEER, mid=agreement.mid))
    await send(store, pace, session)
    async with store.read() as tx:
        assert [row.due_ms for row in await tx.find(OutboxRow, order="seq")] == [5000, 5000, AT_ONCE]
