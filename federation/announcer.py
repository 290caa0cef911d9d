"""Brings every new document of this node to every peer, until each has confirmed it.

A changed key works with a peer from then on, and an ended one no longer; who cannot be reached looks by itself later.
Source: docs/protocol/20-identity.md §3.
"""

import asyncio
from typing import Final

from protocol.encoding import sha256
from protocol.errors import MeshError
from protocol.peers import DOCUMENT_TYPE, DOCUMENTS_PATH

from .calls import Calls
from .directory import PeerDirectory
from .identity import Own
from .pauses import PeerStatus, note_failure
from .ports import Clock, Entropy, Store
from .rows import PeerRow, ToldDocumentRow
from .waiting import sleep_or_wake

#: Peers told at once.
AT_ONCE: Final = 8
#: The answer has no body.
MAX_ANSWER: Final = 4096


class Announcer:
    """Announces the documents of one node; `run` is one long job."""

    def __init__(
        self, store: Store, calls: Calls, clock: Clock, entropy: Entropy, directory: PeerDirectory, *, own: Own
    ) -> None:
        self._store: Final = store
        self._calls: Final = calls
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._directory: Final = directory
        self._own: Final = own
        self._woken: Final = asyncio.Event()
        self._due_ms: Final[dict[str, int]] = {}
        self._statuses: Final[dict[str, PeerStatus]] = {}

    @property
    def seq(self) -> int:
        """The number of the present document."""
        return self._own.document.seq

    def wake(self) -> None:
        """Look now whether there is somebody to tell, such as after the document or the peers have changed."""
        self._due_ms.clear()
        self._woken.set()

    async def run(self) -> None:
        """Tell peers until cancelled."""
        while True:
            self._woken.clear()
            wait_s = await self.step()
            if wait_s is None:
                await self._woken.wait()
            else:
                await sleep_or_wake(self._clock, wait_s, self._woken)

    async def step(self) -> float | None:
        """Tell those whose time has come; return the seconds until the next try, None when everybody knows."""
        limit = asyncio.Semaphore(AT_ONCE)
        now_ms = self._clock.now_ms()
        untold = await self.untold()
        await asyncio.gather(*(self._try(limit, one) for one in untold if self._due_ms.get(one, 0) <= now_ms))
        left = await self.untold()
        if not left:
            return None
        return max(0.0, (min(self._due_ms.get(one, 0) for one in left) - self._clock.now_ms()) / 1000)

    async def untold(self) -> tuple[str, ...]:
        """Return the peers that have not confirmed the present document, by entity."""
        present = self._hash()
        async with self._store.read() as rows:
            told = {row.entity for row in await rows.find(ToldDocumentRow) if row.hash == present}
        return tuple(peer.entity for peer in self._directory.all() if peer.entity not in told)

    async def tell(self, entity: str) -> None:
        """Return once the peer has confirmed the present document. Raises: MeshError: it has not."""
        text = self._own.text.encode("ascii")
        await self._calls.post(self._directory.get(entity), DOCUMENTS_PATH, text, DOCUMENT_TYPE, limit=MAX_ANSWER)
        async with self._store.write() as tx:
            if await tx.get(PeerRow, entity) is not None:
                await tx.put(ToldDocumentRow(entity=entity, hash=sha256(text), at=self._clock.now()))

    async def _try(self, limit: asyncio.Semaphore, entity: str) -> None:
        async with limit:
            try:
                await self.tell(entity)
            except MeshError as error:
                status = self._statuses.setdefault(entity, PeerStatus())
                pause = note_failure(status, error, now=self._clock.now(), entropy=self._entropy.take(4))
                self._due_ms[entity] = self._clock.now_ms() + round(pause * 1000)
            else:
                self._statuses.pop(entity, None)

    def _hash(self) -> bytes:
        return sha256(self._own.text.encode("ascii"))
