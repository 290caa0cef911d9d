"""Calls that mend themselves when one of two nodes has changed its keys: learn or tell a document, then ask again.

A peer that does not know our key is brought our document; a peer whose answer does not verify is asked for its own.
Neither happens more than once in a minute for a peer, and nothing is believed that the documents do not prove.
Source: docs/protocol/21-transport.md §9.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from protocol.errors import MeshError

from .answers import UnverifiedAnswerError
from .authenticate import UnknownPeerError
from .calls import Answer, Calls, Contact
from .directory import Peer, PeerDirectory
from .discovery import REFETCH_S
from .ports import Clock


class Refresh(Protocol):
    """Looks at a peer's document again."""

    async def refresh(self, entity: str) -> Peer:
        """Return the peer with what its document says now. Raises: MeshError: nothing new is known."""
        ...


class Tell(Protocol):
    """Brings our document to a peer."""

    @property
    def seq(self) -> int:
        """The number of the document that would be brought now."""
        ...

    async def tell(self, entity: str) -> None:
        """Return once the peer has taken it. Raises: MeshError."""
        ...


class HealingCalls:
    """`Calls` to peers that survive a change of keys on either side."""

    def __init__(self, calls: Calls, clock: Clock, directory: PeerDirectory, refresh: Refresh) -> None:
        self._calls: Final = calls
        self._clock: Final = clock
        self._directory: Final = directory
        self._refresh: Final = refresh
        self._tell: Tell | None = None
        #: By peer: the number of the document that was brought last, and when it was tried.
        self._told: Final[dict[str, tuple[int, int]]] = {}

    def connect(self, tell: Tell) -> None:
        """Name who brings our document to peers: it is made later, because it asks through these calls."""
        self._tell = tell

    async def get(
        self, peer: Peer, target: str, *, limit: int | None = None, etag: str | None = None, signed: bool = True
    ) -> Answer:
        """Return the answer to a signed GET, see `Calls`."""
        return await self._asked(peer, lambda one: self._calls.get(one, target, limit=limit, etag=etag, signed=signed))

    async def post(
        self,
        peer: Peer,
        target: str,
        body: bytes,
        content_type: str,
        *,
        limit: int | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> Answer:
        """Return the answer to a signed POST, see `Calls`."""
        return await self._asked(
            peer, lambda one: self._calls.post(one, target, body, content_type, limit=limit, accept=accept)
        )

    async def fetch(self, contact: Contact, target: str, *, limit: int | None = None) -> Answer:
        """Return a public document, see `Calls`."""
        return await self._calls.fetch(contact, target, limit=limit)

    async def _asked(self, peer: Peer, ask: Callable[[Peer], Awaitable[Answer]]) -> Answer:
        try:
            return await ask(peer)
        except UnverifiedAnswerError:
            if not await self._has_changed(peer):
                raise
        except MeshError as error:
            if error.code != UnknownPeerError.code or not await self._was_told(peer.entity):
                raise
        return await ask(self._directory.get(peer.entity))

    async def _has_changed(self, peer: Peer) -> bool:
        """Tell whether the peer answers with a key that is known by now."""
        try:
            known = self._directory.get(peer.entity)
            if known.http_key == peer.http_key:
                known = await self._refresh.refresh(peer.entity)
        except MeshError:
            return False
        return known.http_key != peer.http_key

    async def _was_told(self, entity: str) -> bool:
        """Tell whether the peer has our document by now."""
        if self._tell is None:
            return False
        now, seq = self._clock.now(), self._tell.seq
        last_seq, last_at = self._told.get(entity, (0, 0))
        if seq == last_seq and 0 <= now - last_at < REFETCH_S:
            return False
        self._told[entity] = seq, now
        try:
            await self._tell.tell(entity)
        except MeshError:
            return False
        return True
