"""Says to every peer that this node is back, and hears it from them: pauses end, and a restore shows.

A node that was restored asks each peer for a comparison of the threads they share before it says anything more in
them (`Recovery`). Source: docs/protocol/33-delivery.md §7 and §8.
"""

import asyncio
from typing import Final, Protocol

from protocol.delivery import Cursor, Returned
from protocol.encoding import decode, encode
from protocol.errors import MeshError

from .delivery import cursor_for, fell_back, hear_cursor, is_recovering, told_by
from .directory import PeerDirectory
from .inbox import Guard
from .pauses import LEAST_BETWEEN_S
from .ports import Clock, Store
from .waiting import sleep_or_wake, within

BACK_PATH: Final = "/federation/v1/back"
JSON_TYPE: Final = "application/json"
#: A peer that could not be asked about the shared threads is asked again so often, or when it comes by itself.
AGAIN_S: Final = 15.0
#: Peers told at once, and how long one of them may take to compare threads before another has its turn.
AT_ONCE: Final = 8
LONGEST_S: Final = 600.0


class Post(Protocol):
    """Signed requests to a peer; answers are verified and bounded."""

    async def post(self, peer: str, path: str, body: bytes, content_type: str) -> bytes:
        """Return the body of a 200 answer. Raises: MeshError."""
        ...


class Recovery(Protocol):
    """Compares the threads shared with a peer."""

    async def recover(self, peer: str) -> None:
        """Return once all were compared. Raises: MeshError: the peer cannot be asked now."""
        ...


class Sender(Protocol):
    """The outbox."""

    def back(self, peer: str) -> None:
        """The peer showed that it is there."""
        ...


class Told(Protocol):
    """Who is told what came out."""

    def peer_lost(self, *, items: int) -> None:
        """A peer was restored and has lost items it had stored."""
        ...

    def fell_back(self) -> None:
        """This node's database is older than a peer remembers."""
        ...


class Returning:
    """Announces one node to its peers; `run` is one long job."""

    def __init__(
        self,
        store: Store,
        directory: PeerDirectory,
        post: Post,
        *,
        sender: Sender,
        recovery: Recovery,
        told: Told,
        clock: Clock,
        own: str,
    ) -> None:
        self._store: Final = store
        self._directory: Final = directory
        self._post: Final = post
        self._sender: Final = sender
        self._recovery: Final = recovery
        self._told: Final = told
        self._clock: Final = clock
        self._own: Final = own
        self._heard: Final = asyncio.Event()
        self._asking: Final[set[str]] = set()

    async def run(self) -> None:
        """Tell every peer once, then go on asking those whose threads are still to be compared, each on its own."""
        slots = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            waiting = [peer.entity for peer in self._directory.all()]
            while waiting or self._asking:
                for peer in waiting:
                    if peer not in self._asking:
                        self._asking.add(peer)
                        group.create_task(self._announce(peer, slots), name=f"announce {peer}")
                self._heard.clear()
                await self._clock.sleep(LEAST_BETWEEN_S)  # whoever says without end that it is back sets no pace
                await sleep_or_wake(self._clock, AGAIN_S - LEAST_BETWEEN_S, self._heard)
                waiting = await self._recovering()
        await asyncio.Event().wait()

    async def _recovering(self) -> list[str]:
        async with self._store.read() as tx:
            return [peer.entity for peer in self._directory.all() if await is_recovering(tx, peer.entity)]

    async def _announce(self, peer: str, slots: asyncio.Semaphore) -> None:
        """Tell one peer; one that is away will tell us when it is back."""
        try:
            async with slots, within(LONGEST_S, "the comparison of threads took too long", code="too-slow"):
                await self.announce(peer)
        except MeshError:
            return
        finally:
            self._asking.discard(peer)

    async def announce(self, peer: str) -> None:
        """Tell one peer that this node is back, and compare threads if need be. Raises: MeshError."""
        async with self._store.read() as tx:
            cursor = await cursor_for(tx, self._own, peer)
        if cursor is None:
            return
        answer = decode(await self._post.post(peer, BACK_PATH, encode(cursor), JSON_TYPE), Returned, what="answer")
        async with self._store.write() as tx:
            lost = await hear_cursor(tx, peer, answer.cursor)
            behind = await fell_back(tx, self._own, peer, answer.told, now=self._clock.now())
            compare = await is_recovering(tx, peer)
        self._note(lost, behind=behind)
        self._sender.back(peer)
        if compare:
            await self._recovery.recover(peer)

    def hear(self) -> None:
        """Ask again at once those whose threads are still to be compared: somebody is back."""
        self._heard.set()

    async def receive(self, peer: str, body: bytes, guard: Guard) -> bytes:
        """Return the answer to a peer that is back. Raises: MalformedError; what `guard` raises."""
        cursor = decode(body, Cursor, what="cursor")
        async with self._store.write() as tx:
            await guard(tx)
            told = await told_by(tx, peer)
            lost = await hear_cursor(tx, peer, cursor)
            own = await cursor_for(tx, self._own, peer)
        assert own is not None, "a node begins before it is asked"
        self._note(lost, behind=False)
        self.hear()
        return encode(Returned(cursor=own, told=told))

    def _note(self, lost: int, *, behind: bool) -> None:
        if lost:
            self._told.peer_lost(items=lost)
        if behind:
            self._told.fell_back()
