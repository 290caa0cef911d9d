"""A node that is back: what one peer says, or how slowly, keeps no other from being heard."""

import asyncio
from typing import Final

from msgspec.structs import replace

from federation.delivery import JUMP, begin, cursor_for, fell_back, hear_cursor, is_recovering, recovered
from federation.directory import Peer, PeerDirectory
from federation.returning import AGAIN_S, Returning
from federation.rows import DeliveryRow, InviteRow, SessionRow
from protocol.delivery import Cursor, Returned
from protocol.encoding import MAX_SAFE_INTEGER, encode
from protocol.errors import UnavailableError
from protocol.ids import random_id
from protocol.rotation import pin
from protocol.signing import VerifyKey
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.fakes.memory_store import MemoryStore
from tests.vectors.generate import peers as documents

OWN: Final = "https://aurora.example"
SLOW, PROMPT = "https://cobalt.example", "https://delta.example"
NOW: Final = 1_800_000_000
LIVES: Final = (random_id(bytes(16)), random_id(bytes([1]) * 16))


class World(PeerDirectory):
    """Everything around the announcements of one node that was restored: its peers and what they answer."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self.store: Final = store
        self.away = True
        self.asked = 0
        self.compared: list[str] = []
        self.over: Final = asyncio.Event()

    def all(self) -> tuple[Peer, ...]:
        """Return the two peers."""
        return peer(SLOW), peer(PROMPT)

    async def post(self, peer: str, _path: str, _body: bytes, _content_type: str) -> bytes:
        """Answer as a peer: one of them is away at first."""
        self.asked += peer == PROMPT
        if peer == PROMPT and self.away:
            raise UnavailableError("not here")
        return encode(Returned(cursor=Cursor(life=LIVES[0], stored=0)))

    async def recover(self, peer: str) -> None:
        """Compare threads: one of the peers never comes to an end."""
        if peer == SLOW:
            await self.over.wait()
        async with self.store.write() as tx:
            await recovered(tx, peer)
        self.compared.append(peer)

    def back(self, peer: str) -> None:
        """Hear that a peer is there."""

    def peer_lost(self, *, items: int) -> None:
        """Hear that a peer has lost items."""

    def fell_back(self) -> None:
        """Hear that the own database is older than a peer remembers."""


def peer(entity: str) -> Peer:
    text = documents.signed(documents.document())
    pinned = pin(text, VerifyKey.parse(documents.text_of(documents.FEDERATION)))
    pinned = replace(pinned, document=replace(pinned.document, entity=entity))
    key = VerifyKey.parse(pinned.document.keys.http)
    return Peer(pinned=pinned, http_key=key, connect_to="", mode="full", mode_until=None)


async def restored() -> MemoryStore:
    """Return the store of a node whose database was restored."""
    store = MemoryStore()
    await begin(store, SeededEntropy(), entity=OWN, generation=2, now=NOW)
    async with store.write() as tx:
        await tx.put(*(DeliveryRow(peer=one, recovering=True) for one in (SLOW, PROMPT)))
    return store


async def test_after_a_restore_a_peer_that_compares_slowly_holds_up_no_other() -> None:
    clock, world = SteppedClock(NOW), World(await restored())
    made = Returning(world.store, world, world, sender=world, recovery=world, told=world, clock=clock, own=OWN)
    running = asyncio.create_task(made.run())
    for _ in range(50):
        await asyncio.sleep(0)
    world.away = False
    await clock.elapse(AGAIN_S)
    assert world.compared == [PROMPT]
    world.over.set()
    await clock.elapse(AGAIN_S)
    assert world.compared == [PROMPT, SLOW]
    running.cancel()


async def test_a_peer_that_says_again_and_again_that_it_is_back_has_nobody_asked_more_than_once_a_second() -> None:
    clock, world = SteppedClock(NOW), World(await restored())
    made = Returning(world.store, world, world, sender=world, recovery=world, told=world, clock=clock, own=OWN)
    running = asyncio.create_task(made.run())
    for _ in range(60):
        made.hear()
        await clock.elapse(0.1)
        await asyncio.sleep(0)
    assert 2 <= world.asked <= 8
    running.cancel()


async def test_a_ticket_that_may_have_been_used_since_the_backup_lets_nobody_in_after_a_restore() -> None:
    store = MemoryStore()
    rows = [
        InviteRow(code_hash=bytes([number]) * 32, policy="full", created_at=NOW, expires_at=NOW + 86_400, used_by=used)
        for number, used in enumerate((None, PROMPT))
    ]
    async with store.write() as tx:
        await tx.put(*rows)
    await begin(store, SeededEntropy(), entity=OWN, generation=2, now=NOW)
    async with store.read() as tx:
        assert await tx.find(InviteRow) == rows[1:]


async def test_a_peer_that_says_it_lost_more_than_there_is_spoils_no_count() -> None:
    store = await restored()
    for _ in range(1030):
        for life, stored in zip(LIVES, (MAX_SAFE_INTEGER, 0), strict=True):
            async with store.write() as tx:
                cursor = Cursor(life=life, stored=stored, at=NOW - NOW % 60 if stored else None)
                await hear_cursor(tx, SLOW, cursor)
    async with store.read() as tx:
        row = await tx.get(DeliveryRow, SLOW)
        assert row is not None
        assert row.lost == MAX_SAFE_INTEGER


async def test_sessions_move_on_once_however_often_a_peer_says_that_this_node_is_behind() -> None:
    store = await restored()
    session = SessionRow(
        thread="t", side="consumer", peer=SLOW, label="l", state="OPEN", slot=None, ends_at=NOW, destroy_at=NOW
    )
    async with store.write() as tx:
        await tx.put(session)
        await recovered(tx, SLOW)
        own = await cursor_for(tx, OWN, SLOW)
    assert own is not None
    for stored in (5, 6, 7):
        async with store.write() as tx:
            told = Cursor(life=own.life, stored=stored, at=NOW - NOW % 60)
            assert await fell_back(tx, OWN, SLOW, told, now=NOW) is (stored == 5)
    async with store.read() as tx:
        moved = await tx.get(SessionRow, "t", "consumer")
        assert await is_recovering(tx, SLOW)
    assert moved is not None
    assert JUMP < moved.sent < 2**31 / 10
