"""Whom this node meets, joined: its memberships in consortia, and the audiences that pairs and consortia make."""

from collections.abc import Callable
from typing import Final

from federation.audiences import Audiences, ConsortiumAudiences, PairAudiences
from federation.calls import Calls
from federation.directory import PeerDirectory
from federation.discovery import Discovery
from federation.introductions import Introductions
from federation.memberships import MembershipService
from federation.peering import PeeringService
from federation.ports import Clock, Store
from federation.registry import RegistryAudience


class Meeting:
    """Memberships and audiences of one node; `listed` are the members it admitted itself, as a registry."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        calls: Calls,
        directory: PeerDirectory,
        *,
        peering: PeeringService,
        discovery: Discovery,
        alert: Callable[[str], None],
        development: bool,
    ) -> None:
        own = peering.own.entity
        self.listed: Final = RegistryAudience(own)
        self.memberships: Final = MembershipService(
            store=store,
            clock=clock,
            calls=calls,
            directory=directory,
            peering=peering,
            discovery=discovery,
            introductions=Introductions(store, calls, clock, directory, development=development),
            alert=alert,
        )
        pairs = PairAudiences(directory, clock, own=own)
        consortia = ConsortiumAudiences(directory, self.memberships, clock, own=own)
        self.audiences: Final = Audiences(pairs, consortia, self.listed)
