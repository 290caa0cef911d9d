"""The audiences of a node: every bilateral pair makes one, every consortium makes one; each mirrors the others' sets.

Members that are no bilateral pair share the audience of their consortium alone.
Source: docs/protocol/12-set-heads.md §1, 22-members.md §7.
"""

from collections.abc import Sequence
from typing import Final

from protocol.addresses import audience_id
from protocol.errors import RefusedError

from .calls import Calls
from .directory import Peer, PeerDirectory
from .memberships import MembershipService
from .ports import Clock
from .sets import Audience, AudienceBook, Fetched, Source, SourceBook

JSON: Final = "application/json"


class PairAudiences:
    """The audiences and sources that the bilateral peers in the directory make."""

    def __init__(self, directory: PeerDirectory, clock: Clock, *, own: str) -> None:
        self._directory = directory
        self._clock = clock
        self._own = own

    async def audiences(self) -> Sequence[Audience]:
        """Return one audience for each peer; a peer that may not see the catalog now is no member of its own."""
        return [Audience(id=audience_id(self._own, peer.entity), members=self._members(peer)) for peer in self._peers()]

    async def sources(self) -> Sequence[Source]:
        """Return the sets of offers of every bilateral peer that is not blocked."""
        return [
            Source(
                peer=peer.entity,
                audience=audience_id(self._own, peer.entity),
                key=peer.document.log_keys,
            )
            for peer in self._peers()
            if peer.mode_at(self._clock.now()) != "blocked"
        ]

    def _members(self, peer: Peer) -> frozenset[str]:
        allowed = peer.may("catalog", now=self._clock.now())
        return frozenset({self._own, peer.entity} if allowed else {self._own})

    def _peers(self) -> list[Peer]:
        return [peer for peer in self._directory.all() if peer.entity != self._own and not peer.via]

    async def attesters(self, audience: str) -> frozenset[str] | None:
        """Return both sides of the pair with this audience; None when there is no such pair."""
        return next(
            (
                frozenset({self._own, peer.entity})
                for peer in self._peers()
                if audience_id(self._own, peer.entity) == audience
            ),
            None,
        )


class ConsortiumAudiences:
    """The audiences of the consortia this node belongs to, and what their members and registries publish there."""

    def __init__(self, directory: PeerDirectory, memberships: MembershipService, clock: Clock, *, own: str) -> None:
        self._directory = directory
        self._memberships = memberships
        self._clock = clock
        self._own = own

    async def audiences(self) -> Sequence[Audience]:
        """Return one audience for each consortium that states this node as a member now."""
        now = self._clock.now()
        return [
            Audience(
                id=audience_id(registry),
                members=frozenset(
                    {self._own, *(peer.entity for peer in self._seated(registry) if peer.may("catalog", now=now))}
                ),
            )
            for registry in self._memberships.active(now)
        ]

    async def sources(self) -> Sequence[Source]:
        """Return the list of each registry, and the sets of offers of each member."""
        now = self._clock.now()
        registries = [peer for peer in self._directory.all() if peer.entity in self._memberships.joined]
        lists = [
            Source(peer=one.entity, audience=audience_id(one.entity), key=one.document.log_keys, kind="members")
            for one in registries
            if one.mode_at(now) != "blocked"
        ]
        offers = [
            Source(peer=peer.entity, audience=audience_id(registry), key=peer.document.log_keys)
            for registry in self._memberships.active(now)
            for peer in self._seated(registry)
            if peer.mode_at(now) != "blocked"
        ]
        return [*lists, *offers]

    async def attesters(self, audience: str) -> frozenset[str] | None:
        """Return whom the registry of this audience names; None when this node is in no such consortium."""
        for registry in self._memberships.active(self._clock.now()):
            if audience_id(registry) == audience:
                return await self._memberships.attesters(registry)
        return None

    def _seated(self, registry: str) -> list[Peer]:
        now = self._clock.now()
        return [peer for peer in self._directory.all() if registry in peer.registries(now)]


class Audiences:
    """All audiences of a node, whatever made them."""

    def __init__(self, pairs: PairAudiences, consortia: ConsortiumAudiences, *books: AudienceBook) -> None:
        """Take the audiences in which organizations meet, and `books` with further ones."""
        self._meeting: Final = (pairs, consortia)
        self._books: Final[tuple[AudienceBook, ...]] = (pairs, consortia, *books)
        self._sources: Final[tuple[SourceBook, ...]] = (pairs, consortia)

    async def audiences(self) -> Sequence[Audience]:
        """Return them all, by id."""
        found = [one for book in self._books for one in await book.audiences()]
        return sorted(found, key=lambda one: one.id)

    async def sources(self) -> Sequence[Source]:
        """Return everything to mirror."""
        return [one for book in self._sources for one in await book.sources()]

    async def attesters(self, audience: str) -> frozenset[str]:
        """Return who attests sets shown to this audience, this node perhaps among them; nobody for other audiences."""
        for book in self._meeting:
            if (found := await book.attesters(audience)) is not None:
                return found
        return frozenset()


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
