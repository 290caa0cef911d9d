"""The peers a node lets in, in memory: who signs with which key, and what each may do.

Default deny: who is not here is nobody. The rows are the truth (`PeerRow`); whoever changes one tells the directory.
A peer met through registries has a seat in their consortia; without a seat that lasts it is as good as blocked.
"""

from collections.abc import Mapping
from typing import Final, Literal, cast

import msgspec

from protocol.addresses import audience_id
from protocol.errors import MissingError, RefusedError
from protocol.peers import NodeDocument
from protocol.rotation import Pinned, pin
from protocol.signing import VerifyKey
from protocol.tickets import Mode

from .ports import Store, is_in
from .rows import FrozenRow, PeerRow

#: What a peer asks for: our catalog, a new handshake, or to go on with one that exists.
Action = Literal["catalog", "request", "continue"]

ALLOWED: Final[Mapping[Mode, frozenset[Action]]] = {
    "full": frozenset({"catalog", "request", "continue"}),
    "no-new-requests": frozenset({"catalog", "continue"}),
    "catalog-hidden": frozenset({"continue"}),
    "blocked": frozenset(),
}


class PeerModeError(RefusedError):
    """The administrator does not let this peer do this now."""

    code = "peer-mode"


class FrozenPeerError(RefusedError):
    """The peer contradicted itself: nothing new is begun until an administrator has looked at the evidence."""

    code = "peer-frozen"


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """A peer's place in the consortium of `registry`, before the second `until`."""

    registry: str
    until: int


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One peer as pinned: its document is verified. `via` names a registry unless this is a bilateral pair."""

    pinned: Pinned
    http_key: VerifyKey
    connect_to: str
    mode: Mode
    mode_until: int | None
    via: str = ""
    seats: tuple[Seat, ...] = ()
    frozen: bool = False

    @property
    def document(self) -> NodeDocument:
        """What the peer says about itself."""
        return self.pinned.document

    @property
    def entity(self) -> str:
        """The peer's entity identifier."""
        return self.pinned.document.entity

    def registries(self, now: int) -> tuple[str, ...]:
        """Return the registries in whose consortia the peer has a seat at `now`, by name."""
        return tuple(sorted(seat.registry for seat in self.seats if now < seat.until))

    def audiences(self, own: str, now: int) -> tuple[str, ...]:
        """Return the ids of the audiences that the peer shares with `own`, the one to prefer first."""
        pair = () if self.via else (audience_id(own, self.entity),)
        return (*pair, *sorted(audience_id(registry) for registry in self.registries(now)))

    def mode_at(self, now: int) -> Mode:
        """Return the mode in force; one that has ended counts as `full`, and a lost seat as `blocked`."""
        if self.via and not self.registries(now):
            return "blocked"
        return "full" if self.mode_until is not None and now >= self.mode_until else self.mode

    def may(self, action: Action, *, now: int) -> bool:
        """Tell whether the peer may do this now; a frozen one goes on with what was begun, and no more."""
        return action in ALLOWED[self.mode_at(now)] and (action == "continue" or not self.frozen)

    def require(self, action: Action, *, now: int) -> None:
        """Return if the peer may do this now. Raises: FrozenPeerError, PeerModeError."""
        if self.frozen and action != "continue":
            raise FrozenPeerError("that organization's node contradicted itself: only what was begun goes on")
        if not self.may(action, now=now):
            raise PeerModeError("the administrator here does not allow this peer that at the moment")


def peer_of(row: PeerRow, *, connect_to: str = "", seats: tuple[Seat, ...] = ()) -> Peer:
    """Return the peer of a stored row, its document verified again. Raises: MalformedError, UnverifiedError."""
    pinned = pin(row.document.decode("ascii"), VerifyKey.parse(row.federation_key))
    return Peer(
        pinned=msgspec.structs.replace(pinned, recovered=max(pinned.recovered, row.recovered)),
        http_key=VerifyKey.parse(pinned.document.keys.http),
        connect_to=connect_to or row.connect_to,
        mode=cast("Mode", row.mode),
        mode_until=row.mode_until,
        via=row.via,
        seats=seats,
    )


