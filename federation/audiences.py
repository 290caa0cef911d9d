"""Bilateral audiences: every peer and this node make one, and each mirrors the other's sets.

Consortium audiences join with the registry. Source: docs/protocol/12-set-heads.md §1.
"""

from collections.abc import Sequence
from typing import Final

from protocol.addresses import audience_id
from protocol.errors import RefusedError
from protocol.signing import VerifyKey

from .calls import Calls
from .directory import Peer, PeerDirectory
from .ports import Clock
from .sets import Audience, Fetched, Source

JSON: Final = "application/json"


class PairAudiences:
    """The audiences and sources that the peers in the directory make."""

    def __init__(self, directory: PeerDirectory, clock: Clock, *, own: str) -> None:
        self._directory = directory
        self._clock = clock
        self._own = own

    async def audiences(self) -> Sequence[Audience]:
        """Return one audience for each peer; a peer that may not see the catalog now is no member of its own."""
        return [Audience(id=audience_id(self._own, peer.entity), members=self._members(peer)) for peer in self._peers()]

    async def sources(self) -> Sequence[Source]:
        """Return the sets of offers of every peer that is not blocked."""
        return [
            Source(
                peer=peer.entity,
                audience=audience_id(self._own, peer.entity),
                key=VerifyKey.parse(peer.document.keys.log),
            )
            for peer in self._peers()
            if peer.mode_at(self._clock.now()) != "blocked"
        ]

    def _members(self, peer: Peer) -> frozenset[str]:
        allowed = peer.may("catalog", now=self._clock.now())
        return frozenset({self._own, peer.entity} if allowed else {self._own})

    def _peers(self) -> list[Peer]:
        return [peer for peer in self._directory.all() if peer.entity != self._own]


class PeerSets:
    """Asks peers for their sets and nudges them, over signed calls."""

    def __init__(self, directory: PeerDirectory, calls: Calls) -> None:
        self._directory = directory
        self._calls = calls

    async def fetch(self, peer: str, path: str, etag: str, *, limit: int, signed: bool) -> Fetched:
        """Return the answer of a peer. Raises: MeshError."""
        answer = await self._calls.get(self._directory.get(peer), path, limit=limit, etag=etag or None, signed=signed)
        if answer.status not in {200, 304}:
            raise RefusedError("peer answered a set with neither 200 nor 304")
        return Fetched(status=answer.status, body=answer.body, etag=answer.headers.get("etag", ""))

    async def post(self, peer: str, path: str, body: bytes) -> None:
        """Return once the peer took `body`. Raises: MeshError."""
        await self._calls.post(self._directory.get(peer), path, body, JSON)
