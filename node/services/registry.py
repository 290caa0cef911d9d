"""What an operator can do about consortia: as the registry of one, and as a member of others."""

from typing import Annotated, Final

import msgspec

from federation.membership_views import Joined, Left, Membership
from federation.memberships import MembershipService
from federation.peer_views import Invitation
from federation.peering import PeeringService
from federation.registry import RegistryService
from federation.registry_views import Pushed, Registration
from node.operations import Command, Operation
from protocol.errors import RefusedError
from protocol.tickets import Consortium, Mode

DAY_S: Final = 86_400

Reason = Annotated[str, msgspec.Meta(max_length=200)]


class InviteMember(Command, frozen=True, kw_only=True):
    """Ask for a ticket by which an organization may ask to be admitted; `entity` alone may use it when given."""

    entity: str | None = None
    policy: Mode = "catalog-hidden"
    days: int = 7


class OneOrganization(Command, frozen=True, kw_only=True):
    """One applicant or member."""

    entity: str


class PutOut(Command, frozen=True, kw_only=True):
    """Take a member out, for a reason that stays here."""

    entity: str
    reason: Reason


class ListRegistrations(Command, frozen=True, kw_only=True):
    """Ask for all applicants and members."""


class RotateStatements(Command, frozen=True, kw_only=True):
    """Make all statements anew."""


class JoinConsortium(Command, frozen=True, kw_only=True):
    """A registry's ticket."""

    ticket: str


class OneConsortium(Command, frozen=True, kw_only=True):
    """One consortium, by its registry."""

    registry: str


class ListMemberships(Command, frozen=True, kw_only=True):
    """Ask for all consortia of this node."""


class Rotated(msgspec.Struct, frozen=True, kw_only=True):
    """How many statements were made anew."""

    statements: int


class RegistryOperations:
    """The operations on consortia; without `consortium` this node is no registry."""

    def __init__(
        self,
        registry: RegistryService,
        memberships: MembershipService,
        peering: PeeringService,
        *,
        consortium: Consortium | None,
    ) -> None:
        self._registry: Final = registry
        self._memberships: Final = memberships
        self._peering: Final = peering
        self._consortium: Final = consortium

    def _role(self) -> RegistryService:
        if self._consortium is None:
            raise RefusedError("this node is no registry: set [registry] enabled and name", code="no-registry")
        return self._registry

    async def invite(self, command: InviteMember) -> Invitation:
        """Return a registry's ticket."""
        self._role()
        return await self._peering.invite(
            entity=command.entity,
            policy=command.policy,
            valid_s=command.days * DAY_S,
            consortium=self._consortium,
        )

    async def admit(self, command: OneOrganization) -> Registration:
        """Return an applicant that is a member now."""
        return await self._role().admit(command.entity)

    async def suspend(self, command: PutOut) -> Pushed:
        """Return a member that is suspended now."""
        return await self._role().suspend(command.entity, command.reason)

    async def resume(self, command: OneOrganization) -> Registration:
        """Return a suspended member that is let in again."""
        return await self._role().resume(command.entity)

    async def remove(self, command: PutOut) -> Pushed:
        """Return a member that is one no longer."""
        return await self._role().remove(command.entity, command.reason)

    async def list(self, command: ListRegistrations) -> tuple[Registration, ...]:  # noqa: ARG002 -- every operation takes one
        """Return all applicants and members."""
        return await self._role().registrations()

    async def rotate(self, command: RotateStatements) -> Rotated:  # noqa: ARG002 -- every operation takes one
        """Return how many statements were made anew."""
        return Rotated(statements=await self._role().rotate())

    async def join(self, command: JoinConsortium) -> Joined:
        """Return the consortium that this node asked to be admitted to."""
        return await self._memberships.join(command.ticket)

    async def leave(self, command: OneConsortium) -> Left:
        """Return the consortium that this node has left."""
        return await self._memberships.leave(command.registry)

    async def memberships(self, command: ListMemberships) -> tuple[Membership, ...]:  # noqa: ARG002 -- every operation takes one
        """Return the consortia of this node and their members."""
        return await self._memberships.memberships()

    def operations(self) -> tuple[Operation, ...]:
        """Return the rows of the operator's table."""
        rows = (
            ("invite", "Make a registry's ticket", InviteMember, Invitation, self.invite),
            ("admit", "Make an applicant a member", OneOrganization, Registration, self.admit),
            ("suspend", "Take a member out for now", PutOut, Pushed, self.suspend),
            ("resume", "Let a suspended member in again", OneOrganization, Registration, self.resume),
            ("remove", "Take a member out for good", PutOut, Pushed, self.remove),
            ("list", "Give all applicants and members", ListRegistrations, tuple[Registration, ...], self.list),
            ("rotate", "Make all statements anew", RotateStatements, Rotated, self.rotate),
            ("join", "Ask a registry to be admitted", JoinConsortium, Joined, self.join),
            ("leave", "Leave a consortium", OneConsortium, Left, self.leave),
            ("memberships", "Give the consortia joined", ListMemberships, tuple[Membership, ...], self.memberships),
        )
        return tuple(
            Operation(name=f"registry.{name}", summary=summary, request=request, response=response, run=run)
            for name, summary, request, response, run in rows
        )