class PeerDirectory:
    """All peers by entity and by the id of the key they sign requests with."""

    def __init__(self, connect_to: Mapping[str, str] | None = None) -> None:
        """Begin empty; `connect_to` gives loopback addresses of entities, in development only."""
        self._connect_to: Final = dict(connect_to or {})
        self._by_entity: Final[dict[str, Peer]] = {}
        self._by_keyid: Final[dict[str, Peer]] = {}
        self._seats: Mapping[str, tuple[Seat, ...]] = {}
        self._frozen: frozenset[str] = frozenset()

    def loopback(self, entity: str) -> str:
        """Return the loopback address that the configuration gives for `entity`; empty when there is none."""
        return self._connect_to.get(entity, "")

    async def load(self, store: Store) -> None:
        """Take over all peers of the store."""
        async with store.read() as reader:
            rows = await reader.find(PeerRow)
            self._frozen = frozenset(row.peer for row in await reader.find(FrozenRow))
        for row in rows:
            self.put(row)

    async def refresh(self, store: Store, entities: frozenset[str] | None) -> None:
        """Take over what another process has changed of these peers, None: of all."""
        which = [] if entities is None else [is_in("entity", sorted(entities))]
        rows: dict[str, PeerRow] = {}
        for _ in range(3):  # what this process commits meanwhile must not be taken back
            changes = store.changes(PeerRow)
            async with store.read() as reader:
                rows = {row.entity: row for row in await reader.find(PeerRow, *which)}
            if store.changes(PeerRow) == changes:
                break
        for entity in (self._by_entity.keys() if entities is None else entities & self._by_entity.keys()) - rows.keys():
            self.remove(entity)
        for entity, row in rows.items():
            if self._by_entity.get(entity) != self._peer(row):
                self.put(row)

    def put(self, row: PeerRow) -> Peer:
        """Add or replace one peer; call it after the row is committed."""
        peer = self._peer(row)
        self.remove(row.entity)
        self._keep(peer)
        return peer

    def _peer(self, row: PeerRow) -> Peer:
        peer = peer_of(row, connect_to=self.loopback(row.entity), seats=self._seats.get(row.entity, ()))
        return msgspec.structs.replace(peer, frozen=row.entity in self._frozen)

    def seat(self, seats: Mapping[str, tuple[Seat, ...]]) -> bool:
        """Give every peer its seats, by entity, and take all others away; return whether that changed anything."""
        if seats == self._seats:
            return False
        self._seats = seats
        for peer in self.all():
            self._keep(msgspec.structs.replace(peer, seats=seats.get(peer.entity, ())))
        return True

    def freeze(self, entities: frozenset[str]) -> bool:
        """Take exactly these peers for frozen; return whether that changed anything."""
        if entities == self._frozen:
            return False
        self._frozen = entities
        for peer in self.all():
            self._keep(msgspec.structs.replace(peer, frozen=peer.entity in entities))
        return True

    def _keep(self, peer: Peer) -> None:
        self._by_entity[peer.entity] = self._by_keyid[peer.http_key.keyid] = peer

    def remove(self, entity: str) -> None:
        """Forget one peer; it is nobody from now on."""
        known = self._by_entity.pop(entity, None)
        # Another peer may have the key by now: what a process hears of others comes in no order.
        if known is not None and self._by_keyid.get(known.http_key.keyid) is known:
            del self._by_keyid[known.http_key.keyid]

    def get(self, entity: str) -> Peer:
        """Return the peer. Raises: MissingError."""
        if entity not in self._by_entity:
            raise MissingError("there is no such peer: invite it or accept its ticket first", code="no-such-peer")
        return self._by_entity[entity]

    def registries(self, entity: str, now: int) -> tuple[str, ...]:
        """Return the registries in whose consortia a peer has a seat at `now`; none for a stranger."""
        peer = self._by_entity.get(entity)
        return peer.registries(now) if peer else ()

    def by_keyid(self, keyid: str) -> Peer | None:
        """Return the peer whose requests are signed with this key, or None."""
        return self._by_keyid.get(keyid)

    def all(self) -> tuple[Peer, ...]:
        """Return all peers, by entity."""
        return tuple(self._by_entity[entity] for entity in sorted(self._by_entity))
