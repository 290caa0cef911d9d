"""What an operator can do about peers, and what this node says about itself to them."""

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec.structs import replace

from federation.checkup import Checkup, Finding
from federation.identity import draft
from federation.peer_views import Accepted, Invitation, PeerInfo, Preview
from federation.peering import PeeringService
from node.keys import KeyRing
from node.operations import Command, Operation
from node.sections import Config
from protocol.messages import MAX_BATCH_ITEMS
from protocol.offers import OrgProfile
from protocol.peers import NodeDocument, NodeKeys
from protocol.tickets import Mode

DAY_S: Final = 86_400

#: Returns what is known of a peer without asking it.
Known = Callable[[str], Awaitable[tuple[Finding, ...]]]


def draft_document(config: Config, keys: KeyRing) -> NodeDocument:
    """Return what this node says about itself, by its configuration and keys; `federation.identity.issue` signs it."""
    said = draft(
        entity=config.node.entity,
        api=config.api_base,
        keys=public_keys(keys),
        rotations=keys.rotations,
        earlier={
            "earlier_attest": tuple(key.text for key in keys.earlier_attest),
            "earlier_log": tuple(key.public.text for key in keys.earlier_log if key.public not in keys.ended),
            "earlier_sign": tuple(key.text for key in keys.earlier_sign),
        },
        org=OrgProfile(
            display_name=config.org.display_name,
            kind=config.org.kind,
            sector=config.org.sector,
            size_band=config.org.size_band,
            countries=config.org.countries,
            website=config.org.website,
        ),
        limits={
            "batch_bytes": config.limits.batch_bytes,
            "batch_items": MAX_BATCH_ITEMS,
            "open_quotes_percent": config.handshake.quota_percent,
            "requests_per_minute": config.limits.peer_per_minute,
        },
    )
    return replace(said, report_contact=config.reports.named())


def public_keys(keys: KeyRing) -> NodeKeys:
    """Return the public halves as the node document names them."""
    return NodeKeys(
        federation=keys.federation.public.text,
        http=keys.http.public.text,
        log=keys.log.public.text,
        envelope_sign=keys.envelope_sign.public.text,
        envelope_seal=keys.envelope_seal.public.text,
        attest=keys.attest.public.text,
        witness=keys.witness.public.text,
        recovery=keys.recovery.text,
    )


class InvitePeer(Command, frozen=True, kw_only=True):
    """Ask for a ticket; `entity` alone may use it when given."""

    entity: str | None = None
    policy: Mode = "full"
    days: int = 7


class UseTicket(Command, frozen=True, kw_only=True):
    """A ticket of another node."""

    ticket: str


class ListPeers(Command, frozen=True, kw_only=True):
    """Ask for all peers."""


class OnePeer(Command, frozen=True, kw_only=True):
    """Ask about one peer."""

    entity: str


class SetPeerMode(Command, frozen=True, kw_only=True):
    """Change what a peer may do, for `days` or until it is changed again."""

    entity: str
    mode: Mode
    reason: str
    days: int | None = None


class ExaminePeer(Command, frozen=True, kw_only=True):
    """Ask how the way to a peer, or to any node's address, is."""

    address: str


class PeerOperations:
    """The operations on the peers of one node."""

    def __init__(self, peering: PeeringService, checkup: Checkup) -> None:
        self._peering: Final = peering
        self._checkup: Final = checkup
        self._known: Known | None = None

    def connect(self, known: Known) -> None:
        """Let `doctor` also say what this node holds against a peer (`standing.Overview.findings`)."""
        self._known = known

    async def invite(self, command: InvitePeer) -> Invitation:
        """Return a ticket."""
        return await self._peering.invite(entity=command.entity, policy=command.policy, valid_s=command.days * DAY_S)

    async def preview(self, command: UseTicket) -> Preview:
        """Return what a ticket says."""
        return self._peering.preview(command.ticket)

    async def accept(self, command: UseTicket) -> Accepted:
        """Return the peering with the node of a ticket."""
        return await self._peering.accept(command.ticket)

    async def list(self, command: ListPeers) -> tuple[PeerInfo, ...]:  # noqa: ARG002 -- every operation takes one
        """Return all peers."""
        return await self._peering.peers()

    async def show(self, command: OnePeer) -> PeerInfo:
        """Return one peer."""
        return await self._peering.show(command.entity)

    async def mode(self, command: SetPeerMode) -> PeerInfo:
        """Return the peer after its mode was set."""
        return await self._peering.set_mode(command.entity, command.mode, reason=command.reason, days=command.days)

    async def remove(self, command: OnePeer) -> None:
        """Forget one peer."""
        await self._peering.remove(command.entity)

    async def doctor(self, command: ExaminePeer) -> tuple[Finding, ...]:
        """Return what was found on the way to a node."""
        found = await self._checkup.examine(command.address)
        return (*found, *(await self._known(command.address) if self._known else ()))

    def operations(self) -> tuple[Operation, ...]:
        """Return the rows of the operator's table."""
        return (
            Operation(
                name="peer.invite",
                summary="Make a ticket",
                request=InvitePeer,
                response=Invitation,
                run=self.invite,
            ),
            Operation(
                name="peer.preview",
                summary="Say what a ticket says",
                request=UseTicket,
                response=Preview,
                run=self.preview,
            ),
            Operation(
                name="peer.accept",
                summary="Peer with the node of a ticket",
                request=UseTicket,
                response=Accepted,
                run=self.accept,
            ),
            Operation(
                name="peer.list",
                summary="Give all peers",
                request=ListPeers,
                response=tuple[PeerInfo, ...],
                run=self.list,
            ),
            Operation(name="peer.show", summary="Give one peer", request=OnePeer, response=PeerInfo, run=self.show),
            Operation(
                name="peer.mode",
                summary="Set what a peer may do",
                request=SetPeerMode,
                response=PeerInfo,
                run=self.mode,
            ),
            Operation(name="peer.remove", summary="Forget a peer", request=OnePeer, response=None, run=self.remove),
            Operation(
                name="peer.doctor",
                summary="Examine the way to a node",
                request=ExaminePeer,
                response=tuple[Finding, ...],
                run=self.doctor,
            ),
        )
