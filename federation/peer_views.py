"""What administrators see of peerings: tickets, previews of them, peers."""

import msgspec

from protocol.tickets import Consortium, Mode


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """What an administrator hands over: the ticket by mail, the words by phone."""

    ticket: str
    entity: str
    words: str
    expires_at: int


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a ticket says before anything is done with it."""

    entity: str
    api: str
    words: str
    policy: Mode
    expires_at: int
    consortium: Consortium | None = None


class PeerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One peer as an administrator sees it.

    `via` is the registry it was met through, empty for a bilateral pair; `registries` are those in whose consortia it
    has a seat now. Without one, a peer that was met through a registry is out.
    """

    entity: str
    display_name: str
    api: str
    mode: Mode
    mode_reason: str
    mode_until: int | None
    words: str
    protocol: str | None
    capabilities: tuple[str, ...]
    added_at: int
    fetched_at: int
    connect_to: str
    via: str = ""
    registries: tuple[str, ...] = ()


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A new peering: the peer, and one's own words for the other side to compare."""

    peer: PeerInfo
    own_words: str
